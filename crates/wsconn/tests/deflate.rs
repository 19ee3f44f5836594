//! permessage-deflate on the wire: RFC 7692 §6 and §7.2.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)] // this is a test

use std::sync::Arc;

use wsconn::{
    CloseCause, CloseCode, Config, Connection, Delivery, Message, Misuse, OwnedMessage, Role, Time,
    Violation,
    deflate::{Compress, DeflateOptions},
};
use wstest::{
    drive::{Driver, KEY, Trace, connection, pieces},
    reference::{Event, Frame, decode},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// With takeover on both sides, and everything compressed.
fn takeover() -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.context_takeover = true;
    options.peer_context_takeover = true;
    options.min_size = 0;
    options
}

fn with(role: Role, config: &Arc<Config>, options: DeflateOptions) -> Connection {
    let mut connection = connection(role, config);
    connection.enable_deflate(options);
    connection
}

fn new(role: Role, options: DeflateOptions) -> Connection {
    with(role, &Arc::default(), options)
}

/// Frames as an end in `role` receives them.
fn wire(role: Role, frames: &[Frame]) -> Vec<u8> {
    let key = (role == Role::Server).then_some(KEY);
    frames.iter().flat_map(|frame| frame.clone().masked(key).encode()).collect()
}

fn compressed(opcode: u8, payload: &[u8]) -> Frame {
    Frame { rsv: 4, ..Frame::new(opcode, payload) }
}

/// What comes of these frames, however they are cut.
fn receive(options: DeflateOptions, frames: &[Frame]) -> Trace {
    let mut traces = ROLES.map(|role| {
        let bytes = wire(role, frames);
        let run = |driver: Driver, pieces: &[&[u8]]| {
            let mut trace = driver.run(&mut new(role, options), pieces, false);
            // How much of a message comes in chunks before it turns out to be wrong depends on cuts.
            trace.unfinished = None;
            trace
        };
        let trace = run(Driver::PLAIN, &[&bytes]);
        for driver in Driver::ALL {
            for cut in 0..=bytes.len() {
                assert_eq!(trace, run(driver, &pieces(&bytes, &[cut])), "{driver:?} {cut}");
            }
            let bytewise: Vec<_> = bytes.chunks(1).collect();
            assert_eq!(trace, run(driver, &bytewise), "{driver:?}");
        }
        trace
    });
    assert_eq!(traces[0].events, traces[1].events);
    assert_eq!(traces[0].close, traces[1].close);
    std::mem::take(&mut traces[1])
}

fn text(text: &str) -> Event {
    Event::Message(OwnedMessage::Text(text.into()))
}

fn violation(trace: &Trace) -> (u16, Violation) {
    let info = trace.close.as_ref().expect("the connection has failed");
    match info.cause {
        CloseCause::Violation(violation) => (info.code.get(), violation),
        cause => panic!("{cause:?}"),
    }
}

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

#[test]
fn the_examples_of_rfc_7692_are_received() {
    let hello = || compressed(1, &HELLO);
    let examples: &[(&str, &[Frame])] = &[
        ("§7.2.3.1", &[hello()]),
        (
            "§7.2.3.1, fragmented",
            &[compressed(1, &HELLO[..3]).unfinished(), Frame::new(0, &HELLO[3..])],
        ),
        (
            "§7.2.3.3: no compression",
            &[compressed(1, &[0, 5, 0, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0])],
        ),
        ("§7.2.3.4: BFINAL", &[compressed(1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0, 0])]),
        (
            "§7.2.3.5: two blocks",
            &[compressed(1, &[0xf2, 0x48, 0x05, 0, 0, 0, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0])],
        ),
        (
            "§7.2.3.6: an empty fragment at the end",
            &[
                compressed(1, &[&HELLO[..], &[0, 0, 0xff, 0xff]].concat()).unfinished(),
                Frame::new(0, [0]),
            ],
        ),
    ];
    for (name, frames) in examples {
        for options in [takeover(), DeflateOptions::default()] {
            let trace = receive(options, frames);
            assert_eq!(trace.events, [text("Hello")], "{name}: {:?}", trace.close);
        }
    }
    // §7.2.3.2: the window is shared, whatever comes between.
    let second = compressed(1, &[0xf2, 0x00, 0x11, 0x00, 0x00]);
    let frames = [hello(), Frame::new(1, "plain"), Frame::new(9, ""), second.clone()];
    let trace = receive(takeover(), &frames);
    let events = [text("Hello"), text("plain"), Event::Ping(vec![]), text("Hello")];
    assert_eq!(trace.events, events);
    let trace = receive(DeflateOptions::default(), &[hello(), second]);
    assert_eq!(trace.events, [text("Hello")]);
    assert_eq!(violation(&trace), (1007, Violation::CorruptDeflate));
}

