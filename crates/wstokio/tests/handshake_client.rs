//! Opening handshakes over TCP, as the client: servers that are none, or broken (HAZARDS E, F). Each
//! error says what happened in a sentence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use support::{close, from_peer_of, upgrade};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsconn::Role;
use wstest::{
    conformance::{KEYS, assert_fresh_keys},
    reference::{self, Frame},
};
use wstokio::{
    Connector, Error, Message, WebSocket,
    opening::{ClientOptions, HandshakeFailure},
};

async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        request.push(byte[0]);
    }
    request
}

/// Connects to a server that answers the request with what `respond` makes of it, and then ends the
/// stream.
async fn connect(respond: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<WebSocket, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/chat", listener.local_addr().unwrap());
    let serving = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let request = read_request(&mut tcp).await;
        // The client may have seen enough before all is written.
        let _ = tcp.write_all(&respond(&request)).await;
        let _ = tcp.shutdown().await;
        tcp
    };
    tokio::join!(wstokio::connect(&url), serving).0
}

async fn error(respond: impl FnOnce(&[u8]) -> Vec<u8>) -> Error {
    match connect(respond).await {
        Err(error) => error,
        Ok(_) => panic!("it connected"),
    }
}

#[tokio::test]
async fn a_server_that_opens_no_websocket_is_reported_with_its_status() {
    let cases: [(&str, u16, &str); 7] = [
        (
            "200 OK\r\nContent-Length: 2\r\n\r\nhi",
            200,
            "the server answered 200 OK: there is an ordinary page at this address, and no WebSocket",
        ),
        (
            "401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n",
            401,
            "the server answered 401 Unauthorized: it wants to know who you are (an Authorization header)",
        ),
        (
            "302 Found\r\nLocation: https://example.org/\r\n\r\n",
            302,
            "the server answered 302 Found: it wants you to connect to \"https://example.org/\"",
        ),
        (
            "407 Nope\r\n\r\n",
            407,
            "the server answered 407 Nope: a proxy wants to know who you are",
        ),
        (
            "404 Not Found\r\n\r\n",
            404,
            "the server answered 404 Not Found instead of opening a WebSocket",
        ),
        (
            "426 \r\nSec-WebSocket-Version: 8\r\n\r\n",
            426,
            "the server answered 426 instead of opening a WebSocket",
        ),
        ("503 Busy\r\n\r\n", 503, "the server answered 503 Busy instead of opening a WebSocket"),
    ];
    for (response, expected, sentence) in cases {
        let error = error(|_| format!("HTTP/1.1 {response}").into_bytes()).await;
        assert_eq!(error.to_string(), sentence);
        let Error::Handshake(failure) = error else { panic!("{error:?}") };
        let HandshakeFailure::Status { status, location, .. } = *failure else {
            panic!("{failure:?}")
        };
        assert_eq!((status, location.is_some()), (expected, expected == 302));
    }
}

/// The valid response, with one thing replaced.
fn broken(from: &'static str, to: &'static str) -> impl FnOnce(&[u8]) -> Vec<u8> {
    move |request| {
        let response = String::from_utf8(upgrade(request)).unwrap();
        assert!(response.contains(from), "{response}");
        response.replacen(from, to, 1).into_bytes()
    }
}

