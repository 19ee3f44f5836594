use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixStream},
};

/// A byte stream that can be waited for: a TCP or Unix socket, or something around one.
///
/// It is set non-blocking: `read` and `write` then fail with [`io::ErrorKind::WouldBlock`] instead of
/// waiting, until its descriptor is ready.
pub trait Stream: Read + Write + AsRawFd + Send {
    /// Makes it non-blocking.
    fn set_nonblocking(&self) -> io::Result<()>;

    /// Ends the writing direction, so that the peer reads the end of the stream.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Whether a read that does not fill its buffer has taken all there is until the descriptor
    /// becomes readable again, as it is with a socket: then it is waited for at once. What keeps bytes
    /// of its own says `false`, which is the default, and is read until it would have to wait.
    fn empties_when_short(&self) -> bool {
        false
    }
}

impl Stream for TcpStream {
    fn set_nonblocking(&self) -> io::Result<()> {
        Self::set_nonblocking(self, true)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn empties_when_short(&self) -> bool {
        true
    }
}

impl Stream for UnixStream {
    fn set_nonblocking(&self) -> io::Result<()> {
        Self::set_nonblocking(self, true)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn empties_when_short(&self) -> bool {
        true
    }
}
