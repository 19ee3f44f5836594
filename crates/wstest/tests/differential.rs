//! The same bytes through our connection and through tungstenite's. What is delivered, answered and
//! said at the end must be the same, but for the differences in `differences.txt`, each of which has its
//! reason there and must still occur.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::Path,
};

use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tungstenite::{
    Error, Message,
    protocol::{Role as TheirRole, WebSocket, WebSocketConfig},
};
use wsconn::{CloseCause, Config, OwnedMessage, Role};
use wstest::{
    conformance,
    drive::{Driver, KEY},
    reference::{Frame, LengthForm, decode},
};

/// What came of some bytes and the end of the stream behind them.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<OwnedMessage>,
    pongs: Vec<Vec<u8>>,
    /// The code that it ended with: the peer's, or that of the peer's fault.
    code: u16,
    reason: String,
    /// The same in words, for the list of differences.
    how: String,
}

/// A stream in memory.
struct Stream<'a> {
    input: &'a [u8],
    written: Vec<u8>,
}

impl Read for Stream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.input.read(to)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ours(role: Role, config: &Config, input: &[u8]) -> Outcome {
    let trace = Driver::PLAIN.run_new(role, &config.clone().into(), &[input], true);
    let info = trace.close.as_ref().expect("the stream has ended");
    let (reason, how) = match info.cause {
        CloseCause::Handshake => (info.reason.clone(), "Closed".to_owned()),
        CloseCause::Violation(violation) => (String::new(), name(&violation)),
        _ => (String::new(), "Eof".to_owned()),
    };
    let code = info.code.get();
    Outcome { messages: trace.messages(), pongs: pongs(&trace.written), code, reason, how }
}

fn theirs(role: Role, config: &Config, input: &[u8]) -> Outcome {
    let limit = |bytes| usize::try_from(bytes).expect("a limit of these tests");
    let settings = WebSocketConfig::default()
        .max_frame_size(Some(limit(config.max_frame_size)))
        .max_message_size(Some(limit(config.max_message_size)));
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let stream = Stream { input, written: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(settings));
    let mut messages = Vec::new();
    let mut closed = None;
    let (code, reason, how) = loop {
        match socket.read() {
            Ok(Message::Text(text)) => messages.push(OwnedMessage::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => messages.push(OwnedMessage::Binary(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                let (code, reason) = match frame {
                    Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
                    None => (1005, String::new()),
                };
                closed = Some((code, reason, "Closed".to_owned()));
            }
            Ok(_) => {}
            Err(error) => match closed {
                Some(closed) => break closed,
                None => break failure(&error),
            },
        }
    };
    let pongs = pongs(&socket.get_ref().written);
    Outcome { messages, pongs, code, reason, how }
}

fn failure(error: &Error) -> (u16, String, String) {
    use tungstenite::error::ProtocolError;
    let code = match error {
        Error::Capacity(_) => 1009,
        Error::Utf8(_) => 1007,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return (1006, String::new(), "Eof".to_owned());
        }
        Error::Protocol(_) => 1002,
        other => panic!("an error of the stream: {other}"),
    };
    (code, String::new(), name(error))
}

/// What it is, without its numbers.
fn name(error: &dyn std::fmt::Debug) -> String {
    let full = format!("{error:?}");
    let words = full.split([' ', '{', '}', ',', ':', '(', ')', '"']);
    let camel = |word: &&str| word.starts_with(|first: char| first.is_ascii_uppercase());
    words.filter(camel).take(2).collect::<Vec<_>>().join(".")
}

fn pongs(written: &[u8]) -> Vec<Vec<u8>> {
    decode(written)
        .into_iter()
        .filter(|frame| frame.opcode == 10)
        .map(|pong| pong.payload)
        .collect()
}

/// In which way they differ, if they do.
fn difference(ours: &Outcome, theirs: &Outcome) -> Option<String> {
    let ends = match (&*ours.how, &*theirs.how) {
        ("Closed", "Closed") => format!("ours Closed {}, theirs Closed {}", ours.code, theirs.code),
        (ours, theirs) => format!("ours {ours}, theirs {theirs}"),
    };
    if (ours.code, &ours.reason) != (theirs.code, &theirs.reason) {
        return Some(ends);
    }
    if ours.messages != theirs.messages {
        return Some(format!("messages before {ends}"));
    }
    (ours.pongs != theirs.pongs).then(|| format!("pongs before {ends}"))
}

/// The differences that were found, each with an input for it.
#[derive(Default)]
struct Found(BTreeMap<String, String>);

impl Found {
    fn compare(&mut self, role: Role, config: &Config, input: &[u8]) {
        let (ours, theirs) = (ours(role, config, input), theirs(role, config, input));
        if let Some(difference) = difference(&ours, &theirs) {
            let shown = &input[..input.len().min(60)];
            self.0.entry(difference).or_insert_with(|| {
                format!(
                    "{role:?}: {shown:02x?}\n    ours   {ours:.300?}\n    theirs {theirs:.300?}"
                )
            });
        }
    }
}

/// Frames, good and broken, and seldom bytes that are none.
fn session() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        20 => Just(LengthForm::Minimal),
        1 => Just(LengthForm::Two),
        1 => Just(LengthForm::Eight),
        1 => any::<u64>().prop_map(LengthForm::Lie),
    ];
    let payload = prop_oneof![
        3 => "[a-zäß€😀]{0,20}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..20),
        1 => (100_usize..300).prop_map(|len| vec![b'a'; len]),
        1 => (990_u16..1020).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let rsv = prop_oneof![30 => Just(0_u8), 1 => 1_u8..8];
    let opcode = prop_oneof![20 => prop::sample::select(vec![0_u8, 1, 2, 8, 9, 10]), 1 => 0_u8..16];
    let frame = (prop::bool::weighted(0.7), rsv, opcode, payload, length).prop_map(
        |(fin, rsv, opcode, payload, length)| {
            let fin = fin || opcode >= 8 && rsv == 0;
            Frame { fin, rsv, opcode, payload, length, mask: Some(KEY) }
        },
    );
    let bytes = prop_oneof![
        30 => frame.prop_map(|frame| frame.encode()),
        1 => vec(any::<u8>(), 0..12),
    ];
    (vec(bytes, 0..6), any::<prop::sample::Index>(), prop::bool::weighted(0.2)).prop_map(
        |(parts, cut, short)| {
            let mut bytes = parts.concat();
            if short {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            bytes
        },
    )
}

fn corpora() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut files = Vec::new();
    for corpus in folder.read_dir().expect("the corpora are committed") {
        for file in corpus.expect("a corpus").path().read_dir().expect("a folder") {
            files.push(std::fs::read(file.expect("an entry").path()).expect("a file"));
        }
    }
    files
}

