//! Peers that always have something to read that comes to nothing: neither the limit of a call nor the other half
//! waits for their end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use support::{from_peer_of, quiet, socket};
use wsconn::Role;
use wsmio::{Error, Stream, WebSocket};
use wstest::reference::Frame;

/// More reads than a test gets to while a flood is not endless for it.
const ENDLESS: usize = 20_000;

/// A stream that gives the same bytes again and again, in so many reads before it ends, and takes all or nothing.
struct Flood {
    bytes: Vec<u8>,
    at: usize,
    left: Arc<AtomicUsize>,
    takes: bool,
    fd: UnixStream,
}

impl Flood {
    /// Of this frame, to a server.
    fn of(frame: Frame) -> Self {
        let bytes = from_peer_of(Role::Server, &[frame]);
        let bytes = bytes.repeat((60 << 10) / bytes.len());
        let left = Arc::new(AtomicUsize::new(ENDLESS));
        Self { bytes, at: 0, left, takes: true, fd: UnixStream::pair().unwrap().0 }
    }

    /// The server's socket, to which a message without end is sent, and how many reads are left of it.
    fn of_fragments() -> (WebSocket<Self>, Arc<AtomicUsize>) {
        let mut config = quiet();
        config.max_fragments = u32::MAX;
        let begun = from_peer_of(Role::Server, &[Frame::new(2, "").unfinished()]);
        let flood = Self::of(Frame::new(0, "").unfinished());
        let left = flood.left.clone();
        (WebSocket::from_server_stream(flood, begun, config.into()).unwrap(), left)
    }
}

impl Read for Flood {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Ok(0);
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        let rest = &self.bytes[self.at..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at = (self.at + len) % self.bytes.len();
        Ok(len)
    }
}

impl Write for Flood {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.takes { Ok(bytes.len()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Flood {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Stream for Flood {
    fn set_nonblocking(&self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_message_without_end_does_not_push_the_limit_of_a_call_away() {
    let (mut ws, _) = Flood::of_fragments();
    ws.set_read_timeout(Some(Duration::from_millis(20)));
    match ws.recv() {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        other => panic!("{other:?}: only the end of the flood ended the call"),
    }
}

#[test]
fn nor_do_pings_that_of_one_that_sends_and_reads_for_a_receiver_that_is_gone() {
    let flood = Flood { takes: false, ..Flood::of(Frame::new(9, [7; 100])) };
    let (_, mut tx) = socket(Role::Server, flood, quiet()).split();
    tx.set_write_timeout(Some(Duration::from_millis(20)));
    match tx.send("nobody takes it") {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        other => panic!("{other:?}: only the end of the flood ended the call"),
    }
}

#[test]
fn a_message_without_end_leaves_the_other_half_its_turn() {
    let (ws, left) = Flood::of_fragments();
    let (mut rx, mut tx) = ws.split();
    let receiving = thread::spawn(move || rx.recv().map(|message| message.is_none()));
    while left.load(Ordering::Relaxed) > ENDLESS - 100 {
        thread::yield_now();
    }
    for _ in 0..10 {
        tx.send("a turn").unwrap();
    }
    // What is left of it is not waited for.
    assert_ne!(left.swap(0, Ordering::Relaxed), 0, "only the end of the flood let the sender in");
    assert!(receiving.join().unwrap().unwrap(), "the stream has ended");
}

#[cfg(feature = "tls")]
#[test]
fn tls_records_without_a_byte_are_no_endless_read() {
    use support::tls::configs;
    use wsmio::tls::{TlsStream, rustls::ServerConnection};

    /// The server's side of TLS, in the same thread.
    struct Server {
        session: ServerConnection,
        fd: UnixStream,
    }

    impl Read for Server {
        fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
            match self.session.write_tls(&mut buffer)? {
                0 => Err(ErrorKind::WouldBlock.into()),
                len => Ok(len),
            }
        }
    }

    impl Write for Server {
        fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
            let len = self.session.read_tls(&mut bytes)?;
            self.session.process_new_packets().unwrap();
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsRawFd for Server {
        fn as_raw_fd(&self) -> RawFd {
            self.fd.as_raw_fd()
        }
    }

    impl Stream for Server {
        fn set_nonblocking(&self) -> io::Result<()> {
            Ok(())
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let (server, client) = configs();
    let mut server = (*server).clone();
    // More than are taken at once, and fewer than rustls puts up with.
    server.send_tls13_tickets = 500;
    let server = Server {
        session: ServerConnection::new(server.into()).unwrap(),
        fd: UnixStream::pair().unwrap().0,
    };
    let name = "localhost".try_into().unwrap();
    let mut stream = TlsStream::connect(server, client, name, None).unwrap();
    let mut interrupted = 0;
    loop {
        match stream.read(&mut [0]).unwrap_err().kind() {
            ErrorKind::Interrupted => interrupted += 1,
            kind => break assert_eq!(kind, ErrorKind::WouldBlock),
        }
    }
    assert!(interrupted > 0, "all of it was taken at once");
}
