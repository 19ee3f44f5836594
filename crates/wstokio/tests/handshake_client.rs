//! Opening handshakes over TCP, as the client: servers that are none, or broken (HAZARDS E, F). Each
//! error says what happened in a sentence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use support::{close, from_peer_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsconn::Role;
use wstest::{
    bad_responses,
    conformance::{KEYS, assert_fresh_keys},
    handshake::{Respond, upgrade},
    reference::{self, Frame},
};
use wstokio::{
    Connector, Error, Message,
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

/// What connecting to a server fails with that answers the request so, and then ends the stream.
fn failure(respond: Respond) -> HandshakeFailure {
    let connecting = async {
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
        tokio::join!(wstokio::connect(&url), serving).0.map(drop)
    };
    match runtime().block_on(connecting) {
        Err(Error::Handshake(failure)) => *failure,
        result => panic!("{result:?}"),
    }
}

/// What asking for this fails with, and what has been written.
fn ask(options: ClientOptions, url: &str) -> (Option<HandshakeFailure>, Vec<u8>) {
    let (stream, handle) = support::Script::default().stream();
    let connector = Connector::new(options);
    let asking = connector.connect_stream(stream, url);
    let failure = match runtime().block_on(asking).map(drop) {
        Err(Error::Handshake(failure)) => Some(*failure),
        Err(Error::Url(_)) => None,
        result => panic!("{result:?}"),
    };
    (failure, handle.seen().written)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

bad_responses!(failure, ask);

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