/// Headers with two faults, of which we tell the first, and they the length.
const TWO_FAULTS: [(Role, [u8; 14]); 3] = [
    (Role::Client, [0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    (Role::Server, [0xd2, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    (Role::Server, [0x89, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
];

/// The differences that are known, without their reasons.
fn known() -> Vec<&'static str> {
    let lines = include_str!("differences.txt").lines();
    let lines = lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| line.split_once(" | ").expect("a difference and its reason").0.trim())
        .collect()
}

/// Whether an entry of the list is about a difference. One that ends in `*` is about all that can
/// come of bytes after which we read no more, and they go on.
fn covers(known: &str, found: &str) -> bool {
    let ends = found.split_once(" before ").map_or(found, |(_, ends)| ends);
    known.strip_suffix('*').map_or(known == found, |known| ends.starts_with(known))
}

#[test]
fn the_same_comes_of_the_same_bytes_but_for_what_is_listed() {
    let mut found = Found::default();
    for vector in conformance::vectors() {
        found.compare(vector.role, &vector.config, &vector.input);
    }
    let config = Config::default();
    for (role, header) in TWO_FAULTS {
        found.compare(role, &config, &header);
    }
    for role in [Role::Client, Role::Server] {
        for file in corpora() {
            found.compare(role, &config, &file);
        }
    }
    let mut runner = TestRunner::deterministic();
    let session = session();
    for _ in 0..10_000 {
        let input = session.new_tree(&mut runner).expect("no filters").current();
        found.compare(Role::Server, &config, &input);
        // The same for a client: the mask bit cleared, and so the key and its bytes as payload.
        let mut unmasked = input;
        if let Some(byte) = unmasked.get_mut(1) {
            *byte &= 0x7f;
        }
        found.compare(Role::Client, &config, &unmasked);
    }

    let known = known();
    let mut wrong = String::new();
    for (difference, example) in &found.0 {
        if !known.iter().any(|known| covers(known, difference)) {
            wrong.push_str(&format!("not listed: {difference}\n    {example}\n"));
        }
    }
    for difference in &known {
        if !found.0.keys().any(|found| covers(difference, found)) {
            wrong.push_str(&format!("listed, and does not occur: {difference}\n"));
        }
    }
    assert!(wrong.is_empty(), "differences from tungstenite:\n{wrong}");
}
