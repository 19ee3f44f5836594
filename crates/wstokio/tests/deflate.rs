//! permessage-deflate over TCP: what is sent compressed comes back.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{net::SocketAddr, sync::Arc, thread};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wstest::reference::{Frame, decode};
use wstokio::{
    Acceptor, CloseCode, Config, Connector, Message, PreparedMessage, WebSocket,
    deflate::{Compress, DeflateOptions},
    opening::{ClientOptions, OriginPolicy, ServerOptions},
};

/// The request of a client that offers to compress.
const OFFER: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
      Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn options(takeover: bool) -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.context_takeover = takeover;
    options.peer_context_takeover = takeover;
    options.min_size = 0;
    options
}

fn acceptor(takeover: bool, limit: u64) -> Acceptor {
    let mut config = Config::default();
    config.max_message_size = limit;
    let mut server = ServerOptions::default();
    server.config = Arc::new(config);
    server.origin = OriginPolicy::Any;
    server.deflate = Some(options(takeover));
    Acceptor::new(server)
}

fn connector(takeover: bool) -> Connector {
    let mut client = ClientOptions::default();
    client.deflate = Some(options(takeover));
    Connector::new(client)
}

/// An echo server on a thread of its own, which is all that it has.
fn serve(acceptor: Acceptor) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move { echo(acceptor.accept(tcp).await?).await });
            }
        });
    });
    told.recv().unwrap()
}

async fn echo(mut ws: WebSocket<tokio::net::TcpStream>) -> Result<(), wstokio::Error> {
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        tx.feed(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_sent_comes_back() {
    for takeover in [false, true] {
        let addr = serve(acceptor(takeover, 16 << 20));
        let mut ws = connector(takeover).connect(&format!("ws://{addr}")).await.unwrap();
        for len in [0_u64, 1, 125, 1000, 65_535, 65_536, 1 << 20] {
            let text: String = (0..len).map(|at| char::from(b'a' + (at * at % 19) as u8)).collect();
            for message in [Message::Text(&text), Message::Binary(text.as_bytes())] {
                ws.send(message).await.unwrap();
                assert_eq!(ws.recv().await.unwrap(), Some(message));
            }
        }
        // In parts, both ways.
        for part in 0..100 {
            ws.feed_fragment("part after part ", part == 99).await.unwrap();
        }
        ws.flush().await.unwrap();
        let mut received = Vec::new();
        loop {
            let chunk = ws.recv_chunk().await.unwrap().unwrap();
            assert!(chunk.data.len() <= 64 << 10);
            received.extend_from_slice(chunk.data);
            if chunk.last {
                break;
            }
        }
        assert_eq!(received, "part after part ".repeat(100).as_bytes());
        ws.close(CloseCode::NORMAL, "").await.unwrap();
        assert!(ws.close_info().unwrap().clean);
    }
}

/// What a server has written behind its response.
async fn written_by(
    server: impl AsyncFnOnce(&mut WebSocket<tokio::io::DuplexStream>),
) -> Vec<Frame> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    theirs.write_all(OFFER).await.unwrap();
    let mut ws = acceptor(true, 16 << 20).accept(ours).await.unwrap();
    server(&mut ws).await;
    drop(ws);
    let mut bytes = Vec::new();
    theirs.read_to_end(&mut bytes).await.unwrap();
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    decode(&bytes[head..])
}

#[tokio::test]
async fn each_message_is_compressed_or_not_as_the_sender_chooses() {
    let text = "again and ".repeat(30);
    let frames = written_by(async |ws| {
        for compress in [Compress::Yes, Compress::No, Compress::Auto] {
            ws.send_as(&text, compress).await.unwrap();
            ws.feed_as(&text, compress).await.unwrap();
            ws.feed_fragment_as(&text, false, compress).await.unwrap();
            ws.feed_fragment_as(&text, true, compress).await.unwrap();
            ws.flush().await.unwrap();
        }
    })
    .await;
    let rsv: Vec<_> = frames.iter().map(|frame| frame.rsv).collect();
    // Only the first frame of a message says it.
    assert_eq!(rsv, [4, 4, 4, 0, 0, 0, 0, 0, 4, 4, 4, 0]);
    for frame in frames {
        let plain = frame.payload == text.as_bytes();
        assert!(plain || frame.payload.len() < text.len() / 2);
    }
}

#[tokio::test]
async fn a_prepared_message_goes_out_in_its_plain_form_between_those_with_context() {
    for text in ["short".to_owned(), "long ".repeat(20_000)] {
        let prepared = PreparedMessage::new(&text);
        let frames = written_by(async |ws| {
            ws.send(&text).await.unwrap();
            ws.feed_prepared(&prepared).await.unwrap();
            ws.send_prepared(&prepared).await.unwrap();
        })
        .await;
        let rsv: Vec<_> = frames.iter().map(|frame| frame.rsv).collect();
        assert_eq!(rsv, [4, 0, 0]);
        assert_eq!(frames[1].payload, text.as_bytes());
        assert_eq!(frames[2].payload, text.as_bytes());
    }
}
