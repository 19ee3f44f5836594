//! Frames of RFC 6455 §5.2, one `Vec` each.

/// A frame, or something like one: nothing here is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The FIN bit.
    pub fin: bool,
    /// The reserved bits, RSV1 the highest: 0 to 7.
    pub rsv: u8,
    /// The opcode: 0 to 15.
    pub opcode: u8,
    /// The masking key, if the mask bit is set.
    pub mask: Option<[u8; 4]>,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
    /// How the length is written.
    pub length: LengthForm,
}

/// How a frame's length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthForm {
    /// In as few bytes as it can be, as §5.2 wants it.
    Minimal,
    /// In 16 bits whatever it is.
    Two,
    /// In 64 bits whatever it is.
    Eight,
    /// As another length than the payload's, in 64 bits.
    Lie(u64),
}

impl Frame {
    /// An unmasked final frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self { fin: true, rsv: 0, opcode, mask: None, payload, length: LengthForm::Minimal }
    }

    /// The frame with FIN clear.
    #[must_use]
    pub fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    /// The frame masked, or not.
    #[must_use]
    pub fn masked(self, mask: Option<[u8; 4]>) -> Self {
        Self { mask, ..self }
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let len = self.payload.len();
        let mut bytes = vec![(u8::from(self.fin) << 7) | (self.rsv << 4) | self.opcode];
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        match self.length {
            LengthForm::Minimal if len <= 125 => bytes.push(mask_bit | len as u8),
            LengthForm::Minimal if len > 65535 => {
                bytes.push(mask_bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
            LengthForm::Minimal | LengthForm::Two => {
                bytes.push(mask_bit | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            LengthForm::Eight => {
                bytes.push(mask_bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
            LengthForm::Lie(len) => {
                bytes.push(mask_bit | 127);
                bytes.extend(len.to_be_bytes());
            }
        }
        match self.mask {
            None => bytes.extend(&self.payload),
            Some(key) => {
                bytes.extend(key);
                bytes.extend(self.payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
            }
        }
        bytes
    }
}

/// The bytes of one frame, its length in the shortest form.
pub fn encode_frame(
    fin: bool,
    rsv: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    payload: &[u8],
) -> Vec<u8> {
    let payload = payload.to_vec();
    Frame { fin, rsv, opcode, mask, payload, length: LengthForm::Minimal }.encode()
}

/// The frames that `bytes` consist of, unmasked. Panics unless they are whole frames, with lengths in
/// the shortest form.
pub fn decode(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (first, second) = (bytes[0], bytes[1]);
        let (len, mut at) = match second & 0x7f {
            126 => {
                let len = u64::from(bytes[2]) << 8 | u64::from(bytes[3]);
                assert!(len > 125, "a length of {len} in 16 bits");
                (len, 4)
            }
            127 => {
                let len = bytes[2..10].iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
                assert!(len > 65535, "a length of {len} in 64 bits");
                (len, 10)
            }
            len => (u64::from(len), 2),
        };
        let mask = if second & 0x80 == 0 {
            None
        } else {
            at += 4;
            Some([bytes[at - 4], bytes[at - 3], bytes[at - 2], bytes[at - 1]])
        };
        let end = at + len as usize;
        assert!(end <= bytes.len(), "a frame of {len} bytes is cut");
        let mut payload = bytes[at..end].to_vec();
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask.map_or(0, |key| key[i % 4]);
        }
        frames.push(Frame {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 7,
            opcode: first & 0xf,
            mask,
            payload,
            length: LengthForm::Minimal,
        });
        bytes = &bytes[end..];
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_as_it_was() {
        for len in [0, 1, 125, 126, 65535, 65536] {
            for mask in [None, Some([1, 2, 3, 0xff])] {
                let frame = Frame::new(2, vec![7; len]).masked(mask);
                let bytes = encode_frame(true, 0, 2, mask, &vec![7; len]);
                assert_eq!(bytes, frame.encode());
                assert_eq!(decode(&bytes), [frame]);
            }
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_encoded_as_it_prints_them() {
        let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(encode_frame(true, 0, 1, Some([0x37, 0xfa, 0x21, 0x3d]), b"Hello"), hello);
        assert_eq!(encode_frame(false, 0, 1, None, b"Hel"), b"\x01\x03Hel");
    }
}
