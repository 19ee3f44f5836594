//! A client against HTTP/2 servers that misbehave, frame by frame (RFC 9113): each is an error that says
//! which step failed and why.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};
use wstest::conformance::{KEYS, assert_fresh_keys};
use wstokio::{
    CloseCode, Connector, Error, Timeout,
    http2::{Http2, Http2Failure},
    opening::{ClientOptions, HandshakeError, HandshakeFailure},
};

const URL: &str = "ws://server.example.com/chat";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// ACK, or END_STREAM.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `SETTINGS_ENABLE_CONNECT_PROTOCOL = 1` (RFC 8441 §3).
const ENABLED: [u8; 6] = [0, 8, 0, 0, 0, 1];

/// `SETTINGS_MAX_CONCURRENT_STREAMS = 1`, and `2` (RFC 9113 §6.5.2).
const AT_MOST_1: [u8; 6] = [0, 3, 0, 0, 0, 1];
const AT_MOST_2: [u8; 6] = [0, 3, 0, 0, 0, 2];

/// `:status: 200`, and `:status: 404`, by the static table of HPACK.
const STATUS_200: [u8; 1] = [0x88];
const STATUS_404: [u8; 1] = [0x8d];

/// A server, by the frame.
struct Peer(DuplexStream);

/// A frame: its type, flags, stream and payload.
type Frame = (u8, u8, u32, Vec<u8>);

impl Peer {
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // A client that has gone takes none.
        let _ = self.0.write_all(&frame).await;
    }

    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], stream, payload))
    }

    /// The next frame of this type.
    async fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.0 == kind {
                return Some(frame);
            }
        }
    }

    /// Exchanges settings and answers the ping.
    async fn greet(&mut self, settings: &[u8]) {
        let mut preface = [0; 24];
        self.0.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        self.send(SETTINGS, 0, 0, settings).await;
        self.send(SETTINGS, ACK, 0, &[]).await;
        let (.., payload) = self.wait_for(PING).await.unwrap();
        self.send(PING, ACK, 0, &payload).await;
    }

    /// Greets, and takes a request; gives its stream.
    async fn requested(&mut self) -> u32 {
        self.greet(&ENABLED).await;
        self.wait_for(HEADERS).await.unwrap().2
    }

    /// Greets, and accepts a WebSocket; gives its stream.
    async fn accepted(&mut self) -> u32 {
        let stream = self.requested().await;
        self.send(HEADERS, END_HEADERS, stream, &STATUS_200).await;
        stream
    }

    /// As [`accepted`](Self::accepted), and allows no further stream.
    async fn accepted_at_the_limit(&mut self) -> u32 {
        self.greet(&[ENABLED, AT_MOST_1].concat()).await;
        let stream = self.wait_for(HEADERS).await.unwrap().2;
        self.send(HEADERS, END_HEADERS, stream, &STATUS_200).await;
        stream
    }

    /// Accepts all WebSockets until the client is gone; gives their streams.
    async fn accept_all(&mut self) -> Vec<u32> {
        let mut streams = Vec::new();
        while let Some((.., stream, _)) = self.wait_for(HEADERS).await {
            self.send(HEADERS, END_HEADERS, stream, &STATUS_200).await;
            streams.push(stream);
        }
        streams
    }

    /// Reads until the client is gone.
    async fn idle(mut self) {
        while self.next().await.is_some() {}
    }
}

/// Connects to a server that does this.
async fn connect<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(Peer) -> F,
) -> Result<Http2, Error> {
    let (client, peer) = duplex(1 << 20);
    tokio::spawn(server(Peer(peer)));
    Connector::default().connect_http2_stream(client, URL).await
}

async fn opened<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(Peer) -> F,
) -> HandshakeFailure {
    let Err(Error::Handshake(failure)) = connect(server).await.unwrap().open(URL).await else {
        panic!("it was to fail in the handshake");
    };
    *failure
}

