use core::fmt;

use crate::{CloseCode, MAX_CONTROL_PAYLOAD, Role};

/// Why a frame header breaks RFC 6455 or a limit. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A reserved bit is set and no agreed extension gives it a meaning (§5.2).
    ReservedBits,
    /// The opcode is reserved (§5.2). The field is its value.
    ReservedOpCode(u8),
    /// The frame is masked and must not be, or the other way round (§5.1). The field is the role
    /// of the receiver: a server takes only masked frames, a client only unmasked ones.
    Masking(Role),
    /// A control frame with FIN clear (§5.5).
    FragmentedControl,
    /// A control frame of more than [`MAX_CONTROL_PAYLOAD`] bytes (§5.5).
    LongControl,
    /// The length is not in its shortest form (§5.2).
    NonMinimalLength,
    /// The most significant bit of a 64-bit length is set (§5.2).
    LengthTopBit,
    /// The payload is longer than [`Rules::max_payload`](crate::Rules::max_payload).
    TooLarge {
        /// The length the header declares, in bytes.
        len: u64,
        /// The limit it exceeds, in bytes.
        limit: u64,
    },
}

impl FrameError {
    /// The code of the close frame that answers it: 1009 where a limit is exceeded, else 1002.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::TooLarge { .. } => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ReservedBits => {
                f.write_str("a frame has a reserved bit set that no extension uses")
            }
            Self::ReservedOpCode(opcode) => {
                write!(f, "a frame has the reserved opcode {opcode:#x}")
            }
            Self::Masking(Role::Server) => f.write_str("a frame from a client is not masked"),
            Self::Masking(Role::Client) => f.write_str("a frame from a server is masked"),
            Self::FragmentedControl => f.write_str("a control frame is fragmented"),
            Self::LongControl => {
                write!(f, "a control frame is longer than {MAX_CONTROL_PAYLOAD} bytes")
            }
            Self::NonMinimalLength => f.write_str("a frame's length is not in its shortest form"),
            Self::LengthTopBit => f.write_str("a frame's length has its most significant bit set"),
            Self::TooLarge { len, limit } => {
                write!(f, "a frame of {len} bytes is over the limit of {limit}")
            }
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_header_is_said_in_a_sentence_and_answered_with_a_code() {
        use FrameError::*;
        let sentences = [
            (ReservedBits, "a frame has a reserved bit set that no extension uses"),
            (ReservedOpCode(11), "a frame has the reserved opcode 0xb"),
            (Masking(Role::Server), "a frame from a client is not masked"),
            (Masking(Role::Client), "a frame from a server is masked"),
            (FragmentedControl, "a control frame is fragmented"),
            (LongControl, "a control frame is longer than 125 bytes"),
            (NonMinimalLength, "a frame's length is not in its shortest form"),
            (LengthTopBit, "a frame's length has its most significant bit set"),
        ];
        for (error, sentence) in sentences {
            assert_eq!(format!("{error}"), sentence);
            assert_eq!(error.close_code(), CloseCode::PROTOCOL_ERROR);
        }
        let error = TooLarge { len: 11, limit: 10 };
        assert_eq!(format!("{error}"), "a frame of 11 bytes is over the limit of 10");
        assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
    }
}
