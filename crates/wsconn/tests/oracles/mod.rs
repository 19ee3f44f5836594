//! What a connection must make of compressed messages, by an inflater that has all of a stream at once:
//! for the tests, and for the fuzz target, which includes this file.

// What is wrong in a test panics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use wsconn::{
    Config, Connection, Delivery, Event, Kind, Message, PreparedMessage, Role, Time,
    deflate::{Compress, DeflateOptions},
};
use wstest::{
    alloc::measure,
    drive::{KEY, connection},
    reference::{Frame, decode},
};

/// What a flush ends with, and a message does without (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A block of no compression that holds one byte.
const PROBE: [u8; 6] = [0x00, 0x01, 0x00, 0xfe, 0xff, b'A'];

/// What becomes of a raw DEFLATE stream.
pub(crate) struct Inflated {
    pub(crate) output: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More may follow.
    Open,
    /// A final block ended behind so many bytes.
    Final(usize),
    Corrupt,
}

/// Inflates all of a stream; what is corrupt still gives what stands before.
pub(crate) type Inflate = fn(&[u8]) -> Inflated;

/// What a connection makes of messages: those that are delivered, and the code that it closes with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    messages: Vec<Vec<u8>>,
    close: Option<u16>,
}

/// The verdict on messages of these compressed payloads, naively.
fn verdict(
    inflate: Inflate,
    payloads: &[&[u8]],
    kind: Kind,
    takeover: bool,
    limit: usize,
) -> Verdict {
    let mut verdict = Verdict::default();
    // All since the context was empty, and what came of it.
    let (mut context, mut had) = (Vec::new(), 0);
    for payload in payloads {
        if !takeover {
            (context, had) = (Vec::new(), 0);
        }
        let (mut message, mut rest, mut corrupt) = (Vec::new(), *payload, false);
        loop {
            let inflated = inflate(&[&context[..], rest].concat());
            message.extend(&inflated.output[had..]);
            match inflated.end {
                // Further blocks may follow a final one (§7.2.3.4), which know nothing of those before.
                End::Final(end) => {
                    rest = &rest[end - context.len()..];
                    (context, had) = (Vec::new(), 0);
                    if !rest.is_empty() {
                        continue;
                    }
                }
                End::Open => {
                    context.extend(rest);
                    had = inflated.output.len();
                }
                End::Corrupt => corrupt = true,
            }
            break;
        }
        // Some send an empty message as nothing at all, or end with a final block.
        if !corrupt && !payload.is_empty() && !context.is_empty() {
            context.extend(TAIL);
            let ended = inflate(&context);
            if ended.end == End::Final(context.len()) && ended.output.len() == had {
                // The tail was of a final block.
                (context, had) = (Vec::new(), 0);
            } else {
                // It ends a block: what follows is the next one.
                let probed = inflate(&[&context[..], &PROBE].concat());
                corrupt = probed.end != End::Open || probed.output[had..] != *b"A";
            }
        }
        let long = message.len() > limit;
        message.truncate(limit);
        let text = std::str::from_utf8(&message);
        let cut_short = text.is_err_and(|error| error.error_len().is_none());
        verdict.close = match text {
            Err(_) if kind == Kind::Text && !cut_short => Some(1007),
            _ if long => Some(1009),
            Err(_) if kind == Kind::Text => Some(1007),
            _ if corrupt => Some(1007),
            _ => None,
        };
        if verdict.close.is_some() {
            break;
        }
        verdict.messages.push(message);
    }
    verdict
}

/// What the first bytes of an input choose.
struct Choice {
    receiver: Role,
    takeover: bool,
    delivery: Delivery,
    kind: Kind,
    limit: usize,
    /// The most bytes in a frame, and in a read.
    frame: usize,
    read: usize,
}

