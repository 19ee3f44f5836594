//! Masking, by each instance of the kernel, against the naive loop.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(all(unix, not(miri)))]
mod guarded;
mod oracles;

#[cfg(all(unix, not(miri)))]
use guarded::Guarded;
use oracles::check_found;
use proptest::prelude::*;
use wsframe::{Instance, Mask};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn naive(data: &[u8], key: [u8; 4]) -> Vec<u8> {
    data.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
}

/// The key as it is after `phase` bytes.
fn at_phase(phase: usize) -> [u8; 4] {
    [0, 1, 2, 3].map(|i| KEY[(i + phase) % 4])
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// Checks an instance on one range of a buffer: the range is masked, and nothing around it.
fn check(instance: Instance, data: &[u8], at: usize, len: usize, key: [u8; 4]) {
    let context = || format!("{} on {len} bytes at {at}, key {key:02x?}", instance.name);
    let (range, expected) = (at..at + len, naive(&data[at..at + len], key));

    let mut buf = data.to_vec();
    instance.apply(key, &mut buf[range.clone()]);
    assert!(buf[..at] == data[..at] && buf[at + len..] == data[at + len..], "{}", context());
    assert_eq!(buf[range.clone()], expected, "{}", context());

    let mut buf = data.to_vec();
    let valid = instance.apply_text(key, &mut buf[range.clone()]);
    assert!(buf[..at] == data[..at] && buf[at + len..] == data[at + len..], "{}", context());
    assert_eq!(buf[range.clone()], expected, "{}, text", context());
    check_found(instance, &expected, valid);

    let mut buf = vec![0xee; data.len()];
    instance.copy(key, &data[range.clone()], &mut buf[range.clone()]);
    assert!(buf[..at].iter().chain(&buf[at + len..]).all(|byte| *byte == 0xee), "{}", context());
    assert_eq!(buf[range], expected, "{}, copying", context());
}

/// Longer payloads are tested more sparsely under valgrind and Miri, which are slow.
fn step() -> usize {
    if cfg!(miri) || std::env::var_os("WSFRAME_TEST_SLOW").is_some() { 17 } else { 1 }
}

#[test]
fn every_instance_masks_every_length_at_every_alignment_and_phase_as_the_naive_loop_does() {
    let data = bytes(640);
    for instance in Instance::all() {
        for len in (0..=512).step_by(step()) {
            for at in (0..64).step_by(step()) {
                for phase in 0..4 {
                    check(instance, &data, at, len, at_phase(phase));
                }
            }
        }
    }
}

#[test]
fn every_instance_masks_long_payloads_as_the_naive_loop_does() {
    let data = bytes(5000);
    for instance in Instance::all() {
        for len in (513..4900).step_by(83).chain([1023, 1024, 1025, 4095, 4096, 4097]) {
            for at in [0, 1, 3, 15, 16, 31, 32, 33, 63] {
                check(instance, &data, at, len, at_phase(len % 4));
            }
        }
    }
}

#[cfg(all(unix, not(miri)))]
#[test]
fn no_instance_touches_a_byte_before_or_after_the_payload() {
    let (mut src, mut dst) = (Guarded::new(), Guarded::new());
    for instance in Instance::all() {
        for len in (0..=512).chain([1000, 1024, 2047, 4000, 4096]) {
            // The payload ends where memory ends, and then begins where it begins.
            for at_end in [true, false] {
                let src = src.slice(len, at_end);
                src.copy_from_slice(&bytes(len));
                let expected = naive(src, KEY);
                let dst = dst.slice(len, at_end);
                instance.copy(KEY, src, dst);
                assert_eq!(dst, expected);
                instance.apply(KEY, src);
                assert_eq!(src, expected);
                instance.apply(KEY, src);
                instance.apply_text(KEY, src);
                assert_eq!(src, expected);
            }
        }
    }
}

#[test]
fn the_portable_instance_is_always_there_and_avx2_where_the_processor_has_it() {
    let names: Vec<_> = Instance::all().map(|instance| instance.name).collect();
    assert_eq!(names[0], "portable");
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    assert_eq!(names.contains(&"avx2"), std::is_x86_feature_detected!("avx2"));
}

proptest! {
    #[test]
    fn a_payload_in_pieces_is_masked_as_in_one(
        key: [u8; 4],
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
    ) {
        let expected = naive(&pieces.concat(), key);
        let (mut in_place, mut copying) = (Mask::new(key), Mask::new(key));
        let (mut masked, mut copied) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut copy = vec![0; piece.len()];
            prop_assert_eq!(copying.copy(&piece, &mut copy), piece.len());
            copied.extend(copy);
            let mut piece = piece;
            in_place.apply(&mut piece);
            masked.extend(piece);
        }
        prop_assert_eq!(in_place, copying);
        prop_assert_eq!(&masked, &expected);
        prop_assert_eq!(&copied, &expected);
    }

    #[test]
    fn masking_twice_gives_the_payload_back(key: [u8; 4], payload: Vec<u8>) {
        let mut twice = payload.clone();
        Mask::new(key).apply(&mut twice);
        Mask::new(key).apply(&mut twice);
        prop_assert_eq!(twice, payload);
    }
}
