//! Connecting through proxies over loopback: those that connect, refuse, answer garbage, hang or go
//! away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

#[cfg(feature = "tls")]
mod tls_support;

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use wstokio::{CloseCode, Connector, Error, Message, Proxy, ProxyFailure, Timeout};

/// An echo server for one connection.
async fn echo_server() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut ws = wstokio::accept(listener.accept().await.unwrap().0).await.unwrap();
        let (rx, tx) = ws.halves();
        while let Some(message) = rx.recv().await.unwrap() {
            tx.feed(message).await.unwrap();
        }
    });
    (address, serving)
}

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An HTTP proxy for one connection.
async fn http_proxy(listener: TcpListener) -> String {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let head = read_head(&mut tcp).await;
    let server = head.split(' ').nth(1).unwrap().to_owned();
    let mut onward = TcpStream::connect(&server).await.unwrap();
    tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut tcp, &mut onward).await;
    head
}

/// A SOCKS 5 proxy for one connection, which wants a user and a password.
async fn socks_proxy(listener: TcpListener) -> Vec<u8> {
    let (mut tcp, _) = listener.accept().await.unwrap();
    let mut greeting = [0; 4];
    tcp.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 2, 0, 2]);
    tcp.write_all(&[5, 2]).await.unwrap();
    let mut credentials = [0; 8];
    tcp.read_exact(&mut credentials).await.unwrap();
    tcp.write_all(&[1, 0]).await.unwrap();
    let mut request = [0; 10];
    tcp.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..8], [5, 1, 0, 1, 127, 0, 0, 1]);
    let port = u16::from_be_bytes([request[8], request[9]]);
    let mut onward = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let _ = copy_bidirectional(&mut tcp, &mut onward).await;
    credentials.to_vec()
}

async fn talk(connector: &Connector, url: &str) {
    let mut ws = connector.connect(url).await.unwrap();
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("hello")));
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(ws.close_info().unwrap().clean);
}

#[tokio::test]
async fn a_websocket_goes_through_an_http_proxy() {
    let (server, serving) = echo_server().await;
    let (listener, address) = listening().await;
    let proxying = tokio::spawn(http_proxy(listener));
    let proxy = Proxy::parse(&format!("http://ada:secret@{address}")).unwrap();
    talk(&Connector::default().proxy(proxy), &format!("ws://{server}/")).await;
    let head = proxying.await.unwrap();
    assert!(head.starts_with(&format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n")));
    assert!(head.contains("\r\nProxy-Authorization: Basic YWRhOnNlY3JldA==\r\n"), "{head}");
    serving.await.unwrap();
}

#[tokio::test]
async fn a_websocket_goes_through_a_socks_proxy() {
    let (server, serving) = echo_server().await;
    let (listener, address) = listening().await;
    let proxying = tokio::spawn(socks_proxy(listener));
    let proxy = Proxy::parse(&format!("socks5://ada:pw@{address}")).unwrap();
    talk(&Connector::default().proxy(proxy), &format!("ws://{server}/")).await;
    assert_eq!(proxying.await.unwrap()[1..], *b"\x03ada\x02pw");
    serving.await.unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_goes_through_a_proxy_to_the_server() {
    let authority = tls_support::Authority::new();
    let acceptor = wstokio::tls::TlsAcceptor::new(authority.server("127.0.0.1"));
    let (server, server_address) = listening().await;
    let serving = tokio::spawn(async move {
        let tls = acceptor.accept(server.accept().await.unwrap().0).await.unwrap();
        let mut ws = wstokio::accept(tls).await.unwrap();
        let (rx, tx) = ws.halves();
        while let Some(message) = rx.recv().await.unwrap() {
            tx.feed(message).await.unwrap();
        }
    });
    let (listener, address) = listening().await;
    let proxying = tokio::spawn(http_proxy(listener));
    let proxy = Proxy::parse(&address).unwrap();
    let connector = Connector::default().tls(authority.client()).proxy(proxy);
    talk(&connector, &format!("wss://{server_address}/")).await;
    assert!(!proxying.await.unwrap().contains("Authorization"));
    serving.await.unwrap();
}

/// Connects through a proxy of this kind that answers all it hears with this, and then hangs or goes
/// away.
async fn fails(kind: &str, answer: &'static [u8], hangs: bool) -> Error {
    let (listener, address) = listening().await;
    let answering = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut heard = [0; 1024];
        assert!(tcp.read(&mut heard).await.unwrap() > 0);
        tcp.write_all(answer).await.unwrap();
        if hangs {
            // Until the client gives up.
            while tcp.read(&mut heard).await.is_ok_and(|len| len > 0) {}
        }
    });
    let proxy = Proxy::parse(&format!("{kind}://{address}")).unwrap();
    let connected = Connector::default().proxy(proxy).connect("ws://server.invalid/").await;
    answering.await.unwrap();
    connected.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_says_why() {
    for (kind, answer, why) in [
        (
            "http",
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            "a user and a password",
        ),
        (
            "http",
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
            "502 Bad Gateway: it cannot reach the server",
        ),
        ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden: it does not let you"),
        ("http", b"\x00\x01\x02", "is it an HTTP proxy?"),
        ("http", b"\x15\x03\x01\x00\x02", "is it an HTTP proxy?"),
        ("http", b"HTTP/1.1 200 OK\n\n", "malformed"),
        ("socks5", b"\x05\xff", "a user and a password"),
        ("socks5", b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "the server refused"),
        ("socks5", b"\x05\x00\x05\x02", "does not allow that (reply 2)"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "is it a SOCKS 5 proxy?"),
    ] {
        let error = fails(kind, answer, true).await;
        assert!(matches!(error, Error::Proxy(_)), "{error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains("proxy") && sentence.contains(why), "{sentence}");
    }
}

#[tokio::test]
async fn a_proxy_that_goes_away_or_is_not_there_is_named() {
    for (kind, answer) in [("http", &b""[..]), ("http", b"HTTP/1.1 2"), ("socks5", b"\x05")] {
        let error = fails(kind, answer, false).await;
        // It may have had unread bytes, and so have reset the connection.
        let Error::Proxy(failure) = error else { panic!("{error:?}") };
        assert!(matches!(*failure, ProxyFailure::Eof | ProxyFailure::Io(_)), "{failure:?}");
    }
    let (listener, address) = listening().await;
    drop(listener);
    let connector = Connector::default().proxy(Proxy::parse(&address).unwrap());
    let error = connector.connect("ws://server.invalid/").await.map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Proxy(it) if matches!(**it, ProxyFailure::Io(_))), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains("the connection to the proxy failed") && sentence.contains(&address));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_hangs_is_given_up_at_the_deadline() {
    for (kind, answer) in [("http", &b""[..]), ("http", b"HTTP/1.1 "), ("socks5", b"\x05\x00")] {
        let error = fails(kind, answer, true).await;
        assert!(matches!(error, Error::Timeout(Timeout::Proxy)), "{error:?}");
        assert!(error.to_string().contains("connect_timeout"), "{error}");
    }
}

#[tokio::test]
async fn without_variables_that_name_one_there_is_no_proxy() {
    let (server, serving) = echo_server().await;
    // What this process has in its environment is for other hosts than this one at most.
    let named = ["http_proxy", "all_proxy", "ALL_PROXY"].map(|name| std::env::var(name).is_ok());
    if named == [false; 3] {
        talk(&Connector::default().proxy_from_env(), &format!("ws://{server}/")).await;
        serving.await.unwrap();
    }
}
