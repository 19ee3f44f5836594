//! Opening handshakes over TCP, as the server: what hostile and broken clients get (HAZARDS D, E, F, J).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use support::from_peer_of;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsconn::Role;
use wstest::reference::{self, Frame};
use wstokio::{
    Acceptor, CloseCode, Connector, Error, Message,
    opening::{
        Accept, ClientOptions, HandshakeError, HandshakeFailure, OriginPolicy, Refusal,
        ServerOptions,
    },
};

/// A request with `Host: a`, and these lines instead of, or behind, those it has.
fn request(lines: &[&str]) -> String {
    let mut headers = vec![
        "Host: a".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Connection: Upgrade".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
    ];
    let mut first = "GET /chat HTTP/1.1".to_owned();
    for line in lines {
        let name = line.split(':').next().unwrap();
        if line.contains(" HTTP/") {
            first = (*line).to_owned();
        } else if let Some(without) = line.strip_prefix('-') {
            headers.retain(|header| !header.starts_with(without));
        } else if let Some(again) = line.strip_prefix('+') {
            headers.push(again.to_owned());
        } else {
            headers.retain(|header| header.split(':').next() != Some(name));
            headers.push((*line).to_owned());
        }
    }
    format!("{first}\r\n{}\r\n\r\n", headers.join("\r\n"))
}

/// What a server with these options answers to these bytes, to the end of the stream; and the error it
/// has.
async fn answer(acceptor: &Acceptor, bytes: &[u8]) -> (String, HandshakeFailure) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let serving = acceptor.accept_with(tcp, |request| match request.path() {
        "/chat" => Ok(Accept::default()),
        _ => {
            let mut refusal = Refusal::new(404, "there is only /chat here\n");
            refusal.headers = vec![("X-Hint".into(), "chat".into())];
            Err(refusal)
        }
    });
    let talking = async {
        let mut response = Vec::new();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut response).await.unwrap();
        String::from_utf8(response).unwrap()
    };
    let (result, response) = tokio::join!(serving, talking);
    match result {
        Err(Error::Handshake(failure)) => (response, failure),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted: {response}"),
    }
}

