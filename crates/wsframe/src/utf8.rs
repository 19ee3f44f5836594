use core::fmt;

/// Validates UTF-8 (RFC 3629) that comes in pieces, cut anywhere.
///
/// It fails at the first byte that cannot continue the sequence, whatever follows and however the
/// text is cut. What has been validated is not looked at again, whatever comes after it.
///
/// ```
/// let mut utf8 = wsframe::Utf8::new();
/// utf8.push(&[0xe2, 0x82])?;
/// assert!(utf8.finish().is_err()); // the sequence is not complete
/// utf8.push(&[0xac])?;             // now it is "€"
/// assert!(utf8.finish().is_ok());
/// assert_eq!(utf8.push(b"ab\xff").unwrap_err().valid_up_to, 2);
/// # Ok::<(), wsframe::Utf8Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// The start of a sequence that the last piece ended in, and how many bytes of it there are.
    start: [u8; 4],
    len: u8,
}

/// A piece shorter than this, in bytes, is not worth setting out for.
const SHORT: usize = 64;

/// Validated at once, in bytes, where the fast way only says yes or no: where it says no, as much is
/// looked at again, for the exact byte.
#[cfg(feature = "simdutf8")]
const BLOCK: usize = 16 << 10;

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utf8Error {
    /// The index, in the piece that was pushed, of the first byte that cannot continue the text; the
    /// piece's length where the text ended in the middle of a sequence.
    pub valid_up_to: usize,
}

impl Utf8 {
    /// At the start of a text.
    #[inline]
    pub const fn new() -> Self {
        Self { start: [0; 4], len: 0 }
    }

    /// Validates the next piece. After an error the text is lost: start anew.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        if self.len == 0 && is_simple(piece) { Ok(()) } else { self.push_any(piece) }
    }

    #[inline(never)]
    fn push_any(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        let mut done = if self.len == 0 { 0 } else { self.complete(piece)? };
        while let Some(rest) = piece.get(done..)
            && !rest.is_empty()
        {
            let valid = valid_start(rest);
            if valid == 0 {
                return self.end_with(rest).map_err(|bad| Utf8Error { valid_up_to: done + bad });
            }
            done += valid;
        }
        Ok(())
    }

    /// Validates the end of a piece. The error is the index of the first byte that is wrong.
    #[inline(never)]
    fn end_with(&mut self, rest: &[u8]) -> Result<(), usize> {
        let Err(error) = core::str::from_utf8(rest) else { return Ok(()) };
        let tail = rest.get(error.valid_up_to()..).unwrap_or_default();
        match error.error_len() {
            // Not wrong, only cut: at most three bytes.
            None => {
                for (to, from) in self.start.iter_mut().zip(tail) {
                    *to = *from;
                    self.len += 1;
                }
                Ok(())
            }
            // The sequence may be of good bytes up to its last: that one is the error.
            Some(len) => Err(error.valid_up_to() + first_bad(tail, len)),
        }
    }

    /// Whether nothing but the start of a character is to come.
    #[inline]
    pub(crate) fn is_between_characters(&self) -> bool {
        self.len == 0
    }

    /// Whether the text may end here.
    #[inline]
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.len == 0 { Ok(()) } else { Err(Utf8Error { valid_up_to: 0 }) }
    }

    /// Completes the sequence that the last piece ended in. Returns how many bytes of `piece` went
    /// into it.
    #[inline(never)]
    fn complete(&mut self, piece: &[u8]) -> Result<usize, Utf8Error> {
        for (i, &byte) in piece.iter().enumerate() {
            let len = usize::from(self.len);
            if let Some(next) = self.start.get_mut(len) {
                *next = byte;
                self.len += 1;
            }
            match core::str::from_utf8(self.start.get(..=len).unwrap_or_default()) {
                Ok(_) => {
                    self.len = 0;
                    return Ok(i + 1);
                }
                Err(error) if error.error_len().is_some() => {
                    return Err(Utf8Error { valid_up_to: i });
                }
                Err(_) => {}
            }
        }
        Ok(piece.len())
    }
}

/// Whether the text is one that is quickly seen to be valid: if it is short, ASCII.
#[inline]
fn is_simple(text: &[u8]) -> bool {
    if text.len() < SHORT {
        return is_ascii(text);
    }
    #[cfg(feature = "simdutf8")]
    if text.len() <= BLOCK && text.last().is_some_and(u8::is_ascii) {
        return simdutf8::basic::from_utf8(text).is_ok();
    }
    false
}

