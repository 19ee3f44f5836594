//! What `tracing` is told.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use support::{Script, close, finish, from_peer_of, socket};
use wsconn::Role;
use wstest::reference::Frame;
use wstokio::{CloseCode, Config, Group, PreparedMessage, SlowPolicy};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs it, and gives what was told meanwhile.
fn told(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn the_opening_and_the_end_are_told_with_the_codes_of_both_sides() {
    let told = told(|| {
        let script = Script::pieces(&from_peer_of(Role::Server, &[close(1001, "")]), 100);
        let mut ws = socket(Role::Server, script.stream().0, Config::default());
        finish(ws.close(CloseCode::NORMAL, "bye")).unwrap();
        assert_eq!(ws.close_info().unwrap().answer, Some(CloseCode::GOING_AWAY));
    });
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("DEBUG websocket{role=Server}:"), "{told}");
    assert!(lines[0].ends_with("opened"), "{told}");
    assert!(lines[1].contains("closed code=1000 answer=1001 reason=\"bye\" by=Local"), "{told}");
    assert_eq!(lines.len(), 2, "{told}");
}

#[test]
fn a_limit_that_is_broken_is_a_warning_and_a_lost_stream_is_told() {
    let told = told(|| {
        let mut config = Config::default();
        config.max_message_size = 10;
        let bytes = from_peer_of(Role::Server, &[Frame::new(2, vec![0; 11])]);
        let mut ws = socket(Role::Server, Script::pieces(&bytes, 100).stream().0, config);
        assert!(finish(ws.recv()).unwrap().is_none());
        let mut ws = socket(Role::Client, Script::pieces(&[], 1).stream().0, Config::default());
        assert!(finish(ws.recv()).unwrap().is_none());
    });
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert!(lines[1].starts_with("WARN") && lines[1].contains("code=1009"), "{told}");
    assert!(lines[3].starts_with("INFO websocket{role=Client}:"), "{told}");
}

/// Sends what is told to a group.
struct ToGroup(Group);

impl Write for ToGroup {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_send(&PreparedMessage::new(bytes)).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_end_of_a_member_may_be_told_to_its_group() {
    let group = Group::new(8, SlowPolicy::Close);
    let told_to = group.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || ToGroup(told_to.clone())).finish();
    tracing::subscriber::with_default(subscriber, || {
        let other = socket(Role::Server, Script::default().stream().0, Config::default());
        let mut ws = socket(Role::Server, Script::pieces(&[], 1).stream().0, Config::default());
        let members = [&other, &ws].map(|ws| group.join(&ws.remote()));
        assert!(finish(ws.recv()).unwrap().is_none());
        assert_eq!(members[0].remote().counters().unwrap().messages_waiting, 1);
    });
}

#[tokio::test]
async fn a_handshake_that_fails_is_told() {
    let (near, far) = tokio::io::duplex(100);
    drop(far);
    let lines = told(|| {
        let mut accepting = Box::pin(wstokio::accept(near));
        assert!(finish(&mut accepting).is_err());
    });
    assert!(lines.contains("INFO") && lines.contains("the opening handshake failed role=Server"));
}

/// Runs it, and fails unless it tells once that a handshake of this role failed, with these words.
#[cfg(any(feature = "tls", feature = "http2", feature = "hyper"))]
async fn tells_of_one_failure<T>(role: Role, words: &str, work: impl Future<Output = T>) {
    use tracing::instrument::WithSubscriber;

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    work.with_subscriber(subscriber).await;
    let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let line = format!("the opening handshake failed role={role:?} error=");
    assert!(told.contains(&line) && told.contains(words), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_tls_handshake_that_fails_is_told() {
    let server = wstest::certificates::Authority::default().certify("localhost");
    let config = wstokio::tls::server_config(server.chain.as_bytes(), server.key.as_bytes());
    let acceptor = wstokio::tls::TlsAcceptor::new(config.unwrap());
    let (near, far) = tokio::io::duplex(100);
    drop(far);
    tells_of_one_failure(Role::Server, "TLS", acceptor.accept(near)).await;
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn an_http2_connection_that_fails_is_told_once() {
    let connector = wstokio::Connector::default();
    let (near, far) = tokio::io::duplex(100);
    drop(far);
    let connecting = connector.connect_http2_stream(near, "ws://localhost");
    tells_of_one_failure(Role::Client, "", connecting).await;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { drop(listener.accept().await) });
    tells_of_one_failure(Role::Client, "", connector.connect_http2(&url)).await;
}

#[cfg(all(feature = "http2", feature = "hyper"))]
#[tokio::test]
async fn a_websocket_that_is_not_opened_over_http2_is_told() {
    use std::future::ready;

    use hyper::{Response, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let (near, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.enable_connect_protocol();
        let refuse = service_fn(|_| ready(Response::builder().status(418).body(String::new())));
        let _ = builder.serve_connection(TokioIo::new(far), refuse).await;
    });
    let connector = wstokio::Connector::default();
    let connection = connector.connect_http2_stream(near, "ws://localhost").await.unwrap();
    tells_of_one_failure(Role::Client, "418", connection.open("ws://localhost/chat")).await;
}

#[cfg(feature = "hyper")]
#[tokio::test]
async fn an_upgrade_that_comes_to_nothing_is_told() {
    use std::{convert::Infallible, future::ready};

    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;

    let (mut near, far) = tokio::io::duplex(64 << 10);
    near.write_all(wstest::handshake::request(&[]).as_bytes()).await.unwrap();
    let upgrading = Mutex::new(None);
    let service = service_fn(|mut request| {
        let (response, socket) = wstokio::hyper::upgrade(&mut request).unwrap();
        *upgrading.lock().unwrap() = Some(socket);
        ready(Ok::<_, Infallible>(response))
    });
    // Without `with_upgrades`.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
    let socket = upgrading.lock().unwrap().take().unwrap();
    tells_of_one_failure(Role::Server, "upgrade", async { socket.await }).await;
}