#[test]
fn the_examples_of_rfc_7692_are_sent() {
    let sent = |options, messages: &[&str]| {
        let mut server = new(Role::Server, options);
        for message in messages {
            server.send_as(*message, Compress::Yes).unwrap();
        }
        server.outgoing().to_vec()
    };
    let first = [&[0xc1, 0x07], &HELLO[..]].concat();
    let second = [0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00];
    let mut options = takeover();
    options.level = 6;
    assert_eq!(sent(options, &["Hello"]), first);
    assert_eq!(sent(options, &["Hello", "Hello"]), [&first[..], &second].concat());
    // Without context it would be larger than it is.
    assert_eq!(sent(DeflateOptions::default(), &["Hello"]), b"\x81\x05Hello");
    // §7.2.3.6.
    assert_eq!(sent(options, &[""]), [0xc1, 0x01, 0x00]);
    assert_eq!(sent(options, &["", ""]), [0xc1, 0x01, 0x00, 0xc1, 0x01, 0x00]);
}

#[test]
fn the_empty_message_may_be_nothing_at_all() {
    for payload in [&[][..], &[0], &[0x02, 0x00], &[0x03, 0x00], &[0x03, 0x00, 0x00]] {
        for options in [takeover(), DeflateOptions::default()] {
            let trace = receive(options, &[compressed(1, payload), compressed(1, &HELLO)]);
            assert_eq!(trace.events, [text(""), text("Hello")], "{payload:?} {:?}", trace.close);
        }
    }
}

#[test]
fn rsv1_is_for_the_first_frame_of_a_data_message_where_it_was_agreed() {
    let reserved = |frames: &[Frame], options: Option<DeflateOptions>| {
        for role in ROLES {
            let mut connection = connection(role, &Arc::default());
            if let Some(options) = options {
                connection.enable_deflate(options);
            }
            let mut bytes = wire(role, frames);
            let last = wire(role, &frames[frames.len() - 1..]).len();
            // From the first two bytes of the header.
            bytes.truncate(bytes.len() - last + 2);
            let trace = Driver::PLAIN.run(&mut connection, &[&bytes], false);
            let (code, violation) = violation(&trace);
            assert!(code == 1002 && matches!(violation, Violation::Frame(_)), "{violation}");
        }
    };
    let begun = compressed(1, &HELLO[..3]).unfinished();
    reserved(&[begun.clone(), compressed(0, &HELLO[3..])], Some(takeover()));
    reserved(&[Frame::new(1, "a").unfinished(), compressed(0, &HELLO)], Some(takeover()));
    for control in [8, 9, 10] {
        reserved(&[compressed(control, &[])], Some(takeover()));
        reserved(&[begun.clone(), compressed(control, &[])], Some(takeover()));
    }
    for rsv in [1, 2, 3, 5, 6, 7] {
        reserved(&[Frame { rsv, ..Frame::new(1, HELLO) }], Some(takeover()));
    }
    reserved(&[compressed(1, &HELLO)], None);
}

#[test]
fn corrupt_data_is_answered_with_1007() {
    let payloads: &[&[u8]] = &[
        &[0x06],                               // a block of the reserved type
        &[0x00, 0x05, 0x00, 0x00, 0x00, 0x61], // a length and its complement that are none
        &HELLO[..6],                           // the end of the block is missing
        &HELLO[..3],
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00], // a part of another block
        &[0xf2, 0x00, 0x11, 0x00, 0x00],                         // from a window that is empty
        b"plain text that never was compressed",
    ];
    for options in [takeover(), DeflateOptions::default()] {
        for payload in payloads {
            for opcode in [1, 2] {
                let trace = receive(options, &[compressed(opcode, payload)]);
                assert_eq!(violation(&trace), (1007, Violation::CorruptDeflate), "{payload:x?}");
                assert!(trace.messages().is_empty());
            }
        }
    }
}

