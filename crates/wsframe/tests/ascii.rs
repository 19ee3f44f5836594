//! Whether text is ASCII, by each instance of the kernel.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(all(unix, not(miri)))]
mod guarded;

use wsframe::Instance;

/// Fewer lengths under valgrind and Miri, which are slow.
fn step() -> usize {
    if cfg!(miri) || std::env::var_os("WSFRAME_TEST_SLOW").is_some() { 97 } else { 1 }
}

#[test]
fn every_instance_sees_all_of_a_plain_text_and_nothing_past_one_byte_that_is_not() {
    let plain = vec![b'x'; 2700];
    for instance in Instance::all() {
        for len in (64..400).chain((400..2600).step_by(41)).step_by(step()) {
            for start in [0, 1, 15, 31, 32, 63] {
                let mut whole = plain.clone();
                let text = &mut whole[start..start + len];
                assert_eq!(instance.ascii(text), len, "{}", instance.name);
                for at in [0, 1, 31, 32, 33, 62, 63, len / 3, len / 2, len - 33, len - 2, len - 1] {
                    let byte = std::mem::replace(&mut text[at], 0x80 | at as u8);
                    let seen = instance.ascii(text);
                    assert!(seen <= at, "{}: {seen} of {len}, wrong at {at}", instance.name);
                    assert!(at - seen < 1100, "{}: {seen}, wrong at {at}", instance.name);
                    text[at] = byte;
                }
            }
        }
    }
}

#[cfg(all(unix, not(miri)))]
#[test]
fn no_instance_reads_a_byte_before_or_after_the_text() {
    let mut memory = guarded::Guarded::new();
    for instance in Instance::all() {
        for len in (64..700).chain([1023, 1024, 1025, 2047, 4000, 4095, 4096]) {
            for at_end in [true, false] {
                let text = memory.slice(len, at_end);
                text.fill(b'x');
                assert_eq!(instance.ascii(text), len);
            }
        }
    }
}
