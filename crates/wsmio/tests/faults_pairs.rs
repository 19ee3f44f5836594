//! Sessions between two sockets, compressed and over TLS: whichever operation of a stream below fails, both
//! sides are told once (HAZARDS I).
#![cfg(any(feature = "deflate", feature = "tls"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;
mod verdict;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use support::Pair;
use verdict::{end, note};
use wsmio::{Acceptor, CloseCause, Connector, Error, OwnedMessage, Stream, WebSocket};
use wstest::proxied::{CLOSE, Log};

/// A stream that fails when so many operations have been done, and from then on.
struct Failing {
    tcp: TcpStream,
    left: Arc<AtomicUsize>,
}

impl Failing {
    fn enter<T>(
        &mut self,
        operation: impl FnOnce(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let done = operation(&mut self.tcp);
        // How often one looks in vain is not counted.
        if done.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::WouldBlock) {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // In pieces, so that there are more of them.
        let most = buffer.len().min(3000);
        self.enter(|tcp| tcp.read(&mut buffer[..most]))
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(3000);
        self.enter(|tcp| tcp.write(&bytes[..most]))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.enter(Write::flush)
    }
}

impl AsRawFd for Failing {
    fn as_raw_fd(&self) -> RawFd {
        self.tcp.as_raw_fd()
    }
}

impl Stream for Failing {
    fn set_nonblocking(&self) -> io::Result<()> {
        Stream::set_nonblocking(&self.tcp)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.enter(Stream::shutdown_write)
    }
}

fn messages() -> [OwnedMessage; 3] {
    ["one".into(), vec![1; 300].into(), vec![2; 20_000].into()]
}

/// Sends each message and receives its echo, and closes.
fn talk<S: Stream>(opened: Result<WebSocket<S>, Error>) -> Log {
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    for message in &messages() {
        note(ws.send(message), &mut log);
        let received = ws.recv().map(|message| message.map(|message| message.to_owned()));
        let received = note(received, &mut log).flatten();
        log.messages.extend(received);
    }
    note(ws.close(CLOSE.0, CLOSE.1), &mut log);
    end(&mut ws, &mut log);
    log
}

/// Echoes to the end.
fn echo<S: Stream>(opened: Result<WebSocket<S>, Error>) -> Log {
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let (rx, tx) = ws.halves();
    loop {
        match rx.recv() {
            Ok(Some(message)) => {
                log.messages.push(message.to_owned());
                note(tx.feed(message), &mut log);
            }
            Ok(None) => break,
            Err(error) => _ = note::<()>(Err(error), &mut log),
        }
    }
    end(&mut ws, &mut log);
    log
}

/// Opens a pair of sockets over a pair of streams and has them talk, once for each operation of either stream,
/// which fails.
fn when_each_operation_fails<A: Stream, B: Stream>(
    connect: impl Fn(Failing) -> Result<WebSocket<A>, Error> + Sync,
    accept: impl Fn(Failing) -> Result<WebSocket<B>, Error> + Sync,
) {
    for side in 0..2 {
        for n in 0.. {
            let mut left = [usize::MAX; 2];
            left[side] = n;
            let left = left.map(|left| Arc::new(AtomicUsize::new(left)));
            let (client, server) = TcpStream::pair();
            let client = Failing { tcp: client, left: left[0].clone() };
            let server = Failing { tcp: server, left: left[1].clone() };
            let case = format!("operation {n} of the {} fails", ["client", "server"][side]);
            let (client, server) = thread::scope(|scope| {
                let talking = scope.spawn(|| talk(connect(client)));
                let served = echo(accept(server));
                (talking.join().unwrap(), served)
            });
            client.check(&messages(), &format!("client, {case}"));
            server.check(&messages(), &format!("server, {case}"));
            if left[side].load(Ordering::Relaxed) > 0 {
                let clean = [CloseCause::Handshake];
                assert!(n > 10 && client.ends == clean && server.ends == clean);
                break;
            }
        }
    }
}

#[cfg(feature = "deflate")]
#[test]
fn one_verdict_on_each_side_of_a_compressed_session() {
    use wsmio::opening::{ClientOptions, ServerOptions};

    let mut options = ServerOptions::default();
    options.deflate = Some(Default::default());
    let acceptor = Acceptor::new(options);
    let mut options = ClientOptions::default();
    options.deflate = Some(Default::default());
    let connector = Connector::new(options);
    when_each_operation_fails(
        |stream| connector.connect_stream(stream, "ws://localhost/"),
        |stream| acceptor.accept(stream),
    );
}

#[cfg(feature = "tls")]
#[test]
fn one_verdict_on_each_side_of_a_session_over_tls() {
    use support::tls::configs;
    use wsmio::tls::TlsAcceptor;

    let tls = TlsAcceptor::new(configs().0);
    let connector = Connector::default().tls(configs().1);
    when_each_operation_fails(
        |stream| connector.connect_stream(stream, "wss://localhost/"),
        |stream| Acceptor::default().accept(tls.accept(stream)?),
    );
}
