//! UTF-8 by lookup, 32 bytes at a time, unmasked on the way: the method of Keiser and Lemire,
//! "Validating UTF-8 In Less Than One Instruction Per Byte" (2021).
//!
//! What is wrong with two bytes in a row shows in three of their halves, each looked up in a table of
//! 16 entries: a bit that is set in all three says what. What is left is whether a continuation byte
//! that follows another one is called for by the byte two or three before it.

#[cfg(target_arch = "x86")]
use core::arch::x86 as arch;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64 as arch;

use arch::{
    __m256i, _mm256_alignr_epi8, _mm256_and_si256, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_setr_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_subs_epu8, _mm256_testz_si256, _mm256_xor_si256,
};

use super::{Found, ascii};
use crate::mask::kernel::{self, masked, rotate};

/// What is looked at in one step, in bytes.
const STEP: usize = 32;

/// Two steps: so much is passed over at once where it is ASCII.
const BLOCK: usize = 2 * STEP;

const ANY: u16 = 0xffff;
const ASCII: u16 = 0x00ff;
const CONTINUATION: u16 = 0x0f00;
const LEAD: u16 = 0xf000;

/// What is wrong with two bytes in a row (RFC 3629 §4): in sets of the first one's high half, of its low
/// half, and of the second one's high half, with one bit for each half.
const WRONG: [[u16; 3]; 8] = [
    [ASCII, ANY, CONTINUATION],
    [LEAD, ANY, !CONTINUATION],
    // What would fit into fewer bytes.
    [1 << 0xc, 0b11, CONTINUATION],
    [1 << 0xe, 1 << 0, 1 << 8 | 1 << 9],
    // A surrogate.
    [1 << 0xe, 1 << 0xd, 1 << 0xa | 1 << 0xb],
    // Beyond U+10FFFF; and in the second line what would fit into fewer bytes, too.
    [1 << 0xf, ANY << 4, 1 << 9 | 1 << 0xa | 1 << 0xb],
    [1 << 0xf, ANY << 5 | 1 << 0, 1 << 8],
    // Wrong unless it is called for, which is told in the same bit.
    [CONTINUATION, ANY, CONTINUATION],
];

/// What each half may be part of, one bit for each row of [`WRONG`]: a table for each column.
const TABLES: [[u8; 16]; 3] = {
    let mut tables = [[0; 16]; 3];
    let [first_high, first_low, second_high] = &mut tables;
    let (mut bit, mut rows) = (1, WRONG.as_slice());
    while let [row, rest @ ..] = rows {
        add(first_high, row[0], bit);
        add(first_low, row[1], bit);
        add(second_high, row[2], bit);
        bit <<= 1;
        rows = rest;
    }
    tables
};

/// Sets a bit for every half in the set.
const fn add(table: &mut [u8], set: u16, bit: u8) {
    let (mut set, mut halves) = (set, table);
    while let [half, rest @ ..] = halves {
        *half |= if set & 1 == 1 { bit } else { 0 };
        set >>= 1;
        halves = rest;
    }
}

/// Unmasks a text of 64 bytes or more, which begins between two characters. Gives the key for what follows,
/// and what it has found.
#[target_feature(enable = "avx2")]
pub(crate) fn unmask(text: &mut [u8], key: u32) -> (u32, Found) {
    let end = rotate(key, text.len());
    // Of a text that begins with ASCII much is: there is a faster kernel for that.
    if text.first_chunk().is_some_and(|first| is_ascii(&masked(first, key))) {
        let (_, ascii) = kernel::long::<true>(text, key);
        return (end, if ascii { Found::Ascii } else { check(text) });
    }
    let Some(last) = text.last_chunk() else { return (end, Found::Other) };
    let last = masked::<BLOCK>(last, end);
    let mut check = Check::new();
    let (blocks, rest) = text.as_chunks_mut();
    for block in blocks {
        *block = masked::<BLOCK>(block, key);
        check.block(block);
    }
    let cut = !rest.is_empty();
    if let Some(step) = rest.first_chunk_mut() {
        *step = masked::<STEP>(step, key);
        check.step(step);
    }
    if cut {
        check.last(&last);
        if let (Some(to), Some(last)) = (text.last_chunk_mut(), last.last_chunk::<STEP>()) {
            *to = *last;
        }
    }
    (end, check.found())
}