#[tokio::test]
async fn settings_without_the_protocol_are_told_before_a_request_is_sent() {
    for settings in [&[][..], &[0, 8, 0, 0, 0, 0]] {
        let (done, checked) = tokio::sync::oneshot::channel();
        let connected = connect(async move |mut peer: Peer| {
            peer.greet(settings).await;
            let mut requests = 0;
            while let Some(frame) = peer.next().await {
                requests += usize::from(frame.0 == HEADERS);
            }
            let _ = done.send(requests);
        });
        let error = connected.await.unwrap_err();
        let Error::Handshake(failure) = &error else { panic!("{error}") };
        assert_eq!(**failure, HandshakeFailure::Http2(Http2Failure::NotEnabled));
        assert!(error.to_string().contains("SETTINGS_ENABLE_CONNECT_PROTOCOL"), "{error}");
        assert_eq!(checked.await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_server_that_speaks_http_1_is_a_violation() {
    let error = connect(async |mut peer: Peer| {
        peer.0.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        peer.idle().await;
    });
    let error = error.await.unwrap_err();
    let Error::Handshake(failure) = error else { panic!("{error}") };
    let HandshakeFailure::Http2(Http2Failure::Violation { .. }) = *failure else {
        panic!("{failure}")
    };
}

#[tokio::test]
async fn a_server_that_goes_away_at_once_is_told() {
    let error = connect(async |mut peer: Peer| {
        peer.send(SETTINGS, 0, 0, &ENABLED).await;
        peer.send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 13]).await;
        peer.idle().await;
    });
    let error = error.await.unwrap_err();
    let Error::Handshake(failure) = &error else { panic!("{error}") };
    assert_eq!(**failure, HandshakeFailure::Http2(Http2Failure::GoAway { code: 13 }));
    assert!(error.to_string().contains("HTTP_1_1_REQUIRED"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let before = Instant::now();
    let error = connect(Peer::idle).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Handshake)), "{error}");
    assert_eq!(before.elapsed(), Duration::from_secs(10));

    let connection = connect(async |mut peer: Peer| {
        peer.greet(&ENABLED).await;
        peer.idle().await;
    });
    let error = connection.await.unwrap().open(URL).await.err().unwrap();
    assert!(matches!(error, Error::Timeout(Timeout::Handshake)), "{error}");
}

#[tokio::test]
async fn a_request_that_is_reset_is_told_with_its_code() {
    for (code, name) in [(7, "REFUSED_STREAM"), (8, "CANCEL"), (1, "PROTOCOL_ERROR")] {
        let failure = opened(async move |mut peer: Peer| {
            let stream = peer.requested().await;
            peer.send(RST_STREAM, 0, stream, &[0, 0, 0, code]).await;
            peer.idle().await;
        });
        let failure = failure.await;
        let code = u32::from(code);
        assert_eq!(failure, HandshakeFailure::Http2(Http2Failure::Reset { code }));
        assert!(failure.to_string().contains(name), "{failure}");
    }
}

#[tokio::test]
async fn a_goaway_before_the_answer_is_told_and_so_is_one_before_the_next_request() {
    let failure = opened(async |mut peer: Peer| {
        peer.requested().await;
        peer.send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]).await;
        peer.idle().await;
    });
    assert_eq!(failure.await, HandshakeFailure::Http2(Http2Failure::GoAway { code: 11 }));

    let (gone, going) = tokio::sync::oneshot::channel();
    let connection = connect(async |mut peer: Peer| {
        let stream = peer.accepted().await;
        // The socket that is open goes on, a new one is not opened.
        peer.send(GOAWAY, 0, 0, &[0, 0, 0, stream.to_be_bytes()[3], 0, 0, 0, 0]).await;
        peer.send(DATA, 0, stream, b"\x81\x02hi").await;
        let _ = gone.send(());
        peer.idle().await;
    });
    let connection = connection.await.unwrap();
    let mut ws = connection.open(URL).await.unwrap();
    going.await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some("hi".into()));
    let error = connection.open(URL).await.err().unwrap();
    let Error::Handshake(failure) = error else { panic!("{error}") };
    assert_eq!(*failure, HandshakeFailure::Http2(Http2Failure::GoAway { code: 0 }));
}

