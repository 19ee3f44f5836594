//! What compression costs whoever shares the thread, and how often it allocates: counted, over a stream
//! in memory.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;
mod wire;

use std::{
    future::{Future, poll_fn},
    io::Write,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use support::{Piece, ROLES, Script, finish, from_peer_of, runtime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::Wire;
use wsconn::{Connection, Role};
use wstest::{
    alloc::{CountingAllocator, measure},
    compression,
    conformance::Outcome,
    drive::connection,
    reference::Frame,
};
use wstokio::{
    Acceptor, Connector, WebSocket,
    deflate::{Compress, DeflateOptions},
    opening::{ClientOptions, ServerOptions},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What a connection inflates at a time, in bytes.
const TURN: usize = 32 << 10;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn options(takeover: bool) -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.context_takeover = takeover;
    options.peer_context_takeover = takeover;
    options
}

/// The client's side of a connection, to write what the server receives.
fn client(takeover: bool) -> Connection {
    let mut client = connection(Role::Client, &Arc::default());
    client.enable_deflate(options(takeover));
    client
}

/// What a client sends to send this message.
fn compressed(client: &mut Connection, message: &[u8]) -> Vec<u8> {
    client.send_as(message, Compress::Yes).unwrap();
    let bytes = client.outgoing().to_vec();
    client.advance(bytes.len());
    bytes
}

/// The server's side of a connection that compresses, whose client sends `input`.
fn accept(mut input: Vec<(Vec<u8>, usize)>, takeover: bool) -> (Wire, WebSocket<Wire>) {
    input.insert(0, (REQUEST.into(), 1));
    let wire = Wire::new(input);
    let mut server = ServerOptions::default();
    server.deflate = Some(options(takeover));
    let acceptor = Acceptor::new(server);
    let mut accepting = pin!(acceptor.accept(wire.clone()));
    match wire.run(accepting.as_mut(), REQUEST.len()) {
        Poll::Ready(Ok(ws)) => (wire, ws),
        _ => panic!("the request is there"),
    }
}

#[test]
fn others_have_their_turn_after_each_32_kib_that_are_inflated() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let len = 4 << 20;
    let bytes = compressed(&mut client(false), &vec![0; len]);
    assert!(bytes.len() < 64 << 10, "all of it comes in one read");
    let size = bytes.len();
    let (wire, mut ws) = accept(vec![(bytes, 1)], false);
    let mut recv = pin!(async { ws.recv().await.unwrap().unwrap().as_bytes().len() });
    let mut more = size;
    let mut turns = 1;
    while wire.turn(recv.as_mut(), std::mem::take(&mut more)).is_pending() {
        turns += 1;
    }
    assert_eq!(wire.counts().reads, 2, "the request, and the message");
    assert!(turns >= len / TURN, "{turns} turns");
}

/// The work of 64 connections that bring nothing but bombs, between what another one on the thread is
/// asked and its answer: in turns, of which the test above says how long they are. Over TCP, since what
/// has arrived is only looked for between the turns.
#[test]
fn an_echo_waits_for_a_few_turns_of_each_of_64_bombs() {
    const BOMBS: usize = 64;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bomb = compressed(&mut client(false), &vec![0; 4 << 20]);
    let acceptor = {
        let mut server = ServerOptions::default();
        server.deflate = Some(options(false));
        Acceptor::new(server)
    };
    let turns = Arc::new(AtomicUsize::new(0));
    let mut waits = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut honest = tokio::net::TcpStream::connect(addr).await.unwrap();
        honest.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut ws = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        tokio::spawn(async move {
            let (rx, tx) = ws.halves();
            while let Some(message) = rx.recv().await.unwrap() {
                tx.send(message).await.unwrap();
            }
        });
        let mut response = [0; 512];
        assert!(honest.read(&mut response).await.unwrap() > 100);
        let mut bombers = Vec::new();
        for _ in 0..BOMBS {
            let mut tcp = std::net::TcpStream::connect(addr).unwrap();
            tcp.write_all(&[REQUEST.as_bytes(), &bomb].concat()).unwrap();
            bombers.push(tcp);
            let mut ws = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let turns = turns.clone();
            tokio::spawn(async move {
                let mut recv = pin!(ws.recv());
                let received = poll_fn(|cx| {
                    turns.fetch_add(1, Ordering::Relaxed);
                    recv.as_mut().poll(cx)
                });
                received.await.unwrap();
            });
        }
        let hello = from_peer_of(Role::Server, &[Frame::new(1, "hello")]);
        let mut waits = Vec::new();
        // While all of them have more to do.
        while turns.load(Ordering::Relaxed) < BOMBS * (4 << 20) / TURN / 2 {
            let before = turns.load(Ordering::Relaxed);
            honest.write_all(&hello).await.unwrap();
            let mut echo = [0; 7];
            honest.read_exact(&mut echo).await.unwrap();
            waits.push(turns.load(Ordering::Relaxed) - before);
        }
        waits
    });
    waits.sort_unstable();
    println!("turns of bombs while an echo was on its way: {waits:?}");
    // Two tasks wait for what has arrived: each until the runtime looks, which it does after every 61
    // turns, and then for one of each of the others.
    assert!(waits.len() > 10 && waits[waits.len() - 1] <= 2 * (61 + BOMBS) + 10, "{waits:?}");
}

