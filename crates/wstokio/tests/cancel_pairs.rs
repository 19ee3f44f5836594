//! Contract *Cancel safety* between two sockets: each call is dropped after each number of polls, over plain
//! streams, TLS and HTTP/2. A call is polled only when it has been woken: a wake-up that is lost stops
//! all, and fails the test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod slow;
#[cfg(feature = "tls")]
mod tls_support;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use slow::slow_pair;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    task::yield_now,
    time::timeout,
};
use wstokio::{CloseCode, Config, Error, Event, Kind, OwnedMessage, Receiver, Sender, WebSocket};

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a future up to `n` times, each time once it has been woken, and drops it.
async fn poll_n_then_drop<F: Future>(future: F, n: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(Notify::new()));
    let waker = Waker::from(woken.clone());
    for polled in 1..=n {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        if polled < n {
            woken.0.notified().await;
        }
    }
    // The peer has its turn.
    yield_now().await;
    None
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
enum Call {
    Send(usize),
    Feed(usize),
    /// A message in three parts of this length.
    Fragments(usize),
    Ping,
}

/// Some fit into a window of HTTP/2, some into the buffers below, some into neither.
const CALLS: &[Call] = &[
    Call::Send(0),
    Call::Feed(100),
    Call::Fragments(7_000),
    Call::Ping,
    Call::Send(20_000),
    Call::Feed(70_000),
    Call::Send(3),
    Call::Fragments(0),
    Call::Send(90_000),
];

impl Call {
    fn sent(self, at: u8) -> OwnedMessage {
        let (kind, len) = match self {
            Self::Send(len) | Self::Feed(len) => (at, len),
            Self::Fragments(len) => (at, 3 * len),
            Self::Ping => (9, 1),
        };
        OwnedMessage::Binary(vec![kind; len])
    }
}

/// Sends all, each call dropped after `n` polls, and flushes. Where there is always room, a call that was
/// polled has been accepted; where there is not, one that was dropped while it waited has not.
async fn send_dropping<S>(tx: &mut Sender<S>, room: bool, n: usize) -> Result<usize, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut dropped = 0;
    for (call, at) in CALLS.iter().zip(0..) {
        let OwnedMessage::Binary(bytes) = call.sent(at) else { panic!() };
        let parts = match call {
            Call::Fragments(len) => vec![&bytes[..*len], &bytes[*len..2 * len], &bytes[2 * len..]],
            _ => vec![&bytes[..]],
        };
        for part in 0..parts.len() {
            let (payload, fin) = (parts[part], part + 1 == parts.len());
            loop {
                let done = match call {
                    Call::Send(_) if room => poll_n_then_drop(tx.send(payload), n).await,
                    Call::Ping if room => poll_n_then_drop(tx.ping(payload), n).await,
                    // What a `flush` is of was accepted, or not, before it.
                    Call::Ping => poll_n_then_drop(tx.ping(payload), usize::MAX).await,
                    Call::Send(_) | Call::Feed(_) => poll_n_then_drop(tx.feed(payload), n).await,
                    Call::Fragments(_) => poll_n_then_drop(tx.feed_fragment(payload, fin), n).await,
                };
                dropped += usize::from(done.is_none());
                if done.transpose()?.is_some() || room {
                    break;
                }
            }
        }
    }
    while poll_n_then_drop(tx.flush(), n).await.transpose()?.is_none() {
        dropped += 1;
    }
    Ok(dropped)
}

#[derive(Clone, Copy, Debug)]
enum By {
    Recv,
    RecvEvent,
    RecvChunk,
}

