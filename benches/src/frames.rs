//! Frames: decode, unmask, encode, as an echo server does, in memory. Ours and each peer's, as far as
//! the peer lets one use its codec alone; and our whole connection, with its state and its limits.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio_util::codec::{Decoder as _, Encoder as _};
use wsconn::{Config, Connection, Delivery, Event, Time};
use wsframe::{Decoded, Header, Mask, OpCode, Role, Rules};

use crate::measure::Contender;

/// The sizes that are measured, in bytes of payload.
pub const SIZES: [usize; 4] = [20, 125, 1 << 10, 64 << 10];

/// Masked frames as they come from a client, and what is made of them.
pub struct Frames {
    /// All frames, one after the other. Their masking key is zero, so that unmasking leaves them as
    /// they are, and takes as long.
    wire: Vec<u8>,
    count: usize,
    /// All read from this buffer and write to that one, whatever type they would rather have: where
    /// large buffers lie in a page and in the caches makes a difference of a fifth.
    input: BytesMut,
    output: BytesMut,
    connection: Connection,
    queue: Vec<u8>,
}

impl Frames {
    /// Frames of `size` bytes of payload each.
    pub fn new(size: usize) -> Self {
        let count = (8192 / size).clamp(2, 32);
        let mut header = Header::new(OpCode::Binary, size as u64);
        header.masking_key = Some([0; 4]);
        let mut frame = header.encode().as_slice().to_vec();
        frame.extend((0..size).map(|i| i as u8));
        let wire = frame.repeat(count);
        Self {
            input: BytesMut::with_capacity(wire.len()),
            output: BytesMut::with_capacity(wire.len() + 64),
            queue: Vec::with_capacity(wire.len() + 64),
            wire,
            count,
            connection: self::connection(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn fill(&mut self) {
        self.input.clear();
        self.input.extend_from_slice(black_box(&self.wire));
        self.output.clear();
    }
}

/// Who takes part, by name. `nothing` fills the input and no more: its cost is in all the others.
pub const NAMES: [&str; 6] =
    ["nothing", "ours", "our connection", "sockudo-ws", "yawc", "fastwebsockets"];

/// A server's side of one that is open, and whose clock stands still.
pub fn connection() -> Connection {
    let mut config = Config::default();
    config.max_outgoing = 16 << 20;
    Connection::server(Arc::new(config), now())
}

/// The time on that clock.
pub fn now() -> Time {
    Time::from_origin(Duration::ZERO)
}

/// What takes part under this name.
///
/// fastwebsockets has no public decoder: it is spared that work, and is given where the payload is.
pub fn contender(name: &str) -> Option<Contender<'static, Frames>> {
    Some(match name {
        "nothing" => Contender::new("nothing", Frames::fill),
        "ours" => Contender::new("ours", ours),
        "our connection" => Contender::new("our connection", echo),
        "sockudo-ws" => Contender::new("sockudo-ws", sockudo),
        "yawc" => Contender::new("yawc", yawc),
        "fastwebsockets" => Contender::new("fastwebsockets", fastwebsockets),
        _ => return None,
    })
}

/// Panics unless all send the same.
pub fn assert_equal() {
    for size in SIZES {
        let mut frames = Frames::new(size);
        ours(&mut frames);
        let expected = frames.output.clone();
        assert_eq!(expected.len(), frames.wire.len() - 4 * frames.count);
        queue_echoes(&mut frames);
        assert_eq!(frames.connection.outgoing(), expected, "our connection, {size} bytes");
        sockudo(&mut frames);
        assert_eq!(frames.output, expected, "sockudo-ws, {size} bytes");
        yawc(&mut frames);
        assert_eq!(frames.output, expected, "yawc, {size} bytes");
        fastwebsockets(&mut frames);
        assert_eq!(frames.output, expected, "fastwebsockets, {size} bytes");
    }
}

fn ours(frames: &mut Frames) {
    frames.fill();
    let rules = Rules { max_payload: 16 << 20, ..Rules::new(Role::Server) };
    let mut rest = &mut frames.input[..];
    while let Ok(Decoded::Header { header, len }) = Header::decode(rest, &rules) {
        let (frame, after) = rest.split_at_mut(len + header.payload_len as usize);
        let payload = &mut frame[len..];
        if let Some(key) = header.masking_key {
            Mask::new(key).apply(payload);
        }
        let header = Header { masking_key: None, ..header };
        frames.output.extend_from_slice(header.encode().as_slice());
        frames.output.extend_from_slice(payload);
        rest = after;
    }
}

/// Queues the echoes, which a transport would write from where they are.
fn queue_echoes(frames: &mut Frames) {
    frames.fill();
    frames.connection.lend(std::mem::take(&mut frames.queue));
    let mut rest = &mut frames.input[..];
    while !rest.is_empty() {
        let received = frames.connection.receive(rest, Delivery::Messages, now());
        let (done, after) = rest.split_at_mut(received.consumed);
        if let Some(location) = received.event
            && let Event::Message(message) = location.event(done, &[])
        {
            assert!(frames.connection.send(message).is_ok());
        }
        rest = after;
    }
}

fn echo(frames: &mut Frames) {
    queue_echoes(frames);
    let len = black_box(frames.connection.outgoing()).len();
    frames.connection.advance(len);
    frames.queue = frames.connection.reclaim();
}

fn sockudo(frames: &mut Frames) {
    frames.fill();
    let mut parser = sockudo_ws::frame::FrameParser::new(16 << 20, true);
    while let Ok(Some(frame)) = parser.parse(&mut frames.input) {
        let (opcode, fin) = (frame.header.opcode, frame.header.fin);
        let out = &mut frames.output;
        sockudo_ws::frame::encode_frame(out, opcode, &frame.payload, fin, None);
    }
}

fn yawc(frames: &mut Frames) {
    frames.fill();
    let mut decoder = yawc::codec::Decoder::new(yawc::Role::Server, 16 << 20);
    let mut encoder = yawc::codec::Encoder::new(yawc::Role::Server);
    while let Ok(Some(mut frame)) = decoder.decode(&mut frames.input) {
        frame.set_mask(None);
        let encoded = encoder.encode(frame, &mut frames.output);
        assert!(encoded.is_ok());
    }
}

fn fastwebsockets(frames: &mut Frames) {
    use fastwebsockets::{Frame, OpCode, Payload};

    frames.fill();
    let frame_len = frames.input.len() / frames.count;
    let header_len = match frame_len {
        0..132 => 6,
        132..65544 => 8,
        _ => 14,
    };
    for frame in frames.input.chunks_exact_mut(frame_len) {
        let (header, payload) = frame.split_at_mut(header_len);
        let mut key = [0; 4];
        key.copy_from_slice(&header[header_len - 4..]);
        fastwebsockets::unmask(payload, key);
        let payload = Payload::BorrowedMut(payload);
        let mut frame = Frame::new(true, OpCode::Binary, None, payload);
        let mut head = [0; 14];
        let len = frame.fmt_head(&mut head);
        frames.output.extend_from_slice(&head[..len]);
        frames.output.extend_from_slice(&frame.payload);
    }
}

/// The headers of small frames: decoding and encoding one, ours and tungstenite's.
pub mod headers {
    use super::*;

    /// The header of a masked frame of 20 bytes.
    pub const MASKED: [u8; 6] = [0x82, 0x94, 0x37, 0xfa, 0x21, 0x3d];

    /// Decodes as a server does, and uses every field. In a function of its own so that its
    /// instructions can be counted.
    #[inline(never)]
    pub fn decode(bytes: &[u8], max_payload: u64) -> u64 {
        let rules = Rules { max_payload, ..Rules::new(Role::Server) };
        let Ok(Decoded::Header { header, len }) = Header::decode(bytes, &rules) else { return 0 };
        let key = header.masking_key.map_or(0, u32::from_le_bytes);
        let flags = u64::from(header.fin) | u64::from(header.opcode.bits());
        (u64::from(key) ^ header.payload_len ^ len as u64) + flags
    }

    /// Encodes, and copies the header to where it is sent from.
    #[inline(never)]
    pub fn encode(header: &Header) -> wsframe::HeaderBuf {
        header.encode()
    }

    /// Nothing, called as the others are.
    #[inline(never)]
    pub fn nothing(bytes: &[u8], _max_payload: u64) -> u64 {
        bytes.len() as u64
    }

    /// Decoding and encoding, ours and tungstenite's, and fastwebsockets' encoding.
    pub fn contenders() -> Vec<Contender<'static, ()>> {
        let sent = Header::new(OpCode::Binary, 20);
        let theirs = tungstenite::protocol::frame::FrameHeader {
            opcode: tungstenite::protocol::frame::coding::OpCode::Data(
                tungstenite::protocol::frame::coding::Data::Binary,
            ),
            ..Default::default()
        };
        vec![
            Contender::new("decode, ours", |()| {
                black_box(decode(black_box(&MASKED), black_box(16 << 20)));
            }),
            Contender::new("decode, tungstenite", |()| {
                let mut cursor = std::io::Cursor::new(black_box(&MASKED));
                let header = tungstenite::protocol::frame::FrameHeader::parse(&mut cursor);
                black_box(header).ok();
            }),
            Contender::new("encode, ours", move |()| {
                black_box(encode(black_box(&sent)));
            }),
            Contender::new("encode, tungstenite", move |()| {
                let mut out = [0; 14];
                black_box(theirs.format(black_box(20), &mut &mut out[..])).ok();
                black_box(out);
            }),
        ]
    }

    /// Panics unless the header says what it should.
    pub fn assert_right() {
        let rules = Rules::new(Role::Server);
        let Ok(Decoded::Header { header, len: 6 }) = Header::decode(&MASKED, &rules) else {
            panic!("a header of 6 bytes");
        };
        assert_eq!((header.payload_len, header.opcode), (20, OpCode::Binary));
        assert_eq!(encode(&header).as_slice(), MASKED);
    }
}
