//! Every first two bytes of a frame, in every state, against the reference model.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{CloseCode, Config, Role, Time};
use wstest::{
    drive::{Driver, KEY, connection},
    reference::{self, Frame, Limits, Verdict, encode_frame},
};

/// What comes before: nothing, or an unfinished message.
#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    InText,
    InBinary,
}

impl State {
    fn before(self, key: Option<[u8; 4]>) -> Vec<u8> {
        match self {
            Self::Idle => encode_frame(true, 0, 1, key, b"\xc3\xa4"),
            Self::InText => encode_frame(false, 0, 1, key, b"abc"),
            Self::InBinary => encode_frame(false, 0, 2, key, b"\xff\xfe\xfd"),
        }
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.max_frame_size = 1000;
    config.max_message_size = 1003;
    config.max_fragments = 2;
    config
}

/// A start of a frame, and what fits behind it.
struct Start {
    first: u8,
    second: u8,
    /// The length behind them, if there is one.
    length: u64,
    /// The bytes of the header without the first.
    rest: Vec<u8>,
    payload: Vec<u8>,
}

/// Calls `check` with all first two bytes, and with lengths at the edges behind them.
fn each(check: impl Fn(&Start)) {
    // Text, and the body of a close frame: the code 3904.
    let text: Vec<u8> = b"\x0f\x40".iter().copied().chain([b'a'; 1200]).collect();
    for first in 0..=0xff_u8 {
        for second in 0..=0xff_u8 {
            let lengths: &[u64] = match second & 0x7f {
                126 => &[0, 1, 125, 126, 127, 1000, 1001, 1003, 1004, 65535],
                127 => &[0, 125, 65535, 65536, (1 << 32) + 5, (1 << 63) - 1, 1 << 63, !0],
                _ => &[0],
            };
            for &length in lengths {
                let mut rest = vec![second];
                let len = match second & 0x7f {
                    126 => {
                        rest.extend((length as u16).to_be_bytes());
                        length
                    }
                    127 => {
                        rest.extend(length.to_be_bytes());
                        length
                    }
                    short => u64::from(short),
                };
                let mut payload = text[..len.min(1200) as usize].to_vec();
                if second & 0x80 != 0 {
                    rest.extend(KEY);
                    payload.iter_mut().zip(KEY.iter().cycle()).for_each(|(a, b)| *a ^= b);
                }
                check(&Start { first, second, length, rest, payload });
            }
        }
    }
}

/// What comes behind the frame, to see what state it is in.
fn behind(key: Option<[u8; 4]>, end: &str) -> Vec<u8> {
    let [ping, end] = [Frame::new(9, "?"), Frame::new(0, end)].map(|it| it.masked(key).encode());
    [ping, end].concat()
}

fn for_each_role(check: impl Fn(Role, Option<[u8; 4]>)) {
    for role in [Role::Client, Role::Server] {
        check(role, (role == Role::Server).then_some(KEY));
    }
}

#[test]
fn the_first_two_bytes_of_a_frame_mean_what_the_reference_model_says() {
    let limits = Limits::from(&config());
    let config = Arc::new(config());
    for_each_role(|role, key| {
        for state in [State::Idle, State::InText, State::InBinary] {
            let (before, behind) = (state.before(key), behind(key, "end"));
            each(|Start { first, second, length, rest, payload }| {
                let input = [&before[..], &[*first], rest, payload, &behind].concat();
                let model = reference::receive(role, &limits, &input);
                let trace = Driver::PLAIN.run_new(role, &config, &[&input], false);
                trace.assert_is(&model, role, || {
                    format!("{first:02x} {second:02x} {length:#x} {state:?} {role:?}")
                });
            });
        }
    });
}

#[test]
fn they_mean_the_same_while_an_answer_to_our_close_frame_is_awaited() {
    let config = Arc::new(config());
    for_each_role(|role, key| {
        for state in [State::Idle, State::InText] {
            let (before, behind) = (state.before(key), behind(key, "end"));
            each(|Start { first, second, length, rest, payload }| {
                let what = || format!("{first:02x} {second:02x} {length:#x} {state:?} {role:?}");
                let input = [&before[..], &[*first], rest, payload, &behind].concat();
                let mut model = reference::Connection::new(role, &config);
                let mut connection = connection(role, &config);
                model.close(CloseCode::NORMAL, "bye").unwrap();
                connection.close(CloseCode::NORMAL, "bye", Time::ZERO).unwrap();
                let trace = Driver::PLAIN.run(&mut connection, &[&input], false);
                let reason = trace.close.as_ref().map_or("", |info| &info.reason);
                assert_eq!(trace.events, model.receive(&input, reason), "{}", what());
                assert_eq!(trace.written, model.outgoing, "{}", what());
                let verdict = trace.close.as_ref().map(|info| Verdict {
                    code: info.code.get(),
                    reason: info.reason.clone(),
                    by: info.by,
                    clean: info.clean,
                });
                assert_eq!(verdict.as_ref(), model.verdict(), "{}", what());
            });
        }
    });
}

/// Behind `sent`, where compression was agreed, the first two bytes mean what they do behind `meant` where it
/// was not: the model knows nothing of it. It is given a compressed message as a plain one, without the limit
/// of a message, and without payload that would have to be inflated.
#[cfg(feature = "deflate")]
fn check_agreed(role: Role, sent: &[u8], meant: &[u8], inside: bool) {
    let key = (role == Role::Server).then_some(KEY);
    let limits = Limits::from(&config());
    let (config, behind) = (Arc::new(config()), behind(key, ""));
    each(|Start { first, second, length, rest, payload }| {
        let begins = matches!(first & 0x0f, 1 | 2);
        let inflated = if begins { first & 0x40 != 0 } else { inside && first & 0x0f == 0 };
        let as_plain = if begins { first & !0x40 } else { *first };
        let mut limits = limits;
        let mut rest = rest.clone();
        if inflated {
            limits.message = u64::MAX;
        }
        if !inflated || payload.is_empty() {
            rest.extend(payload.iter().chain(&behind));
        }
        let model = reference::receive(role, &limits, &[meant, &[as_plain], &rest].concat());
        let mut connection = connection(role, &config);
        connection.enable_deflate(wsconn::deflate::DeflateOptions::default());
        let input = [sent, &[*first], &rest].concat();
        let trace = Driver::PLAIN.run(&mut connection, &[&input], false);
        trace.assert_is(&model, role, || {
            format!("{first:02x} {second:02x} {length:#x} {sent:02x?} {role:?}")
        });
    });
}

#[cfg(feature = "deflate")]
#[test]
fn where_compression_was_agreed_rsv1_may_begin_a_message_and_nothing_else_is_new() {
    for_each_role(|role, key| {
        for state in [State::Idle, State::InText] {
            let before = state.before(key);
            check_agreed(role, &before, &before, false);
        }
    });
}

#[cfg(feature = "deflate")]
#[test]
fn inside_a_compressed_message_they_mean_what_they_do_inside_a_plain_one() {
    for_each_role(|role, key| {
        // As long compressed as it is.
        let compressed = encode_frame(false, 4, 1, key, b"\x4a\x4c\x04\x01\x00\x00");
        let plain = encode_frame(false, 0, 1, key, b"aaaaaa");
        check_agreed(role, &compressed, &plain, true);
    });
}
