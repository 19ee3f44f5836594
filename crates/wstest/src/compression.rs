//! Abuses of permessage-deflate, written once, sent to every transport (class C in SECURITY.md).

use crate::{
    drive::KEY,
    handshake::request,
    reference::{self, Frame},
};

/// What a client sends behind its opening handshake.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// What is wrong with it.
    pub case: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The code of the close frame that answers it.
    pub code: u16,
}

/// The request of a client that offers permessage-deflate.
pub fn offer() -> Vec<u8> {
    request(&["Sec-WebSocket-Extensions: permessage-deflate"]).into_bytes()
}

/// A message that inflates to 1,032 times its size without end: after the start of the block, the code of a
/// length of 258 and that of a distance of 1 have one bit each.
fn bomb(len: usize) -> Vec<u8> {
    let mut bomb = vec![0xed, 0xc1, 1, 1, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 8, 0x0a];
    bomb.resize(len, 0);
    bomb
}

fn compressed(frame: Frame) -> Frame {
    Frame { rsv: 4, ..frame }
}

/// What a server with the default limits must answer with a close frame.
pub fn abuses() -> Vec<Abuse> {
    let first = compressed(Frame::new(2, bomb(100)).unfinished());
    let mut in_fragments = vec![first];
    in_fragments.resize(30, Frame::new(0, vec![0; 1000]).unfinished());
    // A stored block that says its length twice, and differently.
    let corrupt = compressed(Frame::new(2, [0, 5, 0, 0, 0]));
    let not_text = compressed(Frame::new(1, [2, 4, 0, 0xfb, 0xff, b'a', b'b', b'c', 0xff]));
    let hello = compressed(Frame::new(1, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 7, 0]));
    let again = Frame { fin: false, ..hello.clone() };
    let cases: &[(&str, &[Frame], u16)] = &[
        ("a bomb", &[compressed(Frame::new(2, bomb(30_000)))], 1009),
        ("a bomb in fragments", &in_fragments, 1009),
        (
            "a bomb behind an honest message",
            &[hello, compressed(Frame::new(2, bomb(30_000)))],
            1009,
        ),
        ("corrupt data", &[corrupt], 1007),
        ("what is no text once it is inflated", &[not_text], 1007),
        ("RSV1 on a continuation", &[again, compressed(Frame::new(0, ""))], 1002),
        ("RSV1 on a ping", &[compressed(Frame::new(9, ""))], 1002),
    ];
    cases
        .iter()
        .map(|&(case, frames, code)| {
            let masked = frames.iter().cloned().map(|frame| frame.masked(Some(KEY)));
            let bytes = masked.flat_map(|frame| frame.encode()).collect();
            Abuse { case, bytes, code }
        })
        .collect()
}

impl Abuse {
    /// Panics unless `response` agrees to permessage-deflate, and what follows it ends in the close frame
    /// that answers this.
    pub fn assert_answered(&self, response: &[u8]) {
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let (head, frames) = response.split_at(end);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        assert!(head.contains("permessage-deflate"), "{}: {head}", self.case);
        let last = reference::decode(frames).pop().unwrap();
        let code = last.payload.first_chunk().copied().map(u16::from_be_bytes);
        assert_eq!((last.opcode, code), (8, Some(self.code)), "{}", self.case);
    }
}
