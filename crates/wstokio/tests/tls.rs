//! WebSockets over TLS: how they open, and how they end with and without a close_notify.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod tls_support;

use std::{sync::Arc, time::Duration};

use tls_support::Authority;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
};
use wsconn::{CloseCause, Side};
use wstest::{
    drive::KEY,
    reference::{self, Frame},
};
use wstokio::{
    Acceptor, CloseCode, CloseInfo, Config, Connector, Error, Message, Timeout, WebSocket,
    opening::ServerOptions,
    tls::{TlsAcceptor, TlsStream},
};

async fn echo<S>(ws: &mut WebSocket<S>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        tx.feed(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn messages_of_any_size_go_both_ways_over_tls_and_both_sides_close_cleanly() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server("localhost"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/chat?a=b", listener.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = acceptor.accept(tcp).await.unwrap();
        let mut ws = Acceptor::default()
            .accept_with(tls, |request| {
                assert_eq!(request.path(), "/chat");
                Ok(Default::default())
            })
            .await
            .unwrap();
        echo(&mut ws).await.unwrap();
        ws.close_info().unwrap().clone()
    });
    let mut ws = Connector::default().tls(authority.client()).connect(&url).await.unwrap();
    for len in [0, 1, 125, 126, 16_000, 70_000, 3_000_000] {
        let message = vec![len as u8; len];
        let (rx, tx) = ws.halves();
        let (sent, received) = tokio::join!(tx.send(&message[..]), rx.recv());
        sent.unwrap();
        assert!(received.unwrap() == Some(Message::Binary(&message)), "{len} bytes");
    }
    ws.close(CloseCode::NORMAL, "bye").await.unwrap();
    for info in [ws.close_info().unwrap(), &serving.await.unwrap()] {
        assert!(info.clean && info.code == CloseCode::NORMAL, "{info}");
    }
}

/// What the two ends of a stream of this capacity open: a WebSocket over TLS, and the TLS stream of
/// its client.
async fn server_and_client(
    capacity: usize,
    config: Config,
) -> (WebSocket<Box<TlsStream<DuplexStream>>>, tokio_rustls::client::TlsStream<DuplexStream>) {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server("localhost"));
    let (ours, theirs) = duplex(capacity);
    let mut options = ServerOptions::default();
    options.config = Arc::new(config);
    let accept = async {
        let tls = acceptor.accept(ours).await.unwrap();
        Acceptor::new(options).accept(tls).await.unwrap()
    };
    let connect = async {
        let mut tls = authority.connect(theirs).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        tls.write_all(request.as_bytes()).await.unwrap();
        tls.flush().await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            response.push(tls.read_u8().await.unwrap());
        }
        tls
    };
    tokio::join!(accept, connect)
}

fn close_frame() -> Vec<u8> {
    Frame::new(8, 1000_u16.to_be_bytes()).masked(Some(KEY)).encode()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The byte stream ends, and TLS says nothing of it.
    Cut,
    CloseNotify,
}

/// The client ends the stream, before the closing handshake or after it.
async fn end_of_client(closing: bool, end: End) -> (Result<bool, Error>, CloseInfo) {
    let (mut ws, mut client) = server_and_client(64 << 10, Config::default()).await;
    let client = async move {
        if closing {
            client.write_all(&close_frame()).await.unwrap();
            client.flush().await.unwrap();
            let mut frame = [0; 4];
            client.read_exact(&mut frame).await.unwrap();
            assert_eq!(frame, [0x88, 2, 3, 0xe8]);
        }
        if end == End::CloseNotify {
            client.shutdown().await.unwrap();
        }
    };
    let (received, ()) = tokio::join!(async { ws.recv().await.map(|end| end.is_some()) }, async {
        client.await;
    });
    (received, ws.close_info().unwrap().clone())
}