/// Echoes until the end.
async fn echo(mut ws: WebSocket<Wire>) {
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await.unwrap() {
        tx.feed(message).await.unwrap();
    }
}

#[test]
fn a_steady_echo_allocates_nothing() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for takeover in [false, true] {
        for len in [200, 1024, 50 << 10, 100 << 10] {
            let message: Vec<u8> = (0..len).map(|at| (at * at / 7 % 23) as u8).collect();
            let mut client = client(takeover);
            let sent: Vec<_> = (0..110).map(|_| compressed(&mut client, &message)).collect();
            let sizes: Vec<_> = sent.iter().map(Vec::len).collect();
            let (wire, ws) = accept(vec![(sent.concat(), 1)], takeover);
            let mut task = pin!(echo(ws));
            let mut echo = |size: &usize| {
                let (mut more, waits) = (*size, wire.counts().waits);
                // It may give others their turn before it waits.
                while wire.counts().waits == waits {
                    assert!(wire.run(task.as_mut(), std::mem::take(&mut more)).is_pending());
                }
            };
            sizes[..10].iter().for_each(&mut echo);
            let before = wire.counts();
            let ((), usage) = measure(|| sizes[10..].iter().for_each(&mut echo));
            let after = wire.counts();
            let case = format!("{len} bytes, takeover {takeover}: {usage:?} {after:?}");
            assert_eq!((usage.allocations, usage.peak), (0, 0), "{case}");
            assert_eq!(after.writes - before.writes, 100, "{case}");
            assert!(after.written - before.written < 100 * len, "{case}");
        }
    }
}

/// Receives until nothing more comes.
async fn receive(mut ws: WebSocket<impl AsyncRead + AsyncWrite + Unpin>, outcome: &mut Outcome) {
    while let Some(message) = ws.recv().await.unwrap() {
        outcome.messages.push(message.to_owned());
    }
    outcome.close = ws.close_info().cloned();
}

#[test]
fn class_c_compression() {
    let runtime = runtime();
    let _guard = runtime.enter();
    compression::check(&ROLES, |role, config, takeover, input, most| {
        let input = match role {
            Role::Server => vec![Piece::Bytes([&compression::offer(), input].concat())],
            Role::Client => vec![Piece::Upgrade(input.to_vec())],
        };
        let script = Script { input, ends: true, read_max: most, ..Script::default() };
        let (stream, handle) = script.stream();
        let (config, deflate) = (Arc::new(config.clone()), Some(options(takeover)));
        let mut outcome = Outcome::default();
        finish(async {
            match role {
                Role::Server => {
                    let mut options = ServerOptions::default();
                    (options.config, options.deflate) = (config, deflate);
                    let ws = Acceptor::new(options).accept(stream).await.unwrap();
                    receive(ws, &mut outcome).await;
                }
                Role::Client => {
                    let mut options = ClientOptions::default();
                    (options.config, options.deflate) = (config, deflate);
                    let connector = Connector::new(options);
                    let ws = connector.connect_stream(stream, "ws://a/").await.unwrap();
                    receive(ws, &mut outcome).await;
                }
            }
        });
        outcome.written = compression::behind_head(&handle.seen().written);
        outcome
    });
}
