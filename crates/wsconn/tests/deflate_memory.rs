//! What compressed connections hold, what a bomb costs, and how often they allocate.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)] // this is a test

use std::{sync::Arc, thread};

use wsconn::{
    CloseCause, Config, Connection, Delivery, Event, Message, Role, Time, Violation,
    deflate::{Compress, DeflateOptions},
};
use wstest::{
    alloc::{CountingAllocator, Usage, live, measure},
    compression,
    conformance::Outcome,
    drive::{Driver, Trace, connection},
    reference::{decode, encode_frame},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn options(takeover: bool) -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.context_takeover = takeover;
    options.peer_context_takeover = takeover;
    options.min_size = 0;
    options
}

fn with(role: Role, config: &Arc<Config>, options: DeflateOptions) -> Connection {
    let mut connection = connection(role, config);
    connection.enable_deflate(options);
    connection
}

fn limited(limit: usize) -> Arc<Config> {
    let mut config = Config::default();
    config.max_message_size = limit as u64;
    Arc::new(config)
}

/// Receives all of `bytes`, by reads of 64 KiB, and counts the messages, their bytes and the calls.
fn receive(connection: &mut Connection, bytes: &mut [u8], delivery: Delivery) -> [usize; 3] {
    let [mut events, mut len, mut calls] = [0; 3];
    for read in bytes.chunks_mut(64 * KIB) {
        let mut at = 0;
        loop {
            let rest = &mut read[at..];
            let received = connection.receive(rest, delivery, Time::ZERO);
            calls += 1;
            let end = received.event.is_none() && received.consumed == rest.len();
            if let Some(location) = received.event {
                events += 1;
                len += match connection.event(rest, location) {
                    Event::Message(message) => message.as_bytes().len(),
                    Event::Chunk(chunk) => chunk.data.len(),
                    _ => 0,
                };
            }
            if end {
                break;
            }
            at += received.consumed;
        }
    }
    [events, len, calls]
}

/// The frames of a message that becomes `len` bytes, 1000 times as many as it has.
fn bomb(len: usize) -> Vec<u8> {
    let mut options = options(false);
    options.level = 9;
    let mut server = with(Role::Server, &Arc::default(), options);
    server.send(&vec![0; len]).unwrap();
    let bytes = server.outgoing().to_vec();
    assert!(bytes.len() * 1000 <= len, "{} of {len}", bytes.len());
    bytes
}

fn assert_too_big(connection: &Connection, limit: usize) {
    let info = connection.close_info().expect("the bomb was stopped");
    let cause = CloseCause::Violation(Violation::MessageTooBig { limit: limit as u64 });
    assert_eq!((info.code.get(), info.cause), (1009, cause));
}

#[test]
fn a_thousandfold_bomb_stops_at_the_limit_and_64_kib() {
    for limit in [KIB, MIB, 4 * MIB] {
        let config = limited(limit);
        let whole = bomb(16 * MIB);
        // The same in fragments of ten bytes.
        let payload: Vec<u8> = decode(&whole).into_iter().flat_map(|it| it.payload).collect();
        let mut fragments = Vec::new();
        for (at, part) in payload.chunks(10).enumerate() {
            let (rsv, opcode) = if at == 0 { (4, 2) } else { (0, 0) };
            fragments.extend(encode_frame(false, rsv, opcode, None, part));
        }
        for bytes in [whole, fragments] {
            for takeover in [false, true] {
                let mut client = with(Role::Client, &config, options(takeover));
                let mut bytes = bytes.clone();
                let ([events, ..], usage) =
                    measure(|| receive(&mut client, &mut bytes, Delivery::Messages));
                assert_eq!(events, 0);
                assert_too_big(&client, limit);
                let most = limit + 64 * KIB;
                assert!(usage.peak <= most as i64, "{usage:?} with a limit of {limit}");
                assert!(usage.live <= 60 * KIB as i64, "retained: {usage:?}");
            }
            // In chunks nothing is held, and it stops all the same.
            let mut client = with(Role::Client, &config, options(true));
            let mut bytes = bytes.clone();
            let ([_, len, _], usage) =
                measure(|| receive(&mut client, &mut bytes, Delivery::Chunks));
            assert_too_big(&client, limit);
            assert!(len <= limit, "{len}");
            assert!(usage.peak <= 192 * KIB as i64, "{usage:?}");
        }
    }
}

