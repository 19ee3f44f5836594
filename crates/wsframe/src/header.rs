use core::fmt;

use crate::{FrameError, MAX_CONTROL_PAYLOAD, OpCode};

/// The longest a header can be, in bytes: 2, a 64-bit length, a masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The header of a frame (RFC 6455 §5.2).
///
/// ```text
///  0               1               2               3
///  0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
/// +-+-+-+-+-------+-+-------------+-------------------------------+
/// |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
/// |I|S|S|S|  (4)  |A|     (7)     |          (16 or 64)           |
/// |N|V|V|V|       |S|             |   (if payload len is 126/127) |
/// | |1|2|3|       |K|             |                               |
/// +-+-+-+-+-------+-+-------------+-------------------------------+
/// |          masking key (0 or 4 bytes), then the payload         |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// The reserved bits that are set.
    pub rsv: Rsv,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key: `Some` from a client, `None` from a server (§5.1).
    pub masking_key: Option<[u8; 4]>,
    /// The length of the payload in bytes, at most 2^63 − 1.
    pub payload_len: u64,
}

/// What a receiver accepts in a header, beyond the rules that hold for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who receives: a server wants frames masked, a client wants them unmasked (§5.1).
    pub receiver: Role,
    /// The reserved bits to which an agreed extension gives a meaning. Default: none.
    pub rsv: Rsv,
    /// The longest payload of a data frame, in bytes. Default: 2^63 − 1, all that the standard
    /// allows.
    pub max_payload: u64,
}

/// What [`Header::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The whole header, in the first `len` bytes.
    Header {
        /// The header.
        header: Header,
        /// How many bytes it took: 2 to [`MAX_HEADER_LEN`]. The payload follows them.
        len: usize,
    },
    /// The header is not all there. At least this many bytes are needed, counted from its start:
    /// 2 while its size is unknown, and exactly its size after that.
    Need(usize),
}

impl Header {
    /// An unfragmented, unmasked frame without reserved bits.
    #[inline]
    pub const fn new(opcode: OpCode, payload_len: u64) -> Self {
        Self { fin: true, rsv: Rsv::NONE, opcode, masking_key: None, payload_len }
    }

    /// Decodes the header at the start of `bytes`, and judges it as soon as it can be judged:
    /// opcode, reserved bits, masking and the rules for control frames by its first two bytes, the
    /// length before the masking key has come.
    ///
    /// However the bytes are cut, the verdict is the same.
    #[inline]
    pub fn decode(bytes: &[u8], rules: &Rules) -> Result<Decoded, FrameError> {
        match Self::decode_short(bytes, rules) {
            Some((header, len)) => Ok(Decoded::Header { header, len }),
            None => Self::decode_any(bytes, rules),
        }
    }

    /// Decodes the header of most of the world's frames: data, at most 125 bytes of it, the header all
    /// there and nothing wrong with it. Anything else is for [`decode_any`](Self::decode_any).
    #[inline(always)]
    fn decode_short(bytes: &[u8], rules: &Rules) -> Option<(Self, usize)> {
        let &[first, second, ref rest @ ..] = bytes else { return None };
        let opcode = match first & 0xf {
            0 => OpCode::Continuation,
            1 => OpCode::Text,
            2 => OpCode::Binary,
            _ => return None,
        };
        let rsv = Rsv((first >> 4) & 0x7);
        // With the wrong mask bit it is over 125.
        let short = second ^ rules.receiver.mask_bit();
        let payload_len = u64::from(short);
        if short > 125 || payload_len > rules.max_payload || !rules.rsv.contains(rsv) {
            return None;
        }
        let (masking_key, len) = match rules.receiver {
            Role::Server => (Some(*rest.first_chunk()?), 6),
            Role::Client => (None, 2),
        };
        Some((Self { fin: first & 0x80 != 0, rsv, opcode, masking_key, payload_len }, len))
    }

