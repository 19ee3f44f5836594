//! UTF-8: the contenders, and texts for them.

use std::hint::black_box;

use wsconn::{Connection, Delivery, Event, Message};
use wsframe::{Header, Mask, OpCode, Utf8};

use crate::frames::{connection, now};
use crate::measure::Contender;

/// The sizes that are measured, in bytes.
pub const SIZES: [usize; 7] = [20, 125, 1 << 10, 4 << 10, 16 << 10, 256 << 10, 8 << 20];

/// What is written in the texts: its name, and a sample that is repeated.
pub const SAMPLES: [(&str, &str); 3] = [
    ("ascii", "The quick brown fox jumps over the lazy dog, and \"answers\": 42, true. "),
    ("mixed", "Hello κόσμε, $¢€𐍈! Привет, мир. 日本語テキスト and plain ASCII words in between. "),
    ("latin", "Où est la bibliothèque? Très près de l'église, à côté du théâtre. "),
];

/// A text, as plain bytes, as something to unmask, and in frames to be received.
pub struct Text {
    plain: Vec<u8>,
    scratch: Vec<u8>,
    text_frames: Vec<u8>,
    binary_frames: Vec<u8>,
    connection: Connection,
    count: usize,
}

impl Text {
    /// `sample` repeated up to `size` bytes, or up to three less.
    pub fn new(sample: &str, size: usize) -> Self {
        let text = sample.repeat(size / sample.len() + 1);
        let plain = text.as_bytes()[..floor_char_boundary(&text, size)].to_vec();
        let count = (4096 / size.next_multiple_of(64)).clamp(1, 32);
        let frames = |opcode| {
            let mut header = Header::new(opcode, plain.len() as u64);
            header.masking_key = Some([0; 4]);
            [header.encode().as_slice(), &plain].concat().repeat(count)
        };
        Self {
            text_frames: frames(OpCode::Text),
            binary_frames: frames(OpCode::Binary),
            scratch: plain.repeat(count),
            connection: connection(),
            plain,
            count,
        }
    }

    /// How often a pass goes over the text.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The text's length, in bytes.
    pub fn len(&self) -> usize {
        self.plain.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    #[inline(always)]
    fn each(&mut self, mut f: impl FnMut(&[u8])) {
        for _ in 0..self.count {
            let len = black_box(self.plain.len());
            f(black_box(&self.plain[..len]));
        }
    }

    #[inline(always)]
    fn each_masked(&mut self, mut f: impl FnMut(&mut [u8])) {
        let len = black_box(self.plain.len());
        for text in self.scratch.chunks_exact_mut(len) {
            f(text);
        }
    }
}

/// Receives all there is in the frames. The connection's steps, and not the event that becomes of them.
fn receive(connection: &mut Connection, frames: &mut [u8]) {
    let mut rest = frames;
    while !rest.is_empty() {
        let received = connection.receive(rest, Delivery::Messages, now());
        assert!(black_box(received.event).is_some());
        rest = rest.split_at_mut(received.consumed).1;
    }
}

/// As [`receive`], and makes a `&str` of each.
fn deliver(connection: &mut Connection, frames: &mut [u8]) {
    let mut rest = frames;
    while !rest.is_empty() {
        let received = connection.receive(rest, Delivery::Messages, now());
        let (done, after) = rest.split_at_mut(received.consumed);
        let event = received.event.map(|location| connection.event(done, location));
        assert!(matches!(black_box(event), Some(Event::Message(Message::Text(_)))));
        rest = after;
    }
}

/// `str::floor_char_boundary`, which is newer than our oldest Rust.
fn floor_char_boundary(text: &str, index: usize) -> usize {
    (0..=index).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

fn ours(text: &[u8]) -> bool {
    let mut utf8 = Utf8::new();
    utf8.push(text).is_ok() && utf8.finish().is_ok()
}

fn in_pieces(text: &[u8]) -> bool {
    let mut utf8 = Utf8::new();
    // As it comes from a socket, cut anywhere.
    text.chunks(4093).all(|piece| utf8.push(piece).is_ok()) && utf8.finish().is_ok()
}

/// simdutf8 first, then std, ours in one piece and in many; then unmasking alone, and unmasking
/// together with validating; last, a connection that receives it as binary messages and as text, and that
/// lends the text out as well.
pub fn contenders() -> Vec<Contender<'static, Text>> {
    fn validates(name: &'static str, valid: fn(&[u8]) -> bool) -> Contender<'static, Text> {
        Contender::new(name, move |text: &mut Text| text.each(|text| assert!(valid(text))))
    }
    vec![
        validates("simdutf8", |text| simdutf8::basic::from_utf8(text).is_ok()),
        validates("std", |text| std::str::from_utf8(text).is_ok()),
        validates("ours", ours),
        validates("ours in pieces", in_pieces),
        // The key is zero, so that it is the same text at every pass.
        Contender::new("unmask", |text: &mut Text| {
            text.each_masked(|text| Mask::new(black_box([0; 4])).apply(text));
        }),
        Contender::new("unmask+validate", |text: &mut Text| {
            text.each_masked(|text| {
                let mut utf8 = Utf8::new();
                let valid = Mask::new(black_box([0; 4])).apply_text(text, &mut utf8);
                assert!(valid.is_ok() && utf8.finish().is_ok());
            });
        }),
        Contender::new("receive binary", |text: &mut Text| {
            receive(&mut text.connection, &mut text.binary_frames);
        }),
        Contender::new("receive text", |text: &mut Text| {
            receive(&mut text.connection, &mut text.text_frames);
        }),
        Contender::new("deliver text", |text: &mut Text| {
            deliver(&mut text.connection, &mut text.text_frames);
        }),
    ]
}

/// Panics unless what is ours finds the same errors as std.
pub fn assert_equal() {
    for (name, sample) in SAMPLES {
        let mut text = sample.repeat(300).into_bytes();
        assert!(ours(&text) && in_pieces(&text), "{name} is valid");
        for at in (0..text.len()).step_by(61) {
            let byte = std::mem::replace(&mut text[at], 0xff);
            let expected = std::str::from_utf8(&text).is_ok();
            assert_eq!((ours(&text), in_pieces(&text)), (expected, expected), "{name}, at {at}");
            text[at] = byte;
        }
    }
}