/// Receives all by calls that are dropped after `n` polls.
async fn receive_dropping<S>(rx: &mut Receiver<S>, by: By, n: usize) -> Result<usize, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sees_pings = matches!(by, By::RecvEvent);
    let calls = CALLS.iter().zip(0..).filter(|(call, _)| sees_pings || !matches!(call, Call::Ping));
    let expected: Vec<_> = calls.map(|(call, at)| call.sent(at)).collect();
    let (mut received, mut part, mut dropped) = (Vec::new(), Vec::new(), 0);
    while received.len() < expected.len() {
        let next = async {
            Ok::<_, Error>(match by {
                By::Recv => rx.recv().await?.map(|message| (message.to_owned(), true)),
                By::RecvEvent => loop {
                    match rx.recv_event().await?.unwrap() {
                        Event::Message(message) => break Some((message.to_owned(), true)),
                        Event::Ping(payload) => {
                            break Some((OwnedMessage::Binary(payload.to_vec()), true));
                        }
                        // Of the ping that was sent the other way.
                        _ => {}
                    }
                },
                By::RecvChunk => rx.recv_chunk().await?.map(|chunk| {
                    assert_eq!(chunk.kind, Kind::Binary);
                    (OwnedMessage::Binary(chunk.data.to_vec()), chunk.last)
                }),
            })
        };
        match poll_n_then_drop(next, n).await.transpose()? {
            None => dropped += 1,
            Some(next) => {
                let (OwnedMessage::Binary(bytes), last) = next.unwrap() else { panic!() };
                part.extend(bytes);
                if last {
                    received.push(OwnedMessage::Binary(std::mem::take(&mut part)));
                }
            }
        }
    }
    assert!(received == expected, "another sequence of messages");
    Ok(dropped)
}

async fn exchange<A, B>(from: &mut WebSocket<A>, to: &mut WebSocket<B>, how: How) -> usize
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let How { room, by, n } = how;
    let (sent, received) = tokio::join!(
        send_dropping(from.halves().1, room, n),
        receive_dropping(to.halves().0, by, n)
    );
    sent.unwrap() + received.unwrap()
}

/// Closes one of the two, by a call that is dropped after `n` polls and made again. Each is dropped once it
/// has ended.
async fn close_dropping<A, B>(mut ws: WebSocket<A>, mut peer: WebSocket<B>, n: usize) -> bool
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async move {
        let finished = poll_n_then_drop(ws.close(CloseCode::GOING_AWAY, "end"), n).await;
        poll_n_then_drop(ws.close(CloseCode::NORMAL, "not this"), usize::MAX).await;
        (finished.is_none(), ws.close_info().cloned())
    };
    let closed = async move {
        let end = poll_n_then_drop(peer.recv(), usize::MAX).await;
        assert_eq!(end.unwrap().unwrap(), None);
        peer.close_info().cloned()
    };
    let ((dropped, info), peers) = tokio::join!(closing, closed);
    for info in [info.unwrap(), peers.unwrap()] {
        assert!(info.clean && info.code == CloseCode::GOING_AWAY, "{info:?}");
        assert_eq!(info.reason, "end");
    }
    dropped
}

/// How an exchange is done.
#[derive(Clone, Copy, Debug)]
struct How {
    room: bool,
    by: By,
    n: usize,
}

impl How {
    fn config(self) -> Arc<Config> {
        let mut config = Config::default();
        config.max_outgoing = if self.room { 1 << 20 } else { 1000 };
        config.into()
    }
}

