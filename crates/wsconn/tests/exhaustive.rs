//! Every first two bytes of a frame, in every state, against the reference model.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{Config, Role};
use wstest::{
    drive::{Driver, KEY},
    reference::{self, Frame, Limits, encode_frame},
};

/// What comes before: nothing, or an unfinished message.
#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    InText,
    InBinary,
}

#[test]
fn the_first_two_bytes_of_a_frame_mean_what_the_reference_model_says() {
    let mut config = Config::default();
    config.max_frame_size = 1000;
    config.max_message_size = 1003;
    config.max_fragments = 2;
    let limits = Limits::from(&config);
    let config = Arc::new(config);
    // Text, and the body of a close frame: the code 3904.
    let payload: Vec<u8> = b"\x0f\x40".iter().copied().chain([b'a'; 1200]).collect();

    for role in [Role::Client, Role::Server] {
        let key = (role == Role::Server).then_some(KEY);
        for state in [State::Idle, State::InText, State::InBinary] {
            let before = match state {
                State::Idle => encode_frame(true, 0, 1, key, b"\xc3\xa4"),
                State::InText => encode_frame(false, 0, 1, key, b"abc"),
                State::InBinary => encode_frame(false, 0, 2, key, b"\xff\xfe\xfd"),
            };
            for first in 0..=0xff_u8 {
                for second in 0..=0xff_u8 {
                    let lengths: &[u64] = match second & 0x7f {
                        126 => &[0, 1, 125, 126, 127, 1000, 1001, 1003, 1004, 65535],
                        127 => &[0, 125, 65535, 65536, (1 << 32) + 5, (1 << 63) - 1, 1 << 63, !0],
                        _ => &[0],
                    };
                    for &length in lengths {
                        let mut input = before.clone();
                        input.extend([first, second]);
                        let len = match second & 0x7f {
                            126 => {
                                input.extend((length as u16).to_be_bytes());
                                length
                            }
                            127 => {
                                input.extend(length.to_be_bytes());
                                length
                            }
                            short => u64::from(short),
                        };
                        let body = &payload[..len.min(1200) as usize];
                        if second & 0x80 != 0 {
                            input.extend(KEY);
                            input.extend(body.iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b));
                        } else {
                            input.extend(body);
                        }
                        // What state is it in now?
                        input.extend(Frame::new(9, "?").masked(key).encode());
                        input.extend(Frame::new(0, "end").masked(key).encode());
                        let model = reference::receive(role, &limits, &input);
                        let trace = Driver::PLAIN.run_new(role, &config, &[&input], false);
                        trace.assert_is(&model, role, || {
                            format!("{first:02x} {second:02x} {length:#x} {state:?} {role:?}")
                        });
                    }
                }
            }
        }
    }
}
