//! Abuses of permessage-deflate, written once, sent to every transport (class C in SECURITY.md).

use wsconn::{Config, OwnedMessage, Role};

use crate::{
    alloc::measure,
    conformance::Outcome,
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

    /// Panics unless `outcome` is what is to be: what was delivered, the close frame that answers this as
    /// the last of what was written, and whether the end was clean.
    fn assert_outcome(&self, outcome: &Outcome, case: &str) {
        let last = reference::decode(&outcome.written).pop().unwrap();
        let code = last.payload.first_chunk().copied().map(u16::from_be_bytes);
        assert_eq!((last.opcode, code), (8, Some(self.code)), "{case}");
        assert_eq!(outcome.messages, self.delivered, "{case}");
        let info = outcome.close.as_ref().unwrap();
        assert_eq!(info.clean, self.code == 1000, "{case}: {info}");
    }
}

/// The frames behind the head of an opening handshake. Panics unless that speaks of permessage-deflate.
pub fn behind_head(written: &[u8]) -> Vec<u8> {
    let end = written.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (head, frames) = written.split_at(end);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(head.contains("permessage-deflate"), "{head}");
    frames.to_vec()
}

/// Panics unless all abuses are answered, and no more is held meanwhile than the limit, 64 KiB and what has
/// come.
///
/// `run` is an end in one of these roles that has agreed to compress, with context takeover where `true` is
/// given. Its peer sends the bytes behind the opening handshake, and ends its side of the stream; a read
/// gives at most so many. All that it holds must be of this thread, whose allocator must be a
/// [`CountingAllocator`](crate::alloc::CountingAllocator).
pub fn check(roles: &[Role], run: impl Fn(Role, &Config, bool, &[u8], usize) -> Outcome) {
    let mut config = Config::default();
    // Less than by default, so that it takes less time.
    config.max_message_size = 256 << 10;
    for (abuse, role) in abuses().iter().flat_map(|it| roles.iter().map(move |role| (it, *role))) {
        let input = abuse.bytes(role);
        for takeover in [false, true] {
            for most in [usize::MAX, input.len() / 2 + 1, 1] {
                let run = |input| {
                    let (outcome, usage) = measure(|| run(role, &config, takeover, input, most));
                    assert!(usage.allocations > 0, "nobody counts");
                    (outcome, usage.peak)
                };
                let case = format!("{role:?}, {takeover}, reads of {most}: {}", abuse.case);
                let nothing = run(&[]).1;
                let (outcome, peak) = run(&input);
                abuse.assert_outcome(&outcome, &case);
                let bound = config.max_message_size as i64 + (64 << 10) + 4 * input.len() as i64;
                assert!(peak - nothing <= bound, "{case}: {peak} and {nothing} bytes");
            }
        }
    }
}
