//! Sessions over TCP through a proxy that splits, keeps, stalls and cuts them. Linux only: it looks into
//! /proc.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

#[cfg(feature = "tls")]
mod tls_support;
mod verdict;

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
use verdict::{end, note};
use wstest::proxied::{CLOSE, Log, PLEASE_CLOSE, Step, Transport, Waits};
use wstokio::{Acceptor, Connector, Error, MaybeTls, WebSocket};
#[cfg(feature = "tls")]
use {
    std::sync::Arc,
    wstokio::tls::{
        TlsAcceptor,
        rustls::{ClientConfig, ServerConfig},
    },
};

/// What the messages go over, besides TCP.
#[derive(Clone)]
enum Over {
    Nothing,
    #[cfg(feature = "deflate")]
    Deflate,
    #[cfg(feature = "tls")]
    Tls(Arc<ServerConfig>, Arc<ClientConfig>),
}

impl Over {
    #[cfg(feature = "tls")]
    fn tls() -> Self {
        let authority = tls_support::Authority::new();
        Self::Tls(authority.server("localhost").into(), authority.client().into())
    }

    fn acceptor(&self, waits: Waits) -> Acceptor {
        #[allow(unused_mut)] // without compression
        let mut options = waits.server_options();
        #[cfg(feature = "deflate")]
        if matches!(self, Self::Deflate) {
            options.deflate = Some(Default::default());
        }
        Acceptor::new(options)
    }

    fn connector(&self, waits: Waits) -> Connector {
        #[allow(unused_mut)] // without compression
        let mut options = waits.client_options();
        #[cfg(feature = "deflate")]
        if matches!(self, Self::Deflate) {
            options.deflate = Some(Default::default());
        }
        let connector = Connector::new(options);
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(_, client) => connector.tls(client.clone()),
            _ => connector,
        }
    }

    fn url(&self) -> &'static str {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(..) => "wss://localhost/",
            _ => "ws://localhost/",
        }
    }
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

async fn talk(tcp: TcpStream, over: Over, waits: Waits, todo: Vec<Step>) -> Log {
    let opened = over.connector(waits).connect_stream(tcp, over.url()).await;
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let done = steps(&mut ws, &todo, &mut log).await;
    note(done, &mut log);
    end(&mut ws, &mut log).await;
    log
}

/// Echoes until the end, or until it is asked to close.
async fn echo<S>(ws: &mut WebSocket<S>, log: &mut Log) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
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

async fn serve(listener: TcpListener, over: Over, waits: Waits) -> Log {
    let (tcp, _) = listener.accept().await.unwrap();
    drop(listener);
    tcp.set_nodelay(true).unwrap();
    let acceptor = over.acceptor(waits);
    let mut log = Log::default();
    match over {
        #[cfg(feature = "tls")]
        Over::Tls(server, _) => {
            let tls = TlsAcceptor::new(server).accept(tcp).await;
            if let Some(tls) = note(tls, &mut log) {
                serve_on(tls, &acceptor, &mut log).await;
            }
        }
        _ => serve_on(tcp, &acceptor, &mut log).await,
    }
    log
}

async fn serve_on<S>(stream: S, acceptor: &Acceptor, log: &mut Log)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opened = acceptor.accept(stream).await;
    let Some(mut ws) = note(opened, log) else { return };
    log.opened = true;
    let done = echo(&mut ws, log).await;
    note(done, log);
    end(&mut ws, log).await;
}

/// A client and a server in tasks of their own, on two threads.
struct Tasks {
    runtime: Runtime,
    over: Over,
}

impl Tasks {
    fn new(over: Over) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self { runtime: builder.worker_threads(2).enable_all().build().unwrap(), over }
    }
}

impl Transport for Tasks {
    type Server = JoinHandle<Log>;

    const TELLS_FAILED_OPENINGS: bool = true;

    fn serve(&self, waits: Waits) -> (SocketAddr, Self::Server) {
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        (addr, self.runtime.spawn(serve(listener, self.over.clone(), waits)))
    }

    fn served(&self, server: Self::Server, _opened: bool) -> Log {
        self.runtime.block_on(server).unwrap()
    }

    fn talk(&self, tcp: net::TcpStream, waits: Waits, steps: &[Step]) -> Log {
        let (steps, over) = (steps.to_vec(), self.over.clone());
        let talking = self.runtime.spawn(async move {
            tcp.set_nonblocking(true).unwrap();
            talk(TcpStream::from_std(tcp).unwrap(), over, waits, steps).await
        });
        self.runtime.block_on(talking).unwrap()
    }

    fn assert_idle(&self) {
        // A task tells its result just before it is gone.
        let start = Instant::now();
        while self.runtime.metrics().num_alive_tasks() > 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "a task is left");
            std::thread::yield_now();
        }
    }
}

mod plain {
    wstest::proxied!(super::Tasks::new(super::Over::Nothing));
}

/// Without stalls: a message that is long for the system's buffers is none when it is compressed.
#[cfg(feature = "deflate")]
mod compressed {
    wstest::proxied!(super::Tasks::new(super::Over::Deflate), split cuts held);
}

#[cfg(feature = "tls")]
mod tls {
    wstest::proxied!(super::Tasks::new(super::Over::tls()), split blind_cuts);
}