#[test]
fn a_bomb_through_a_kept_context_stops_as_well() {
    let mut sender = with(Role::Server, &Arc::default(), options(true));
    let config = limited(MIB);
    let mut client = with(Role::Client, &config, options(true));
    // Each message fills the window, so that the next is next to nothing on the wire.
    for _ in 0..3 {
        sender.send(&vec![7; 100 * KIB]).unwrap();
    }
    sender.send(&vec![7; 16 * MIB]).unwrap();
    let mut bytes = sender.outgoing().to_vec();
    let ([events, ..], usage) = measure(|| receive(&mut client, &mut bytes, Delivery::Messages));
    assert_eq!(events, 3);
    assert_too_big(&client, MIB);
    assert!(usage.peak <= (MIB + 64 * KIB) as i64, "{usage:?}");
}

#[test]
fn bombs_on_64_connections_at_once_hold_their_limit_and_128_kib_each() {
    let limit = MIB;
    let config = limited(limit);
    let bytes = bomb(16 * MIB);
    for takeover in [false, true] {
        let mut connections: Vec<_> =
            (0..64).map(|_| with(Role::Client, &config, options(takeover))).collect();
        let mut read = [0; 64];
        let (_, usage) = measure(|| {
            for piece in bytes.chunks(64) {
                for connection in &mut connections {
                    read[..piece.len()].copy_from_slice(piece);
                    receive(connection, &mut read[..piece.len()], Delivery::Messages);
                }
            }
        });
        for connection in &connections {
            assert_too_big(connection, limit);
        }
        println!("64 bombs, takeover {takeover}: {} KiB each at most", usage.peak / 64 / 1024);
        assert!(usage.peak <= 64 * (limit + 128 * KIB) as i64, "{usage:?}");
        assert!(usage.live <= 512 * KIB as i64, "retained: {usage:?}");
    }
}

#[test]
fn a_million_empty_blocks_are_linear_work() {
    // One message, of blocks of no compression and no bytes.
    let message = |blocks: usize| {
        let payload = [0, 0, 0, 0xff, 0xff].repeat(blocks);
        let mut bytes = encode_frame(true, 4, 2, None, &[&payload[..], &[0]].concat());
        let mut client = with(Role::Client, &Arc::default(), options(true));
        let (counts, usage) = measure(|| receive(&mut client, &mut bytes, Delivery::Messages));
        assert!(client.is_open());
        assert_eq!(counts[..2], [1, 0], "one message without a byte");
        assert!(usage.allocations <= 8, "{usage:?}");
        counts[2]
    };
    let (half, whole) = (message(500_000), message(1_000_000));
    // A call for each read, and for each pause that others have their turn in: each byte is looked
    // at once.
    assert!(whole <= 2 * half + 1, "{half} {whole}");
    assert!(whole <= 5_000_000 / (12 * KIB), "{whole}");
    // None of them takes more than some 16 KiB.
    assert!(whole >= 5_000_000 / (20 * KIB), "{whole}");
}

#[test]
fn class_c_compression() {
    for driver in Driver::ALL {
        compression::check(&[Role::Client, Role::Server], |role, config, takeover, input, most| {
            let mut connection = with(role, &Arc::new(config.clone()), options(takeover));
            let mut trace = Trace::default();
            for piece in input.chunks(most) {
                driver.resume(&mut connection, &[piece], false, &mut trace);
            }
            driver.resume(&mut connection, &[], true, &mut trace);
            Outcome { messages: trace.messages(), written: trace.written, close: trace.close }
        });
    }
}

/// Moves messages from one to the other as a transport does that waits after each: every buffer that
/// can be given back is.
fn echo(message: &[u8], takeover: bool, rounds: usize) -> Usage {
    let config = Arc::new(Config::default());
    let mut ends = [Role::Client, Role::Server].map(|role| with(role, &config, options(takeover)));
    let mut pool = Vec::with_capacity(256 * KIB);
    let mut wire = Vec::with_capacity(256 * KIB);
    let mut round = || {
        for turn in [0, 1] {
            let (sender, receiver) = {
                let [client, server] = &mut ends;
                if turn == 0 { (client, server) } else { (server, client) }
            };
            sender.lend(std::mem::take(&mut pool));
            sender.send(message).unwrap();
            wire.clear();
            wire.extend(sender.outgoing());
            sender.advance(wire.len());
            pool = sender.reclaim();
            let mut at = 0;
            let location = loop {
                let rest = &mut wire[at..];
                let received = receiver.receive(rest, Delivery::Messages, Time::ZERO);
                at += received.consumed;
                if let Some(location) = received.event {
                    break location;
                }
            };
            let held = if location.is_held() { receiver.take_delivered() } else { Vec::new() };
            assert_eq!(location.event(&wire, &held), Event::Message(Message::Binary(message)));
            receiver.give_back(held);
            receiver.release();
        }
    };
    (0..100).for_each(|_| round());
    measure(|| (0..rounds).for_each(|_| round())).1
}