#[test]
fn text_is_validated_once_it_is_inflated() {
    let mut client = new(Role::Client, takeover());
    client
        .send_as(&b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xff"[..], Compress::Yes)
        .unwrap();
    let mut frames = decode(client.outgoing());
    frames[0].opcode = 1;
    let trace = receive(takeover(), &frames);
    assert_eq!(violation(&trace), (1007, Violation::InvalidUtf8));
    // At the first byte that is wrong, though the message goes on.
    let mut client = new(Role::Client, takeover());
    client.send_fragment(&b"a\xff"[..], false).unwrap();
    let mut frames = decode(client.outgoing());
    frames[0].opcode = 1;
    assert_eq!(violation(&receive(takeover(), &frames)), (1007, Violation::InvalidUtf8));
    // A sequence that is cut by fragments is one, and one that is cut by the end is none.
    let mut client = new(Role::Client, takeover());
    client.send_fragment(&b"\xe2\x82"[..], false).unwrap();
    client.send_fragment(&b"\xac"[..], true).unwrap();
    let mut frames = decode(client.outgoing());
    frames[0].opcode = 1;
    assert_eq!(receive(takeover(), &frames).events, [text("€")]);
    let mut client = new(Role::Client, takeover());
    client.send_as(&b"\xe2\x82"[..], Compress::Yes).unwrap();
    let mut frames = decode(client.outgoing());
    frames[0].opcode = 1;
    assert_eq!(violation(&receive(takeover(), &frames)), (1007, Violation::InvalidUtf8));
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn only_the_first_frame_of_what_is_sent_has_rsv1() {
    for role in ROLES {
        let mut connection = new(role, takeover());
        connection.send_as(&noise(300_000), Compress::Yes).unwrap();
        let frames = decode(connection.outgoing());
        assert!(frames.len() > 4, "{}", frames.len());
        for (at, frame) in frames.iter().enumerate() {
            assert_eq!(frame.rsv, if at == 0 { 4 } else { 0 });
            assert_eq!(frame.opcode, if at == 0 { 2 } else { 0 });
            assert_eq!(frame.fin, at + 1 == frames.len());
            assert!(frame.payload.len() <= 0xffff);
            assert_eq!(frame.mask.is_some(), role == Role::Client);
        }
    }
}

#[test]
fn a_part_can_be_inflated_by_whoever_has_it() {
    for options in [takeover(), DeflateOptions::default()] {
        let mut server = new(Role::Server, options);
        let mut client = new(Role::Client, options);
        let mut trace = Trace::default();
        let driver = Driver { delivery: Delivery::Chunks, ..Driver::PLAIN };
        let parts = ["first", "", "second", "", "third", ""];
        let mut expected = String::new();
        for (at, part) in parts.iter().enumerate() {
            let last = at + 1 == parts.len();
            server.send_fragment(*part, last).unwrap();
            assert!(server.ping(b"between").is_ok());
            let bytes = server.outgoing().to_vec();
            server.advance(bytes.len());
            driver.resume(&mut client, &[&bytes], false, &mut trace);
            expected += part;
            if !last {
                assert_eq!(trace.unfinished.as_ref().unwrap().1, expected.as_bytes());
            }
        }
        assert_eq!(trace.messages(), [OwnedMessage::Text(expected)]);
        assert!(client.is_open());
    }
}

#[test]
fn short_messages_and_those_that_are_not_to_be_go_out_plain() {
    let rsv = |send: &dyn Fn(&mut Connection) -> Result<(), Misuse>, options| {
        let mut server = new(Role::Server, options);
        send(&mut server).unwrap();
        decode(server.outgoing())[0].rsv
    };
    let long = "la ".repeat(100);
    let short = "la ".repeat(42);
    let mut bits8 = takeover();
    bits8.window_bits = 8;
    let options = DeflateOptions::default();
    assert_eq!(options.min_size, 128);
    assert_eq!(rsv(&|it| it.send(&long), options), 4);
    assert_eq!(rsv(&|it| it.send_direct(&long).map(drop), options), 4);
    assert_eq!(rsv(&|it| it.send(&short), options), 0);
    assert_eq!(rsv(&|it| it.send_as(&short, Compress::Yes), options), 4);
    assert_eq!(rsv(&|it| it.send_as(&long, Compress::No), options), 0);
    assert_eq!(rsv(&|it| it.send_fragment(&short, false), options), 4);
    assert_eq!(rsv(&|it| it.send_fragment(&short, true), options), 0);
    assert_eq!(rsv(&|it| it.send_fragment_as(&long, false, Compress::No), options), 0);
    assert_eq!(rsv(&|it| it.send_fragment_as(&short, true, Compress::Yes), options), 4);
    // What does not become smaller goes out as it is, but where the peer's window would miss it.
    assert_eq!(rsv(&|it| it.send(&noise(1000)), options), 0);
    assert_eq!(rsv(&|it| it.send(&noise(1000)), takeover()), 4);
    // zlib cannot do with a window of 8 bits: nothing is compressed, which no limit forbids.
    for choice in [Compress::Auto, Compress::Yes] {
        assert_eq!(rsv(&|it| it.send_as(&long, choice), bits8), 0);
    }
}

#[test]
fn the_limit_is_that_of_the_inflated_message() {
    for limit in [1_u64, 1000, 100_000, 1 << 20] {
        let mut config = Config::default();
        config.max_message_size = limit;
        let config = Arc::new(config);
        for (len, fits) in [(limit, true), (limit + 1, false)] {
            for takes in [false, true] {
                let mut options = takeover();
                options.context_takeover = takes;
                options.peer_context_takeover = takes;
                let mut client = new(Role::Client, options);
                client.send_as(&vec![b'a'; len as usize], Compress::Yes).unwrap();
                for driver in Driver::ALL {
                    let mut server = with(Role::Server, &config, options);
                    let trace = driver.run(&mut server, &[client.outgoing()], false);
                    if fits {
                        assert_eq!(trace.messages().len(), 1, "{driver:?} {:?}", trace.close);
                    } else {
                        assert_eq!(violation(&trace).0, 1009, "{driver:?}");
                    }
                }
            }
        }
    }
    // A message that does not compress is larger on the wire than it is.
    let mut config = Config::default();
    config.max_message_size = 100_000;
    let mut client = new(Role::Client, takeover());
    client.send_as(&noise(100_000), Compress::Yes).unwrap();
    assert!(client.outgoing().len() > 100_100);
    let mut server = with(Role::Server, &Arc::new(config), takeover());
    let trace = Driver::PLAIN.run(&mut server, &[client.outgoing()], false);
    assert_eq!(trace.messages(), [OwnedMessage::Binary(noise(100_000))]);
}

#[test]
fn the_work_of_a_call_is_bounded_and_a_chunk_is_small() {
    let mut client = new(Role::Client, takeover());
    let message = vec![0; 8 << 20];
    client.send_as(&message, Compress::Yes).unwrap();
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let mut server = new(Role::Server, takeover());
        let mut bytes = client.outgoing().to_vec();
        let (mut at, mut calls, mut len) = (0, 0, 0);
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            let received = server.receive(rest, delivery, Time::ZERO);
            at += received.consumed;
            calls += 1;
            let Some(location) = received.event else { continue };
            match server.event(rest, location) {
                wsconn::Event::Message(whole) => len += whole.as_bytes().len(),
                wsconn::Event::Chunk(chunk) => {
                    assert!(chunk.data.len() <= 64 << 10, "{}", chunk.data.len());
                    len += chunk.data.len();
                }
                event => panic!("{event:?}"),
            }
        }
        assert_eq!(len, message.len());
        assert!(calls >= 8 << 20 >> 16, "{calls} calls");
    }
}

