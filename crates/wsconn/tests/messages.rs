//! Sending and receiving messages, pings and pongs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{CloseCode, Config, Connection, Delivery, Message, OwnedMessage, Role, Time};
use wstest::{
    drive::{Driver, KEY, connection},
    pair::{Pair, opposite},
    reference::{Event, Frame, decode},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn new(role: Role) -> Connection {
    connection(role, &Arc::new(Config::default()))
}

fn pair() -> Pair {
    Pair::new(Config::default(), Config::default())
}

fn receive(connection: &mut Connection, frame: Frame) {
    let key = (connection.role() == Role::Server).then_some(KEY);
    let mut bytes = frame.masked(key).encode();
    connection.receive(&mut bytes, Delivery::Messages, Time::ZERO);
}

fn write(connection: &mut Connection) -> Vec<Frame> {
    let frames = decode(connection.outgoing());
    connection.advance(connection.outgoing().len());
    frames
}

#[test]
fn what_is_sent_is_received_in_both_directions_whatever_its_length() {
    let lengths = [0, 1, 2, 124, 125, 126, 127, 1000, 65_535, 65_536, 100_000];
    for role in ROLES {
        for cut in [usize::MAX, 1, 1000] {
            let mut pair = pair();
            pair.cut = cut;
            let mut expected = Vec::new();
            for len in lengths {
                let text = "x".repeat(len);
                let bytes = vec![0xfe; len];
                pair.end(role).connection.send(&text).unwrap();
                pair.end(role).connection.send(&bytes).unwrap();
                expected.push(Event::Message(text.into()));
                expected.push(Event::Message(bytes.into()));
            }
            pair.run();
            assert!(pair.other(role).events == expected);
        }
    }
}

#[test]
fn fragments_are_one_message_with_control_frames_between_them() {
    for role in ROLES {
        let mut pair = pair();
        let sender = &mut pair.end(role).connection;
        sender.send_fragment("Gr", false).unwrap();
        sender.ping(b"1").unwrap();
        sender.send_fragment("", false).unwrap();
        sender.send_fragment("üße", false).unwrap();
        sender.ping(b"2").unwrap();
        sender.send_fragment("", true).unwrap();
        sender.send(b"next").unwrap();
        pair.run();
        let expected = [
            Event::Ping(b"1".to_vec()),
            Event::Ping(b"2".to_vec()),
            Event::Message("Grüße".into()),
            Event::Message(OwnedMessage::Binary(b"next".to_vec())),
        ];
        assert_eq!(pair.other(role).events, expected);
        let pongs = [Event::Pong(b"1".to_vec()), Event::Pong(b"2".to_vec())];
        assert_eq!(pair.end(role).events, pongs);
        let frames = pair.end(role).frames();
        let heads: Vec<(u8, bool)> = frames.iter().map(|f| (f.opcode, f.fin)).collect();
        let expected =
            [(1, false), (9, true), (0, false), (0, false), (9, true), (0, true), (2, true)];
        assert_eq!(heads, expected);
    }
}

#[test]
fn only_a_client_masks_and_each_frame_with_a_fresh_key() {
    use std::cell::Cell;
    thread_local!(static NEXT: Cell<u8> = const { Cell::new(0) });
    let mask_keys = || {
        NEXT.set(NEXT.get() + 1);
        [NEXT.get(), 2, 3, 4]
    };
    let mut client = Connection::client(Config::default().into(), mask_keys, Time::ZERO);
    client.send("one").unwrap();
    client.send_fragment("two", false).unwrap();
    client.send_fragment("three", true).unwrap();
    client.ping(b"four").unwrap();
    receive(&mut client, Frame::new(9, "five"));
    drop(client.send_direct("six").unwrap());
    client.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
    let keys: Vec<_> = write(&mut client).into_iter().map(|frame| frame.mask).collect();
    assert_eq!(keys, (1..=7).map(|first| Some([first, 2, 3, 4])).collect::<Vec<_>>());
}

/// Sends `message` directly after `queued`, writing as many bytes at a time as `steps` says, then
/// drops it and writes the rest.
fn send_in_steps(role: Role, queued: &str, message: Message<'_>, steps: &[usize]) -> Vec<u8> {
    let mut connection = new(role);
    if !queued.is_empty() {
        connection.send(queued).unwrap();
    }
    let mut written = Vec::new();
    let mut sending = connection.send_direct(message).unwrap();
    for &step in steps {
        let slices = sending.slices().concat();
        written.extend(&slices[..step]);
        sending.advance(step);
        assert_eq!(sending.slices().concat(), slices[step..]);
        assert_eq!(sending.is_done(), slices.len() == step);
    }
    drop(sending);
    written.extend(connection.outgoing());
    connection.advance(connection.outgoing().len());
    written
}

#[test]
fn a_message_sent_directly_is_whole_on_the_wire_wherever_it_is_dropped() {
    for role in ROLES {
        for queued in ["", "before"] {
            for message in
                [Message::Text(""), Message::Binary(b"hello"), Message::Binary(&[7; 130])]
            {
                let mut connection = new(role);
                if !queued.is_empty() {
                    connection.send(queued).unwrap();
                }
                connection.send(message).unwrap();
                let expected = connection.outgoing();
                let len = expected.len();
                for first in 0..=len {
                    assert_eq!(send_in_steps(role, queued, message, &[first]), expected);
                    for second in 0..=len - first {
                        let steps = [first, second];
                        assert_eq!(send_in_steps(role, queued, message, &steps), expected);
                    }
                }
                assert_eq!(send_in_steps(role, queued, message, &vec![1; len]), expected);
            }
        }
    }
}

#[test]
fn what_follows_a_message_sent_directly_comes_after_it() {
    let mut server = new(Role::Server);
    let mut sending = server.send_direct(&[1; 200]).unwrap();
    sending.advance(3);
    drop(sending);
    let mut written = b"\x82\x7e\x00".to_vec();
    server.send("next").unwrap();
    written.extend(server.outgoing());
    let frames = decode(&written);
    assert_eq!((frames.len(), frames[0].payload.len()), (2, 200));
    assert_eq!(frames[1].payload, b"next");
}

#[test]
fn a_server_copies_nothing_of_a_message_that_it_sends_directly() {
    let mut server = new(Role::Server);
    let message = vec![7; 1000];
    let sending = server.send_direct(&message).unwrap();
    let [queued, header, payload] = sending.slices();
    assert_eq!((queued.len(), header), (0, &b"\x82\x7e\x03\xe8"[..]));
    assert_eq!(payload.as_ptr(), message.as_ptr());
}

#[test]
fn while_writing_is_blocked_only_the_newest_ping_is_answered() {
    for role in ROLES {
        let mut connection = new(role);
        connection.send("waits").unwrap();
        connection.blocked(Time::ZERO);
        for i in 0..1000_u32 {
            receive(&mut connection, Frame::new(9, i.to_be_bytes()));
        }
        let frames = write(&mut connection);
        assert_eq!(frames.len(), 1, "the pong waits for the queue to be written");
        let frames = write(&mut connection);
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].opcode, &frames[0].payload[..]), (10, &999_u32.to_be_bytes()[..]));
        assert_eq!(write(&mut connection), []);
        // And not blocked any more.
        receive(&mut connection, Frame::new(9, "a"));
        receive(&mut connection, Frame::new(9, "b"));
        assert_eq!(write(&mut connection).len(), 2);
    }
}