#[test]
fn a_steady_echo_allocates_nothing() {
    for takeover in [false, true] {
        for len in [20, KIB, 50 * KIB] {
            let message: Vec<u8> = (0..len).map(|at| (at * at / 7 % 23) as u8).collect();
            let usage = echo(&message, takeover, 200);
            assert_eq!(usage, Usage::default(), "{len} bytes, takeover {takeover}");
        }
    }
}

#[test]
fn an_idle_connection_without_takeover_costs_what_a_plain_one_does() {
    let count = 10_000;
    let config = Arc::new(Config::default());
    let held = |compressed: bool| {
        let message = vec![b'a'; 500];
        let mut peer = with(Role::Server, &config, options(false));
        let mut pool = Vec::with_capacity(64 * KIB);
        let mut connections = Vec::with_capacity(count);
        let before = live();
        for _ in 0..count {
            let mut client = connection(Role::Client, &config);
            if compressed {
                client.enable_deflate(options(false));
            }
            let choice = if compressed { Compress::Auto } else { Compress::No };
            peer.send_as(&message, choice).unwrap();
            let mut bytes = peer.outgoing().to_vec();
            peer.advance(bytes.len());
            let [events, len, _] = receive(&mut client, &mut bytes, Delivery::Messages);
            assert_eq!((events, len), (1, 500));
            client.lend(std::mem::take(&mut pool));
            client.send(&message).unwrap();
            client.advance(client.outgoing().len());
            pool = client.reclaim();
            client.release();
            connections.push(client);
        }
        (live() - before) / count as i64
    };
    let plain = held(false);
    let compressed = held(true);
    println!("on the heap of an idle connection: plain {plain}, compressed {compressed} bytes");
    assert!(compressed - plain <= 256, "{compressed} and {plain} bytes");
}

/// What is held by a connection that has sent and received with takeover.
fn cost(send: bool, window_bits: u8, mem_level: u8) -> i64 {
    // In a thread of its own, whose pool is empty.
    let held = thread::spawn(move || {
        let mut options = options(true);
        options.window_bits = window_bits;
        options.mem_level = mem_level;
        let mut peer = with(Role::Server, &Arc::default(), options);
        peer.send(b"hello hello hello").unwrap();
        let mut bytes = peer.outgoing().to_vec();
        let mut client = with(Role::Client, &Arc::default(), options);
        // The pool gets a buffer for messages, which is not the connection's.
        let mut warm = with(Role::Client, &Arc::default(), options);
        receive(&mut warm, &mut bytes.clone(), Delivery::Messages);
        warm.release();
        drop(warm);
        let before = live();
        if send {
            client.send(b"hello hello hello").unwrap();
            client.advance(client.outgoing().len());
            drop(client.reclaim());
        } else {
            receive(&mut client, &mut bytes, Delivery::Messages);
            client.release();
        }
        live() - before
    });
    held.join().unwrap()
}

#[test]
fn the_documented_memory_is_what_is_measured() {
    let documented = include_str!("../src/deflate/mod.rs");
    let kib = |bytes: i64| (bytes + 512) / 1024;
    let mut rows = Vec::new();
    for mem_level in [1, 5, 8, 9] {
        let cells = (9..=15).map(|bits| format!(" {} |", kib(cost(true, bits, mem_level))));
        rows.push(format!(
            "//! | compressor, `mem_level` {mem_level} |{}",
            cells.collect::<String>()
        ));
    }
    let cells = (9..=15).map(|bits| format!(" {} |", kib(cost(false, bits, 8))));
    rows.push(format!("//! | inflater |{}", cells.collect::<String>()));
    for row in &rows {
        println!("{row}");
    }
    for row in rows {
        assert!(documented.contains(&row), "the documentation lacks: {row}");
    }
}
