use core::fmt;

/// Validates UTF-8 (RFC 3629) that comes in pieces, cut anywhere.
///
/// It fails at the first byte that cannot continue the sequence, whatever follows and however the
/// text is cut, and looks at no byte twice but the last three of a piece.
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
        let skipped = if self.len == 0 { 0 } else { self.complete(piece)? };
        let Some(rest) = piece.get(skipped..) else { return Ok(()) };
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
            Some(len) => {
                let bad = first_bad(tail, len);
                Err(Utf8Error { valid_up_to: skipped + error.valid_up_to() + bad })
            }
        }
    }

    /// Whether the text may end here.
    #[inline]
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.len == 0 { Ok(()) } else { Err(Utf8Error { valid_up_to: 0 }) }
    }

    /// Completes the sequence that the last piece ended in. Returns how many bytes of `piece` went
    /// into it.
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
