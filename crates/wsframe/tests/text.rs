//! Text that is validated, and unmasked on the way, by each instance of the kernels, against std.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(all(unix, not(miri)))]
mod guarded;
mod oracles;

use oracles::{check_found, naive_utf8};
use wsframe::{Instance, Mask, Utf8};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Those that are at an edge of what the grammar of RFC 3629 tells apart.
const EDGES: [u8; 26] = [
    0x00, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
    0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
];

/// Fewer are tested without optimisation, and far fewer under valgrind and Miri.
fn step(slow: usize, unoptimised: usize) -> usize {
    if cfg!(miri) || std::env::var_os("WSFRAME_TEST_SLOW").is_some() {
        slow
    } else if cfg!(debug_assertions) {
        unoptimised
    } else {
        1
    }
}

/// Checks each instance on a text of more than 64 bytes, and what is made of them.
fn check(text: &[u8]) {
    let expected = naive_utf8(text);
    let mut masked = text.to_vec();
    Mask::new(KEY).apply(&mut masked);
    for instance in Instance::all() {
        check_found(instance, text, instance.valid(text));
        let mut unmasked = masked.clone();
        let valid = instance.apply_text(KEY, &mut unmasked);
        assert_eq!(unmasked, text, "{}", instance.name);
        check_found(instance, text, valid);
    }
    assert_eq!(Utf8::new().push(text).err().map(|error| error.valid_up_to), expected);
    let error = Mask::new(KEY).apply_text(&mut masked, &mut Utf8::new()).err();
    assert_eq!(error.map(|error| error.valid_up_to), expected);
    assert_eq!(wsframe::from_utf8(text).ok(), std::str::from_utf8(text).ok());
}

/// Texts of ASCII and of characters of two, three and four bytes, which are valid up to any place that is a
/// multiple of 12.
fn fillers() -> [Vec<u8>; 4] {
    ["x", "é", "語", "𐍈"].map(|character| character.repeat(2400 / character.len()).into_bytes())
}

#[test]
fn every_instance_judges_every_length_at_every_alignment_as_std_does() {
    let ascii = b"x".repeat(520);
    let mixed = "aé語𐍈".repeat(52).into_bytes();
    let mut memory = [0; 512 + 64];
    for filler in [ascii, mixed] {
        for len in (0..=512).step_by(step(17, 1)) {
            for at in (0..64).step_by(step(17, 1)) {
                let text = &mut memory[at..at + len];
                text.copy_from_slice(&filler[..len]);
                check_where_it_is(text);
                // At its end, and anywhere.
                for wrong in [len.wrapping_sub(1), (7 * len + 31 * at) % len.max(1)] {
                    let Some(byte) = text.get_mut(wrong) else { continue };
                    let right = std::mem::replace(byte, 0xff);
                    check_where_it_is(text);
                    text[wrong] = right;
                }
            }
        }
    }
}

/// Checks each instance on a text of any length, without moving it.
fn check_where_it_is(text: &mut [u8]) {
    for instance in Instance::all() {
        if text.len() >= 64 {
            check_found(instance, text, instance.valid(text));
        }
        Mask::new(KEY).apply(text);
        let valid = instance.apply_text(KEY, text);
        check_found(instance, text, valid);
    }
    assert_eq!(Utf8::new().push(text).is_err(), naive_utf8(text).is_some());
}

#[test]
fn one_byte_that_is_wrong_is_seen_wherever_it_is_in_a_text_of_any_length() {
    for filler in fillers() {
        for len in (65..400).chain((400..2300).step_by(41)).step_by(step(97, 7)) {
            let mut text = filler[..len].to_vec();
            check(&text);
            for at in [0, 1, 31, 32, 33, 62, 63, len / 3, len / 2, len - 33, len - 2, len - 1] {
                for wrong in [b'x', 0x80, 0xc3, 0xff] {
                    let byte = std::mem::replace(&mut text[at], wrong);
                    check(&text);
                    text[at] = byte;
                }
            }
        }
    }
}

#[test]
fn every_pair_of_bytes_is_judged_as_std_judges_it_within_and_across_the_steps_of_the_kernels() {
    for filler in fillers() {
        let mut text = filler[..132].to_vec();
        for pair in (0..=u16::MAX).step_by(step(701, 11)) {
            for at in [24, 31, 63, 95, 120, 130] {
                let old = [text[at], text[at + 1]];
                text[at..at + 2].copy_from_slice(&pair.to_be_bytes());
                check_quickly(&text);
                text[at..at + 2].copy_from_slice(&old);
            }
        }
    }
}

