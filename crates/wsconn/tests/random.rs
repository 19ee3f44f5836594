//! Random sequences of good and broken frames, cut anywhere, against the reference model.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::select};
use wsconn::{Config, Delivery, OwnedMessage, Role};
use wstest::{
    drive::{Driver, KEY, Trace, connection, pieces},
    reference::{self, Event, Frame, LengthForm, Limits},
};

fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::Client, Role::Server])
}

/// Payloads of text: valid, but for a few; cut where it falls.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-zäß€😀 ]{0,40}".prop_map(String::into_bytes),
        2 => (100_usize..300).prop_map(|len| "€".repeat(len).into_bytes()),
        1 => vec(select(b"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\xff".to_vec()), 0..6),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        1 => (select(vec![0_usize, 1, 124, 125, 126, 127, 128, 300]), any::<u8>())
            .prop_map(|(len, byte)| vec![byte; len]),
    ]
}

/// A ping or pong; seldom a close frame.
fn control() -> impl Strategy<Value = Frame> {
    let code = prop_oneof![4 => 1000_u16..1016, 1 => any::<u16>()];
    prop_oneof![
        10 => (9_u8..=10, vec(any::<u8>(), 0..=125)).prop_map(|(op, body)| Frame::new(op, body)),
        1 => (code, text()).prop_map(|(code, mut reason)| {
            reason.truncate(123);
            Frame::new(8, [&code.to_be_bytes()[..], &reason].concat())
        }),
        1 => (0_usize..2).prop_map(|len| Frame::new(8, vec![3; len])),
    ]
}

/// A message in one to five fragments, with control frames between them.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    let body = prop_oneof![text().prop_map(|body| (1, body)), bytes().prop_map(|body| (2, body))];
    (body, vec(any::<prop::sample::Index>(), 0..5), vec(prop::option::weighted(0.2, control()), 5))
        .prop_map(|((opcode, body), cuts, controls)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.sort_unstable();
            let parts = pieces(&body, &cuts);
            let mut frames = Vec::new();
            for (i, (part, control)) in
                parts.iter().zip(controls.into_iter().chain([None])).enumerate()
            {
                let fin = i + 1 == parts.len();
                let opcode = if i == 0 { opcode } else { 0 };
                frames.push(Frame { fin, ..Frame::new(opcode, *part) });
                frames.extend(control);
            }
            frames
        })
}

/// Anything that has the form of a frame.
fn broken() -> impl Strategy<Value = Frame> {
    let length = prop_oneof![
        6 => Just(LengthForm::Minimal),
        1 => Just(LengthForm::Two),
        1 => Just(LengthForm::Eight),
        1 => any::<u64>().prop_map(LengthForm::Lie),
    ];
    let rsv = prop_oneof![4 => Just(0_u8), 1 => 0_u8..8];
    (any::<bool>(), rsv, 0_u8..16, bytes(), length).prop_map(
        |(fin, rsv, opcode, payload, length)| Frame {
            fin,
            rsv,
            opcode,
            payload,
            length,
            mask: None,
        },
    )
}

/// What a peer sends: messages and control frames, and now and then something broken.
fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let some = prop_oneof![
        12 => message(),
        4 => control().prop_map(|frame| vec![frame]),
        1 => broken().prop_map(|frame| vec![frame]),
    ];
    vec(some, 0..8).prop_map(|all| all.concat())
}

fn limits() -> impl Strategy<Value = Config> {
    let small = (1_u64..200, 1_u64..400, 1_u32..6).prop_map(|(frame, message, fragments)| {
        let mut config = Config::default();
        config.max_frame_size = frame;
        config.max_message_size = message;
        config.max_fragments = fragments;
        config
    });
    prop_oneof![3 => Just(Config::default()), 1 => small]
}

/// The bytes of `frames`, masked for a server with `keys`, but one of them the wrong way if `wrong`.
fn wire(role: Role, frames: &[Frame], keys: &[[u8; 4]], wrong: Option<usize>) -> Vec<u8> {
    let frame = |(i, frame): (usize, &Frame)| {
        let masked = (role == Role::Server) != (wrong == Some(i));
        frame.clone().masked(masked.then_some(keys[i % keys.len()])).encode()
    };
    frames.iter().enumerate().flat_map(frame).collect()
}

fn cut_at<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    cuts.sort_unstable();
    pieces(input, &cuts)
}

