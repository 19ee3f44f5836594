//! Sessions over TCP through a proxy that splits, keeps, stalls and cuts them. Linux only: it looks into
//! /proc.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use std::{
    net::{self, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinHandle,
};
use wstest::proxied::{CLOSE, Log, PLEASE_CLOSE, Step, Transport, Waits};
use wstokio::{
    Acceptor, CloseCause, Connector, Error, MaybeTls, WebSocket,
    opening::{ClientOptions, HandshakeFailure, ServerOptions},
};

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
async fn steps(
    ws: &mut WebSocket<MaybeTls<TcpStream>>,
    steps: &[Step],
    log: &mut Log,
) -> Result<(), Error> {
    for step in steps {
        match step {
            Step::Send(message) => ws.send(message).await?,
            Step::SendFragments(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    ws.feed_fragment(part, i + 1 == parts.len()).await?;
                }
                ws.flush().await?;
            }
            Step::Ping => ws.ping(b"ping").await?,
            Step::Receive => while ws.recv_event().await?.is_some_and(|event| !log.event(event)) {},
            Step::Close => ws.close(CLOSE.0, CLOSE.1).await?,
        }
    }
    Ok(())
}

/// Notes the end of a connection, behind which nothing comes.
async fn over<S: AsyncRead + AsyncWrite + Unpin>(ws: &mut WebSocket<S>, log: &mut Log) {
    loop {
        match ws.recv().await {
            Ok(Some(message)) => log.message(message),
            Ok(None) => break,
            Err(error) => log.ends.push(cause(&error)),
        }
    }
    assert!(ws.recv().await.unwrap().is_none(), "after the end");
    log.over(ws.close_info().unwrap());
}

async fn talk(tcp: TcpStream, waits: Waits, todo: Vec<Step>) -> Log {
    let mut options = ClientOptions::default();
    options.config = waits.config.into();
    options.handshake_timeout = waits.handshake;
    let opened = Connector::new(options).connect_stream(tcp, "ws://localhost/").await;
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let done = steps(&mut ws, &todo, &mut log).await;
    note(done, &mut log);
    over(&mut ws, &mut log).await;
    log
}

/// Echoes until the end, or until it is asked to close.
async fn echo(ws: &mut WebSocket<TcpStream>, log: &mut Log) -> Result<(), Error> {
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        log.message(message);
        if message == PLEASE_CLOSE.into() {
            return ws.close(CLOSE.0, CLOSE.1).await;
        }
        tx.feed(message).await?;
    }
    Ok(())
}

async fn serve(listener: TcpListener, waits: Waits) -> Log {
    let mut options = ServerOptions::default();
    options.config = waits.config.into();
    options.handshake_timeout = waits.handshake;
    let (tcp, _) = listener.accept().await.unwrap();
    drop(listener);
    tcp.set_nodelay(true).unwrap();
    let mut log = Log::default();
    let opened = Acceptor::new(options).accept(tcp).await;
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let done = echo(&mut ws, &mut log).await;
    note(done, &mut log);
    over(&mut ws, &mut log).await;
    log
}

/// A client and a server in tasks of their own, on two threads.
struct Tasks(Runtime);

impl Transport for Tasks {
    type Server = JoinHandle<Log>;

    const TELLS_FAILED_OPENINGS: bool = true;

    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(builder.worker_threads(2).enable_all().build().unwrap())
    }

    fn serve(&self, waits: Waits) -> (SocketAddr, Self::Server) {
        let listener = self.0.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        (addr, self.0.spawn(serve(listener, waits)))
    }

    fn served(&self, server: Self::Server, _opened: bool) -> Log {
        self.0.block_on(server).unwrap()
    }

    fn talk(&self, tcp: net::TcpStream, waits: Waits, steps: &[Step]) -> Log {
        let steps = steps.to_vec();
        let talking = self.0.spawn(async move {
            tcp.set_nonblocking(true).unwrap();
            talk(TcpStream::from_std(tcp).unwrap(), waits, steps).await
        });
        self.0.block_on(talking).unwrap()
    }

    fn assert_idle(&self) {
        // A task tells its result just before it is gone.
        let start = Instant::now();
        while self.0.metrics().num_alive_tasks() > 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "a task is left");
            std::thread::yield_now();
        }
    }
}

wstest::proxied!(Tasks);