/// Panics unless the response is whole, has this status, and says that nothing follows.
fn assert_refused(response: &str, status: u16, case: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{case}: {response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nConnection: close"), "{case}: {response}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{case}: {response}");
    assert!(!body.is_empty() && !body.contains("HTTP/1.1 1"), "{case}: {response}");
}

#[tokio::test]
async fn every_bad_request_gets_its_status_and_a_reason() {
    let long_line = format!("GET /{} HTTP/1.1", "a".repeat(64 << 10));
    let many: Vec<String> = (0..101).map(|i| format!("+X-{i}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let spaces = format!("X: b{}x", " ".repeat(32 << 10));
    let cases: &[(&str, Vec<&str>, u16)] = &[
        ("a line of 64 KiB", vec![&long_line], 414),
        ("101 more headers", many, 431),
        ("32k spaces", vec![&spaces], 431),
        ("a subprotocol that is not ASCII", vec!["Sec-WebSocket-Protocol: grüße"], 400),
        ("an empty subprotocol", vec!["Sec-WebSocket-Protocol: a,,b c"], 400),
        ("a host that is none", vec!["Host: a b"], 400),
        ("no host", vec!["-Host"], 400),
        ("no key", vec!["-Sec-WebSocket-Key"], 400),
        ("a long key", vec!["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA"], 400),
        ("a key of 15 bytes", vec!["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"], 400),
        ("version 8", vec!["Sec-WebSocket-Version: 8"], 426),
        ("no version", vec!["-Sec-WebSocket-Version"], 426),
        ("no upgrade", vec!["-Upgrade"], 426),
        ("another upgrade", vec!["Upgrade: h2c"], 426),
        ("no Connection: Upgrade", vec!["Connection: keep-alive"], 400),
        ("a folded line", vec!["+X: a\r\n b"], 400),
        ("a bare line feed", vec!["+X: a\nY: b"], 400),
        ("a bare carriage return", vec!["+X: a\rY: b"], 400),
        ("NUL", vec!["+X: a\0"], 400),
        ("a space before the colon", vec!["+X : a"], 400),
        ("a bad target", vec!["GET /a<b> HTTP/1.1"], 400),
        ("a target of another host", vec!["GET http://b/chat HTTP/1.1"], 400),
        ("a fragment", vec!["GET /chat#x HTTP/1.1"], 400),
        ("a body", vec!["Content-Length: 5"], 400),
        ("a chunked body", vec!["Transfer-Encoding: chunked"], 400),
        ("two keys", vec!["+Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 400),
        ("two hosts", vec!["+Host: b"], 400),
        ("HTTP/1.0", vec!["GET /chat HTTP/1.0"], 400),
        ("HTTP/2", vec!["GET /chat HTTP/2.0"], 400),
        ("POST", vec!["POST /chat HTTP/1.1"], 405),
        ("another path", vec!["GET /other HTTP/1.1"], 404),
        ("a page of another host", vec!["Origin: http://evil-a"], 403),
        ("a page of a host below", vec!["Origin: http://a.evil"], 403),
        ("another port", vec!["Origin: http://a:81"], 403),
        ("a page of nowhere", vec!["Origin: null"], 403),
    ];
    let acceptor = Acceptor::default();
    for (case, lines, status) in cases {
        let (response, failure) = answer(&acceptor, request(lines).as_bytes()).await;
        assert_refused(&response, *status, case);
        assert!(failure.to_string().len() > 20, "{case}: {failure}");
        let header = match status {
            405 => "\r\nAllow: GET\r\n",
            426 if case.contains("version") => "\r\nSec-WebSocket-Version: 13\r\n",
            426 => "\r\nUpgrade: websocket\r\n",
            404 => "\r\nX-Hint: chat\r\n",
            _ => "\r\n",
        };
        assert!(response.contains(header), "{case}: {response}");
    }
    let (_, failure) = answer(&acceptor, request(&["POST /chat HTTP/1.1"]).as_bytes()).await;
    assert_eq!(failure, HandshakeFailure::Peer(HandshakeError::Method));
}

#[tokio::test]
async fn a_refusal_is_read_whole_though_more_was_pipelined_and_nothing_of_that_is_answered() {
    let mut bytes = request(&["GET /other HTTP/1.1"]).into_bytes();
    bytes.extend(from_peer_of(Role::Server, &[Frame::new(9, "ping"), Frame::new(1, "text")]));
    bytes.extend(request(&[]).into_bytes());
    // More than the server reads at once, and than sockets hold: it must be drained.
    bytes.extend(vec![b'x'; 8 << 20]);
    let (response, failure) = answer(&Acceptor::default(), &bytes).await;
    assert_refused(&response, 404, "pipelined");
    assert!(response.ends_with("\r\n\r\nthere is only /chat here\n"), "{response}");
    let said = "the request was refused with 404: there is only /chat here\n";
    assert_eq!(failure.to_string(), said);
}

#[tokio::test]
async fn pages_of_the_options_may_connect_and_others_may_not() {
    let mut options = ServerOptions::default();
    options.origin = OriginPolicy::List(vec!["https://example.org".into()]);
    let acceptor = Acceptor::new(options);
    for (origin, allowed) in [
        (None, true),
        (Some("https://example.org"), true),
        (Some("HTTPS://EXAMPLE.org:443"), true),
        (Some("http://example.org"), false),
        (Some("http://127.0.0.1"), false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let mut options = ClientOptions::default();
        options.origin = origin.map(str::to_owned);
        let connector = Connector::new(options);
        let (served, connected) = tokio::join!(
            async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) },
            connector.connect(&url),
        );
        assert_eq!(served.is_ok(), allowed, "{origin:?}");
        match connected {
            Err(Error::Handshake(HandshakeFailure::Status { status: 403, .. })) => {
                assert!(!allowed);
            }
            connected => assert!(connected.is_ok() && allowed),
        }
    }
}

#[tokio::test]
async fn frames_behind_the_request_are_received_exactly_once_whatever_the_cut() {
    let mut bytes = request(&[]).into_bytes();
    let head = bytes.len();
    let sent = [
        Frame::new(1, "one"),
        Frame::new(9, "ping"),
        Frame::new(2, vec![2; 300]),
        support::close(1000, ""),
    ];
    bytes.extend(from_peer_of(Role::Server, &sent));
    for cut in [0, 1, head - 1, head, head + 1, head + 9, bytes.len()] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let talking = async {
            client.write_all(&bytes[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(&bytes[cut..]).await.unwrap();
            let mut response = Vec::new();
            client.read_to_end(&mut response).await.unwrap();
            // Server first: now the client ends its side.
            drop(client);
            response
        };
        let serving = async {
            let mut ws = wstokio::accept(tcp).await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("one")));
            assert_eq!(ws.recv().await.unwrap(), Some((&vec![2; 300]).into()));
            assert!(ws.recv().await.unwrap().is_none());
            assert!(ws.close_info().unwrap().clean);
        };
        let (response, ()) = tokio::join!(talking, serving);
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let opcodes: Vec<u8> =
            reference::decode(&response[end..]).iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [10, 8], "cut at {cut}");
    }
}

#[tokio::test]
async fn both_ends_agree_on_a_subprotocol_and_see_each_others_headers() {
    let mut options = ServerOptions::default();
    options.subprotocols = vec!["chat.v2".into(), "chat.v1".into()];
    let acceptor = Acceptor::new(options);
    let mut options = ClientOptions::default();
    options.subprotocols = vec!["chat.v0".into(), "chat.v1".into(), "chat.v2".into()];
    options.headers = vec![("Authorization".into(), "Bearer 123".into())];
    let connector = Connector::new(options);
    for choice in [None, Some("chat.v0")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/chat?room=1", listener.local_addr().unwrap());
        let serving = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let socket = acceptor.accept_with(tcp, |request| {
                assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
                assert_eq!(request.header("authorization"), Some(&b"Bearer 123"[..]));
                let mut accept = Accept::default();
                accept.subprotocol = choice.map(str::to_owned);
                accept.headers = vec![("Set-Cookie".into(), "a=b".into())];
                Ok(accept)
            });
            let mut ws = socket.await.unwrap();
            ws.send("welcome").await.unwrap();
            while ws.recv().await.unwrap().is_some() {}
            ws.subprotocol().map(str::to_owned)
        };
        let talking = async {
            let mut ws = connector.connect(&url).await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("welcome")));
            ws.close(CloseCode::NORMAL, "").await.unwrap();
            ws.subprotocol().map(str::to_owned)
        };
        let (at_server, at_client) = tokio::join!(serving, talking);
        let expected = choice.unwrap_or("chat.v2");
        assert_eq!((at_server.as_deref(), at_client.as_deref()), (Some(expected), Some(expected)));
    }
}