/// Panics unless it came to what the model says.
fn check(trace: &Trace, role: Role, limits: &Limits, input: &[u8]) {
    let model = reference::receive(role, limits, input);
    trace.assert_is(&model, role, || format!("{input:02x?} to a {role:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_comes_of_frames_is_what_the_model_says_whatever_the_cuts(
        role in role(),
        config in limits(),
        frames in frames(),
        keys in vec(any::<[u8; 4]>(), 1..4),
        wrong in prop::option::weighted(0.02, 0_usize..8),
        flip in prop::option::weighted(0.1, (any::<prop::sample::Index>(), 0_u8..8)),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
        driver in select(Driver::ALL.to_vec()),
    ) {
        let mut input = wire(role, &frames, &keys, wrong);
        if let Some((at, bit)) = flip && !input.is_empty() {
            let at = at.index(input.len());
            input[at] ^= 1 << bit;
        }
        let limits = Limits::from(&config);
        let config = Arc::new(config);
        let whole = Driver::PLAIN.run_new(role, &config, &[&input], false);
        check(&whole, role, &limits, &input);
        let cut = driver.run_new(role, &config, &cut_at(&input, &cuts), false);
        check(&cut, role, &limits, &input);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        let each = driver.run_new(role, &config, &bytes, false);
        check(&each, role, &limits, &input);
        prop_assert_eq!(whole.close, each.close);
    }

    #[test]
    fn bytes_that_are_no_frames_come_to_what_the_model_says(
        role in role(),
        input in vec(any::<u8>(), 0..200),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let config = Config::default();
        let limits = Limits::from(&config);
        let trace = Driver::PLAIN.run_new(role, &config.into(), &cut_at(&input, &cuts), false);
        check(&trace, role, &limits, &input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Payloads for which `direct_read` offers room, in fragments, with pings between them.
    #[test]
    fn large_messages_are_the_same_read_directly_or_not(
        role in role(),
        text in any::<bool>(),
        sizes in vec(select(vec![0_usize, 1, 5000, 16 << 10, 20_000, 65_535, 65_536, 300_000]), 1..4),
        bad in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        cuts in vec(any::<prop::sample::Index>(), 0..30),
        driver in select(Driver::ALL.to_vec()),
    ) {
        let mut body: Vec<u8> =
            "aä€😀".bytes().cycle().take(sizes.iter().sum::<usize>()).collect();
        if text {
            while std::str::from_utf8(&body).is_err() {
                *body.iter_mut().rfind(|byte| **byte >= 0x80).unwrap() = b'.';
            }
        }
        if let Some(bad) = bad && !body.is_empty() {
            let bad = bad.index(body.len());
            body[bad] = 0xff;
        }
        let mut frames = Vec::new();
        let mut from = 0;
        for (i, size) in sizes.iter().enumerate() {
            let opcode = if i > 0 { 0 } else if text { 1 } else { 2 };
            let fin = i + 1 == sizes.len();
            frames.push(Frame { fin, ..Frame::new(opcode, &body[from..from + size]) });
            frames.push(Frame::new(9, "between"));
            from += size;
        }
        frames.push(Frame::new(2, "after"));
        let input = wire(role, &frames, &[KEY], None);
        let config = Config::default();
        let limits = Limits::from(&config);
        let config = Arc::new(config);
        let model = reference::receive(role, &limits, &input);
        let trace = driver.run_new(role, &config, &cut_at(&input, &cuts), false);
        // Without `assert_is`: that would print the input.
        prop_assert!(trace.events == model.events);
        prop_assert_eq!(trace.close.is_some(), model.end != reference::End::Open);
        // The chunks of a message that is invalid are the start of it.
        if let Some((_, start)) = trace.unfinished && driver.delivery == Delivery::Chunks {
            prop_assert!(body.starts_with(&start));
        }
    }

    #[test]
    fn delivery_may_change_in_the_middle_of_a_message(
        sizes in vec(0_usize..50, 1..5),
        cuts in vec(any::<prop::sample::Index>(), 2..6),
        switch in any::<prop::sample::Index>(),
    ) {
        let body: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|i| i as u8).collect();
        let mut frames = vec![Frame::new(2, &body[..sizes[0]]).unfinished()];
        let mut from = sizes[0];
        for size in &sizes[1..] {
            frames.push(Frame::new(0, &body[from..from + size]).unfinished());
            from += size;
        }
        frames.push(Frame::new(0, ""));
        let input = wire(Role::Server, &frames, &[KEY], None);
        let pieces = cut_at(&input, &cuts);
        let (first, second) = pieces.split_at(switch.index(pieces.len()));
        let chunks = Driver { delivery: Delivery::Chunks, ..Driver::PLAIN };
        for [before, after] in [[Driver::PLAIN, chunks], [chunks, Driver::PLAIN]] {
            let mut connection = connection(Role::Server, &Config::default().into());
            let mut trace = before.run(&mut connection, first, false);
            // Once a chunk has been delivered, the rest comes in chunks too.
            prop_assert_eq!(connection.is_in_chunks(), trace.unfinished.is_some());
            after.resume(&mut connection, second, false, &mut trace);
            prop_assert_eq!(trace.events, [Event::Message(OwnedMessage::Binary(body.clone()))]);
            prop_assert_eq!(trace.unfinished, None);
        }
    }
}
