pub(crate) mod ascii;
mod automaton;
#[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
pub(crate) mod lookup;

use core::fmt;

use self::automaton::State;
use crate::{
    instances,
    mask::kernel::{self, SHORT},
};

/// Validates UTF-8 (RFC 3629) that comes in pieces, cut anywhere.
///
/// It fails at the first byte that cannot continue the sequence, whatever follows and however the
/// text is cut. A piece that has been validated is not looked at again.
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
    /// Where in a sequence the last piece ended.
    state: State,
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utf8Error {
    /// The index, in the piece that was pushed, of the first byte that cannot continue the text; 0
    /// where the text ended in the middle of a sequence.
    pub valid_up_to: usize,
}

/// What a quick look at a text has found that begins between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is ASCII.
    Ascii,
    /// It is valid, but for up to three bytes at its end: a character that is cut, or the first byte of one,
    /// which may be wrong.
    #[allow(dead_code, reason = "not every build has an instance that looks beyond ASCII")]
    Valid,
    /// It may be wrong, or be valid.
    Other,
}

impl Utf8 {
    /// At the start of a text.
    #[inline]
    pub const fn new() -> Self {
        Self { state: State::BETWEEN }
    }

    /// Validates the next piece. After an error the text is lost: whatever follows is an error too.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        if piece.len() <= SHORT && self.is_between_characters() && kernel::short_is_ascii(piece) {
            return Ok(());
        }
        self.push_any(piece)
    }

    /// As [`push`](Self::push), where a short piece is not just ASCII.
    #[inline(never)]
    pub(crate) fn push_any(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        let start = self.state;
        self.state =
            if piece.len() > SHORT { after_long(start, piece) } else { start.after(piece) };
        if self.state.is_wrong() {
            return Err(Utf8Error { valid_up_to: start.first_wrong(piece) });
        }
        Ok(())
    }

    /// Whether nothing but the start of a character is to come.
    #[inline]
    pub(crate) fn is_between_characters(&self) -> bool {
        self.state.is_between()
    }

    /// Notes a piece that began between two characters and of which this is known.
    #[inline]
    pub(crate) fn found(&mut self, found: Found, piece: &[u8]) -> Result<(), Utf8Error> {
        match found {
            Found::Ascii => Ok(()),
            Found::Valid => {
                self.state = after_valid(piece);
                if self.state.is_wrong() {
                    return Err(Utf8Error { valid_up_to: State::BETWEEN.first_wrong(piece) });
                }
                Ok(())
            }
            Found::Other => self.push_any(piece),
        }
    }

    /// Whether the text may end here.
    #[inline]
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.state.is_between() { Ok(()) } else { Err(Utf8Error { valid_up_to: 0 }) }
    }
}

/// The state after a piece of more than [`SHORT`] bytes.
fn after_long(mut state: State, mut text: &[u8]) -> State {
    while !state.is_between()
        && let [byte, rest @ ..] = text
    {
        state = state.after(&[*byte]);
        text = rest;
    }
    if text.len() >= SHORT {
        match instances::valid(text) {
            Found::Ascii => return state,
            Found::Valid => return after_valid(text),
            Found::Other => {}
        }
    }
    while !text.is_empty() && !state.is_wrong() {
        let ascii = if state.is_between() { ascii::start(text) } else { 0 };
        let (block, rest) = text.split_at(if ascii > 0 { ascii } else { text.len().min(SHORT) });
        state = if ascii > 0 { state } else { state.after(block) };
        text = rest;
    }
    state
}

/// The state after a text that is valid, but for a character that may be cut at its end.
#[inline]
fn after_valid(text: &[u8]) -> State {
    let cut = cut(text);
    if cut.is_empty() { State::BETWEEN } else { State::BETWEEN.after(cut) }
}

/// What of a character that may be cut is at the end of a text.
#[inline(always)]
pub(crate) fn cut(text: &[u8]) -> &[u8] {
    let len = match *text {
        [.., 0xc0..=0xff] => 1,
        [.., 0xe0..=0xff, _] => 2,
        [.., 0xf0..=0xff, _, _] => 3,
        _ => 0,
    };
    text.get(text.len() - len..).unwrap_or_default()
}

/// The text that these bytes are.
///
/// As [`core::str::from_utf8`], and faster: the time it takes is that of [`Utf8::push`].
///
/// ```
/// assert_eq!(wsframe::from_utf8(b"abc"), Ok("abc"));
/// assert_eq!(wsframe::from_utf8(b"ab\xff").unwrap_err().valid_up_to, 2);
/// ```
#[inline(never)]
#[allow(unsafe_code)] // to say that what was validated is text
pub fn from_utf8(bytes: &[u8]) -> Result<&str, Utf8Error> {
    let mut utf8 = Utf8::new();
    utf8.push(bytes)?;
    utf8.finish()?;
    // SAFETY: all of it has been validated, from between two characters to between two characters.
    Ok(unsafe { core::str::from_utf8_unchecked(bytes) })
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

    use std::{format, vec::Vec};

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

    /// What is left of a piece that is just long may be short, once a character that was cut has ended.
    #[test]
    fn a_piece_around_the_length_that_is_long_may_begin_and_end_within_a_character() {
        for first in ["a", "é", "€", "😀"] {
            for last in ["", "a", "é", "\u{fffd}"] {
                for len in SHORT - 4..=SHORT + 4 {
                    let text = format!("{first}{}{last}", "x".repeat(len));
                    check_every_cut(text.as_bytes());
                    let mut bad = text.into_bytes();
                    bad.extend(b"\xffx");
                    check_every_cut(&bad);
                }
            }
        }
    }

    #[test]
    fn an_error_is_said_in_a_sentence() {
        assert_eq!(format!("{}", Utf8Error { valid_up_to: 3 }), "text is not valid UTF-8");
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