#[test]
fn what_waits_for_a_message_under_way_is_refused_as_ever() {
    let mut server = new(Role::Server, takeover());
    server.send_fragment("a", false).unwrap();
    let before = server.outgoing().len();
    assert_eq!(server.send_as("b", Compress::Yes), Err(Misuse::MessageUnderWay));
    let other = Message::Binary(b"b");
    assert_eq!(server.send_fragment_as(other, true, Compress::Yes), Err(Misuse::MessageUnderWay));
    assert_eq!(server.outgoing().len(), before);
    server.send_fragment("c", true).unwrap();
    server.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
    assert_eq!(server.send_as("d", Compress::Yes), Err(Misuse::Closed));
}

#[test]
fn a_connection_with_deflate_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Connection>();
}

#[test]
fn a_compressed_message_comes_in_chunks_before_it_has_ended() {
    let text = "all the same ".repeat(10_000);
    let mut server = new(Role::Server, takeover());
    server.send(&text).unwrap();
    let mut bytes = server.outgoing().to_vec();
    let end = bytes.len() - 1;
    let mut client = new(Role::Client, takeover());
    let mut received = String::new();
    let mut chunks = |mut input: &mut [u8], delivery| {
        let mut last = false;
        while !input.is_empty() {
            let step = client.receive(input, delivery, Time::ZERO);
            if let Some(location) = step.event {
                match client.event(input, location) {
                    wsconn::Event::Chunk(chunk) => {
                        received.push_str(std::str::from_utf8(chunk.data).unwrap());
                        last = chunk.last;
                    }
                    event => panic!("{event:?}"),
                }
                assert_eq!(client.is_in_chunks(), !last);
            }
            input = input.split_at_mut(step.consumed).1;
        }
        let more = client.receive(&mut [], Delivery::Chunks, Time::ZERO);
        assert_eq!(more.event, None, "all that could be inflated was delivered");
        (last, received.len())
    };
    let (start, rest) = bytes.split_at_mut(end);
    let (last, len) = chunks(start, Delivery::Chunks);
    assert!(!last && len > 1000, "{len} bytes have come");
    // What began in chunks goes on in chunks.
    assert_eq!(chunks(rest, Delivery::Messages), (true, text.len()));
    assert_eq!(received, text);
}

/// What is inflated does not lie where it is read.
#[test]
fn a_compressed_message_is_not_read_to_where_it_will_lie() {
    for rsv in [0, 4] {
        let mut client = new(Role::Client, takeover());
        // A block that is stored.
        let mut bytes = Frame { rsv, ..Frame::new(2, vec![0; 40_000]) }.encode();
        let (start, _) = bytes.split_at_mut(8);
        client.receive(start, Delivery::Messages, Time::ZERO);
        assert_eq!(client.direct_read(Delivery::Messages).is_some(), rsv == 0);
    }
}
