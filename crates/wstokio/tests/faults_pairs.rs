//! Sessions between two sockets, compressed, over TLS and over HTTP/2: whichever operation of a stream below
//! fails, both sides are told once, and nobody waits (HAZARDS I).
#![cfg(any(feature = "deflate", feature = "tls", feature = "http2"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod slow;
#[cfg(feature = "tls")]
mod tls_support;
mod verdict;

use std::{
    future::Future,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use slow::{Slow, slow_pair};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use verdict::{end, note};
use wstest::proxied::{CLOSE, Log};
use wstokio::{CloseCause, Error, OwnedMessage, WebSocket};

/// A stream that fails when so many operations have been done, and from then on.
struct Failing {
    stream: Slow,
    left: Arc<AtomicUsize>,
}

/// Both ends of a connection. `at` says after how many operations the client's fails, and the server's; what is
/// left of each is given back.
fn failing_pair(at: [usize; 2]) -> ([Failing; 2], [Arc<AtomicUsize>; 2]) {
    let left = at.map(|at| Arc::new(AtomicUsize::new(at)));
    let (client, server) = slow_pair(3000);
    let [a, b] = left.clone();
    ([Failing { stream: client, left: a }, Failing { stream: server, left: b }], left)
}

impl Failing {
    fn poll<T>(
        &mut self,
        operation: impl FnOnce(Pin<&mut Slow>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let done = operation(Pin::new(&mut self.stream));
        if done.is_ready() {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }
}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_read(cx, to))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(cx))
    }
}

fn messages() -> [OwnedMessage; 3] {
    ["one".into(), vec![1; 300].into(), vec![2; 20_000].into()]
}

/// Sends each message and receives its echo, and closes.
async fn talk<S>(opened: Result<WebSocket<S>, Error>) -> Log
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    for message in &messages() {
        note(ws.send(message).await, &mut log);
        let received = ws.recv().await.map(|message| message.map(|message| message.to_owned()));
        let received = note(received, &mut log).flatten();
        log.messages.extend(received);
    }
    note(ws.close(CLOSE.0, CLOSE.1).await, &mut log);
    end(&mut ws, &mut log).await;
    log
}

/// Echoes to the end.
async fn echo<S>(opened: Result<WebSocket<S>, Error>) -> Log
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut log = Log::default();
    let Some(mut ws) = note(opened, &mut log) else { return log };
    log.opened = true;
    let (rx, tx) = ws.halves();
    loop {
        match rx.recv().await {
            Ok(Some(message)) => {
                log.messages.push(message.to_owned());
                note(tx.feed(message).await, &mut log);
            }
            Ok(None) => break,
            Err(error) => _ = note::<()>(Err(error), &mut log),
        }
    }
    end(&mut ws, &mut log).await;
    log
}

/// Opens a pair of sockets over a pair of streams and has them talk, once for each operation of either stream,
/// which fails.
async fn when_each_operation_fails<A, B, C, D>(mut open: impl FnMut([Failing; 2]) -> (C, D))
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
    C: Future<Output = Result<WebSocket<A>, Error>>,
    D: Future<Output = Result<WebSocket<B>, Error>>,
{
    for side in 0..2 {
        for n in 0.. {
            let mut at = [usize::MAX; 2];
            at[side] = n;
            let case = format!("operation {n} of the {} fails", ["client", "server"][side]);
            let (streams, left) = failing_pair(at);
            let (client, server) = open(streams);
            // The clock moves only while all wait, and no timeout of theirs comes before this.
            let session = async {
                tokio::join!(async { talk(client.await).await }, async { echo(server.await).await })
            };
            let told = timeout(Duration::from_secs(2), session).await;
            let (client, server) = told.unwrap_or_else(|_| panic!("somebody waits: {case}"));
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
#[tokio::test(start_paused = true)]
async fn one_verdict_on_each_side_of_a_compressed_session() {
    use wstokio::{
        Acceptor, Connector,
        opening::{ClientOptions, ServerOptions},
    };

    let mut options = ServerOptions::default();
    options.deflate = Some(Default::default());
    let acceptor = Acceptor::new(options);
    let mut options = ClientOptions::default();
    options.deflate = Some(Default::default());
    let connector = Connector::new(options);
    when_each_operation_fails(|[client, server]| {
        (connector.connect_stream(client, "ws://localhost/"), acceptor.accept(server))
    })
    .await;
}

#[cfg(feature = "tls")]
#[tokio::test(start_paused = true)]
async fn one_verdict_on_each_side_of_a_session_over_tls() {
    use wstokio::{Acceptor, Connector, tls::TlsAcceptor};

    let authority = tls_support::Authority::new();
    let tls = TlsAcceptor::new(authority.server("localhost"));
    let connector = Connector::default().tls(authority.client());
    when_each_operation_fails(|[client, server]| {
        let tls = &tls;
        let accept = async move { Acceptor::default().accept(tls.accept(server).await?).await };
        (connector.connect_stream(client, "wss://localhost/"), accept)
    })
    .await;
}

#[cfg(all(feature = "http2", feature = "hyper"))]
#[tokio::test(start_paused = true)]
async fn one_verdict_on_each_side_of_a_session_over_http2() {
    use std::convert::Infallible;

    use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::sync::mpsc;
    use wstokio::{Acceptor, Connector, opening::Accept};

    const URL: &str = "ws://server.example.com/chat";

    when_each_operation_fails(|[client, server]| {
        let (sockets, mut accepted) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                let (response, socket) = Acceptor::default()
                    .upgrade(&mut request, |_| Ok(Accept::default()))
                    .ok()
                    .unwrap();
                let sockets = sockets.clone();
                tokio::spawn(async move { sockets.send(socket.await).ok() });
                async { Ok::<Response<String>, Infallible>(response) }
            });
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.enable_connect_protocol();
            let _ = http.serve_connection(TokioIo::new(server), service).await;
        });
        let connect = async {
            let connection = Connector::default().connect_http2_stream(client, URL).await?;
            connection.open(URL).await
        };
        // What fails before there is a request is hyper's to tell.
        let none = || Err(Error::Io(ErrorKind::NotConnected.into()));
        let accept = async move { accepted.recv().await.unwrap_or_else(none) };
        (connect, accept)
    })
    .await;
}
