//! Contract *Cancel safety* over HTTP/2: every future is dropped after every number of polls, between a
//! client and a server that both do so, on one connection in memory.
#![cfg(all(feature = "http2", feature = "hyper"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex},
    sync::mpsc,
    task::yield_now,
};
use wstokio::{
    CloseCode, Connector, Error, OwnedMessage, WebSocket,
    http2::{Http2, Http2Stream},
    hyper::Socket,
    opening::Accept,
};

const URL: &str = "ws://server.example.com/chat";

/// A connection, and the sockets that its server accepts. Its stream has room for so many bytes.
async fn connection(room: usize) -> (Http2, mpsc::UnboundedReceiver<Socket>) {
    let (client, server) = duplex(room);
    let (sockets, accepted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let service = service_fn(move |mut request: Request<Incoming>| {
            let acceptor = wstokio::Acceptor::default();
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
    let connection = Connector::default().connect_http2_stream(client, URL).await.unwrap();
    (connection, accepted)
}

/// Lets all others run until they wait.
async fn others() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Polls a future `n` times, the others running in between, and drops it. The polls are with a waker that
/// nobody hears, as those of a future that is dropped.
async fn poll_n_then_drop<F: Future>(future: F, n: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..n {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return Some(value),
            Poll::Pending => others().await,
        }
    }
    None
}

/// What is sent, by its lengths: some fit into the window, some into the buffers, some into neither.
const LENGTHS: [usize; 6] = [0, 100, 20_000, 70_000, 3, 200_000];

fn message(at: usize) -> OwnedMessage {
    OwnedMessage::Binary(vec![u8::try_from(at).unwrap(); LENGTHS[at]])
}

/// Sends all messages, each by a future that is dropped after `n` polls, and flushes.
async fn send_dropping<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut wstokio::Sender<S>,
    n: usize,
) -> Result<usize, Error> {
    let mut dropped = 0;
    for at in 0..LENGTHS.len() {
        let message = message(at);
        // There is room: from its first poll on the connection owns the message.
        match poll_n_then_drop(ws.send(message.as_message()), n).await {
            Some(result) => result?,
            None => dropped += 1,
        }
    }
    ws.flush().await?;
    Ok(dropped)
}

/// Receives all messages, by futures that are dropped after `n` polls.
async fn receive_dropping<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut wstokio::Receiver<S>,
    n: usize,
) -> Result<usize, Error> {
    let (mut received, mut dropped) = (Vec::new(), 0);
    while received.len() < LENGTHS.len() {
        let message = poll_n_then_drop(
            async { Ok::<_, Error>(ws.recv().await?.map(|message| message.to_owned())) },
            n,
        );
        match message.await {
            Some(message) => received.push(message?.unwrap()),
            None => dropped += 1,
        }
    }
    let expected: Vec<_> = (0..LENGTHS.len()).map(message).collect();
    assert!(received == expected, "after {n} polls");
    Ok(dropped)
}

async fn exchange<A, B>(from: &mut WebSocket<A>, to: &mut WebSocket<B>, n: usize) -> usize
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, receiver) = (from.halves().1, to.halves().0);
    let (sent, received) = tokio::join!(send_dropping(sender, n), receive_dropping(receiver, n));
    sent.unwrap() + received.unwrap()
}

async fn close_dropping<A, B>(ws: &mut WebSocket<A>, peer: &mut WebSocket<B>, n: usize) -> bool
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async {
        let finished = poll_n_then_drop(ws.close(CloseCode::GOING_AWAY, "end"), n).await;
        ws.close(CloseCode::NORMAL, "not this").await.unwrap();
        finished.is_none()
    };
    let (dropped, end) = tokio::join!(closing, peer.recv());
    assert_eq!(end.unwrap(), None);
    for info in [ws.close_info().unwrap(), peer.close_info().unwrap()] {
        assert!(info.clean && info.code == CloseCode::GOING_AWAY, "after {n} polls: {info:?}");
        assert_eq!(info.reason, "end", "after {n} polls");
    }
    dropped
}

#[tokio::test]
async fn cancel_safety_over_http2() {
    for room in [700, 1 << 20] {
        let (connection, mut accepted) = connection(room).await;
        let mut most = 0;
        for n in 1.. {
            let mut client: WebSocket<Http2Stream> = connection.open(URL).await.unwrap();
            let mut server = accepted.recv().await.unwrap();
            let mut dropped = exchange(&mut client, &mut server, n).await;
            dropped += exchange(&mut server, &mut client, n).await;
            let closing = match n % 2 {
                0 => close_dropping(&mut client, &mut server, n).await,
                _ => close_dropping(&mut server, &mut client, n).await,
            };
            most = most.max(dropped);
            if dropped == 0 && !closing {
                break;
            }
        }
        assert!(most > 2, "nothing was dropped");
    }
}

#[tokio::test]
async fn an_opening_that_is_dropped_resets_its_stream_and_no_other() {
    let (connection, mut accepted) = connection(1 << 20).await;
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
