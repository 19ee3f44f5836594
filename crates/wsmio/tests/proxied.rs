//! Sessions over TCP through a proxy that splits, keeps, stalls and cuts them: with a server that accepts
//! in a thread, and with the event loop. Linux only: it looks into /proc.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use wsmio::{
    Acceptor, CloseCause, CloseInfo, ConnectionId, Connector, Error, Handler, Message, Peer,
    Remote, Server, Stream, WebSocket,
    opening::{ClientOptions, HandshakeFailure, ServerOptions},
};
use wstest::proxied::{CLOSE, Log, PLEASE_CLOSE, Step, Transport, Waits};

fn cause(error: &Error) -> CloseCause {
    match error {
        Error::Io(_) => CloseCause::Transport,
        Error::Timeout(timeout) => CloseCause::Timeout(*timeout),
        Error::Handshake(failure) if **failure == HandshakeFailure::Eof => CloseCause::Eof,
        error => panic!("no other error is due: {error}"),
    }
}

/// Notes what a call failed with.
fn note<T>(result: Result<T, Error>, log: &mut Log) -> Option<T> {
    match result {
        Ok(value) => return Some(value),
        // What any call that sends says after the end.
        Err(Error::Closed) => {}
        Err(error) => log.ends.push(cause(&error)),
    }
    None
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

/// Notes the end of a connection, behind which nothing comes.
fn over<S: Stream>(ws: &mut WebSocket<S>, log: &mut Log) {
    loop {
        match ws.recv() {
            Ok(Some(message)) => log.message(message),
            Ok(None) => break,
            Err(error) => log.ends.push(cause(&error)),
        }
    }
    assert!(ws.recv().unwrap().is_none(), "after the end");
    log.over(ws.close_info().unwrap());
}

fn talk(tcp: TcpStream, waits: Waits, todo: &[Step]) -> Log {
    let mut options = ClientOptions::default();
    options.config = waits.config.into();
    options.handshake_timeout = waits.handshake;
    let opened = Connector::new(options).connect_stream(tcp, "ws://localhost/");
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let done = steps(&mut ws, todo, &mut log);
    note(done, &mut log);
    over(&mut ws, &mut log);
    log
}

/// Echoes until the end, or until it is asked to close.
fn echo(ws: &mut WebSocket<TcpStream>, log: &mut Log) -> Result<(), Error> {
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

fn serve(listener: &TcpListener, waits: Waits) -> Log {
    let tcp = listener.accept().unwrap().0;
    tcp.set_nodelay(true).unwrap();
    let mut log = Log::default();
    let opened = Acceptor::new(server_options(waits)).accept(tcp);
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let done = echo(&mut ws, &mut log);
    note(done, &mut log);
    over(&mut ws, &mut log);
    log
}

fn server_options(waits: Waits) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.config = waits.config.into();
    options.handshake_timeout = waits.handshake;
    options
}

/// A client and a server that block.
struct Blocking;

impl Transport for Blocking {
    type Server = JoinHandle<Log>;

    const TELLS_FAILED_OPENINGS: bool = true;

    fn new() -> Self {
        Self
    }

    fn serve(&self, waits: Waits) -> (SocketAddr, Self::Server) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = thread::spawn(move || serve(&listener, waits));
        (addr, serving)
    }

    fn served(&self, server: Self::Server, _opened: bool) -> Log {
        server.join().unwrap()
    }

    fn talk(&self, tcp: TcpStream, waits: Waits, steps: &[Step]) -> Log {
        talk(tcp, waits, steps)
    }
}

/// The same client, and the event loop.
struct EventLoop;

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

    fn new() -> Self {
        Self
    }

    fn serve(&self, waits: Waits) -> (SocketAddr, Loop) {
        let addr = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind_with(addr, 1, server_options(waits)).unwrap();
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
        talk(tcp, waits, steps)
    }
}

mod blocking {
    wstest::proxied!(super::Blocking);
}

mod event_loop {
    wstest::proxied!(super::EventLoop);
}
