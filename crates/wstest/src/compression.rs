//! Abuses of permessage-deflate, written once, sent to every transport (class C in SECURITY.md).

use wsconn::{OwnedMessage, Role};

use crate::{
    drive::KEY,
    handshake::request,
    reference::{self, Frame},
};

/// What a peer sends behind the opening handshake.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// What is wrong with it, or odd.
    pub case: &'static str,
    /// Its frames, unmasked.
    pub frames: Vec<Frame>,
    /// What is delivered of it.
    pub delivered: Vec<OwnedMessage>,
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

/// "Hello", from RFC 7692 §7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 7, 0];

fn compressed(frame: Frame) -> Frame {
    Frame { rsv: 4, ..frame }
}

/// What an end with the default limits must answer with a close frame.
pub fn abuses() -> Vec<Abuse> {
    let bomb_message = compressed(Frame::new(2, bomb(30_000)));
    let first = compressed(Frame::new(2, bomb(100)).unfinished());
    let mut in_fragments = vec![first];
    in_fragments.resize(30, Frame::new(0, vec![0; 1000]).unfinished());
    // A stored block that says its length twice, and differently.
    let corrupt = compressed(Frame::new(2, [0, 5, 0, 0, 0]));
    let not_text = compressed(Frame::new(1, [2, 4, 0, 0xfb, 0xff, b'a', b'b', b'c', 0xff]));
    let hello = compressed(Frame::new(1, HELLO));
    let unfinished = hello.clone().unfinished();
    let plain = Frame::new(1, "Hello").unfinished();
    let reserved = |opcode| compressed(Frame::new(opcode, ""));
    let cases: &[(&str, &[Frame], &[&str], u16)] = &[
        ("a bomb", std::slice::from_ref(&bomb_message), &[], 1009),
        ("a bomb in fragments", &in_fragments, &[], 1009),
        (
            "a bomb behind an honest message",
            &[hello.clone(), bomb_message.clone()],
            &["Hello"],
            1009,
        ),
        ("corrupt data", &[hello.clone(), corrupt], &["Hello"], 1007),
        ("what is no text once it is inflated", &[hello.clone(), not_text], &["Hello"], 1007),
        ("RSV1 on a continuation", &[unfinished.clone(), reserved(0)], &[], 1002),
        ("RSV1 on the continuation of a plain message", &[plain, reserved(0)], &[], 1002),
        ("RSV1 on a ping", &[hello.clone(), reserved(9)], &["Hello"], 1002),
        ("RSV1 on a pong", &[hello.clone(), reserved(10)], &["Hello"], 1002),
        ("RSV1 on a close frame", &[hello.clone(), reserved(8)], &["Hello"], 1002),
        ("RSV1 on a close frame inside a message", &[unfinished, reserved(8)], &[], 1002),
    ];
    let refused = cases.iter().map(|&(case, frames, delivered, code)| Abuse {
        case,
        frames: frames.to_vec(),
        delivered: delivered.iter().map(|text| (*text).into()).collect(),
        code,
    });
    refused.chain(oddities()).collect()
}

/// What is as strange, but right. A close frame follows.
fn oddities() -> impl Iterator<Item = Abuse> {
    let many = [&[0, 0, 0, 0xff, 0xff].repeat(1000)[..], &HELLO].concat();
    let around = [&[2, 0, 0, 0, 0xff, 0xff][..], &HELLO, &[0, 0, 0xff, 0xff, 0]].concat();
    let cases: [(&str, &[u8], &str); 7] = [
        ("an empty message of no block", &[], ""),
        ("an empty message of an empty stored block", &[0], ""),
        ("an empty message of an empty block of the fixed code", &[2, 0], ""),
        ("an empty message of an empty final block", &[3, 0, 0], ""),
        ("a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0], "Hello"),
        ("a thousand empty blocks before what is said", &many, "Hello"),
        ("empty blocks around what is said", &around, "Hello"),
    ];
    cases
        .map(|(case, payload, text)| {
            let odd = compressed(Frame::new(1, payload));
            let hello = compressed(Frame::new(1, HELLO));
            let frames = vec![odd, hello, Frame::new(8, 1000_u16.to_be_bytes())];
            Abuse { case, frames, delivered: vec![text.into(), "Hello".into()], code: 1000 }
        })
        .into_iter()
}

impl Abuse {
    /// Its bytes, as an end in `role` receives them.
    pub fn bytes(&self, role: Role) -> Vec<u8> {
        let key = (role == Role::Server).then_some(KEY);
        self.frames.iter().flat_map(|frame| frame.clone().masked(key).encode()).collect()
    }

    /// Panics unless `response` agrees to permessage-deflate, and what follows it ends in the close frame
    /// that answers this; or unless what was `delivered` is what is to be.
    pub fn assert_answered(&self, response: &[u8], delivered: &[OwnedMessage]) {
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let (head, frames) = response.split_at(end);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        assert!(head.contains("permessage-deflate"), "{}: {head}", self.case);
        self.assert_ended(frames, delivered);
    }

    /// The same of frames alone.
    pub fn assert_ended(&self, written: &[u8], delivered: &[OwnedMessage]) {
        let last = reference::decode(written).pop().unwrap();
        let code = last.payload.first_chunk().copied().map(u16::from_be_bytes);
        assert_eq!((last.opcode, code), (8, Some(self.code)), "{}", self.case);
        assert_eq!(delivered, self.delivered, "{}", self.case);
    }
}