#[test]
fn a_pong_goes_out_though_the_queue_is_never_empty() {
    for role in ROLES {
        let mut connection = new(role);
        connection.send(&[1; 1000]).unwrap();
        connection.blocked(Time::ZERO);
        let ahead = connection.outgoing().len();
        receive(&mut connection, Frame::new(9, "ping"));
        // As much is sent as is written.
        let mut written = Vec::new();
        while written.len() < 2 * ahead {
            written.extend_from_slice(&connection.outgoing()[..500]);
            connection.advance(500);
            connection.blocked(Time::ZERO);
            connection.send(&[2; 500]).unwrap();
        }
        written.extend_from_slice(connection.outgoing());
        let frames = decode(&written);
        let pongs: Vec<_> = frames.iter().filter(|frame| frame.opcode == 10).collect();
        assert_eq!(pongs.len(), 1, "{role:?}");
        assert_eq!(pongs[0].payload, b"ping");
    }
}

#[test]
fn pongs_keep_the_order_of_their_pings() {
    for role in ROLES {
        let mut connection = new(role);
        connection.send("waits").unwrap();
        connection.blocked(Time::ZERO);
        receive(&mut connection, Frame::new(9, "older"));
        let half = connection.outgoing().len() / 2;
        let mut written = connection.outgoing()[..half].to_vec();
        connection.advance(half); // some progress
        receive(&mut connection, Frame::new(9, "newer"));
        while !connection.outgoing().is_empty() {
            written.extend(connection.outgoing());
            connection.advance(connection.outgoing().len());
        }
        let pongs: Vec<Vec<u8>> =
            decode(&written).into_iter().filter(|f| f.opcode == 10).map(|f| f.payload).collect();
        assert_eq!(pongs.last().unwrap(), b"newer", "{pongs:?}");
    }
}

#[test]
fn a_flood_of_pings_does_not_fill_the_queue() {
    let mut config = Config::default();
    config.max_outgoing = 1000;
    let mut server = connection(Role::Server, &Arc::new(config));
    for _ in 0..10_000 {
        receive(&mut server, Frame::new(9, [7; 125]));
    }
    assert!(server.outgoing().len() < 1000 + 127, "{}", server.outgoing().len());
}

