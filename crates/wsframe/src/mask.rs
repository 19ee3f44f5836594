pub(crate) mod kernel;

use crate::{Utf8, Utf8Error, instances, utf8::Found};

/// Text is unmasked this many bytes at a time, so that it is validated while it is in the nearest
/// cache, and not at all where it is ASCII.
const TEXT_BLOCK: usize = 16 << 10;

/// A masking key and how far into it the payload is (RFC 6455 §5.3).
///
/// Masking and unmasking are the same operation. A payload may come in pieces of any size: the phase
/// is carried from one call to the next, so that every cut gives the same bytes.
///
/// ```
/// let mut mask = wsframe::Mask::new([1, 2, 3, 4]);
/// let mut payload = *b"abcdefg";
/// let (head, tail) = payload.split_at_mut(3);
/// mask.apply(head);
/// mask.apply(tail);
/// assert_eq!(&payload, b"````ddd");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The key, rotated so that its lowest byte is for the next byte of the payload.
    key: u32,
}

impl Mask {
    /// The mask at the start of a payload.
    #[inline]
    pub const fn new(masking_key: [u8; 4]) -> Self {
        Self { key: u32::from_le_bytes(masking_key) }
    }

    /// Masks or unmasks the next `payload.len()` bytes in place.
    #[inline]
    pub fn apply(&mut self, payload: &mut [u8]) {
        self.key = apply(payload, self.key, instances::long);
    }

    /// Masks or unmasks the next bytes from `src` into `dst`, and says how many: as many as the
    /// shorter of the two holds. What `dst` has beyond is left alone.
    #[inline]
    pub fn copy(&mut self, src: &[u8], dst: &mut [u8]) -> usize {
        let len = src.len().min(dst.len());
        if let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) {
            self.key = copy(src, dst, self.key, instances::long_copy);
        }
        len
    }

    /// Unmasks the next bytes of a text in place and validates them, in one pass through memory.
    ///
    /// Fails as [`Utf8::push`] does. What is beyond the error may then be left masked: the text is
    /// lost.
    ///
    /// ```
    /// # use wsframe::{Mask, Utf8};
    /// let (mut mask, mut utf8) = (Mask::new([1, 2, 3, 4]), Utf8::new());
    /// let mut payload = *b"````ddd";
    /// mask.apply_text(&mut payload, &mut utf8)?;
    /// assert_eq!(&payload, b"abcdefg");
    /// # Ok::<(), wsframe::Utf8Error>(())
    /// ```
    #[inline]
    pub fn apply_text(&mut self, payload: &mut [u8], utf8: &mut Utf8) -> Result<(), Utf8Error> {
        if payload.len() > TEXT_BLOCK || !utf8.is_between_characters() {
            return self.apply_text_in_blocks(payload, utf8);
        }
        let (key, found) = if payload.len() <= kernel::SHORT {
            let (key, ascii) = kernel::short(payload, self.key);
            (key, if ascii { Found::Ascii } else { Found::Other })
        } else {
            instances::text(payload, self.key)
        };
        self.key = key;
        utf8.found(found, payload)
    }

    /// Byte by byte up to the end of the character that is under way, and then in blocks.
    #[inline(never)]
    fn apply_text_in_blocks(
        &mut self,
        payload: &mut [u8],
        utf8: &mut Utf8,
    ) -> Result<(), Utf8Error> {
        let (mut before, mut rest) = (0, payload);
        while !rest.is_empty() {
            let between = utf8.is_between_characters();
            let len = if between { TEXT_BLOCK.min(rest.len()) } else { 1 };
            let (block, after) = rest.split_at_mut(len);
            let pushed = if between {
                self.apply_text(block, utf8)
            } else {
                self.apply(block);
                utf8.push_any(block)
            };
            pushed.map_err(|error| Utf8Error { valid_up_to: before + error.valid_up_to })?;
            before += len;
            rest = after;
        }
        Ok(())
    }
}

/// Masks in place, with `long` where the payload is long. Returns the key for what follows.
#[inline(always)]
pub(crate) fn apply(payload: &mut [u8], key: u32, long: impl FnOnce(&mut [u8], u32) -> u32) -> u32 {
    if payload.len() <= kernel::SHORT { kernel::short(payload, key).0 } else { long(payload, key) }
}

/// As [`apply`], from one slice into another of the same length.
#[inline(always)]
pub(crate) fn copy(
    src: &[u8],
    dst: &mut [u8],
    key: u32,
    long: impl FnOnce(&[u8], &mut [u8], u32) -> u32,
) -> u32 {
    if src.len() <= kernel::SHORT { kernel::short_copy(src, dst, key) } else { long(src, dst, key) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn naive(data: &[u8]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]).collect()
    }

    #[test]
    fn a_payload_cut_in_two_anywhere_is_masked_as_in_one_piece() {
        let data: Vec<u8> = (0..100).collect();
        for cut in 0..=data.len() {
            let mut buf = data.clone();
            let mut mask = Mask::new(KEY);
            mask.apply(&mut buf[..cut]);
            mask.apply(&mut buf[cut..]);
            assert_eq!(buf, naive(&data));
        }
    }

    #[test]
    fn copying_takes_as_much_as_the_shorter_side_holds() {
        let mut dst = [0; 3];
        assert_eq!(Mask::new(KEY).copy(&[0; 8], &mut dst), 3);
        assert_eq!(dst, KEY[..3]);
    }
}
