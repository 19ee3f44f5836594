//! permessage-deflate over TCP: what is sent compressed comes back, and who misuses it harms nobody
//! else.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

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

/// A client that does as it pleases, on a thread of its own.
fn attack(
    addr: SocketAddr,
    frames: Arc<Vec<u8>>,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<u32> {
    thread::spawn(move || {
        let mut done = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut tcp = std::net::TcpStream::connect(addr).unwrap();
            tcp.write_all(OFFER).unwrap();
            let mut head = [0; 1024];
            assert!(tcp.read(&mut head).unwrap() > 100);
            // Again and again, until the server has had enough and says so.
            tcp.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            while tcp.write_all(&frames).is_ok() && !stop.load(Ordering::Relaxed) {
                done += 1;
                let refused = tcp.read(&mut head).is_ok_and(|_| head[0] == 0x88);
                if refused {
                    break;
                }
            }
        }
        done
    })
}

/// A frame of a client with this compressed payload; its key is nothing, so that it needs no masking.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xc2, 0xff];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The 99th percentile of how long an echo takes on the thread that is attacked.
fn latency_under(attackers: usize, frames: Vec<u8>) -> Duration {
    let addr = serve(acceptor(true, 16 << 20));
    let stop = Arc::new(AtomicBool::new(false));
    let frames = Arc::new(frames);
    let attacks: Vec<_> =
        (0..attackers).map(|_| attack(addr, frames.clone(), stop.clone())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut took = runtime.block_on(async {
        let mut ws = connector(false).connect(&format!("ws://{addr}")).await.unwrap();
        let mut took = Vec::new();
        for _ in 0..300 {
            let sent = Instant::now();
            ws.send("are you there?").await.unwrap();
            assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("are you there?")));
            took.push(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took
    });
    stop.store(true, Ordering::Relaxed);
    let done: u32 = attacks.into_iter().map(|attack| attack.join().unwrap()).sum();
    took.sort();
    let [p50, p99, max] = [took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1]];
    println!("{attackers} attackers, {done} messages: p50 {p50:?}, p99 {p99:?}, max {max:?}");
    p99
}

fn assert_short(latency: Duration) {
    assert!(latency <= Duration::from_millis(50), "{latency:?}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a figure of the clock: run it with --release")]
fn a_stream_of_empty_blocks_does_not_hold_the_thread() {
    let payload = [&[0, 0, 0, 0xff, 0xff].repeat(1_000_000)[..], &[0]].concat();
    assert_short(latency_under(1, frame(&payload)));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a figure of the clock: run it with --release")]
fn bombs_do_not_hold_the_thread() {
    // Long matches of zeros: a block with a code of its own, 1000:1.
    let mut config = Config::default();
    config.max_outgoing = usize::MAX;
    let mut server = wsconn::Connection::server(Arc::new(config), wsconn::Time::ZERO);
    let mut deflate = options(false);
    deflate.level = 9;
    server.enable_deflate(deflate);
    server.send(&vec![0; 64 << 20]).unwrap();
    let payload: Vec<u8> =
        decode(server.outgoing()).into_iter().flat_map(|frame| frame.payload).collect();
    // Each becomes 16 MiB before it is stopped. With 64 at once it is the kernel's work to give and
    // take a gigabyte that shows, so that the figure only informs.
    assert_short(latency_under(8, frame(&payload)));
    latency_under(64, frame(&payload));
}