/// Both directions and the closing handshake, after each number of polls, until nothing is dropped.
async fn at_every_poll<A, B>(mut pair: impl AsyncFnMut(Arc<Config>) -> (WebSocket<A>, WebSocket<B>))
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    for (room, by) in [(true, By::Recv), (true, By::RecvEvent), (false, By::RecvChunk)] {
        let mut most = 0;
        for n in 1.. {
            let how = How { room, by, n };
            let (mut client, mut server) = pair(how.config()).await;
            let case = async {
                let mut dropped = exchange(&mut client, &mut server, how).await;
                dropped += exchange(&mut server, &mut client, how).await;
                let closing = match n % 2 {
                    0 => close_dropping(client, server, n).await,
                    _ => close_dropping(server, client, n).await,
                };
                dropped + usize::from(closing)
            };
            // The clock moves only while all wait, and no keepalive comes before that.
            let dropped = timeout(Duration::from_secs(1), case).await;
            let dropped = dropped.unwrap_or_else(|_| panic!("{how:?}: nothing is woken"));
            most = most.max(dropped);
            if dropped == 0 {
                break;
            }
        }
        assert!(most > 2, "nothing was dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn cancel_safety_between_two_sockets() {
    for most in [1000, 1 << 20] {
        at_every_poll(async |config: Arc<Config>| {
            let (client, server) = slow_pair(most);
            let client = WebSocket::from_client_stream(client, Vec::new(), config.clone());
            (client, WebSocket::from_server_stream(server, Vec::new(), config))
        })
        .await;
    }
}

#[cfg(feature = "tls")]
#[tokio::test(start_paused = true)]
async fn cancel_safety_over_tls() {
    use wstokio::{
        Acceptor, Connector,
        opening::{ClientOptions, ServerOptions},
        tls::TlsAcceptor,
    };

    let authority = tls_support::Authority::new();
    let tls = TlsAcceptor::new(authority.server("localhost"));
    at_every_poll(async |config: Arc<Config>| {
        let (client, server) = slow_pair(3000);
        let mut options = ServerOptions::default();
        options.config = config.clone();
        let acceptor = Acceptor::new(options);
        let accept = async { acceptor.accept(tls.accept(server).await.unwrap()).await.unwrap() };
        let mut options = ClientOptions::default();
        options.config = config;
        let connector = Connector::new(options).tls(authority.client());
        let (server, client) =
            tokio::join!(accept, connector.connect_stream(client, "wss://localhost/"));
        (client.unwrap(), server)
    })
    .await;
}

#[cfg(all(feature = "http2", feature = "hyper"))]
mod http2 {
    use std::convert::Infallible;

    use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{io::duplex, sync::mpsc};
    use wstokio::{
        Acceptor, Connector,
        http2::Http2,
        hyper::Socket,
        opening::{Accept, ClientOptions, ServerOptions},
    };

    use super::{Arc, Config, at_every_poll, poll_n_then_drop};

    const URL: &str = "ws://server.example.com/chat";

    /// A connection, and the sockets that its server accepts. Its stream has room for so many bytes.
    async fn connection(
        room: usize,
        config: Arc<Config>,
    ) -> (Http2, mpsc::UnboundedReceiver<Socket>) {
        let (client, server) = duplex(room);
        let (sockets, accepted) = mpsc::unbounded_channel();
        let mut options = ServerOptions::default();
        options.config = config.clone();
        let acceptor = Acceptor::new(options);
        tokio::spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                let (response, socket) =
                    acceptor.upgrade(&mut request, |_| Ok(Accept::default())).ok().unwrap();
                let sockets = sockets.clone();
                tokio::spawn(async move { sockets.send(socket.await.unwrap()).ok() });
                async { Ok::<Response<String>, Infallible>(response) }
            });
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.enable_connect_protocol().initial_stream_window_size(16 << 10);
            let _ = http.serve_connection(TokioIo::new(server), service).await;
        });
        let mut options = ClientOptions::default();
        options.config = config;
        let connector = Connector::new(options);
        (connector.connect_http2_stream(client, URL).await.unwrap(), accepted)
    }

    #[tokio::test(start_paused = true)]
    async fn cancel_safety_over_http2() {
        for room in [700, 1 << 20] {
            at_every_poll(async |config: Arc<Config>| {
                let (connection, mut accepted) = connection(room, config).await;
                let client = connection.open(URL).await.unwrap();
                (client, accepted.recv().await.unwrap())
            })
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_opening_that_is_dropped_resets_its_stream_and_no_other() {
        let (connection, mut accepted) = connection(1 << 20, Arc::default()).await;
        let mut kept = connection.open(URL).await.unwrap();
        let mut peer = accepted.recv().await.unwrap();
        for n in 1.. {
            if poll_n_then_drop(connection.open(URL), n).await.is_some() {
                assert!(n > 1);
                break;
            }
        }
        kept.send("still here").await.unwrap();
        assert_eq!(peer.recv().await.unwrap(), Some("still here".into()));
    }
}
