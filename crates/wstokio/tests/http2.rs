//! WebSockets over HTTP/2: our client and a hyper server, over a byte stream in memory.
#![cfg(all(feature = "http2", feature = "hyper"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{convert::Infallible, sync::Arc, time::Duration};

use h2::ext::Protocol;
use http::{Method, StatusCode, Version};
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{DuplexStream, duplex};
use wstokio::{
    Acceptor, CloseCause, CloseCode, Config, Connector, Error, Message,
    http2::{Http2, Http2Failure},
    opening::{Accept, ClientOptions, HandshakeFailure, Refusal, ServerOptions},
};

/// No WebSocket of these tests is at another server.
const URL: &str = "ws://server.example.com/chat";

/// Echoes on `/chat`, reads nothing on `/slow`, drops the socket on `/drop`, refuses what is none.
async fn serve(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let mut options = ServerOptions::default();
    options.subprotocols = vec!["chat".into()];
    #[cfg(feature = "deflate")]
    {
        options.deflate = Some(wstokio::deflate::DeflateOptions::default());
    }
    let path = request.uri().path().to_owned();
    let upgrade = Acceptor::new(options).upgrade(&mut request, |request| match request.path() {
        "/chat" | "/slow" | "/drop" => {
            let mut accept = Accept::default();
            accept.headers = vec![("Set-Cookie".into(), "a=b".into())];
            Ok(accept)
        }
        "/long" => {
            let mut accept = Accept::default();
            accept.headers = vec![("Set-Cookie".into(), "a".repeat(20 << 10))];
            Ok(accept)
        }
        "/moved" => {
            let mut refusal = Refusal::new(302, "over there\n");
            refusal.headers = vec![("Location".into(), "/chat".into())];
            Err(refusal)
        }
        // The status would accept it.
        "/page" => Err(Refusal::new(200, "a page\n")),
        _ => Err(Refusal::new(404, "there is only /chat here\n")),
    });
    let (response, socket) = match upgrade {
        Ok(upgrade) => upgrade,
        Err(refused) => return Ok(refused.into_response()),
    };
    tokio::spawn(async move {
        let mut ws = socket.await.unwrap();
        match &*path {
            "/slow" => std::future::pending().await,
            "/drop" => return,
            _ => {}
        }
        let (rx, tx) = ws.halves();
        while let Ok(Some(message)) = rx.recv().await {
            if tx.feed(message).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

/// The client's end of a stream to a server of one connection.
fn server(enabled: bool) -> DuplexStream {
    let (client, server) = duplex(64 << 10);
    tokio::spawn(async move {
        let mut http = http2::Builder::new(TokioExecutor::new());
        if enabled {
            http.enable_connect_protocol();
        }
        http.initial_stream_window_size(64 << 10).initial_connection_window_size(1 << 20);
        let _ = http.serve_connection(TokioIo::new(server), service_fn(serve)).await;
    });
    client
}

async fn connect(options: ClientOptions) -> Http2 {
    Connector::new(options).connect_http2_stream(server(true), URL).await.unwrap()
}

#[tokio::test]
async fn many_sockets_talk_on_one_connection() {
    let mut options = ClientOptions::default();
    options.subprotocols = vec!["other".into(), "chat".into()];
    let connection = connect(options).await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        let ws = connection.open(URL).await.unwrap();
        assert_eq!(ws.subprotocol(), Some("chat"));
        sockets.push(ws);
    }
    let large = vec![7; 300_000];
    for ws in &mut sockets {
        ws.send("hello").await.unwrap();
    }
    for ws in &mut sockets {
        assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("hello")));
        let (rx, tx) = ws.halves();
        let (sent, received) = tokio::join!(tx.send(&large), rx.recv());
        sent.unwrap();
        assert!(received.unwrap() == Some((&large).into()));
    }
    for ws in &mut sockets {
        ws.close(CloseCode::NORMAL, "").await.unwrap();
        let info = ws.close_info().unwrap();
        assert!(info.clean && info.cause == CloseCause::Handshake, "{info:?}");
    }
}

#[cfg(feature = "deflate")]
#[tokio::test]
async fn messages_are_compressed_over_http2() {
    let mut options = ClientOptions::default();
    options.deflate = Some(wstokio::deflate::DeflateOptions::default());
    let mut ws = connect(options).await.open(URL).await.unwrap();
    let text = "hello ".repeat(10_000);
    ws.send(&text).await.unwrap();
    assert!(ws.recv().await.unwrap() == Some((&*text).into()));
}

#[tokio::test]
async fn a_slow_reader_does_not_stop_the_others() {
    let connection = connect(ClientOptions::default()).await;
    let mut slow = Vec::new();
    // Together they are to receive more than any window of the connection would take but the largest.
    let large = vec![7; 200_000];
    for _ in 0..20 {
        let mut ws = connection.open(URL).await.unwrap();
        ws.send(&large).await.unwrap();
        slow.push(ws);
    }
    let mut ws = connection.open(URL).await.unwrap();
    for _ in 0..10 {
        ws.send(&large).await.unwrap();
        assert!(ws.recv().await.unwrap() == Some((&large).into()));
    }
    for ws in &mut slow {
        assert!(ws.recv().await.unwrap() == Some((&large).into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_never_opened_is_a_write_timeout_and_the_others_go_on() {
    let mut options = ClientOptions::default();
    let mut config = Config::default();
    config.keepalive = None;
    config.write_timeout = Duration::from_secs(7);
    options.config = Arc::new(config);
    let connection = connect(options).await;
    let mut stuck = connection.open("ws://server.example.com/slow").await.unwrap();
    let mut ws = connection.open(URL).await.unwrap();
    let before = tokio::time::Instant::now();
    let error = stuck.send(&vec![7; 1_000_000]).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(wstokio::Timeout::Write)), "{error}");
    assert_eq!(before.elapsed().as_secs(), 7);
    drop(stuck);
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("hello")));
}

#[tokio::test]
async fn a_server_that_drops_its_socket_is_an_abnormal_end() {
    let connection = connect(ClientOptions::default()).await;
    let mut ws = connection.open("ws://server.example.com/drop").await.unwrap();
    let _ = ws.recv().await;
    assert_eq!(ws.recv().await.unwrap(), None);
    let info = ws.close_info().unwrap();
    assert!(!info.clean && info.code == CloseCode::ABNORMAL, "{info:?}");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status_and_the_connection_goes_on() {
    let connection = connect(ClientOptions::default()).await;
    for (path, wanted) in [("other", 404), ("moved", 302), ("page", 500)] {
        let opened = connection.open(&format!("ws://server.example.com/{path}")).await;
        let Err(Error::Handshake(failure)) = opened else { panic!("{:?}", opened.err()) };
        let HandshakeFailure::Status { status, location, .. } = *failure else {
            panic!("{failure:?}")
        };
        assert_eq!(status, wanted);
        assert_eq!(location.is_some(), wanted == 302);
    }
    let mut evil = ClientOptions::default();
    evil.origin = Some("http://evil.example".into());
    let refused = connection.open_with(URL, &evil).await;
    let Err(Error::Handshake(failure)) = refused else { panic!("{:?}", refused.err()) };
    assert!(matches!(*failure, HandshakeFailure::Status { status: 403, .. }), "{failure:?}");
    connection.open(URL).await.unwrap();
}

#[tokio::test]
async fn a_response_may_be_as_long_as_the_options_say() {
    for (max_head, wanted) in [(16 << 10, false), (32 << 10, true)] {
        let mut options = ClientOptions::default();
        options.max_head = max_head;
        let connection = connect(options).await;
        let opened = connection.open("ws://server.example.com/long").await;
        assert_eq!(opened.is_ok(), wanted, "{max_head}: {:?}", opened.err());
    }
}

#[tokio::test]
async fn a_server_that_does_not_enable_the_protocol_is_told_apart() {
    let connected = Connector::default().connect_http2_stream(server(false), URL).await;
    let Err(Error::Handshake(failure)) = connected else { panic!("{:?}", connected.err()) };
    assert_eq!(*failure, HandshakeFailure::Http2(Http2Failure::NotEnabled));
}

#[tokio::test]
async fn a_url_of_another_server_is_refused() {
    let connection = connect(ClientOptions::default()).await;
    for url in ["ws://other.example.com/chat", "ws://server.example.com:81/chat"] {
        let opened = connection.open(url).await;
        assert!(matches!(opened, Err(Error::Url(_))), "{url}: {:?}", opened.err());
    }
    connection.open("ws://SERVER.example.com:80/chat").await.unwrap();
}

/// What a server answers to a request by another client.
async fn answer(request: Request<()>) -> Response<h2::RecvStream> {
    let (mut requests, connection) = h2::client::handshake(server(true)).await.unwrap();
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            _ = connection => {}
            _ = gone => {}
        }
    });
    // The settings have come once any request has been answered.
    let page = Request::get("http://server.example.com/").body(()).unwrap();
    requests.send_request(page, true).unwrap().0.await.unwrap();
    let (response, _stream) = requests.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    drop(alive);
    response
}

