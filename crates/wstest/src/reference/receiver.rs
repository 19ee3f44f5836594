//! What a receiver makes of a whole input.

use wsconn::{Config, OwnedMessage, Role};

/// The limits that a receiver sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame, in bytes of payload.
    pub frame: u64,
    /// The longest message, in bytes.
    pub message: u64,
    /// The most frames in a message.
    pub fragments: u32,
}

/// What is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message(OwnedMessage),
    /// A ping. If nothing has been closed yet, a pong with the same payload is due.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
}

/// How it stands after the last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// More may come.
    Open,
    /// The peer has closed. The code is `None` where the body was empty.
    Closed {
        /// The code.
        code: Option<u16>,
        /// The reason.
        reason: String,
    },
    /// The peer broke a rule; the close frame that answers it has this code.
    Failed(u16),
}

/// What a receiver makes of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What is delivered, in order.
    pub events: Vec<Event>,
    /// How it stands then.
    pub end: End,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            frame: config.max_frame_size,
            message: config.max_message_size,
            fragments: config.max_fragments,
        }
    }
}

impl Outcome {
    /// The messages alone.
    pub fn messages(&self) -> Vec<OwnedMessage> {
        let message = |event: &Event| match event {
            Event::Message(message) => Some(message.clone()),
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }

    /// The payloads of the pongs that are due.
    pub fn pongs(&self) -> Vec<Vec<u8>> {
        let ping = |event: &Event| match event {
            Event::Ping(payload) => Some(payload.clone()),
            _ => None,
        };
        self.events.iter().filter_map(ping).collect()
    }
}

/// What a receiver in `role` makes of `input`, which began after the opening handshake.
///
/// Two rules of our own, where the standard leaves it open: a header is judged from its second byte
/// on, front to back, and first by itself, then by what came before it; and a payload of text is
/// judged as far as it has come.
pub fn receive(role: Role, limits: &Limits, input: &[u8]) -> Outcome {
    let mut events = Vec::new();
    let end = run(role, limits, input, &mut events);
    Outcome { events, end }
}

struct Assembly {
    text: bool,
    bytes: Vec<u8>,
    declared: u64,
    fragments: u32,
}

fn run(role: Role, limits: &Limits, mut input: &[u8], events: &mut Vec<Event>) -> End {
    let mut message: Option<Assembly> = None;
    loop {
        if input.len() < 2 {
            return End::Open;
        }
        let (fin, rsv, opcode) = (input[0] & 0x80 != 0, input[0] & 0x70, input[0] & 0x0f);
        let (masked, short) = (input[1] & 0x80 != 0, input[1] & 0x7f);
        let control = opcode >= 8;
        // §5.2: RSV "MUST be 0 unless an extension is negotiated"; "If an unknown opcode is
        // received, the receiving endpoint MUST _Fail the WebSocket Connection_."
        if rsv != 0 || ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            return End::Failed(1002);
        }
        // §5.1: the client masks, the server does not.
        if masked != (role == Role::Server) {
            return End::Failed(1002);
        }
        // §5.5: at most 125 bytes, not fragmented.
        if control && (!fin || short > 125) {
            return End::Failed(1002);
        }
        // §5.2: the minimal number of bytes, and a zero top bit.
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if input.len() < 2 + extended {
            return End::Open;
        }
        let (length, rest) = input[2..].split_at(extended);
        let len = match extended {
            0 => u64::from(short),
            _ => length.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        if (short == 126 && len < 126) || (short == 127 && !(65536..1 << 63).contains(&len)) {
            return End::Failed(1002);
        }
        let before = message.as_ref().map_or(0, |message| message.declared);
        if !control && (len > limits.frame || len > limits.message.saturating_sub(before)) {
            return End::Failed(1009);
        }
        let key_len = if masked { 4 } else { 0 };
        if rest.len() < key_len {
            return End::Open;
        }
        let (key, rest) = rest.split_at(key_len);

        // §5.4: what fits between the fragments of a message.
        if !control {
            match (opcode, &message) {
                (0, None) | (1 | 2, Some(_)) => return End::Failed(1002),
                (0, Some(_)) => {}
                _ => {
                    let text = opcode == 1;
                    message = Some(Assembly { text, bytes: vec![], declared: 0, fragments: 0 });
                }
            }
            let message = message.as_mut().unwrap();
            message.declared += len;
            message.fragments += 1;
            if message.fragments > limits.fragments {
                return End::Failed(1008);
            }
        }

        let arrived = rest.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        let whole = arrived as u64 == len;
        let (payload, rest) = rest.split_at(arrived);
        let payload: Vec<u8> = payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key.get(i % 4).unwrap_or(&0))
            .collect();
        if control {
            if !whole {
                return End::Open;
            }
            match opcode {
                8 => return close(&payload),
                9 => events.push(Event::Ping(payload)),
                _ => events.push(Event::Pong(payload)),
            }
        } else {
            let assembly = message.as_mut().unwrap();
            assembly.bytes.extend(payload);
            // §8.1: text is UTF-8.
            if assembly.text && is_beyond_repair(&assembly.bytes) {
                return End::Failed(1007);
            }
            if !whole {
                return End::Open;
            }
            if fin {
                let Assembly { text, bytes, .. } = message.take().unwrap();
                events.push(Event::Message(if text {
                    match String::from_utf8(bytes) {
                        Ok(text) => OwnedMessage::Text(text),
                        Err(_) => return End::Failed(1007),
                    }
                } else {
                    OwnedMessage::Binary(bytes)
                }));
            }
        }
        input = rest;
    }
}

/// The body of a close frame (§5.5.1, §7.4).
fn close(body: &[u8]) -> End {
    if body.is_empty() {
        return End::Closed { code: None, reason: String::new() };
    }
    if body.len() == 1 {
        return End::Failed(1002);
    }
    let code = u16::from(body[0]) << 8 | u16::from(body[1]);
    // Those of §7.4.1 that may be sent, those registered since, and the ranges of §7.4.2 that are
    // given to libraries and applications.
    let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    if !registered.contains(&code) && !(3000..5000).contains(&code) {
        return End::Failed(1002);
    }
    match String::from_utf8(body[2..].to_vec()) {
        Ok(reason) => End::Closed { code: Some(code), reason },
        Err(_) => End::Failed(1007),
    }
}

/// Whether no continuation makes the text valid.
fn is_beyond_repair(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some())
}
