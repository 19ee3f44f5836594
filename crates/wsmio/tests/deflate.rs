//! permessage-deflate over blocking sockets, and how often it allocates over both kinds: never, once a
//! connection is warm.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::Duration,
};

use support::{Cut, Pair, ROLES, allocations, quiet, read_head};
use wsconn::{Connection, Role};
use wsmio::{
    Acceptor, Connector, PreparedMessage, Stream, WebSocket,
    deflate::{Compress, DeflateOptions},
    opening::{ClientOptions, ServerOptions},
};
use wstest::{
    alloc::{CountingAllocator, measure},
    compression,
    conformance::Outcome,
    drive::connection,
    handshake::{request, upgrade},
    reference::decode,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn deflate(takeover: bool) -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.context_takeover = takeover;
    options.peer_context_takeover = takeover;
    options
}

fn options(takeover: bool) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.config = quiet().into();
    options.deflate = Some(deflate(takeover));
    options
}

fn offer() -> String {
    request(&["Sec-WebSocket-Extensions: permessage-deflate"])
}

/// A server's side whose client has agreed to compress, and that client's stream.
fn accept(takeover: bool) -> (WebSocket<UnixStream>, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(offer().as_bytes()).unwrap();
    let ws = Acceptor::new(options(takeover)).accept(ours).unwrap();
    assert!(read_head(&mut theirs).contains("permessage-deflate"));
    (ws, theirs)
}

/// What a client sends to send this message so many times.
fn sent(message: &[u8], takeover: bool, times: usize) -> Vec<Vec<u8>> {
    let mut client: Connection = connection(Role::Client, &Arc::default());
    client.enable_deflate(deflate(takeover));
    let send = |_| {
        client.send_as(message, Compress::Yes).unwrap();
        let bytes = client.outgoing().to_vec();
        client.advance(bytes.len());
        bytes
    };
    (0..times).map(send).collect()
}

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at / 7 % 23) as u8).collect()
}

#[test]
fn each_message_is_compressed_or_not_as_the_sender_chooses() {
    let text = "again and ".repeat(30);
    let prepared = PreparedMessage::new(&text);
    let (mut ws, mut peer) = accept(true);
    for compress in [Compress::Yes, Compress::No, Compress::Auto] {
        ws.send_as(&text, compress).unwrap();
        ws.feed_as(&text, compress).unwrap();
        ws.feed_fragment_as(&text, false, compress).unwrap();
        ws.feed_fragment_as(&text, true, compress).unwrap();
    }
    // With context takeover what was prepared goes out plain.
    ws.send_prepared(&prepared).unwrap();
    drop(ws);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    let rsv: Vec<_> = decode(&bytes).iter().map(|frame| frame.rsv).collect();
    assert_eq!(rsv, [4, 4, 4, 0, 0, 0, 0, 0, 4, 4, 4, 0, 0]);
}

#[test]
fn a_steady_echo_over_a_blocking_socket_allocates_nothing() {
    for takeover in [false, true] {
        for len in [200, 1024, 50 << 10, 100 << 10] {
            let (mut ws, mut peer) = accept(takeover);
            // So that it writes what is queued and waits, though nothing will come: this is one thread.
            ws.set_read_timeout(Some(Duration::ZERO));
            let mut room = vec![0; 400 << 10];
            let mut echo = |bytes: &Vec<u8>| {
                peer.write_all(bytes).unwrap();
                let (rx, tx) = ws.halves();
                tx.send(rx.recv().unwrap().unwrap()).unwrap();
                assert!(peer.read(&mut room).unwrap() > 0);
                assert!(rx.recv().is_err());
            };
            let sent = sent(&message(len), takeover, 60);
            sent[..10].iter().for_each(&mut echo);
            let ((), usage) = measure(|| sent[10..].iter().for_each(&mut echo));
            assert_eq!(
                (usage.allocations, usage.live),
                (0, 0),
                "{len} bytes, takeover {takeover}: {usage:?}"
            );
        }
    }
}

#[test]
fn a_steady_echo_over_the_event_loop_allocates_nothing() {
    for takeover in [false, true] {
        for len in [200, 1024, 10 << 10] {
            let talk = move |rounds: usize| {
                move |addr| {
                    let mut peer = TcpStream::connect(addr).unwrap();
                    peer.write_all(offer().as_bytes()).unwrap();
                    assert!(read_head(&mut peer).contains("permessage-deflate"));
                    let mut room = vec![0; 400 << 10];
                    for bytes in sent(&message(len), takeover, rounds) {
                        peer.write_all(&bytes).unwrap();
                        assert!(peer.read(&mut room).unwrap() > 0);
                    }
                }
            };
            // What a connection costs is the same; what is left is that of the messages.
            let [few, many] = [10, 510].map(|rounds| allocations(options(takeover), talk(rounds)));
            let more = many.saturating_sub(few);
            assert!(more <= 8, "{more} for 500 messages of {len} bytes, takeover {takeover}");
        }
    }
}

/// Receives until nothing more comes.
fn receive(mut ws: WebSocket<impl Stream>) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some(message) = ws.recv().unwrap() {
        outcome.messages.push(message.to_owned());
    }
    outcome.close = ws.close_info().cloned();
    outcome
}

#[test]
fn class_c_compression() {
    compression::check(&ROLES, |role, config, takeover, input, most| {
        let (stream, mut peer) = <UnixStream as Pair>::pair();
        let input = input.to_vec();
        let peer = thread::spawn(move || {
            let mut head = String::new();
            match role {
                Role::Server => peer.write_all(&compression::offer()).unwrap(),
                Role::Client => {
                    head = read_head(&mut peer);
                    peer.write_all(&upgrade(head.as_bytes())).unwrap();
                }
            }
            peer.write_all(&input).unwrap();
            peer.shutdown_write().unwrap();
            let mut written = head.into_bytes();
            peer.read_to_end(&mut written).unwrap();
            compression::behind_head(&written)
        });
        let stream = Cut::new(stream, std::iter::repeat(most));
        let (config, deflate) = (Arc::new(config.clone()), Some(deflate(takeover)));
        let outcome = match role {
            Role::Server => {
                let mut options = ServerOptions::default();
                (options.config, options.deflate) = (config, deflate);
                receive(Acceptor::new(options).accept(stream).unwrap())
            }
            Role::Client => {
                let mut options = ClientOptions::default();
                (options.config, options.deflate) = (config, deflate);
                receive(Connector::new(options).connect_stream(stream, "ws://a/").unwrap())
            }
        };
        Outcome { written: peer.join().unwrap(), ..outcome }
    });
}
