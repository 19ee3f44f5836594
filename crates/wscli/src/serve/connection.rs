//! One connection: TLS, and then HTTP/1.1 or HTTP/2.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

use super::{Server, answer};

/// How long a client may take to ask for something.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::select! {
        // How a connection ends is its client's business.
        _ = connection => {}
        () = tracker.stopping() => {}
    }
}

async fn serve_http2<S>(stream: S, server: Server)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tracker = server.tracker.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let asks = asked.clone();
    let service = service_fn(move |request| {
        asks.store(true, Ordering::Relaxed);
        respond(request, &server)
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(25))
        .keep_alive_timeout(Duration::from_secs(20))
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(MAX_STREAMS * STREAM_WINDOW);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = &mut connection => return,
        () = silent(&asked) => return,
        () = tracker.stopping() => {}
    }
    // Unlike over HTTP/1.1 it carries the WebSockets, which close now.
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

fn respond(
    request: Request<Incoming>,
    server: &Server,
) -> Ready<Result<Response<String>, Infallible>> {
    ready(Ok(answer(request, server)))
}

/// Ready if the client has not asked for anything in time.
async fn silent(asked: &AtomicBool) {
    sleep(PATIENCE).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}
