//! Sessions over TCP through a proxy that splits, keeps, stalls and cuts them: with a server that accepts
//! in a thread, and with the event loop. Linux only: it looks into /proc.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

#[cfg(feature = "tls")]
mod support;
mod verdict;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use verdict::{end, note};
use wsmio::{
    Acceptor, CloseInfo, ConnectionId, Connector, Error, Handler, Message, Peer, Remote, Server,
    Stream, WebSocket, opening::ServerOptions,
};
use wstest::proxied::{CLOSE, Log, PLEASE_CLOSE, Step, Transport, Waits};

#[cfg(feature = "tls")]
use {support::tls::configs, wsmio::tls::TlsAcceptor};

/// What the messages go over, besides TCP.
#[derive(Clone, Copy)]
enum Over {
    Nothing,
    #[cfg(feature = "deflate")]
    Deflate,
    #[cfg(feature = "tls")]
    Tls,
}

impl Over {
    fn server_options(self, waits: Waits) -> ServerOptions {
        #[allow(unused_mut)] // without compression
        let mut options = waits.server_options();
        #[cfg(feature = "deflate")]
        if matches!(self, Self::Deflate) {
            options.deflate = Some(Default::default());
        }
        options
    }

    fn connector(self, waits: Waits) -> Connector {
        #[allow(unused_mut)] // without compression
        let mut options = waits.client_options();
        #[cfg(feature = "deflate")]
        if matches!(self, Self::Deflate) {
            options.deflate = Some(Default::default());
        }
        let connector = Connector::new(options);
        match self {
            #[cfg(feature = "tls")]
            Self::Tls => connector.tls(configs().1),
            _ => connector,
        }
    }

    fn url(self) -> &'static str {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls => "wss://localhost/",
            _ => "ws://localhost/",
        }
    }
}

/// Does these steps, or those before one that fails.
fn steps<S: Stream>(ws: &mut WebSocket<S>, steps: &[Step], log: &mut Log) -> Result<(), Error> {
    for step in steps {
        match step {
            Step::Send(message) => ws.send(message)?,
            Step::SendFragments(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    ws.feed_fragment(part, i + 1 == parts.len())?;
                }
                ws.flush()?;
            }
            Step::Ping => ws.ping(b"ping")?,
            Step::Receive => while ws.recv_event()?.is_some_and(|event| !log.event(event)) {},
            Step::Close => ws.close(CLOSE.0, CLOSE.1)?,
        }
    }
    Ok(())
}

fn talk(tcp: TcpStream, over: Over, waits: Waits, todo: &[Step]) -> Log {
    let opened = over.connector(waits).connect_stream(tcp, over.url());
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let done = steps(&mut ws, todo, &mut log);
    note(done, &mut log);
    end(&mut ws, &mut log);
    log
}

/// Echoes until the end, or until it is asked to close.
fn echo<S: Stream>(ws: &mut WebSocket<S>, log: &mut Log) -> Result<(), Error> {
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv()? {
        log.message(message);
        if message == PLEASE_CLOSE.into() {
            return ws.close(CLOSE.0, CLOSE.1);
        }
        tx.feed(message)?;
    }
    Ok(())
}

fn serve(listener: &TcpListener, over: Over, waits: Waits) -> Log {
    let tcp = listener.accept().unwrap().0;
    tcp.set_nodelay(true).unwrap();
    let acceptor = Acceptor::new(over.server_options(waits));
    let mut log = Log::default();
    match over {
        #[cfg(feature = "tls")]
        Over::Tls => {
            let tls = TlsAcceptor::new(configs().0).accept(tcp);
            if let Some(tls) = note(tls, &mut log) {
                serve_on(tls, &acceptor, &mut log);
            }
        }
        _ => serve_on(tcp, &acceptor, &mut log),
    }
    log
}

fn serve_on<S: Stream>(stream: S, acceptor: &Acceptor, log: &mut Log) {
    let opened = acceptor.accept(stream);
    let Some(mut ws) = note(opened, log) else { return };
    log.opened = true;
    let done = echo(&mut ws, log);
    note(done, log);
    end(&mut ws, log);
}

/// A client and a server that block.
struct Blocking(Over);

impl Transport for Blocking {
    type Server = JoinHandle<Log>;

    const TELLS_FAILED_OPENINGS: bool = true;

    fn serve(&self, waits: Waits) -> (SocketAddr, Self::Server) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let over = self.0;
        let serving = thread::spawn(move || serve(&listener, over, waits));
        (addr, serving)
    }

    fn served(&self, server: Self::Server, _opened: bool) -> Log {
        server.join().unwrap()
    }

    fn talk(&self, tcp: TcpStream, waits: Waits, steps: &[Step]) -> Log {
        talk(tcp, self.0, waits, steps)
    }
}

/// The same client, and the event loop.
struct EventLoop(Over);

/// An event loop with one connection.
struct Loop {
    remote: Remote,
    closed: mpsc::Receiver<()>,
    log: Arc<Mutex<Log>>,
    thread: JoinHandle<()>,
}

struct Echo {
    closed: mpsc::Sender<()>,
    log: Arc<Mutex<Log>>,
}

impl Handler for Echo {
    type State = ();

    fn open(&mut self, _peer: &mut Peer<'_, ()>) {
        self.log.lock().unwrap().opened = true;
    }

    fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
        self.log.lock().unwrap().message(message);
        if message == PLEASE_CLOSE.into() {
            peer.close(CLOSE.0, CLOSE.1).unwrap();
        } else {
            let _ = peer.send(message);
        }
    }

    fn close(&mut self, _id: ConnectionId, (): (), info: &CloseInfo) {
        let mut log = self.log.lock().unwrap();
        log.ends.push(info.cause);
        log.info = Some(info.clone());
        self.closed.send(()).unwrap();
    }
}

impl Transport for EventLoop {
    type Server = Loop;

    const TELLS_FAILED_OPENINGS: bool = false;

    fn serve(&self, waits: Waits) -> (SocketAddr, Loop) {
        let addr = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind_with(addr, 1, self.0.server_options(waits)).unwrap();
        let (addr, remote) = (server.local_addr(), server.remote());
        let (closing, closed) = mpsc::channel();
        let log = Arc::<Mutex<Log>>::default();
        let noting = log.clone();
        let make = move || Echo { closed: closing.clone(), log: noting.clone() };
        let thread = thread::spawn(move || server.run(make).unwrap());
        (addr, Loop { remote, closed, log, thread })
    }

    fn served(&self, server: Loop, opened: bool) -> Log {
        if opened {
            server.closed.recv_timeout(Duration::from_secs(60)).expect("it never ends");
        }
        server.remote.stop(Duration::ZERO);
        server.thread.join().unwrap();
        std::mem::take(&mut *server.log.lock().unwrap())
    }

    fn talk(&self, tcp: TcpStream, waits: Waits, steps: &[Step]) -> Log {
        talk(tcp, self.0, waits, steps)
    }
}

mod blocking {
    wstest::proxied!(super::Blocking(super::Over::Nothing));
}

mod event_loop {
    wstest::proxied!(super::EventLoop(super::Over::Nothing));
}

/// Without stalls: a message that is long for the system's buffers is none when it is compressed.
#[cfg(feature = "deflate")]
mod compressed {
    mod blocking {
        wstest::proxied!(crate::Blocking(crate::Over::Deflate), split cuts held);
    }

    mod event_loop {
        wstest::proxied!(crate::EventLoop(crate::Over::Deflate), split cuts held);
    }
}

#[cfg(feature = "tls")]
mod tls {
    wstest::proxied!(super::Blocking(super::Over::Tls), split blind_cuts);
}