/// Gives compressed messages to a connection: whose role and limit, in which frames and reads, say the
/// first four bytes. The rest are the payloads, each behind its length in two bytes.
pub(crate) fn check_inflate(input: &[u8], inflate: Inflate) {
    let Some((&[flags, limit, frame, read], mut rest)) = input.split_first_chunk() else { return };
    let choice = Choice {
        receiver: if flags & 1 == 0 { Role::Server } else { Role::Client },
        takeover: flags & 2 != 0,
        delivery: if flags & 4 == 0 { Delivery::Messages } else { Delivery::Chunks },
        kind: if flags & 8 == 0 { Kind::Binary } else { Kind::Text },
        limit: [1 << 20, 0, 1, 1000, 8192, 70_000][usize::from(limit) % 6],
        frame: if frame == 0 { usize::MAX } else { frame.into() },
        read: if read == 0 { usize::MAX } else { read.into() },
    };
    let mut payloads = Vec::new();
    while let Some((&[low, high], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let (payload, behind) = behind.split_at(len);
        payloads.push(payload);
        rest = behind;
    }
    let expected = verdict(inflate, &payloads, choice.kind, choice.takeover, choice.limit);
    let wire = wire(&payloads, &choice);
    let whole = Choice { delivery: Delivery::Messages, read: usize::MAX, ..choice };
    for choice in [choice, whole] {
        let mut config = Config::default();
        config.max_message_size = choice.limit as u64;
        let mut options = DeflateOptions::default();
        options.peer_context_takeover = choice.takeover;
        let mut connection = connection(choice.receiver, &Arc::new(config));
        connection.enable_deflate(options);
        let mut wire = wire.clone();
        let (_, usage) = measure(|| receive(&mut connection, &mut wire, &choice, &expected));
        let most = choice.limit + (128 << 10);
        assert!(usage.peak <= most as i64, "{usage:?} with a limit of {}", choice.limit);
        assert_eq!(connection.close_info().map(|info| info.code.get()), expected.close);
    }
}

/// The frames of these messages.
fn wire(payloads: &[&[u8]], choice: &Choice) -> Vec<u8> {
    let mask = (choice.receiver == Role::Server).then_some(KEY);
    let mut wire = Vec::new();
    for payload in payloads {
        let mut frames: Vec<&[u8]> = payload.chunks(choice.frame).collect();
        if frames.is_empty() {
            frames.push(&[]);
        }
        for (at, part) in frames.iter().enumerate() {
            let opcode = if choice.kind == Kind::Text { 1 } else { 2 };
            let first = Frame { rsv: 4, ..Frame::new(opcode, *part) };
            let frame = if at == 0 { first } else { Frame::new(0, *part) };
            wire.extend(Frame { fin: at + 1 == frames.len(), mask, ..frame }.encode());
        }
    }
    wire
}

/// Receives the wire, read by read, and compares what comes with what is expected.
fn receive(connection: &mut Connection, wire: &mut [u8], choice: &Choice, expected: &Verdict) {
    let (mut message, mut at) = (0, 0);
    let mut expect = |data: &[u8], last: bool| {
        // Of one that fails, chunks may have been delivered that are right as far as they go.
        let Some(whole) = expected.messages.get(message) else {
            assert!(choice.delivery == Delivery::Chunks && !last);
            at += data.len();
            assert!(at <= choice.limit, "more than the limit");
            return;
        };
        assert!(whole[at..].starts_with(data), "another message");
        at += data.len();
        if last {
            assert_eq!(at, whole.len(), "a message cut short");
            (message, at) = (message + 1, 0);
        }
    };
    for mut rest in wire.chunks_mut(choice.read) {
        loop {
            let received = connection.receive(rest, choice.delivery, Time::ZERO);
            let done = received.event.is_none() && received.consumed == rest.len();
            match received.event.map(|location| connection.event(rest, location)) {
                Some(Event::Message(message)) => expect(message.as_bytes(), true),
                Some(Event::Chunk(chunk)) => {
                    // What is plain comes as it lies in the read.
                    let plain = choice.limit == usize::MAX;
                    assert!(plain || chunk.data.len() <= 64 << 10, "of {}", chunk.data.len());
                    expect(chunk.data, chunk.last);
                }
                Some(event) => panic!("{event:?}"),
                None => {}
            }
            if done {
                break;
            }
            rest = rest.split_at_mut(received.consumed).1;
        }
    }
    assert_eq!(message, expected.messages.len());
}

/// Sends messages from one connection to another: how, say the first bytes; the rest are the messages,
/// each behind two bytes that say how long it is and how it is sent.
pub(crate) fn check_round_trip(input: &[u8], inflate: Inflate) {
    let Some((&[flags, bits, level, read], mut rest)) = input.split_first_chunk() else { return };
    let mut options = DeflateOptions::default();
    options.context_takeover = flags & 2 != 0;
    options.window_bits = 8 + bits % 8;
    options.level = 1 + level % 9;
    options.mem_level = 1 + level / 9 % 9;
    options.min_size = usize::from(flags >> 4) * 8;
    let mut mirrored = options;
    mirrored.context_takeover = false;
    mirrored.peer_context_takeover = options.context_takeover;
    let (sends, receiver) = match flags & 1 {
        0 => (Role::Client, Role::Server),
        _ => (Role::Server, Role::Client),
    };
    let mut sender = connection(sends, &Arc::default());
    sender.enable_deflate(options);
    let mut expected = Verdict::default();
    while let Some((&[len, how], behind)) = rest.split_first_chunk() {
        let (message, behind) = behind.split_at(usize::from(len).min(behind.len()));
        rest = behind;
        // At times a long one: what it holds up to a thousand times over.
        let message = message.repeat(1 << (how >> 4).saturating_sub(5));
        let compress = [Compress::Auto, Compress::Yes, Compress::No][usize::from(how & 3) % 3];
        match how >> 2 & 3 {
            0 => sender.send_prepared(&PreparedMessage::new(&message)).unwrap(),
            1 => {
                let (head, tail) = message.split_at(message.len() / 3);
                sender.send_fragment_as(head, false, compress).unwrap();
                sender.send_fragment_as(tail, true, compress).unwrap();
            }
            _ => sender.send_as(Message::Binary(&message), compress).unwrap(),
        }
        expected.messages.push(message);
        if sender.is_full() {
            break;
        }
    }
    let mut wire = sender.outgoing().to_vec();
    assert_eq!(inflated_by(inflate, &wire, options.context_takeover), expected.messages);
    let mut it = connection(receiver, &Arc::default());
    it.enable_deflate(mirrored);
    let choice = Choice {
        receiver,
        takeover: options.context_takeover,
        delivery: if flags & 4 == 0 { Delivery::Messages } else { Delivery::Chunks },
        kind: Kind::Binary,
        limit: usize::MAX,
        frame: usize::MAX,
        read: if read == 0 { usize::MAX } else { usize::from(read) * 16 },
    };
    receive(&mut it, &mut wire, &choice, &expected);
    assert!(it.is_open());
}

/// The messages in these frames.
fn inflated_by(inflate: Inflate, wire: &[u8], takeover: bool) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut context = Vec::new();
    let (mut payload, mut compressed, mut had) = (Vec::new(), false, 0);
    for frame in decode(wire) {
        compressed |= frame.rsv == 4;
        payload.extend(frame.payload);
        if !frame.fin {
            continue;
        }
        let payload = std::mem::take(&mut payload);
        if !std::mem::take(&mut compressed) {
            messages.push(payload);
            continue;
        }
        if !takeover {
            (context, had) = (Vec::new(), 0);
        }
        context.extend(payload);
        context.extend(TAIL);
        let inflated = inflate(&context);
        assert_eq!(inflated.end, End::Open);
        messages.push(inflated.output[had..].to_vec());
        had = inflated.output.len();
    }
    messages
}