fn extended_connect(protocol: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = "https://server.example.com/chat".parse().unwrap();
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request.extensions_mut().extend(
        protocol
            .map(|protocol| {
                let mut extensions = http::Extensions::new();
                extensions.insert(Protocol::from(protocol));
                extensions
            })
            .unwrap_or_default(),
    );
    request
}

#[tokio::test]
async fn the_server_answers_extended_connect_with_200_and_without_a_key() {
    let mut request = extended_connect(Some("websocket"));
    request.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
    let response = answer(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(response.headers()["set-cookie"], "a=b");
    for name in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn the_server_refuses_what_is_no_websocket() {
    let other = answer(extended_connect(Some("connect-udp"))).await;
    assert_eq!(other.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(!other.headers().contains_key("connection"));

    let mut version = extended_connect(Some("websocket"));
    version.headers_mut().insert("sec-websocket-version", "8".parse().unwrap());
    let version = answer(version).await;
    assert_eq!(version.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(version.headers()["sec-websocket-version"], "13");

    let get = Request::get("https://server.example.com/chat").version(Version::HTTP_2);
    assert_eq!(answer(get.body(()).unwrap()).await.status(), StatusCode::BAD_REQUEST);

    let mut origin = extended_connect(Some("websocket"));
    origin.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(answer(origin).await.status(), StatusCode::FORBIDDEN);
}

/// How many of these messages a server could send, why no more, after how long, and how many bytes it had
/// left to write.
async fn sent_to_a_closed_window(
    config: Config,
    message: Vec<u8>,
) -> (usize, Error, Duration, usize) {
    let (client, server) = duplex(64 << 10);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut options = ServerOptions::default();
    options.config = config.into();
    let acceptor = Acceptor::new(options);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (response, socket) =
            acceptor.upgrade(&mut request, |_| Ok(Accept::default())).ok().unwrap();
        let (told, message) = (told.clone(), message.clone());
        tokio::spawn(async move {
            let mut ws = socket.await.unwrap();
            let (before, mut taken) = (tokio::time::Instant::now(), 0);
            let error = loop {
                match ws.send(&message).await {
                    Ok(()) => taken += 1,
                    Err(error) => break error,
                }
                // Hyper's own task takes what it can.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            };
            let left = ws.counters().bytes_queued;
            told.send((taken, error, before.elapsed(), left)).unwrap();
        });
        async { Ok::<_, Infallible>(response) }
    });
    tokio::spawn(async move {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.enable_connect_protocol();
        let _ = http.serve_connection(TokioIo::new(server), service).await;
    });
    let (mut requests, mut connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(client)
        .await
        .unwrap();
    // The settings have come before the answer to the first ping.
    let mut pings = connection.ping_pong().unwrap();
    let ping = pings.ping(h2::Ping::opaque());
    tokio::select! { _ = &mut connection => panic!(), pong = ping => pong.unwrap() };
    let _stream = requests.send_request(extended_connect(Some("websocket")), false).unwrap();
    tokio::select! { _ = connection => panic!(), heard = heard.recv() => heard.unwrap() }
}

#[tokio::test(start_paused = true)]
async fn of_a_server_whose_peer_never_opens_the_window_hyper_takes_two_writes_and_no_more() {
    let mut config = Config::default();
    config.keepalive = None;
    config.write_timeout = Duration::from_secs(7);
    let sent = sent_to_a_closed_window(config.clone(), vec![1; 5]).await;
    let (taken, error, after, _) = sent;
    assert!(matches!(error, Error::Timeout(wstokio::Timeout::Write)), "{error}");
    assert_eq!((taken, after.as_secs()), (2, 7));
    // Nor does it take, and copy, more than 64 KiB in each.
    let (taken, _, after, left) = sent_to_a_closed_window(config, vec![1; 1 << 20]).await;
    assert_eq!((taken, after.as_secs()), (0, 7));
    assert!(left >= (1 << 20) - 2 * (64 << 10), "{left}");
}
