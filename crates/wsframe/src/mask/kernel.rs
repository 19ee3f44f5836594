//! The masking kernel: safe code over arrays, which the compiler turns into the vector instructions
//! of whatever instruction set it is compiled for.
//!
//! To mask a byte twice is to unmask it, so each must be masked once; and yet no payload should end in
//! a loop over single bytes. The way out is to *load before storing*. A payload of N to 2N bytes is
//! its first N and its last N bytes: both are loaded and masked, each with the key at its phase, and
//! only then stored. Where they overlap, the same bytes are stored twice. The long kernels do so with
//! their two ends, around a loop over aligned blocks.

/// The longest payload for the short kernels, and the shortest for the long ones, in bytes.
pub(crate) const SHORT: usize = 64;

/// What the long kernels load at once, in bytes: four AVX2 registers, eight of SSE2 or NEON.
pub(crate) const BLOCK: usize = 128;

/// What their stores are aligned to, in bytes, from a payload of `ALIGN_FROM` bytes on.
pub(crate) const ALIGN: usize = 32;
const ALIGN_FROM: usize = 512;

/// The bit of each byte that no ASCII character has.
const HIGH_BITS: u128 = repeated(0x8080_8080);

/// The key `len` bytes further into the payload.
#[inline(always)]
pub(crate) const fn rotate(key: u32, len: usize) -> u32 {
    key.rotate_right(8 * (len % 4) as u32)
}

/// Masks a payload of at most [`SHORT`] bytes. Returns the key for what follows it, and whether it is
/// ASCII once it is masked.
#[inline(always)]
pub(crate) fn short(data: &mut [u8], key: u32) -> (u32, bool) {
    let end = rotate(key, data.len());
    let seen = if let Some(ends) = load_32(data, key) {
        store_32(data, ends);
        ends.iter().fold(0, |seen, word| seen | word)
    } else if let Some(ends) = load_16(data, key) {
        store_16(data, ends);
        ends[0] | ends[1]
    } else if let Some(ends) = load_8(data, key) {
        store_8(data, ends);
        u128::from(ends[0] | ends[1])
    } else if let Some(ends) = load_4(data, key) {
        store_4(data, ends);
        u128::from(ends[0] | ends[1])
    } else {
        let mut seen = 0;
        for (byte, key) in data.iter_mut().zip(key.to_le_bytes()).take(3) {
            *byte ^= key;
            seen |= *byte;
        }
        u128::from(seen)
    };
    (end, seen & HIGH_BITS == 0)
}

/// Whether a text of at most [`SHORT`] bytes is ASCII.
#[inline(always)]
pub(crate) fn short_is_ascii(text: &[u8]) -> bool {
    let seen = if let Some(ends) = load_32(text, 0) {
        ends.iter().fold(0, |seen, word| seen | word)
    } else if let Some(ends) = load_16(text, 0) {
        ends[0] | ends[1]
    } else if let Some(ends) = load_8(text, 0) {
        u128::from(ends[0] | ends[1])
    } else if let Some(ends) = load_4(text, 0) {
        u128::from(ends[0] | ends[1])
    } else {
        u128::from(text.iter().take(3).fold(0, |seen, byte| seen | byte))
    };
    seen & HIGH_BITS == 0
}

/// As [`short`], from one slice into another of the same length.
#[inline(always)]
pub(crate) fn short_copy(src: &[u8], dst: &mut [u8], key: u32) -> u32 {
    if let Some(ends) = load_32(src, key) {
        store_32(dst, ends);
    } else if let Some(ends) = load_16(src, key) {
        store_16(dst, ends);
    } else if let Some(ends) = load_8(src, key) {
        store_8(dst, ends);
    } else if let Some(ends) = load_4(src, key) {
        store_4(dst, ends);
    } else {
        for ((to, from), key) in dst.iter_mut().zip(src).zip(key.to_le_bytes()).take(3) {
            *to = from ^ key;
        }
    }
    rotate(key, src.len())
}