/// As [`unmask`], of a text that is not masked.
#[target_feature(enable = "avx2")]
pub(crate) fn validate(text: &[u8]) -> Found {
    if !text.first_chunk().is_some_and(|first| is_ascii(first)) {
        return check(text);
    }
    let ascii = ascii::strides(text);
    if ascii == text.len() {
        return Found::Ascii;
    }
    check(text.split_at(ascii.min(text.len() - BLOCK)).1)
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn check(text: &[u8]) -> Found {
    let Some(last) = text.last_chunk() else { return Found::Other };
    let mut check = Check::new();
    let (blocks, rest) = text.as_chunks();
    for block in blocks {
        check.block(block);
    }
    if let Some(step) = rest.first_chunk() {
        check.step(step);
    }
    if !rest.is_empty() {
        check.last(last);
    }
    check.found()
}

struct Check {
    /// The bytes before the next ones.
    before: __m256i,
    /// Not zero where something was wrong.
    wrong: __m256i,
}

impl Check {
    #[target_feature(enable = "avx2")]
    #[inline]
    fn new() -> Self {
        Self { before: _mm256_setzero_si256(), wrong: _mm256_setzero_si256() }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn found(&self) -> Found {
        let passed = _mm256_testz_si256(self.wrong, self.wrong) == 1;
        if passed { Found::Valid } else { Found::Other }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn block(&mut self, block: &[u8; BLOCK]) {
        let ([first, second], _) = block.as_chunks() else { return };
        let (first, second) = (load(first), load(second));
        if _mm256_movemask_epi8(_mm256_or_si256(first, second)) == 0 {
            self.ascii();
        } else {
            self.bytes(first);
            self.bytes(second);
        }
        self.before = second;
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn step(&mut self, step: &[u8; STEP]) {
        let step = load(step);
        if _mm256_movemask_epi8(step) == 0 {
            self.ascii();
        } else {
            self.bytes(step);
        }
        self.before = step;
    }

    /// The last step, of which some may have been looked at, with what comes before it.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn last(&mut self, last: &[u8; BLOCK]) {
        let ([before, step], _) = last.as_chunks() else { return };
        self.before = load(before);
        self.step(step);
    }

    /// ASCII follows: no character may be cut.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn ascii(&mut self) {
        const MOST: [u8; STEP] = {
            let mut most = [0xff; STEP];
            most[STEP - 3] = 0xf0 - 1;
            most[STEP - 2] = 0xe0 - 1;
            most[STEP - 1] = 0xc0 - 1;
            most
        };
        let cut = _mm256_subs_epu8(self.before, load(&MOST));
        self.wrong = _mm256_or_si256(self.wrong, cut);
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn bytes(&mut self, bytes: __m256i) {
        let across = _mm256_permute2x128_si256::<0x21>(self.before, bytes);
        let one_before = _mm256_alignr_epi8::<15>(bytes, across);
        let two_before = _mm256_alignr_epi8::<14>(bytes, across);
        let three_before = _mm256_alignr_epi8::<13>(bytes, across);

        let low_half = _mm256_set1_epi8(0x0f);
        let high = |bytes| _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low_half);
        let first_high = look_up(TABLES[0], high(one_before));
        let first_low = look_up(TABLES[1], _mm256_and_si256(one_before, low_half));
        let second_high = look_up(TABLES[2], high(bytes));
        let pairs = _mm256_and_si256(_mm256_and_si256(first_high, first_low), second_high);

        // The high bit stays where it is the third byte of three or four, or the last of four.
        let third = _mm256_subs_epu8(two_before, _mm256_set1_epi8(0x60));
        let fourth = _mm256_subs_epu8(three_before, _mm256_set1_epi8(0x70));
        let called_for =
            _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(i8::MIN));
        self.wrong = _mm256_or_si256(self.wrong, _mm256_xor_si256(pairs, called_for));
        self.before = bytes;
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn is_ascii(step: &[u8; STEP]) -> bool {
    _mm256_movemask_epi8(load(step)) == 0
}

/// Looks up each of 32 halves.
#[target_feature(enable = "avx2")]
#[inline]
fn look_up(table: [u8; 16], halves: __m256i) -> __m256i {
    let [low, high] = halves_of(table);
    _mm256_shuffle_epi8(_mm256_setr_epi64x(low, high, low, high), halves)
}

#[inline(always)]
fn halves_of(table: [u8; 16]) -> [i64; 2] {
    let table = u128::from_le_bytes(table);
    [table as i64, (table >> 64) as i64]
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8; STEP]) -> __m256i {
    let ([a, b, c, d], _) = bytes.as_chunks() else { return _mm256_setzero_si256() };
    let word = |bytes: &[u8; 8]| i64::from_le_bytes(*bytes);
    _mm256_setr_epi64x(word(a), word(b), word(c), word(d))
}
