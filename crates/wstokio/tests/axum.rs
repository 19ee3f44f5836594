//! The extractor, in an axum server over TCP.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, clippy::panic)] // this is a test

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::{any, get},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wstokio::{
    Acceptor, CloseCode, Connector, Message, WebSocket,
    axum::{Refused, Upgrade},
    opening::{Accept, ClientOptions, OriginPolicy, Refusal, ServerOptions},
};

async fn room(
    Path(room): Path<String>,
    State(acceptor): State<Acceptor>,
    upgrade: Upgrade,
) -> Result<Response, Refused> {
    let decide = |request: &wstokio::opening::Request<'_, '_>| match &*room {
        "garden" => {
            let mut accept = Accept::default();
            accept.subprotocol = request.subprotocols().find(|it| *it == "two").map(str::to_owned);
            accept.headers = vec![("Set-Cookie".into(), "a=b".into())];
            Ok(accept)
        }
        _ => {
            let mut refusal = Refusal::new(401, "who are you?\n");
            refusal.headers = vec![("WWW-Authenticate".into(), "Basic".into())];
            Err(refusal)
        }
    };
    upgrade.accept_with(&acceptor, decide, async |mut ws| {
        let (rx, tx) = ws.halves();
        while let Some(message) = rx.recv().await? {
            tx.feed(message).await?;
        }
        Ok(())
    })
}

async fn server() -> std::net::SocketAddr {
    let mut options = ServerOptions::default();
    options.subprotocols = vec!["one".into()];
    options.origin = OriginPolicy::List(vec!["https://example.org".into()]);
    let app = Router::new()
        .route("/", get(async || "a page"))
        .route("/rooms/{room}", any(room))
        .with_state(Acceptor::new(options));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.subprotocols = vec!["one".into(), "two".into()];
    options.origin = Some("https://example.org".into());
    options
}

async fn talk<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut ws: WebSocket<S>) {
    assert_eq!(ws.subprotocol(), Some("two"));
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("hello")));
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(ws.close_info().unwrap().clean);
}

#[tokio::test]
async fn the_extractor_upgrades_over_http_1_1() {
    let url = format!("ws://{}/rooms/garden", server().await);
    talk(Connector::new(options()).connect(&url).await.unwrap()).await;
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn the_extractor_upgrades_over_http2() {
    let url = format!("ws://{}/rooms/garden", server().await);
    let connection = Connector::new(options()).connect_http2(&url).await.unwrap();
    talk(connection.open(&url).await.unwrap()).await;
    talk(connection.open(&url).await.unwrap()).await;
}

#[tokio::test]
async fn rejections_are_responses_with_status_and_headers() {
    let key = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let address = server().await;
    for (path, headers, status, header) in [
        ("/rooms/garden", "", 426, "upgrade: websocket\r\n"),
        ("/rooms/garden", &format!("{key}Origin: https://evil.example\r\n"), 403, ""),
        ("/rooms/cellar", key, 401, "www-authenticate: basic\r\n"),
        ("/rooms/garden", &format!("{key}Origin: https://example.org\r\n"), 101, "set-cookie: a=b"),
        ("/elsewhere", key, 404, ""),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        while !response.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(client.read_buf(&mut response).await.unwrap() > 0);
        }
        let response = String::from_utf8(response).unwrap().to_ascii_lowercase();
        assert!(response.starts_with(&format!("http/1.1 {status} ")), "{request}{response}");
        assert!(response.contains(header), "{response}");
    }
}
