use std::{
    io::{self, IoSlice, Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
};

use crate::Stream;

/// The byte stream of a client's connection: plain for `ws://`, within TLS for `wss://`.
#[derive(Debug)]
#[non_exhaustive]
pub enum MaybeTls<S = TcpStream> {
    /// As it is.
    Plain(S),
    /// Within TLS. It knows the peer's certificates and what else was agreed.
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream<S>>),
}

impl<S> MaybeTls<S> {
    /// The stream itself: below TLS, if that is used.
    pub fn get_ref(&self) -> &S {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref(),
        }
    }
}

/// Calls one method on either stream.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self {
            MaybeTls::Plain($stream) => $call,
            #[cfg(feature = "tls")]
            MaybeTls::Tls($stream) => $call,
        }
    };
}

impl<S: Stream> Read for MaybeTls<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.read(buffer))
    }
}

impl<S: Stream> Write for MaybeTls<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, stream => stream.flush())
    }
}

impl<S: Stream> AsRawFd for MaybeTls<S> {
    fn as_raw_fd(&self) -> RawFd {
        either!(self, stream => stream.as_raw_fd())
    }
}

impl<S: Stream> Stream for MaybeTls<S> {
    fn set_nonblocking(&self) -> io::Result<()> {
        either!(self, stream => stream.set_nonblocking())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        either!(self, stream => stream.shutdown_write())
    }

    fn empties_when_short(&self) -> bool {
        either!(self, stream => stream.empties_when_short())
    }
}
