//! UTF-8 byte by byte, in one load and one shift each: the automaton of RFC 3629's grammar.
//!
//! A row of the table is what a byte does, in every state. A state is the place in a row, in bits, where
//! the next state stands: so the step is a shift of the row, and the bits above do not matter. A shift
//! takes one cycle, and the rows are loaded ahead, since they do not depend on the state.

/// Where in a sequence a text has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u8);

/// As numbers, and so the other states of the grammar: which bytes may follow.
const BETWEEN: u8 = 0;
const WRONG: u8 = 1;
const ONE_TO_COME: u8 = 2;
const TWO_TO_COME: u8 = 3;
const THREE_TO_COME: u8 = 4;
const AFTER_E0: u8 = 5;
const AFTER_ED: u8 = 6;
const AFTER_F0: u8 = 7;
const AFTER_F4: u8 = 8;
const STATES: u8 = 9;

/// How wide a state is in a row, in bits.
const WIDTH: u8 = 6;
const MASK: u64 = (1 << WIDTH) - 1;

/// What each byte does.
static ROWS: [u64; 256] = rows();

const fn rows() -> [u64; 256] {
    let mut rows = [0; 256];
    let mut rest: &mut [u64] = &mut rows;
    let mut byte = 0;
    while let [row, after @ ..] = rest {
        let mut state = 0;
        while state < STATES {
            *row |= ((next(state, byte) * WIDTH) as u64) << (state * WIDTH);
            state += 1;
        }
        byte = byte.wrapping_add(1);
        rest = after;
    }
    rows
}

/// RFC 3629 §4.
const fn next(state: u8, byte: u8) -> u8 {
    match (state, byte) {
        (BETWEEN, 0x00..=0x7f) => BETWEEN,
        (BETWEEN, 0xc2..=0xdf) => ONE_TO_COME,
        (BETWEEN, 0xe0) => AFTER_E0,
        (BETWEEN, 0xe1..=0xec | 0xee..=0xef) => TWO_TO_COME,
        (BETWEEN, 0xed) => AFTER_ED,
        (BETWEEN, 0xf0) => AFTER_F0,
        (BETWEEN, 0xf1..=0xf3) => THREE_TO_COME,
        (BETWEEN, 0xf4) => AFTER_F4,
        (ONE_TO_COME, 0x80..=0xbf) => BETWEEN,
        (TWO_TO_COME, 0x80..=0xbf) | (AFTER_E0, 0xa0..=0xbf) | (AFTER_ED, 0x80..=0x9f) => {
            ONE_TO_COME
        }
        (THREE_TO_COME, 0x80..=0xbf) | (AFTER_F0, 0x90..=0xbf) | (AFTER_F4, 0x80..=0x8f) => {
            TWO_TO_COME
        }
        _ => WRONG,
    }
}

impl State {
    /// Between two characters.
    pub(super) const BETWEEN: Self = Self(BETWEEN * WIDTH);

    /// The state after these bytes.
    #[inline(never)]
    pub(super) fn after(self, bytes: &[u8]) -> Self {
        let state = bytes.iter().fold(u64::from(self.0), |state, byte| {
            let row = ROWS.get(usize::from(*byte)).copied().unwrap_or_default();
            row >> (state & MASK)
        });
        Self((state & MASK) as u8)
    }

    /// The index of the first byte that is wrong, where one is.
    #[cold]
    pub(super) fn first_wrong(mut self, bytes: &[u8]) -> usize {
        let wrong = bytes.iter().position(|byte| {
            self = self.after(&[*byte]);
            self.is_wrong()
        });
        wrong.unwrap_or(bytes.len())
    }

    #[inline]
    pub(super) const fn is_between(self) -> bool {
        self.0 == Self::BETWEEN.0
    }

    /// Whether nothing can make it valid any more.
    #[inline]
    pub(super) const fn is_wrong(self) -> bool {
        self.0 == WRONG * WIDTH
    }
}

impl Default for State {
    fn default() -> Self {
        Self::BETWEEN
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_byte_in_every_state_does_what_std_says_and_the_table_has_it() {
        // Each state, and what leads to it.
        let states: [(u8, &[u8]); 8] = [
            (BETWEEN, b""),
            (ONE_TO_COME, b"\xc2"),
            (TWO_TO_COME, b"\xe1"),
            (THREE_TO_COME, b"\xf1"),
            (AFTER_E0, b"\xe0"),
            (AFTER_ED, b"\xed"),
            (AFTER_F0, b"\xf0"),
            (AFTER_F4, b"\xf4"),
        ];
        let rows = rows();
        for byte in 0..=u8::MAX {
            for (state, before) in states {
                let after = next(state, byte);
                let text: Vec<u8> = before.iter().copied().chain([byte]).collect();
                match core::str::from_utf8(&text) {
                    Ok(_) => assert_eq!(after, BETWEEN, "{text:02x?}"),
                    Err(error) if error.error_len().is_some() => assert_eq!(after, WRONG),
                    Err(_) => assert!(after > WRONG, "{text:02x?}"),
                }
                let found = rows[usize::from(byte)] >> (state * WIDTH) & MASK;
                assert_eq!(found, u64::from(after * WIDTH));
                assert_eq!(State(state * WIDTH).after(&[byte]), State(after * WIDTH));
            }
            assert_eq!(next(WRONG, byte), WRONG);
        }
    }
}
