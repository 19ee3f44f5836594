//! One connection: TLS, and then HTTP/1.1 or HTTP/2.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::{Arc, Weak},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

use super::{Server, answer};

/// How long a client may take to ask for something.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take no byte of a page. A WebSocket has a deadline of its own, which is earlier.
const PAGE_PATIENCE: Duration = Duration::from_secs(35);

/// How many streams a client may have on one connection over HTTP/2: pages and rooms.
const MAX_STREAMS: u32 = 100;

/// What may arrive on a stream before it is read, in bytes. The connection has as much for each, so that
/// a room whose reader is slow does not stop the others.
const STREAM_WINDOW: u32 = 64 << 10;

/// Serves one connection, over TLS if it is so.
pub(super) async fn serve(tcp: TcpStream, server: Server) {
    let _ = tcp.set_nodelay(true);
    let Some(tls) = server.tls.clone() else { return serve_http1(tcp, server).await };
    // A client that does not speak it, or does not trust us, has been told.
    let Ok(tls) = tls.accept(tcp).await else { return };
    match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => serve_http2(tls, server).await,
        _ => serve_http1(tls, server).await,
    }
}

async fn serve_http1<S>(stream: S, server: Server)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tracker = server.tracker.clone();
    let service = service_fn(move |request| respond(request, &server));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let connection = http.serve_connection(TokioIo::new(patient(stream)), service).with_upgrades();
    tokio::select! {
        // How a connection ends is its client's business.
        _ = connection => {}
        () = tracker.stopping() => {}
    }
}

async fn serve_http2<S>(stream: S, mut server: Server)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    server.users = Arc::default();
    let users = Arc::downgrade(&server.users);
    let tracker = server.tracker.clone();
    let service = service_fn(move |request| respond(request, &server));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(25))
        .keep_alive_timeout(Duration::from_secs(20))
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(MAX_STREAMS * STREAM_WINDOW);
    let mut connection = pin!(http.serve_connection(TokioIo::new(patient(stream)), service));
    tokio::select! {
        _ = &mut connection => return,
        () = unused(&users) => {}
        () = tracker.stopping() => {}
    }
    // Unlike over HTTP/1.1 it carries the WebSockets, which close now if the server stops; and one may just
    // have been opened. Pages are no reason to wait for longer.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = unused(&users) => {}
    }
}

/// Ends with an error if the client takes nothing for too long.
fn patient<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(PAGE_PATIENCE));
    Box::pin(stream)
}

fn respond(
    request: Request<Incoming>,
    server: &Server,
) -> Ready<Result<Response<String>, Infallible>> {
    ready(Ok(answer(request, server)))
}

/// Ready once no WebSocket uses the connection, by and by.
async fn unused(users: &Weak<()>) {
    loop {
        sleep(PATIENCE).await;
        // One is the connection itself.
        if users.strong_count() <= 1 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // this is a test

    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    fn server() -> Server {
        Server {
            rooms: Arc::default(),
            tls: None,
            acceptor: wstokio::Acceptor::default(),
            tracker: wstokio::Tracker::new(),
            users: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_its_pages_is_let_go() {
        let (mut client, stream) = duplex(16 << 10);
        client.write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10)).await.unwrap();
        let before = Instant::now();
        serve_http1(stream, server()).await;
        assert_eq!(before.elapsed().as_secs(), PAGE_PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_its_page_over_http2_is_let_go() {
        let (mut client, stream) = duplex(64 << 10);
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        // SETTINGS: no stream may send a byte. Then HEADERS: GET https://a/, from the static table of HPACK.
        client.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0").await.unwrap();
        client.write_all(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x41\x01a").await.unwrap();
        let before = Instant::now();
        serve_http2(stream, server()).await;
        assert_eq!(before.elapsed().as_secs(), 2 * PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_over_http2_is_kept_for_its_websockets_and_no_longer() {
        let (client, stream) = duplex(64 << 10);
        let serving = tokio::spawn(serve_http2(stream, server()));
        let url = "ws://a/ws/room";
        let connector = wstokio::Connector::default();
        let connection = connector.connect_http2_stream(client, url).await.unwrap();
        let mut ws = connection.open(url).await.unwrap();
        assert!(ws.recv().await.unwrap().is_some(), "the welcome");
        let silence = tokio::time::timeout(Duration::from_secs(300), ws.recv()).await;
        assert!(silence.is_err() && !serving.is_finished(), "{silence:?}");
        ws.close(wstokio::CloseCode::NORMAL, "").await.unwrap();
        tokio::time::timeout(2 * PATIENCE, serving).await.unwrap().unwrap();
    }
}
