//! Opening handshakes over TCP, as the server: what hostile and broken clients get (HAZARDS D, E, F, J).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use support::from_peer_of;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsconn::Role;
use wstest::{
    advisory_requests,
    handshake::{assert_refused, request},
    reference::{self, Frame},
};
use wstokio::{
    Acceptor, CloseCode, Connector, Error, Message,
    opening::{Accept, ClientOptions, HandshakeError, HandshakeFailure, Refusal, ServerOptions},
};

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
        Err(Error::Handshake(failure)) => (response, *failure),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was accepted: {response}"),
    }
}

/// The same, for those who do not wait.
fn answer_to(bytes: &[u8]) -> String {
    let answering = async {
        let (response, failure) = answer(&Acceptor::default(), bytes).await;
        assert!(failure.to_string().len() > 20, "{failure}");
        response
    };
    runtime().block_on(answering)
}

/// Whether a server with these options accepts this request.
fn lets_in(options: ServerOptions, request: &str) -> bool {
    let acceptor = Acceptor::new(options);
    let asking = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        acceptor.accept(listener.accept().await.unwrap().0).await.is_ok()
    };
    runtime().block_on(asking)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

advisory_requests!(answer_to, lets_in);

#[tokio::test]
async fn what_the_application_refuses_says_so_in_its_words() {
    let bytes = request(&["GET /other HTTP/1.1"]);
    let (response, _) = answer(&Acceptor::default(), bytes.as_bytes()).await;
    assert_refused(&response, 404, "another path");
    assert!(response.contains("\r\nX-Hint: chat\r\n"), "{response}");
    let (_, failure) =
        answer(&Acceptor::default(), request(&["POST /chat HTTP/1.1"]).as_bytes()).await;
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
