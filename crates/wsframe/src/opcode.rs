/// The longest payload of a control frame, in bytes (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// What a frame is (RFC 6455 §5.2). The reserved values have no variant: they never get this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the message under way (§5.4).
    Continuation = 0x0,
    /// The first fragment, or the whole, of a text message.
    Text = 0x1,
    /// The first fragment, or the whole, of a binary message.
    Binary = 0x2,
    /// The closing handshake (§5.5.1).
    Close = 0x8,
    /// A ping (§5.5.2).
    Ping = 0x9,
    /// A pong (§5.5.3).
    Pong = 0xa,
}

impl OpCode {
    /// The opcode of a four-bit value, or `None` where it is reserved. Higher bits must be zero.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// The four-bit value.
    #[inline]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether this is a close, ping or pong: never fragmented, at most
    /// [`MAX_CONTROL_PAYLOAD`] bytes (§5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}