/// Masks a payload of [`SHORT`] bytes or more. Returns the key for what follows it; and if this is
/// `TEXT`, whether it is ASCII once it is masked.
#[inline(always)]
pub(crate) fn long<const TEXT: bool>(data: &mut [u8], key: u32) -> (u32, bool) {
    let end = rotate(key, data.len());
    let mut seen = Seen::<TEXT>::default();
    if data.len() <= BLOCK {
        ends::<SHORT, TEXT>(data, key, end, &mut seen);
    } else if data.len() <= 2 * BLOCK {
        ends::<BLOCK, TEXT>(data, key, end, &mut seen);
    } else {
        match (misalignment(data), data.first_chunk()) {
            (skip @ 1.., Some(first)) => {
                let first = masked::<ALIGN>(first, key);
                seen.add(&first);
                let (_, rest) = data.split_at_mut(skip);
                blocks(rest, rotate(key, skip), end, &mut seen);
                if let Some(to) = data.first_chunk_mut() {
                    *to = first;
                }
            }
            _ => blocks(data, key, end, &mut seen),
        }
    }
    (end, seen.is_ascii())
}

/// Masks the first and the last N bytes, where that is all there is.
#[inline(always)]
fn ends<const N: usize, const TEXT: bool>(
    data: &mut [u8],
    key: u32,
    end: u32,
    seen: &mut Seen<TEXT>,
) {
    let (Some(first), Some(last)) = (data.first_chunk(), data.last_chunk()) else { return };
    let (first, last) = (masked::<N>(first, key), masked::<N>(last, end));
    seen.add(&first);
    seen.add(&last);
    if let Some(to) = data.first_chunk_mut() {
        *to = first;
    }
    if let Some(to) = data.last_chunk_mut() {
        *to = last;
    }
}

/// Masks block by block, and the last block once more from what was there before.
#[inline(always)]
fn blocks<const TEXT: bool>(data: &mut [u8], key: u32, end: u32, seen: &mut Seen<TEXT>) {
    let Some(last) = data.last_chunk() else { return };
    let last = masked::<BLOCK>(last, end);
    seen.add(&last);
    let (blocks, rest) = data.as_chunks_mut();
    for block in blocks {
        *block = masked::<BLOCK>(block, key);
        seen.add(block);
    }
    if !rest.is_empty()
        && let Some(to) = data.last_chunk_mut()
    {
        *to = last;
    }
}

/// All bits that were set in any byte, if that matters.
pub(crate) struct Seen<const TEXT: bool>([u32; ALIGN / 4]);

impl<const TEXT: bool> Default for Seen<TEXT> {
    #[inline(always)]
    fn default() -> Self {
        Self([0; ALIGN / 4])
    }
}

impl<const TEXT: bool> Seen<TEXT> {
    /// Adds bytes, of which there are a multiple of [`ALIGN`].
    #[inline(always)]
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if TEXT {
            // Apart from what was seen before, so that blocks need not wait for each other.
            let mut all = [0; ALIGN / 4];
            for part in bytes.as_chunks::<ALIGN>().0 {
                for (all, word) in all.iter_mut().zip(part.as_chunks().0) {
                    *all |= u32::from_le_bytes(*word);
                }
            }
            for (seen, all) in self.0.iter_mut().zip(all) {
                *seen |= all;
            }
        }
    }

    #[inline(always)]
    pub(crate) fn is_ascii(&self) -> bool {
        self.0.iter().fold(0, |all, seen| all | seen) & HIGH_BITS as u32 == 0
    }
}

/// As [`long`], from one slice into another of the same length.
///
/// One loop for every size. On 8 MiB, to copy blocks and then mask them in place, to mask into a small
/// buffer and copy that, to prefetch, and stores past the caches all took longer; two to four pages in
/// turn took 5 % less there, and 5 % more on 1 to 4 MiB.
#[inline(always)]
pub(crate) fn long_copy(src: &[u8], dst: &mut [u8], key: u32) -> u32 {
    let end = rotate(key, src.len());
    let Some(dst) = dst.get_mut(..src.len()) else { return end };
    if src.len() <= BLOCK {
        first_copy::<SHORT>(src, dst, key);
        last_copy::<SHORT>(src, dst, end);
    } else if src.len() <= 2 * BLOCK {
        first_copy::<BLOCK>(src, dst, key);
        last_copy::<BLOCK>(src, dst, end);
    } else {
        let skip = misalignment(dst);
        if skip > 0 {
            first_copy::<ALIGN>(src, dst, key);
        }
        if !(src.len() - skip).is_multiple_of(BLOCK) {
            last_copy::<BLOCK>(src, dst, end);
        }
        let (_, src) = src.split_at(skip);
        let (_, dst) = dst.split_at_mut(skip);
        let key = rotate(key, skip);
        for (from, to) in src.as_chunks().0.iter().zip(dst.as_chunks_mut().0) {
            *to = masked::<BLOCK>(from, key);
        }
    }
    end
}