#[test]
fn no_pong_goes_out_after_a_close_frame() {
    for role in ROLES {
        // The ping comes after it.
        let mut connection = new(role);
        connection.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
        receive(&mut connection, Frame::new(9, "late"));
        assert_eq!(write(&mut connection).len(), 1);
        assert_eq!(write(&mut connection), []);
        // The ping waits for its answer when we close, or the peer does.
        for by_peer in [false, true] {
            let mut connection = new(role);
            connection.send("waits").unwrap();
            connection.blocked(Time::ZERO);
            receive(&mut connection, Frame::new(9, "waits"));
            if by_peer {
                receive(&mut connection, Frame::new(8, ""));
            } else {
                connection.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
            }
            let opcodes: Vec<u8> = write(&mut connection).iter().map(|f| f.opcode).collect();
            assert_eq!(opcodes, [1, 8]);
            assert_eq!(write(&mut connection), []);
        }
    }
}

#[test]
fn buffers_that_are_lent_and_reclaimed_lose_no_byte() {
    for role in ROLES {
        let mut connection = new(role);
        let mut written = Vec::new();
        let mut pool = vec![Vec::with_capacity(4096)];
        for i in 0..200_usize {
            connection.lend(pool.pop().unwrap_or_default());
            connection.send(&vec![i as u8; i % 97]).unwrap();
            let take = connection.outgoing().len().min(i * 7 % 61);
            written.extend(&connection.outgoing()[..take]);
            connection.advance(take);
            let before = connection.outgoing().to_vec();
            let buffer = connection.reclaim();
            assert!(buffer.is_empty());
            assert_eq!(connection.outgoing(), before);
            pool.push(buffer);
        }
        written.extend(connection.outgoing());
        let trace = Driver::PLAIN.run(&mut new(opposite(role)), &[&written], false);
        let expected: Vec<OwnedMessage> =
            (0..200_usize).map(|i| OwnedMessage::Binary(vec![i as u8; i % 97])).collect();
        assert_eq!(trace.messages(), expected);
    }
}

#[test]
fn a_buffer_goes_back_where_it_was_lent_from_unless_more_than_half_of_it_waits() {
    for role in ROLES {
        for (waits, comes_back) in [(0, true), (1024, true), (1025, false), (1100, false)] {
            let mut connection = new(role);
            assert!(connection.wants_buffer());
            connection.lend(Vec::with_capacity(2048));
            assert!(!connection.wants_buffer());
            let header = if role == Role::Client { 8 } else { 4 };
            connection.send(&vec![7; 1100 - header][..]).unwrap();
            assert_eq!(connection.outgoing().len(), 1100);
            connection.advance(1100 - waits);
            assert_eq!(connection.reclaim().capacity() == 2048, comes_back, "{waits} bytes wait");
            assert_eq!(connection.outgoing().len(), waits);
            assert_eq!(connection.wants_buffer(), waits == 0);
        }
    }
}

#[test]
fn a_frame_that_is_long_is_offered_to_be_read_where_it_will_lie() {
    let offered = |len: usize, delivery: Delivery| {
        let mut client = new(Role::Client);
        let mut bytes = Frame::new(2, vec![7; len]).encode();
        let (start, _) = bytes.split_at_mut(10);
        client.receive(start, delivery, Time::ZERO);
        client.direct_read(delivery).is_some()
    };
    // Of 16 KiB that are still to come, at least; the header has four bytes, or ten.
    assert!(!offered((16 << 10) + 5, Delivery::Messages));
    assert!(offered((16 << 10) + 6, Delivery::Messages));
    assert!(offered(1 << 20, Delivery::Messages));
    assert!(!offered(1 << 20, Delivery::Chunks));
}

#[test]
fn a_connection_tells_its_config() {
    let mut config = Config::default();
    config.max_message_size = 12_345;
    assert_eq!(connection(Role::Server, &Arc::new(config)).config().max_message_size, 12_345);
}

#[test]
fn a_frame_that_lies_whole_in_the_input_is_delivered_from_there() {
    let mut server = new(Role::Server);
    let mut input = Frame::new(2, vec![7; 1000]).masked(Some(KEY)).encode();
    let received = server.receive(&mut input, Delivery::Messages, Time::ZERO);
    let location = received.event.unwrap();
    assert!(!location.is_held());
    let place = match server.event(&input, location) {
        wsconn::Event::Message(Message::Binary(bytes)) => bytes.as_ptr(),
        event => panic!("{event:?}"),
    };
    assert_eq!(place, input[8..].as_ptr());
}