    #[inline]
    fn decode_any(bytes: &[u8], rules: &Rules) -> Result<Decoded, FrameError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(Decoded::Need(2));
        };
        let (fin, rsv) = (first & 0x80 != 0, Rsv((first >> 4) & 0x7));
        // With the wrong mask bit, this is over 127.
        let short = second ^ rules.receiver.mask_bit();
        let opcode = match OpCode::from_bits(first & 0xf) {
            Some(opcode)
                if rules.rsv.contains(rsv)
                    && short <= 127
                    && (!opcode.is_control()
                        || fin && usize::from(short) <= MAX_CONTROL_PAYLOAD) =>
            {
                opcode
            }
            _ => return Err(FrameError::of_start(first, second, rules)),
        };

        let key_len = if matches!(rules.receiver, Role::Server) { 4 } else { 0 };
        let (payload_len, rest, len) = match short {
            126 => match *rest {
                [a, b, ref rest @ ..] => {
                    let len = u64::from(u16::from_be_bytes([a, b]));
                    if len < 126 {
                        return Err(FrameError::NonMinimalLength);
                    }
                    (len, rest, 4 + key_len)
                }
                _ => return Ok(Decoded::Need(4 + key_len)),
            },
            127 => match *rest {
                [a, b, c, d, e, f, g, h, ref rest @ ..] => {
                    let len = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                    // RFC 6455 §5.2: "the most significant bit MUST be 0"
                    if len >> 63 != 0 {
                        return Err(FrameError::LengthTopBit);
                    }
                    if len <= u64::from(u16::MAX) {
                        return Err(FrameError::NonMinimalLength);
                    }
                    (len, rest, 10 + key_len)
                }
                _ => return Ok(Decoded::Need(10 + key_len)),
            },
            short => (u64::from(short), rest, 2 + key_len),
        };
        if payload_len > rules.max_payload && !opcode.is_control() {
            return Err(FrameError::TooLarge { len: payload_len, limit: rules.max_payload });
        }
        let masking_key = match rules.receiver {
            Role::Client => None,
            Role::Server => match rest.first_chunk() {
                None => return Ok(Decoded::Need(len)),
                key => key.copied(),
            },
        };
        Ok(Decoded::Header { header: Self { fin, rsv, opcode, masking_key, payload_len }, len })
    }

    /// Encodes the header, with its length in the shortest form.
    ///
    /// Nothing is judged here: a control frame that is too long or fragmented is encoded as asked.
    #[inline]
    pub fn encode(&self) -> HeaderBuf {
        let first = u8::from(self.fin) << 7 | self.rsv.0 << 4 | self.opcode.bits();
        let (mask_bit, key, key_len) = match self.masking_key {
            Some(key) => (0x80, u128::from(u32::from_le_bytes(key)), 4),
            None => (0, 0, 0),
        };
        // Put together in a register, the first byte lowest.
        let (second, rest, len) = match self.payload_len {
            len @ 0..=125 => (len, key, 2),
            len @ 0..=0xffff => (126, u128::from((len as u16).swap_bytes()) | key << 16, 4),
            len => (127, u128::from(len.swap_bytes()) | key << 64, 10),
        };
        let start = u128::from(u64::from(first) | (mask_bit | second) << 8);
        HeaderBuf::new(start | rest << 16, len + key_len)
    }
}

impl FrameError {
    /// What is wrong with a header's first two bytes, where something is.
    #[cold]
    fn of_start(first: u8, second: u8, rules: &Rules) -> Self {
        let masked = second & 0x80 != 0;
        if !rules.rsv.contains(Rsv((first >> 4) & 0x7)) {
            Self::ReservedBits
        } else if OpCode::from_bits(first & 0xf).is_none() {
            Self::ReservedOpCode(first & 0xf)
        } else if masked != matches!(rules.receiver, Role::Server) {
            Self::Masking(rules.receiver)
        } else if first & 0x80 == 0 {
            // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less
            // and MUST NOT be fragmented."
            Self::FragmentedControl
        } else {
            Self::LongControl
        }
    }
}

impl Rules {
    /// The rules for frames that `receiver` receives: no reserved bits, any length.
    #[inline]
    pub const fn new(receiver: Role) -> Self {
        Self { receiver, rsv: Rsv::NONE, max_payload: u64::MAX >> 1 }
    }
}

/// Which end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection; masks what it sends.
    Client,
    /// Accepted the connection; never masks.
    Server,
}

impl Role {
    /// The mask bit of the frames that it receives.
    #[inline]
    const fn mask_bit(self) -> u8 {
        match self {
            Self::Client => 0,
            Self::Server => 0x80,
        }
    }
}

/// The three reserved bits, which extensions give a meaning to (RFC 6455 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// The first: "this message is compressed" where permessage-deflate was agreed (RFC 7692 §6).
    pub const RSV1: Self = Self(0b100);
    /// The second.
    pub const RSV2: Self = Self(0b010);
    /// The third.
    pub const RSV3: Self = Self(0b001);

    /// Both sets together.
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is in `self`.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

impl fmt::Debug for Rsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rsv({:03b})", self.0)
    }
}

/// An encoded header on the stack; see [`Header::encode`].
#[derive(Clone, Copy)]
pub struct HeaderBuf {
    /// The last byte is the length.
    bytes: [u8; 16],
}

impl HeaderBuf {
    /// Of `len` bytes, the first one lowest.
    #[inline]
    fn new(bytes: u128, len: u8) -> Self {
        Self { bytes: (bytes | u128::from(len) << 120).to_le_bytes() }
    }

    /// The bytes, 2 to [`MAX_HEADER_LEN`] of them.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        let [.., len] = self.bytes;
        self.bytes.get(..usize::from(len)).unwrap_or(&self.bytes)
    }

    /// The bytes with others behind them, and how many they are: to copy all 16 and forget the rest
    /// takes less than to copy just so many.
    #[inline]
    pub fn padded(&self) -> (&[u8; 16], usize) {
        let [.., len] = self.bytes;
        (&self.bytes, usize::from(len))
    }
}