/// Masks the first N bytes of `src` into those of `dst`.
#[inline(always)]
fn first_copy<const N: usize>(src: &[u8], dst: &mut [u8], key: u32) {
    if let (Some(from), Some(to)) = (src.first_chunk(), dst.first_chunk_mut()) {
        *to = masked::<N>(from, key);
    }
}

/// Masks the last N bytes of `src` into those of `dst`, with the key for what follows them.
#[inline(always)]
fn last_copy<const N: usize>(src: &[u8], dst: &mut [u8], end: u32) {
    if let (Some(from), Some(to)) = (src.last_chunk(), dst.last_chunk_mut()) {
        *to = masked::<N>(from, end);
    }
}

/// How many bytes lie before the first one that stores are to begin at: fewer than [`ALIGN`], and none
/// where it would not pay.
#[inline(always)]
fn misalignment(data: &[u8]) -> usize {
    if data.len() < ALIGN_FROM { 0 } else { data.as_ptr().addr().wrapping_neg() % ALIGN }
}

#[inline(always)]
pub(crate) fn masked<const N: usize>(bytes: &[u8; N], key: u32) -> [u8; N] {
    let mut masked = *bytes;
    for word in masked.as_chunks_mut::<4>().0 {
        *word = (u32::from_le_bytes(*word) ^ key).to_le_bytes();
    }
    masked
}

/// The key as often as it fits.
#[inline(always)]
const fn repeated(key: u32) -> u128 {
    let twice = (key as u64) << 32 | key as u64;
    (twice as u128) << 64 | twice as u128
}

/// The first and the last word of a payload: loaded and masked, if it is that long, and stored.
macro_rules! ends {
    ($load:ident, $store:ident, $word:ty) => {
        #[inline(always)]
        fn $load(src: &[u8], key: u32) -> Option<[$word; 2]> {
            let (first, last) = (src.first_chunk()?, src.last_chunk()?);
            let end = rotate(key, src.len());
            Some([
                <$word>::from_le_bytes(*first) ^ repeated(key) as $word,
                <$word>::from_le_bytes(*last) ^ repeated(end) as $word,
            ])
        }

        #[inline(always)]
        fn $store(dst: &mut [u8], [first, last]: [$word; 2]) {
            if let Some(to) = dst.first_chunk_mut() {
                *to = first.to_le_bytes();
            }
            if let Some(to) = dst.last_chunk_mut() {
                *to = last.to_le_bytes();
            }
        }
    };
}

ends!(load_4, store_4, u32);
ends!(load_8, store_8, u64);
ends!(load_16, store_16, u128);

/// As `load_16`, with two words at each end.
#[inline(always)]
fn load_32(src: &[u8], key: u32) -> Option<[u128; 4]> {
    let [a, b] = src.as_chunks().0.first_chunk()?;
    let [y, z] = src.as_rchunks().1.last_chunk()?;
    let (start, end) = (repeated(key), repeated(rotate(key, src.len())));
    let word = |bytes: &[u8; 16]| u128::from_le_bytes(*bytes);
    Some([word(a) ^ start, word(b) ^ start, word(y) ^ end, word(z) ^ end])
}

#[inline(always)]
fn store_32(dst: &mut [u8], [a, b, y, z]: [u128; 4]) {
    if let Some(to) = dst.as_chunks_mut().0.first_chunk_mut() {
        *to = [a.to_le_bytes(), b.to_le_bytes()];
    }
    if let Some(to) = dst.as_rchunks_mut().1.last_chunk_mut() {
        *to = [y.to_le_bytes(), z.to_le_bytes()];
    }
}
