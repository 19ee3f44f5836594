//! Upgrades inside a real hyper server, over TCP.
#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::convert::Infallible;

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use support::from_peer_of;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsconn::Role;
use wstest::reference::{self, Frame};
use wstokio::{
    Acceptor, CloseCode, Connector, Message,
    opening::{Accept, ClientOptions, Refusal, ServerOptions},
};

/// Echoes on `/chat`, refuses what is none.
async fn serve(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    if request.uri().path() == "/page" {
        return Ok(Response::new("a page".to_owned()));
    }
    let mut options = ServerOptions::default();
    options.subprotocols = vec!["chat".into()];
    let upgrade = Acceptor::new(options).upgrade(&mut request, |request| match request.path() {
        "/chat" => {
            let mut accept = Accept::default();
            accept.headers = vec![("Set-Cookie".into(), "a=b".into())];
            Ok(accept)
        }
        "/switched" => Err(Refusal::new(101, "this is no refusal\n")),
        "/long" => {
            let mut refusal = Refusal::new(404, "nothing here\n");
            refusal.headers = vec![("Content-Length".into(), "1000".into())];
            Err(refusal)
        }
        _ => Err(Refusal::new(404, "there is only /chat here\n")),
    });
    let (response, socket) = match upgrade {
        Ok(upgrade) => upgrade,
        Err(refused) => return Ok(refused.into_response()),
    };
    tokio::spawn(async move {
        let mut ws = socket.await.unwrap();
        let (rx, tx) = ws.halves();
        while let Some(message) = rx.recv().await.unwrap() {
            tx.feed(message).await.unwrap();
        }
        assert!(ws.close_info().unwrap().clean);
    });
    Ok(response)
}

/// A server of one connection.
async fn server() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let serving = http1::Builder::new().serve_connection(TokioIo::new(tcp), service_fn(serve));
        // A client that goes away is no failure of the server.
        let _ = serving.with_upgrades().await;
    });
    (address, serving)
}

#[tokio::test]
async fn a_client_talks_through_a_hyper_server() {
    let (address, serving) = server().await;
    let mut options = ClientOptions::default();
    options.subprotocols = vec!["other".into(), "chat".into()];
    let url = format!("ws://{address}/chat");
    let mut ws = Connector::new(options).connect(&url).await.unwrap();
    assert_eq!(ws.subprotocol(), Some("chat"));
    let large = vec![7; 100_000];
    for _ in 0..10 {
        ws.send("hello").await.unwrap();
        ws.send(&large).await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("hello")));
        assert!(ws.recv().await.unwrap() == Some((&large).into()));
    }
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(ws.close_info().unwrap().clean);
    serving.await.unwrap();
}

fn request(first: &str, more: &str) -> String {
    format!(
        "{first}\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn frames_pipelined_behind_the_request_are_echoed_exactly_once() {
    let (address, _serving) = server().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut bytes = request("GET /chat HTTP/1.1", "Sec-WebSocket-Version: 13\r\n").into_bytes();
    let frames = [Frame::new(1, "one"), Frame::new(9, "ping"), support::close(1000, "")];
    bytes.extend(from_peer_of(Role::Server, &frames));
    client.write_all(&bytes).await.unwrap();
    let mut response = Vec::new();
    client.read_to_end(&mut response).await.unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let head = std::str::from_utf8(&response[..end]).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("set-cookie: a=b\r\n"), "{head}");
    let opcodes: Vec<u8> = reference::decode(&response[end..]).iter().map(|f| f.opcode).collect();
    assert_eq!(opcodes, [1, 10, 8]);
}

#[tokio::test]
async fn refusals_go_through_hyper_with_their_status_and_close() {
    let version = "Sec-WebSocket-Version: 13\r\n";
    let origin = "Sec-WebSocket-Version: 13\r\nOrigin: http://evil.example\r\n";
    for (request, status, header) in [
        (request("GET /other HTTP/1.1", version), 404, ""),
        // What the application wants to say cannot be sent.
        (request("GET /switched HTTP/1.1", version), 500, ""),
        (request("GET /long HTTP/1.1", version), 500, ""),
        (request("GET /chat HTTP/1.1", ""), 426, "sec-websocket-version: 13\r\n"),
        (request("POST /chat HTTP/1.1", version), 405, "allow: get\r\n"),
        (request("GET /chat HTTP/1.1", origin), 403, ""),
        (request("GET /chat HTTP/1.0", version), 400, ""),
        ("GET /chat HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426, "upgrade: websocket\r\n"),
        ("GET /chat HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426, "connection: close, upgrade\r\n"),
    ] {
        let (address, _serving) = server().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        let lower = response.to_ascii_lowercase();
        assert!(lower[8..].starts_with(&format!(" {status} ")), "{request}{response}");
        assert!(lower.contains("connection: close"), "{response}");
        assert!(lower.contains(header), "{response}");
        assert!(lower.split_once("\r\n\r\n").unwrap().1.len() > 10, "{response}");
    }
}

#[tokio::test]
async fn ordinary_pages_are_served_beside() {
    let (address, _serving) = server().await;
    let url = format!("ws://{address}/page");
    let Err(error) = wstokio::connect(&url).await else { panic!("it is a page") };
    assert!(error.to_string().contains("there is an ordinary page at this address"), "{error}");
}
