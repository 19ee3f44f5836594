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
        xor(payload, self.key);
        self.skip(payload.len());
    }

    /// Masks or unmasks the next bytes from `src` into `dst`, and says how many: as many as the
    /// shorter of the two holds. What `dst` has beyond is left alone.
    #[inline]
    pub fn copy(&mut self, src: &[u8], dst: &mut [u8]) -> usize {
        let len = src.len().min(dst.len());
        if let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) {
            xor_copy(src, dst, self.key);
            self.skip(len);
        }
        len
    }

    /// Moves past `len` bytes of the payload.
    #[inline]
    fn skip(&mut self, len: usize) {
        self.key = self.key.rotate_right(8 * (len % 4) as u32);
    }
}

/// The bytes XORed at once: two SSE2 or one AVX2 register, which the compiler makes of the plain
/// loops over arrays below.
const LANES: usize = 32;

#[inline]
fn xor(data: &mut [u8], key: u32) {
    let (blocks, tail) = data.as_chunks_mut::<LANES>();
    let lanes = lanes(key);
    for block in blocks {
        for (byte, key) in block.iter_mut().zip(lanes) {
            *byte ^= key;
        }
    }
    let (words, tail) = tail.as_chunks_mut::<8>();
    let key8 = u64::from(key) << 32 | u64::from(key);
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ key8).to_le_bytes();
    }
    let (words, tail) = tail.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_le_bytes(*word) ^ key).to_le_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
    }
}

#[inline]
fn xor_copy(src: &[u8], dst: &mut [u8], key: u32) {
    let (src_blocks, src) = src.as_chunks::<LANES>();
    let (dst_blocks, dst) = dst.as_chunks_mut::<LANES>();
    let lanes = lanes(key);
    for (src, dst) in src_blocks.iter().zip(dst_blocks) {
        for ((dst, src), key) in dst.iter_mut().zip(src).zip(lanes) {
            *dst = src ^ key;
        }
    }
    let (src_words, src) = src.as_chunks::<8>();
    let (dst_words, dst) = dst.as_chunks_mut::<8>();
    let key8 = u64::from(key) << 32 | u64::from(key);
    for (src, dst) in src_words.iter().zip(dst_words) {
        *dst = (u64::from_le_bytes(*src) ^ key8).to_le_bytes();
    }
    for ((dst, src), key) in dst.iter_mut().zip(src).zip(key8.to_le_bytes()) {
        *dst = src ^ key;
    }
}

/// The key repeated over one block.
#[inline]
fn lanes(key: u32) -> [u8; LANES] {
    let mut lanes = [0; LANES];
    for lane in lanes.as_chunks_mut::<4>().0 {
        *lane = key.to_le_bytes();
    }
    lanes
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn naive(data: &[u8], phase: usize) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ KEY[(i + phase) % 4]).collect()
    }

    #[test]
    fn every_length_alignment_and_phase_equals_the_naive_loop() {
        let data: Vec<u8> = (0..640).map(|i| (i * 7) as u8).collect();
        for len in 0..=512 {
            for offset in 0..64 {
                for phase in 0..4 {
                    let expected = naive(&data[offset..offset + len], phase);
                    let mut mask = Mask::new(KEY);
                    mask.apply(&mut [0; 4][..phase]);
                    let mut copied = mask;

                    let mut buf = data.clone();
                    mask.apply(&mut buf[offset..offset + len]);
                    assert_eq!(buf[..offset], data[..offset]);
                    assert_eq!(buf[offset..offset + len], expected);
                    assert_eq!(buf[offset + len..], data[offset + len..]);

                    buf.fill(0);
                    let src = &data[offset..offset + len];
                    assert_eq!(copied.copy(src, &mut buf[offset..offset + len]), len);
                    assert_eq!(buf[offset..offset + len], expected);
                    assert!(buf[offset + len..].iter().all(|byte| *byte == 0));
                    assert_eq!(mask, copied);
                }
            }
        }
    }

    #[test]
    fn a_payload_cut_in_two_anywhere_is_masked_as_in_one_piece() {
        let data: Vec<u8> = (0..100).collect();
        for cut in 0..=data.len() {
            let mut buf = data.clone();
            let mut mask = Mask::new(KEY);
            mask.apply(&mut buf[..cut]);
            mask.apply(&mut buf[cut..]);
            assert_eq!(buf, naive(&data, 0));
        }
    }

    #[test]
    fn copying_takes_as_much_as_the_shorter_side_holds() {
        let mut dst = [0; 3];
        assert_eq!(Mask::new(KEY).copy(&[0; 8], &mut dst), 3);
        assert_eq!(dst, KEY[..3]);
    }
}