impl AsRef<[u8]> for HeaderBuf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for HeaderBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{format, vec::Vec};

    use super::*;

    fn decode(bytes: &[u8], receiver: Role) -> Result<Decoded, FrameError> {
        Header::decode(bytes, &Rules::new(receiver))
    }

    #[test]
    fn every_header_survives_encoding_and_decoding_and_needs_exactly_its_bytes() {
        for (receiver, masking_key) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
            for len in [0, 1, 125, 126, 127, 65535, 65536, 1 << 32, u64::MAX >> 1] {
                for opcode in [OpCode::Continuation, OpCode::Text, OpCode::Binary] {
                    for fin in [false, true] {
                        let header = Header { fin, masking_key, ..Header::new(opcode, len) };
                        let bytes = header.encode();
                        let bytes = bytes.as_slice();
                        let whole = Decoded::Header { header, len: bytes.len() };
                        assert_eq!(decode(bytes, receiver), Ok(whole));
                        for cut in 0..bytes.len() {
                            let need = if cut < 2 { 2 } else { bytes.len() };
                            assert_eq!(decode(&bytes[..cut], receiver), Ok(Decoded::Need(need)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_header_is_judged_before_its_masking_key_has_arrived() {
        use FrameError::*;
        let rules = Rules { max_payload: 1 << 20, ..Rules::new(Role::Server) };
        let cases: &[(&[u8], FrameError)] = &[
            (&[0xc2, 0x80], ReservedBits),
            (&[0x83, 0x80], ReservedOpCode(3)),
            (&[0x8f, 0x80], ReservedOpCode(15)),
            (&[0x82, 0x05], Masking(Role::Server)),
            (&[0x09, 0x80], FragmentedControl),
            (&[0x89, 0xfe], LongControl),
            (&[0x82, 0xfe, 0x00, 0x7d], NonMinimalLength),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], NonMinimalLength),
            (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], LengthTopBit),
            (
                &[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1],
                TooLarge { len: (1 << 20) + 1, limit: 1 << 20 },
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(Header::decode(bytes, &rules), Err(*error), "{bytes:02x?}");
        }
        assert_eq!(decode(&[0x82, 0x80], Role::Client), Err(Masking(Role::Client)));
    }

    #[test]
    fn reserved_bits_pass_where_an_extension_uses_them() {
        let rules = Rules { rsv: Rsv::RSV1, ..Rules::new(Role::Client) };
        let Ok(Decoded::Header { header, .. }) = Header::decode(&[0xc1, 0], &rules) else {
            panic!("RSV1 is allowed");
        };
        assert_eq!(header.rsv, Rsv::RSV1);
        assert_eq!(Header::decode(&[0xe1, 0], &rules), Err(FrameError::ReservedBits));
    }

    #[test]
    fn reserved_bits_are_a_set() {
        assert_eq!(Rsv::RSV1.with(Rsv::RSV3).with(Rsv::RSV1), Rsv(0b101));
        assert!(Rsv(0b101).contains(Rsv::RSV3) && Rsv::NONE.contains(Rsv::NONE));
        assert!(!Rsv(0b101).contains(Rsv(0b011)));
        assert_eq!(format!("{:?}", Rsv::RSV2.with(Rsv::RSV3)), "Rsv(011)");
    }

    #[test]
    fn the_bytes_of_an_encoded_header_are_the_same_however_they_are_asked_for() {
        let masking_key = Some([0x37, 0xfa, 0x21, 0x3d]);
        let header = Header { masking_key, ..Header::new(OpCode::Text, 0x1234) }.encode();
        let bytes = [0x81, 0xfe, 0x12, 0x34, 0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(header.as_slice(), bytes);
        assert_eq!(header.as_ref(), bytes);
        let (padded, len) = header.padded();
        assert_eq!(padded[..len], bytes);
        assert_eq!(format!("{header:?}"), "[81, fe, 12, 34, 37, fa, 21, 3d]");
    }

    #[test]
    fn a_cut_header_is_refused_no_later_than_a_whole_one_with_the_same_error() {
        for first in 0..=255 {
            for second in 0..=255 {
                let mut bytes = [first, second, 0, 100, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9].to_vec();
                for receiver in [Role::Client, Role::Server] {
                    let whole = decode(&bytes, receiver);
                    let verdicts: Vec<_> = (0..bytes.len())
                        .map(|cut| decode(&bytes[..cut], receiver))
                        .filter(|verdict| !matches!(verdict, Ok(Decoded::Need(_))))
                        .collect();
                    assert!(verdicts.iter().all(|verdict| *verdict == whole));
                }
                bytes.clear();
            }
        }
    }
}