/// As the method of slices, and faster for short ones.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return text.iter().fold(0, |seen, byte| seen | byte) < 0x80;
    };
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (words, _) = text.as_chunks();
    words.iter().fold(word(last), |seen, bytes| seen | word(bytes)) & 0x8080_8080_8080_8080 == 0
}

/// How many bytes at the start of `text` are valid for sure, and end between two characters; 0 where
/// that is better found out byte by byte.
#[cfg(feature = "simdutf8")]
#[inline]
fn valid_start(text: &[u8]) -> usize {
    let block = text.get(..BLOCK).unwrap_or(text);
    // A character that is cut at the end of the block is left for later.
    let cut = match *block {
        [.., 0xc0..=0xff] => 1,
        [.., 0xe0..=0xff, _] => 2,
        [.., 0xf0..=0xff, _, _] => 3,
        _ => 0,
    };
    let (whole, _) = block.split_at(block.len() - cut);
    let worth_it = whole.len() >= SHORT;
    if worth_it && simdutf8::basic::from_utf8(whole).is_ok() { whole.len() } else { 0 }
}

/// As above, as far as the text is ASCII.
#[cfg(not(feature = "simdutf8"))]
#[inline]
fn valid_start(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<SHORT>();
    let ascii = |block: &&[u8; SHORT]| block.iter().fold(0, |seen, byte| seen | byte) < 0x80;
    SHORT * blocks.iter().take_while(ascii).count()
}

/// The index in `tail` of the byte that is wrong, where `from_utf8` says that the first `error_len`
/// bytes are an invalid sequence: they are good but for what follows them.
fn first_bad(tail: &[u8], error_len: usize) -> usize {
    // A byte that cannot start a sequence is wrong itself; else the sequence starts well and the
    // byte after the `error_len` good ones is the one that cannot continue it.
    match tail.first() {
        Some(0xc2..=0xf4) => error_len,
        _ => 0,
    }
}

impl fmt::Display for Utf8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text is not valid UTF-8")
    }
}

impl core::error::Error for Utf8Error {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// The index of the first byte after which no continuation makes the text valid.
    fn oracle(text: &[u8]) -> Option<usize> {
        (0..text.len()).find(|&i| {
            core::str::from_utf8(&text[..=i]).is_err_and(|error| error.error_len().is_some())
        })
    }

    fn check_every_cut(text: &[u8]) {
        let expected = oracle(text);
        let complete = expected.is_none() && core::str::from_utf8(text).is_ok();
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::new();
            let found = match utf8.push(&text[..cut]) {
                Err(error) => Some(error.valid_up_to),
                Ok(()) => utf8.push(&text[cut..]).err().map(|error| cut + error.valid_up_to),
            };
            assert_eq!(found, expected, "{text:02x?} cut at {cut}");
            assert_eq!(found.is_none() && utf8.finish().is_ok(), complete);
        }
        let mut utf8 = Utf8::new();
        let found = text.iter().position(|byte| utf8.push(&[*byte]).is_err());
        assert_eq!(found, expected, "{text:02x?} byte by byte");
    }

    #[test]
    fn it_fails_at_the_first_byte_that_cannot_continue_whatever_the_cut() {
        // Every lead byte with every second byte, and what can follow, at the edges of each range.
        let edges = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xf4, 0xff];
        for first in 0x70..=0xff {
            for second in 0..=0xff {
                check_every_cut(&[first, second]);
                for third in edges {
                    check_every_cut(&[first, second, third]);
                }
            }
            for [second, third, fourth] in [[0x80; 3], [0x90, 0xbf, 0xbf], [0x8f, 0xbf, 0x41]] {
                check_every_cut(&[first, second, third, fourth]);
            }
        }
    }

    #[test]
    fn text_of_every_width_passes_in_any_two_pieces() {
        let text = "κόσμε, $¢€𐍈 ".repeat(3);
        check_every_cut(text.as_bytes());
        let mut bad: Vec<u8> = text.into();
        bad.extend([0xed, 0xa0, 0x80, b'x']);
        check_every_cut(&bad);
    }
}