#[test]
fn every_four_bytes_at_the_edges_of_the_grammar_are_judged_as_std_judges_them() {
    for filler in fillers() {
        let mut text = filler[..168].to_vec();
        // Across the edges of the kernels' steps, up to them, and at the end.
        for at in [24, 60, 108, 124, 156, 168 - 4] {
            let old = text.clone();
            for bytes in (0..26usize.pow(4)).step_by(step(7919, 101)) {
                let four = [1, 26, 26 * 26, 26 * 26 * 26].map(|place| EDGES[bytes / place % 26]);
                text[at..at + 4].copy_from_slice(&four);
                check_quickly(&text);
            }
            text = old;
        }
    }
}

#[test]
fn a_character_cut_short_before_ascii_is_seen_wherever_it_is() {
    // The least and the greatest of each length.
    let ends = ['\u{80}', '\u{7ff}', '\u{800}', '\u{ffff}', '\u{10000}', '\u{10ffff}'];
    for character in ends.map(String::from) {
        let character = character.as_bytes();
        for cut in 1..=character.len() {
            for at in 0..160 {
                let mut text = [b'x'; 232];
                // Where text begins with ASCII, more is looked at at once.
                for first in ["x".as_bytes(), "é".as_bytes()] {
                    text[..first.len()].copy_from_slice(first);
                    let at = at.max(first.len());
                    text[at..at + cut].copy_from_slice(&character[..cut]);
                    check(&text);
                    text[at..at + cut].fill(b'x');
                }
            }
        }
    }
}

/// As [`check`], of what std calls valid or not.
fn check_quickly(text: &[u8]) {
    let expected = std::str::from_utf8(text);
    let found = wsframe::from_utf8(text);
    assert_eq!(found.ok(), expected.ok(), "{text:02x?}");
    let mut masked = [0; 168];
    let masked = &mut masked[..text.len()];
    Mask::new(KEY).copy(text, masked);
    let mut utf8 = Utf8::new();
    let valid = Mask::new(KEY).apply_text(masked, &mut utf8).is_ok() && utf8.finish().is_ok();
    assert_eq!(valid, expected.is_ok(), "{text:02x?}");
}

#[cfg(all(unix, not(miri)))]
#[test]
fn no_instance_reads_a_byte_before_or_after_the_text() {
    let mut memory = guarded::Guarded::new();
    for filler in fillers() {
        for instance in Instance::all() {
            for len in (65..700).chain([1023, 1024, 1025, 2047, 2399]) {
                for at_end in [true, false] {
                    let text = memory.slice(len, at_end);
                    text.copy_from_slice(&filler[..len]);
                    check_found(instance, text, instance.valid(text));
                    Mask::new(KEY).apply(text);
                    instance.apply_text(KEY, text);
                    assert_eq!(text, &filler[..len]);
                }
            }
        }
    }
}

/// Each length has its own way to look at its bytes, several of which overlap.
#[test]
fn one_byte_that_is_no_text_is_found_wherever_it_is() {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    for len in 1..=140 {
        for wrong in 0..len {
            let mut payload = vec![b'x'; len];
            payload[wrong] = 0xff;
            let plain = payload.clone();
            let error = Utf8::new().push(&plain).unwrap_err();
            assert_eq!(error.valid_up_to, wrong, "of {len} bytes");
            Mask::new(key).apply(&mut payload);
            let error = Mask::new(key).apply_text(&mut payload, &mut Utf8::new()).unwrap_err();
            assert_eq!(error.valid_up_to, wrong, "of {len} masked bytes");
            assert_eq!(wsframe::from_utf8(&plain).is_ok(), std::str::from_utf8(&plain).is_ok());
        }
    }
}

/// Of all that is no ASCII, this is what has no bit set but those that say so.
#[test]
fn continuation_bytes_alone_are_no_text_of_any_length() {
    for len in 1..=140 {
        let mut payload = vec![0x80; len];
        assert!(wsframe::from_utf8(&payload).is_err(), "{len} bytes");
        assert_eq!(Utf8::new().push(&payload).unwrap_err().valid_up_to, 0, "{len} bytes");
        let error = Mask::new([0; 4]).apply_text(&mut payload, &mut Utf8::new()).unwrap_err();
        assert_eq!(error.valid_up_to, 0, "{len} bytes under a key");
    }
}
