//! Contract *Cancel safety* over TLS: every call is dropped after every number of polls, over streams
//! that take a few bytes at a time.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod tls_support;

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use tls_support::Authority;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use wstokio::{
    Acceptor, CloseCode, CloseInfo, Config, Connector, MaybeTls, OwnedMessage, WebSocket,
    opening::{ClientOptions, ServerOptions},
    tls::{TlsAcceptor, TlsStream},
};

/// A stream of which each operation is `Pending` once, and moves at most `most` bytes.
struct Slow {
    stream: DuplexStream,
    most: usize,
    ready: [bool; 2],
}

impl Slow {
    fn enter(&mut self, kind: usize, cx: &Context<'_>) -> Poll<()> {
        self.ready[kind] = !self.ready[kind];
        if self.ready[kind] {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.enter(0, cx));
        let mut bytes = vec![0; self.most.min(to.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        to.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.enter(1, cx));
        let len = self.most.min(bytes.len());
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

type Server = WebSocket<Box<TlsStream<Slow>>>;
type Client = WebSocket<MaybeTls<Slow>>;

/// Both ends of a connection over TLS, on a stream of which an operation moves so many bytes.
async fn pair(authority: &Authority, most: usize) -> (Server, Client) {
    let (server, client) = duplex(4000);
    let [server, client] = [server, client].map(|stream| Slow { stream, most, ready: [false; 2] });
    // Little may be queued, so that `feed` has to wait.
    let mut config = Config::default();
    config.max_outgoing = 1000;
    let config = Arc::new(config);
    let acceptor = TlsAcceptor::new(authority.server("localhost"));
    let accept = async {
        let mut options = ServerOptions::default();
        options.config = config.clone();
        Acceptor::new(options).accept(acceptor.accept(server).await.unwrap()).await.unwrap()
    };
    let connect = async {
        let mut options = ClientOptions::default();
        options.config = config.clone();
        let connector = Connector::new(options).tls(authority.client());
        connector.connect_stream(client, "wss://localhost/").await.unwrap()
    };
    tokio::join!(accept, connect)
}

/// Polls a future up to `n` times and drops it; then lets the peer do something.
async fn polled<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let mut left = n;
    let mut future = pin!(future);
    let result = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await;
    if result.is_none() {
        tokio::task::yield_now().await;
    }
    result
}

fn messages() -> Vec<OwnedMessage> {
    let mut messages = vec![OwnedMessage::Text("grüße".into()), OwnedMessage::Text(String::new())];
    messages.extend([1, 125, 126, 900, 20_000].map(|len| OwnedMessage::Binary(vec![7; len])));
    messages
}

/// Sends all and closes, dropping each call after `n` polls, and calling again.
async fn send_all<S>(mut ws: WebSocket<S>, n: usize) -> CloseInfo
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for message in &messages() {
        // What is dropped while it waits has not been accepted.
        while polled(n, ws.feed(message)).await.transpose().unwrap().is_none() {}
        while polled(n, ws.flush()).await.transpose().unwrap().is_none() {}
    }
    while polled(n, ws.close(CloseCode::NORMAL, "")).await.transpose().unwrap().is_none() {}
    ws.close_info().unwrap().clone()
}

/// Receives to the end, in the same way.
async fn receive_all<S>(mut ws: WebSocket<S>, n: usize) -> (Vec<OwnedMessage>, CloseInfo)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut received = Vec::new();
    loop {
        let next = async { ws.recv().await.unwrap().map(|message| message.to_owned()) };
        match polled(n, next).await {
            Some(Some(message)) => received.push(message),
            Some(None) => return (received, ws.close_info().unwrap().clone()),
            None => {}
        }
    }
}

async fn one_way<A, B>(from: WebSocket<A>, to: WebSocket<B>, (send, receive): (usize, usize))
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (sent, (received, info)) = tokio::join!(send_all(from, send), receive_all(to, receive));
    assert!(received == messages(), "dropped after {send} and {receive} polls");
    assert!(sent.clean && info.clean, "dropped after {send} and {receive} polls: {sent}; {info}");
}

#[tokio::test]
async fn calls_that_are_dropped_at_any_poll_lose_and_double_nothing_over_tls() {
    let authority = Authority::new();
    for most in [50, 1000] {
        for polls in
            [1, 2, 3, 5, 8].into_iter().flat_map(|n| [(n, usize::MAX), (usize::MAX, n), (n, n)])
        {
            let (server, client) = pair(&authority, most).await;
            one_way(server, client, polls).await;
            let (server, client) = pair(&authority, most).await;
            one_way(client, server, polls).await;
        }
    }
}