#[tokio::test]
async fn a_status_other_than_2xx_is_told_and_so_is_what_was_not_offered() {
    let failure = opened(async |mut peer: Peer| {
        let stream = peer.requested().await;
        peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &STATUS_404).await;
        peer.idle().await;
    });
    assert!(matches!(failure.await, HandshakeFailure::Status { status: 404, .. }));

    let failure = opened(async |mut peer: Peer| {
        let stream = peer.requested().await;
        // A literal header without indexing, with a name of its own.
        let name = b"sec-websocket-protocol";
        let mut block = STATUS_200.to_vec();
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name);
        block.extend(b"\x04chat");
        peer.send(HEADERS, END_HEADERS, stream, &block).await;
        peer.idle().await;
    });
    assert_eq!(failure.await, HandshakeFailure::Peer(HandshakeError::SubprotocolNotOffered));
}

/// What the client's socket meets after it was opened.
async fn lost<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(Peer) -> F,
) -> (Error, bool) {
    let mut ws = connect(server).await.unwrap().open(URL).await.unwrap();
    let error = ws.recv().await.unwrap_err();
    assert_eq!(ws.recv().await.unwrap(), None, "{error}");
    let info = ws.close_info().unwrap();
    assert_eq!(info.code, CloseCode::ABNORMAL, "{error}");
    (error, info.clean)
}

/// The failure of HTTP/2 inside an error of the byte stream.
fn failure(error: &Error) -> Http2Failure {
    let Error::Io(error) = error else { panic!("{error}") };
    *error.get_ref().unwrap().downcast_ref::<Http2Failure>().unwrap()
}

