//! What a connection holds, and how often it allocates.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{CloseCause, Config, Connection, Delivery, Event, Message, Role, Time, Violation};
use wstest::{
    alloc::{CountingAllocator, Usage, live, measure},
    drive::{KEY, connection},
    reference::Frame,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// No limits but those of the standard.
fn unlimited() -> Arc<Config> {
    let mut config = Config::default();
    config.max_frame_size = u64::MAX;
    config.max_message_size = u64::MAX;
    config.max_fragments = u32::MAX;
    Arc::new(config)
}

/// The start of a frame with a payload of `len` bytes, as an end in `role` receives it.
fn header(role: Role, first: u8, len: u64) -> Vec<u8> {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    let mut bytes = vec![first, mask_bit | 127];
    bytes.extend(len.to_be_bytes());
    if role == Role::Server {
        bytes.extend([0; 4]); // a key that changes nothing, so that the payload needs no masking here
    }
    bytes
}

/// Receives all of `bytes`, and counts the events and their bytes.
fn receive(connection: &mut Connection, bytes: &mut [u8], delivery: Delivery) -> (usize, usize) {
    let (mut at, mut events, mut len) = (0, 0, 0);
    loop {
        let rest = &mut bytes[at..];
        let received = connection.receive(rest, delivery, Time::ZERO);
        at += received.consumed;
        let Some(location) = received.event else { return (events, len) };
        events += 1;
        len += match connection.event(rest, location) {
            Event::Message(message) => message.as_bytes().len(),
            Event::Chunk(chunk) => chunk.data.len(),
            _ => 0,
        };
    }
}

#[test]
fn the_connection_itself_is_small() {
    let size = size_of::<Connection>();
    println!("a connection has {size} bytes");
    assert!(size <= 216, "{size}");
    for role in ROLES {
        let config = Arc::new(Config::default());
        let (_connection, usage) = measure(|| connection(role, &config));
        assert_eq!(usage, Usage::default(), "nothing on the heap");
    }
}

#[test]
fn a_declared_length_allocates_nothing_to_speak_of() {
    let config = unlimited();
    for role in ROLES {
        for first in [0x82, 0x02, 0x81, 0x01] {
            for len in [1 << 16, 1 << 30, (1 << 63) - 1] {
                // The header whole, or byte by byte; followed by so much payload; read directly.
                for (cut, arrived) in [(100, 0), (1, 0), (100, 1), (100, 3), (1, 3)] {
                    let mut connection = connection(role, &config);
                    let mut bytes = header(role, first, len);
                    bytes.extend(vec![b'a'; arrived]);
                    let ((), usage) = measure(|| {
                        for piece in bytes.chunks_mut(cut) {
                            receive(&mut connection, piece, Delivery::Messages);
                        }
                        assert!(connection.direct_read(Delivery::Messages).is_some());
                    });
                    let limit = (4 * KIB + arrived) as i64;
                    assert!(usage.peak <= limit, "{usage:?} for {len} bytes, {arrived} here");
                }
            }
        }
    }
}

#[test]
fn a_thousand_connections_that_declare_all_there_is_hold_4_kib_each_at_most() {
    let config = unlimited();
    let before = live();
    let mut connections = Vec::new();
    for _ in 0..1000 {
        let mut connection = connection(Role::Server, &config);
        let mut bytes = header(Role::Server, 0x82, (1 << 63) - 1);
        receive(&mut connection, &mut bytes, Delivery::Messages);
        connection.direct_read(Delivery::Messages).unwrap();
        connections.push(connection);
    }
    let own = connections.capacity() * size_of::<Connection>();
    let held = live() - before - own as i64;
    assert!(held <= 1000 * 4 * KIB as i64, "{held}");
}

#[test]
fn what_is_held_at_most_doubles_what_has_arrived() {
    let config = unlimited();
    for role in ROLES {
        for direct in [false, true] {
            let mut connection = connection(role, &config);
            let before = live();
            receive(&mut connection, &mut header(role, 0x02, 1 << 40), Delivery::Messages);
            let mut piece = vec![7; 10 * KIB];
            let own = piece.capacity();
            let mut arrived = 0;
            while arrived < 5 * MIB {
                let mut len = piece.len();
                if direct && let Some(room) = connection.direct_read(Delivery::Messages) {
                    len = room.len().min(len);
                    connection.direct_advance(len, Time::ZERO);
                } else {
                    piece.fill(7);
                    receive(&mut connection, &mut piece, Delivery::Messages);
                }
                arrived += len;
                let held = live() - before - own as i64;
                let limit = (2 * arrived + 4 * KIB) as i64;
                assert!(held <= limit, "{held} of {arrived}, direct: {direct}");
            }
        }
    }
}

/// Receives `count` fragments of one byte, never the last, and counts what is delivered of them. Panics if
/// more is held on the way than a quarter more than has arrived.
fn one_byte_fragments(
    role: Role,
    text: bool,
    delivery: Delivery,
    count: usize,
) -> (Usage, (usize, usize)) {
    let mut connection = connection(role, &unlimited());
    let key = (role == Role::Server).then_some(KEY);
    let opcode = if text { 1 } else { 2 };
    let mut start = Frame::new(opcode, "").unfinished().masked(key).encode();
    receive(&mut connection, &mut start, delivery);
    let bytes = if text { "aä€😀" } else { "xxxxxxxxxx" }.as_bytes();
    let read =
        bytes.iter().flat_map(|byte| Frame::new(0, [*byte]).unfinished().masked(key).encode());
    let read = read.collect::<Vec<_>>().repeat(100);
    let mut buffer = read.clone();
    let mut delivered = (0, 0);
    let before = live();
    let (_, usage) = measure(|| {
        for arrived in (1000..=count).step_by(1000) {
            buffer.copy_from_slice(&read);
            let (events, len) = receive(&mut connection, &mut buffer, delivery);
            delivered = (delivered.0 + events, delivered.1 + len);
            let limit = (arrived + arrived / 4 + 4 * KIB) as i64;
            assert!(live() - before <= limit, "{} of {arrived}", live() - before);
        }
    });
    assert!(connection.is_open());
    (usage, delivered)
}

#[test]
fn a_million_fragments_of_one_byte_cost_linear_work_and_a_quarter_more_than_their_bytes() {
    for role in ROLES {
        let fragments = |count| one_byte_fragments(role, false, Delivery::Messages, count).0;
        let (half, whole) = (fragments(500_000), fragments(1_000_000));
        assert!(whole.allocations < 100, "{whole:?}");
        let ratio = whole.allocated as f64 / half.allocated as f64;
        assert!(ratio <= 2.2, "{ratio}: {half:?}, {whole:?}");
    }
}

/// What it allocates; `cargo xtask counts` counts the work itself, which would show if text were validated from its
/// start with each fragment.
#[test]
fn text_whose_characters_are_cut_into_fragments_costs_linear_work() {
    for role in ROLES {
        let fragments = |count| one_byte_fragments(role, true, Delivery::Messages, count);
        let ((half, _), (whole, delivered)) = (fragments(300_000), fragments(600_000));
        assert_eq!(delivered, (0, 0));
        assert!(whole.allocations < 100, "{whole:?}");
        let ratio = whole.allocated as f64 / half.allocated as f64;
        assert!(ratio <= 2.2, "{ratio}: {half:?}, {whole:?}");
        // In chunks there is one for each fragment, and nothing is held.
        let (usage, delivered) = one_byte_fragments(role, true, Delivery::Chunks, 100_000);
        assert_eq!((usage, delivered), (Usage::default(), (100_000, 100_000)));
    }
}

#[test]
fn the_first_fragment_beyond_the_default_cap_is_refused_and_none_before() {
    let config = Arc::new(Config::default());
    let cap = 65_536;
    for role in ROLES {
        let key = (role == Role::Server).then_some(KEY);
        for (opcode, bytes) in [(1, "😀"), (2, "😀"), (1, ""), (2, "")] {
            let fragment = |at: usize| {
                let opcode = if at == 0 { opcode } else { 0 };
                let part = bytes.as_bytes().get(at % 4..=at % 4).unwrap_or_default();
                Frame::new(opcode, part).unfinished().masked(key)
            };
            let before: Vec<u8> = (0..cap - 1).flat_map(|at| fragment(at).encode()).collect();
            let end = Frame { fin: true, ..fragment(cap - 1) };
            for (last, delivered) in
                [(end, (1, cap / 4 * bytes.len())), (fragment(cap - 1), (0, 0))]
            {
                let mut connection = connection(role, &config);
                let mut input = [&before[..], &last.encode()].concat();
                assert_eq!(receive(&mut connection, &mut input, Delivery::Messages), delivered);
                assert!(connection.is_open());
                if !last.fin {
                    // Its header alone is enough.
                    let mut beyond = fragment(cap).encode();
                    beyond.truncate(if role == Role::Server { 6 } else { 2 });
                    receive(&mut connection, &mut beyond, Delivery::Messages);
                    let info = connection.close_info().unwrap();
                    let cause = Violation::TooManyFragments { limit: cap as u32 };
                    assert_eq!((info.code.get(), info.cause), (1008, CloseCause::Violation(cause)));
                }
            }
        }
    }
}

#[test]
#[ignore = "takes a minute in a release build, and 1.25 GiB"]
fn a_gibibyte_in_fragments_of_one_byte_costs_linear_work_and_a_quarter_more_than_its_bytes() {
    let gib = 1 << 30;
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for count in [gib / 2, gib] {
        let start = std::time::Instant::now();
        let usage = one_byte_fragments(Role::Server, false, Delivery::Messages, count).0;
        times.push(start.elapsed().as_secs_f64());
        peaks.push(usage.peak as f64 / count as f64);
    }
    println!("{times:?} s, {peaks:?} times the bytes");
    assert!(times[1] / times[0] <= 2.2, "{times:?}");
    assert!(peaks[1] <= 1.25, "{peaks:?}");
}

#[test]
fn empty_fragments_hold_nothing() {
    for role in ROLES {
        let mut connection = connection(role, &unlimited());
        let key = (role == Role::Server).then_some(KEY);
        let start = &mut Frame::new(1, "").unfinished().masked(key).encode();
        receive(&mut connection, start, Delivery::Messages);
        let mut buffer = Frame::new(0, "").unfinished().masked(key).encode().repeat(1000);
        let (_, usage) = measure(|| {
            for _ in 0..10_000 {
                receive(&mut connection, &mut buffer, Delivery::Messages);
            }
        });
        assert_eq!(usage, Usage::default());
    }
}

/// Receives a message of 64 MiB in frames of `frame` bytes, by reads of 64 KiB, or directly.
fn large_message(role: Role, frame: usize, delivery: Delivery, direct: bool) -> Usage {
    let len = 64 * MIB;
    let mut connection = connection(role, &unlimited());
    let mut buffer = vec![0; 64 * KIB];
    let mut received = (0, 0);
    let (_, usage) = measure(|| {
        for at in (0..len).step_by(frame) {
            let fin = if at + frame == len { 0x80 } else { 0 };
            let opcode = if at == 0 { 2 } else { 0 };
            let mut left = frame;
            receive(&mut connection, &mut header(role, fin | opcode, frame as u64), delivery);
            while left > 0 {
                let room =
                    connection.direct_read(delivery).filter(|_| direct).map(|room| room.len());
                if let Some(room) = room {
                    if let Some(location) = connection.direct_advance(room, Time::ZERO) {
                        match connection.event(&[], location) {
                            Event::Message(message) => received.1 += message.as_bytes().len(),
                            event => panic!("{event:?}"),
                        }
                    }
                    left -= room;
                } else {
                    let read = left.min(buffer.len());
                    buffer.fill(0);
                    let (events, len) = receive(&mut connection, &mut buffer[..read], delivery);
                    received = (received.0 + events, received.1 + len);
                    left -= read;
                }
            }
        }
    });
    assert_eq!(received.1, len, "all of it");
    usage
}

#[test]
fn a_message_of_64_mib_holds_a_quarter_more_at_most() {
    for frame in [64 * MIB, MIB] {
        for direct in [false, true] {
            let usage = large_message(Role::Client, frame, Delivery::Messages, direct);
            let quarter = if frame == 64 * MIB { 0 } else { 16 * MIB };
            let limit = (64 * MIB + quarter + 4 * KIB) as i64;
            assert!(usage.peak <= limit, "{usage:?} in frames of {frame}, direct: {direct}");
        }
    }
}

#[test]
fn a_message_of_64_mib_in_chunks_holds_next_to_nothing() {
    for direct in [false, true] {
        let usage = large_message(Role::Client, 64 * MIB, Delivery::Chunks, direct);
        assert!(usage.peak < 256 * KIB as i64, "{usage:?}");
    }
}

#[test]
fn what_is_held_of_a_message_is_never_more_than_its_limit() {
    let mut config = Config::default();
    config.max_message_size = MIB as u64;
    let config = Arc::new(config);
    for direct in [false, true] {
        for size in [100, 1000, 60_000] {
            let mut client = connection(Role::Client, &config);
            let mut bytes = Frame::new(0, vec![7; size]).unfinished().encode();
            bytes[0] = 2;
            let (_, usage) = measure(|| {
                for _ in 0..MIB / size {
                    let (start, rest) = bytes.split_at_mut(10);
                    receive(&mut client, start, Delivery::Messages);
                    let mut rest = &mut *rest;
                    while direct && let Some(room) = client.direct_read(Delivery::Messages) {
                        let len = room.len();
                        client.direct_advance(len, Time::ZERO);
                        rest = rest.split_at_mut(len).1;
                    }
                    receive(&mut client, rest, Delivery::Messages);
                    bytes[0] = 0;
                }
            });
            assert!(client.is_open());
            assert!(usage.peak <= MIB as i64, "{usage:?} for frames of {size}");
        }
    }
}

#[test]
fn a_message_that_is_refused_is_freed() {
    let mut config = Config::default();
    config.max_message_size = MIB as u64;
    let mut client = connection(Role::Client, &Arc::new(config));
    let before = live();
    receive(
        &mut client,
        &mut Frame::new(2, vec![0; 900 * KIB]).unfinished().encode(),
        Delivery::Messages,
    );
    assert!(live() - before >= 900 * KIB as i64);
    receive(&mut client, &mut header(Role::Client, 0x80, 200 * KIB as u64), Delivery::Messages);
    assert!(client.close_info().is_some());
    assert!(live() - before < KIB as i64, "{}", live() - before);
}

/// Sends `message` back and forth between two connections whose buffers come from a pool of one.
fn echo(message: &[u8], rounds: usize) -> Usage {
    let config = Arc::new(Config::default());
    let mut client = connection(Role::Client, &config);
    let mut server = connection(Role::Server, &config);
    let mut pool = Vec::with_capacity(8 * KIB);
    let mut wire = Vec::with_capacity(8 * KIB);
    let mut round = || {
        client.lend(std::mem::take(&mut pool));
        client.send(message).unwrap();
        wire.clear();
        wire.extend(client.outgoing());
        client.advance(wire.len());
        pool = client.reclaim();

        let received = server.receive(&mut wire, Delivery::Messages, Time::ZERO);
        server.lend(std::mem::take(&mut pool));
        match received.event.unwrap().event(&wire, &[]) {
            Event::Message(Message::Binary(bytes)) => server.send(bytes).unwrap(),
            event => panic!("{event:?}"),
        }
        wire.clear();
        wire.extend(server.outgoing());
        server.advance(wire.len());
        pool = server.reclaim();

        let received = client.receive(&mut wire, Delivery::Messages, Time::ZERO);
        let event = client.event(&wire, received.event.unwrap());
        assert_eq!(event, Event::Message(Message::Binary(message)));
    };
    round();
    measure(|| (0..rounds).for_each(|_| round())).1
}

#[test]
fn a_steady_echo_allocates_nothing() {
    for len in [20, KIB] {
        assert_eq!(echo(&vec![7; len], 1000), Usage::default(), "messages of {len} bytes");
    }
}

/// What has been written makes way for what comes.
#[test]
fn a_queue_that_never_runs_empty_does_not_grow() {
    let mut server = connection(Role::Server, &Arc::new(Config::default()));
    server.send(&vec![7; 16 * KIB][..]).unwrap();
    let message = vec![7; KIB - 4];
    let ((), usage) = measure(|| {
        for _ in 0..10_000 {
            server.send(&message[..]).unwrap();
            server.advance(KIB);
        }
    });
    assert!(usage.peak <= 64 * KIB as i64, "{usage:?}");
}

/// A message that was assembled leaves its memory to the next one.
#[test]
fn what_is_given_back_is_used_again() {
    let mut client = connection(Role::Client, &Arc::new(Config::default()));
    let assemble = |client: &mut Connection| {
        let mut bytes = Frame::new(2, vec![7; 10 * KIB]).encode();
        let (a, b) = bytes.split_at_mut(9 * KIB);
        measure(|| {
            assert!(client.receive(a, Delivery::Messages, Time::ZERO).event.is_none());
            let received = client.receive(b, Delivery::Messages, Time::ZERO);
            assert!(received.event.unwrap().is_held());
        })
        .1
    };
    assert!(assemble(&mut client).allocations > 0);
    let taken = client.take_delivered();
    assert_eq!(taken.len(), 10 * KIB);
    client.give_back(taken);
    assert_eq!(assemble(&mut client), Usage::default());
    // The smaller of two is not kept instead of the larger one.
    client.give_back(Vec::with_capacity(1));
    assert_eq!(assemble(&mut client), Usage::default());
}

#[test]
fn an_idle_connection_holds_nothing_on_the_heap() {
    for role in ROLES {
        let config = Arc::new(Config::default());
        let mut connection = connection(role, &config);
        let key = (role == Role::Server).then_some(KEY);
        let before = live();
        connection.lend(Vec::with_capacity(KIB));
        // A message that was assembled, a ping that was cut, a pong and a message that went out.
        let frames = [
            Frame::new(1, "a").unfinished(),
            Frame::new(9, "ping"),
            Frame::new(0, vec![b'b'; 100 * KIB]),
        ];
        for frame in frames {
            let mut bytes = frame.masked(key).encode();
            for piece in bytes.chunks_mut(3) {
                receive(&mut connection, piece, Delivery::Messages);
            }
        }
        connection.send("echo").unwrap();
        connection.advance(connection.outgoing().len());
        drop(connection.reclaim());
        connection.release();
        assert_eq!(live() - before, 0);
    }
}