#[tokio::test]
async fn a_101_that_is_wrong_is_no_websocket() {
    let end = "\r\n\r\n";
    let cases = [
        ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: A", "does not answer our key"),
        ("Sec-WebSocket-Accept", "X-Accept", "no Sec-WebSocket-Accept header"),
        ("Upgrade: websocket", "Upgrade: h2c", "`Upgrade: websocket`"),
        ("Connection: Upgrade", "Connection: close", "`Connection: Upgrade`"),
        (end, "\r\nSec-WebSocket-Protocol: chat\r\n\r\n", "a subprotocol we did not offer"),
        (
            end,
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            "an extension we did not",
        ),
        (end, "\r\nContent-Length: 5\r\n\r\n", "announces a body"),
        (end, "\r\nTransfer-Encoding: chunked\r\n\r\n", "announces a body"),
        (end, "\r\nSec-WebSocket-Accept: twice\r\n\r\n", "more than one Sec-WebSocket-Accept"),
        ("HTTP/1.1", "HTTP/1.0", "does not speak HTTP/1.1"),
        ("\r\n", "\n", "malformed"),
    ];
    for (from, to, sentence) in cases {
        let error = error(broken(from, to)).await;
        assert!(
            matches!(&error, Error::Handshake(it) if matches!(**it, HandshakeFailure::Peer(_))),
            "{to:?}: {error:?}"
        );
        assert!(error.to_string().contains(sentence), "{to:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_does_not_end_is_given_up() {
    let garbage = error(|_| b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()).await;
    assert_eq!(garbage.to_string(), "the peer does not speak HTTP/1.1");
    let endless = error(|_| [&b"HTTP/1.1 101 "[..], &[b'x'; 1 << 20]].concat()).await;
    assert!(
        endless.to_string().contains("exceeds the limit of 16384 bytes (max_head)"),
        "{endless}"
    );
    let headers =
        |_: &[u8]| format!("HTTP/1.1 101 x\r\n{}\r\n", "X: y\r\n".repeat(101)).into_bytes();
    let many = error(headers).await;
    assert!(many.to_string().contains("more than 100 headers"), "{many}");
    for response in [&b""[..], b"HTTP/1.1 101 Swi"] {
        let early = error(|_| response.to_vec()).await;
        assert!(
            matches!(&early, Error::Handshake(it) if **it == HandshakeFailure::Eof),
            "{early:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_port_is_an_io_error_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let Err(error) = wstokio::connect(&url).await else { panic!("nobody listens") };
    assert!(matches!(&error, Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused));
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_bad_url_is_refused_before_anything_is_done_and_says_why() {
    let cases = [
        #[cfg(not(feature = "tls"))]
        ("wss://127.0.0.1/", "needs TLS"),
        ("http://127.0.0.1/", "does not start with ws://"),
        ("127.0.0.1:80", ""),
        ("/chat", "does not start with ws://"),
        ("", ""),
        ("ws://", ""),
        ("ws:///chat", ""),
        ("ws://a b/", ""),
        ("ws://127.0.0.1/#fragment", "fragment"),
        ("ws://127.0.0.1:99999/", ""),
        ("ws://127.0.0.1/a\r\nX: y", ""),
        ("ws://127.0.0.1/a\0", ""),
    ];
    for (url, why) in cases {
        let Err(error) = wstokio::connect(url).await else { panic!("{url} is no URL") };
        assert!(matches!(error, Error::Url(_)), "{url:?}: {error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains(why) && sentence.len() > 30, "{url:?}: {sentence}");
    }
}

#[tokio::test]
async fn nothing_that_could_inject_a_header_is_sent() {
    let bad = ["a\r\nX: y", "a\n", "a\0", "grüße\r"];
    for text in bad {
        let mut cases = vec![ClientOptions::default(); 4];
        cases[0].headers = vec![("X".into(), text.into())];
        cases[1].headers = vec![(text.into(), "x".into())];
        cases[2].subprotocols = vec![text.into()];
        cases[3].origin = Some(text.into());
        for (i, options) in cases.into_iter().enumerate() {
            let (stream, handle) = support::Script::default().stream();
            let result = Connector::new(options).connect_stream(stream, "ws://a/").await;
            match result {
                Err(Error::Handshake(it)) if matches!(*it, HandshakeFailure::Input(_)) => {}
                _ => panic!("{text:?} in case {i}"),
            }
            assert_eq!(handle.seen().written, b"", "{text:?} in case {i}");
        }
    }
}

#[tokio::test]
async fn frames_behind_the_101_are_received_exactly_once_whatever_the_cut() {
    let sent = [Frame::new(1, "one"), Frame::new(9, "ping"), Frame::new(2, vec![2; 300])];
    for cut in [0, 1, 100, 128, 129, 130, 131, 140] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let serving = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut bytes = upgrade(&read_request(&mut tcp).await);
            bytes.extend(from_peer_of(Role::Client, &sent));
            bytes.extend(from_peer_of(Role::Client, &[close(1000, "bye")]));
            tcp.write_all(&bytes[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            tcp.write_all(&bytes[cut..]).await.unwrap();
            tcp.shutdown().await.unwrap();
            let mut written = Vec::new();
            tcp.read_to_end(&mut written).await.unwrap();
            reference::decode(&written).iter().map(|frame| frame.opcode).collect::<Vec<_>>()
        };
        let talking = async {
            let mut ws = wstokio::connect(&url).await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("one")));
            assert_eq!(ws.recv().await.unwrap(), Some((&vec![2; 300]).into()));
            assert!(ws.recv().await.unwrap().is_none());
            let info = ws.close_info().unwrap();
            assert!(info.clean && info.reason == "bye");
        };
        assert_eq!(tokio::join!(serving, talking).0, [10, 8], "cut at {cut}");
    }
}

#[tokio::test]
async fn each_frame_of_a_client_that_has_connected_has_a_key_of_its_own() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let serving = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(theirs.read_u8().await.unwrap());
        }
        theirs.write_all(&upgrade(&request)).await.unwrap();
        let mut written = Vec::new();
        theirs.read_to_end(&mut written).await.unwrap();
        assert_fresh_keys(&written);
    };
    let talking = async {
        let mut ws = Connector::default().connect_stream(ours, "ws://a/").await.unwrap();
        for _ in 0..KEYS {
            ws.send("frame").await.unwrap();
        }
    };
    tokio::join!(serving, talking);
}