#[tokio::test]
async fn a_stream_that_is_reset_is_an_abnormal_end_with_its_code() {
    for code in [0, 2, 8] {
        let (error, clean) = lost(async move |mut peer: Peer| {
            let stream = peer.accepted().await;
            peer.send(RST_STREAM, 0, stream, &[0, 0, 0, code]).await;
            peer.idle().await;
        })
        .await;
        assert_eq!(failure(&error), Http2Failure::Reset { code: code.into() });
        assert!(!clean);
    }
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_a_violation_that_ends_the_connection() {
    let (error, clean) = lost(async |mut peer: Peer| {
        let stream = peer.accepted().await;
        peer.send(DATA, 0, stream, &vec![0; (16 << 10) + 1]).await;
        peer.idle().await;
    })
    .await;
    assert_eq!(failure(&error), Http2Failure::Violation { code: 6 });
    assert!(error.to_string().contains("FRAME_SIZE_ERROR") && !clean, "{error}");
}

#[tokio::test]
async fn a_server_that_overruns_the_window_of_a_socket_that_is_not_read_is_a_violation() {
    let (over, overrun) = tokio::sync::oneshot::channel();
    let connection = connect(async |mut peer: Peer| {
        let stream = peer.accepted().await;
        peer.send(DATA, 0, stream, &[&[0x82, 127][..], &(1_u64 << 20).to_be_bytes()].concat())
            .await;
        for _ in 0..=(256 << 10) / 16_000 {
            peer.send(DATA, 0, stream, &[0; 16_000]).await;
        }
        // FLOW_CONTROL_ERROR, for the stream or the whole connection.
        let code = loop {
            match peer.next().await.unwrap() {
                (RST_STREAM, _, _, payload) => break payload[3],
                (GOAWAY, _, _, payload) => break payload[7],
                _ => {}
            }
        };
        let _ = over.send(code);
        peer.idle().await;
    });
    let mut ws = connection.await.unwrap().open(URL).await.unwrap();
    assert_eq!(overrun.await.unwrap(), 3);
    let error = ws.recv().await.unwrap_err();
    assert_eq!(failure(&error), Http2Failure::Violation { code: 3 });
}

#[tokio::test]
async fn the_end_of_the_byte_stream_ends_every_socket() {
    let (error, clean) = lost(async |mut peer: Peer| {
        peer.accepted().await;
    })
    .await;
    assert!(matches!(error, Error::Io(_)) && !clean, "{error}");
}

#[tokio::test]
async fn end_stream_is_the_end_of_the_stream_in_both_directions() {
    // Without a close frame it is abnormal, and no error.
    let (ended, client_ended) = tokio::sync::oneshot::channel();
    let connection = connect(async |mut peer: Peer| {
        let stream = peer.accepted().await;
        peer.send(DATA, END_STREAM, stream, b"").await;
        while peer.wait_for(DATA).await.unwrap().1 & END_STREAM == 0 {}
        let _ = ended.send(());
        peer.idle().await;
    });
    let mut ws = connection.await.unwrap().open(URL).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
    assert!(!ws.close_info().unwrap().clean);
    client_ended.await.unwrap();

    // With both close frames it is clean, and the client ends its side without a reset.
    let (done, checked) = tokio::sync::oneshot::channel();
    let connection = connect(async |mut peer: Peer| {
        let stream = peer.accepted().await;
        peer.send(DATA, END_STREAM, stream, b"\x88\x02\x03\xe8").await;
        let mut kinds = Vec::new();
        while let Some((kind, flags, at, _)) = peer.next().await {
            if at == stream && kind != WINDOW_UPDATE {
                kinds.push((kind, flags));
            }
        }
        let _ = done.send(kinds);
    });
    let mut ws = connection.await.unwrap().open(URL).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
    let info = ws.close_info().unwrap();
    assert!(info.clean && info.code == CloseCode::NORMAL, "{info:?}");
    drop(ws);
    assert_eq!(checked.await.unwrap(), [(DATA, 0), (DATA, END_STREAM)]);
}

#[tokio::test]
async fn a_socket_that_is_dropped_is_reset_with_cancel() {
    let (done, checked) = tokio::sync::oneshot::channel();
    let connection = connect(async |mut peer: Peer| {
        peer.accepted().await;
        let _ = done.send(peer.wait_for(RST_STREAM).await.unwrap().3);
        peer.idle().await;
    });
    let connection = connection.await.unwrap();
    drop(connection.open(URL).await.unwrap());
    assert_eq!(checked.await.unwrap(), [0, 0, 0, 8]);
}

#[tokio::test]
async fn each_frame_of_a_client_has_a_key_of_its_own() {
    let (done, checked) = tokio::sync::oneshot::channel();
    let connection = connect(async |mut peer: Peer| {
        peer.accepted().await;
        let mut bytes = Vec::new();
        // Each is a header, a key and a byte.
        while bytes.len() < KEYS * 7 {
            bytes.extend(peer.wait_for(DATA).await.unwrap().3);
        }
        let _ = done.send(bytes);
        peer.idle().await;
    });
    let mut ws = connection.await.unwrap().open(URL).await.unwrap();
    for _ in 0..KEYS {
        ws.send("x").await.unwrap();
    }
    assert_fresh_keys(&checked.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_never_opened_is_a_write_timeout() {
    let mut options = ClientOptions::default();
    let mut config = wstokio::Config::default();
    config.keepalive = None;
    config.write_timeout = Duration::from_secs(7);
    options.config = config.into();
    let (client, peer) = duplex(1 << 20);
    let serving = tokio::spawn(async move {
        let mut peer = Peer(peer);
        // No stream may send a byte.
        peer.greet(&[&ENABLED[..], &[0, 4, 0, 0, 0, 0]].concat()).await;
        let stream = peer.wait_for(HEADERS).await.unwrap().2;
        peer.send(HEADERS, END_HEADERS, stream, &STATUS_200).await;
        while let Some(frame) = peer.next().await {
            assert_ne!(frame.0, DATA, "the window is closed");
        }
    });
    let connection = Connector::new(options).connect_http2_stream(client, URL).await.unwrap();
    let mut ws = connection.open(URL).await.unwrap();
    let before = Instant::now();
    let error = ws.send("hello").await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Write)), "{error}");
    assert_eq!(before.elapsed(), Duration::from_secs(7));
    drop((ws, connection));
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_is_given_up_at_the_limit_of_the_server_has_sent_no_request() {
    for dropped in [false, true] {
        let (done, checked) = tokio::sync::oneshot::channel();
        let (end, ending) = tokio::sync::oneshot::channel();
        let connection = connect(async move |mut peer: Peer| {
            let stream = peer.accepted_at_the_limit().await;
            ending.await.unwrap();
            if !dropped {
                peer.send(DATA, END_STREAM, stream, b"\x88\x02\x03\xe8").await;
            }
            let _ = done.send(peer.accept_all().await);
        });
        let connection = connection.await.unwrap();
        let mut first = connection.open(URL).await.unwrap();
        for _ in 0..30 {
            let error = connection.open(URL).await.err().unwrap();
            assert!(matches!(error, Error::Timeout(Timeout::Handshake)), "{error}");
        }
        end.send(()).unwrap();
        let sockets = if dropped {
            drop(first);
            (connection.open(URL).await.unwrap(), None)
        } else {
            // It has ended, and is still there.
            let (second, received) = tokio::join!(connection.open(URL), first.recv());
            assert_eq!(received.unwrap(), None);
            (second.unwrap(), Some(first))
        };
        drop((sockets, connection));
        assert_eq!(checked.await.unwrap(), [3], "dropped: {dropped}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_the_limit_goes_on_when_it_is_raised_and_is_told_of_a_goaway() {
    let connection = connect(async |mut peer: Peer| {
        let stream = peer.accepted_at_the_limit().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        peer.send(SETTINGS, 0, 0, &AT_MOST_2).await;
        let second = peer.wait_for(HEADERS).await.unwrap().2;
        assert_ne!(second, stream);
        peer.send(HEADERS, END_HEADERS, second, &STATUS_200).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        peer.send(GOAWAY, 0, 0, &[0, 0, 0, second.to_be_bytes()[3], 0, 0, 0, 0]).await;
        peer.idle().await;
    });
    let connection = connection.await.unwrap();
    let _first = connection.open(URL).await.unwrap();
    let _second = connection.open(URL).await.unwrap();
    let before = Instant::now();
    let (third, fourth) = tokio::join!(connection.open(URL), connection.open(URL));
    for opened in [third, fourth] {
        let Some(Error::Handshake(failure)) = opened.err() else { panic!() };
        assert_eq!(*failure, HandshakeFailure::Http2(Http2Failure::GoAway { code: 0 }));
    }
    assert_eq!(before.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_nobody_has_any_more_is_given_up_where_the_server_does_not_read() {
    let (client, peer) = duplex(4 << 10);
    let serving = tokio::spawn(async {
        let mut peer = Peer(peer);
        peer.accepted().await;
        peer
    });
    let connection = Connector::default().connect_http2_stream(client, URL).await.unwrap();
    let mut ws = connection.open(URL).await.unwrap();
    let mut peer = serving.await.unwrap();
    let second = Duration::from_secs(1);
    tokio::time::timeout(second, ws.send(&vec![7; 1 << 20])).await.unwrap_err();
    drop(connection);
    tokio::time::sleep(60 * second).await;
    drop(ws);
    // Within `fin_timeout` the server may read on.
    tokio::time::sleep(second).await;
    peer.0.write_all(&[0]).await.unwrap();
    tokio::time::sleep(2 * second).await;
    peer.0.write_all(&[0]).await.unwrap_err();
}