#[tokio::test]
async fn an_end_before_the_closing_handshake_is_abnormal_with_close_notify_or_without() {
    for end in [End::Cut, End::CloseNotify] {
        let (received, info) = end_of_client(false, end).await;
        assert!(matches!(received, Ok(false)), "{end:?}: {received:?}");
        assert!(!info.clean, "{end:?}: {info}");
        assert_eq!((info.code.get(), info.by, info.cause), (1006, Side::Peer, CloseCause::Eof));
    }
}

#[tokio::test]
async fn after_the_closing_handshake_no_close_notify_is_missed() {
    for end in [End::Cut, End::CloseNotify] {
        let (received, info) = end_of_client(true, end).await;
        assert!(matches!(received, Ok(false)), "{end:?}: {received:?}");
        assert!(info.clean, "{end:?}: {info}");
        assert_eq!((info.code.get(), info.cause), (1000, CloseCause::Handshake));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_notify_is_sent_however_the_connection_ends() {
    // The peer closes; it breaks the protocol; it says nothing more.
    for input in [close_frame(), vec![0xff; 2], Vec::new()] {
        let (mut ws, mut client) = server_and_client(64 << 10, Config::default()).await;
        let reading = async {
            client.write_all(&input).await.unwrap();
            client.flush().await.unwrap();
            let mut read = Vec::new();
            // rustls makes an error of an end without a close_notify.
            client.read_to_end(&mut read).await.unwrap();
            reference::decode(&read);
        };
        let end = async {
            // Also where the keepalive is not answered.
            let _ = echo(&mut ws).await;
        };
        tokio::join!(reading, end);
    }
}

#[tokio::test]
async fn a_client_that_closes_sends_a_close_notify() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server("localhost"));
    let (ours, theirs) = duplex(64 << 10);
    let connector = Connector::default().tls(authority.client());
    let serving = async {
        let mut tls = acceptor.accept(theirs).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tls.read_u8().await.unwrap());
        }
        let mut slots = wshandshake::HeaderSlots::new();
        let request = wshandshake::Request::parse(&request, &mut slots).unwrap();
        let mut response = String::new();
        request.write_accept(&mut response, &wshandshake::Accept::default()).unwrap();
        tls.write_all(response.as_bytes()).await.unwrap();
        let mut frame = [0; 8];
        tls.read_exact(&mut frame).await.unwrap();
        tls.write_all(&[0x88, 2, 3, 0xe8]).await.unwrap();
        tls.shutdown().await.unwrap();
        assert_eq!(tls.read(&mut [0]).await.unwrap(), 0);
    };
    let talking = async {
        let mut ws = connector.connect_stream(ours, "wss://localhost/").await.unwrap();
        ws.close(CloseCode::NORMAL, "").await.unwrap();
        assert!(ws.close_info().unwrap().clean);
        ws
    };
    tokio::join!(serving, talking);
}

#[tokio::test(start_paused = true)]
async fn what_tls_holds_back_for_a_peer_that_does_not_read_counts_as_not_written() {
    let mut config = Config::default();
    config.keepalive = None;
    config.write_timeout = Duration::from_secs(30);
    // TLS takes some of it, and the stream little.
    let (mut ws, client) = server_and_client(1024, config).await;
    let before = tokio::time::Instant::now();
    let sent = tokio::time::timeout(Duration::from_secs(99), ws.send(&[7; 20_000][..])).await;
    let sent = sent.unwrap();
    assert!(matches!(sent, Err(Error::Timeout(Timeout::Write))), "{sent:?}");
    assert_eq!(before.elapsed().as_secs(), 30);
    drop(client);
}

#[tokio::test]
async fn a_plain_url_is_plain_with_tls_configured_too() {
    let (ours, theirs) = duplex(1024);
    let connector = Connector::default().tls(Authority::new().client());
    let (ws, accepted) = tokio::join!(connector.connect_stream(ours, "ws://a/"), async {
        let mut first = [0; 4];
        let mut theirs = theirs;
        theirs.read_exact(&mut first).await.unwrap();
        first
    });
    assert_eq!(&accepted, b"GET ");
    assert!(ws.is_err());
}
