//! Bytes that nobody can predict, drawn from the operating system in batches.
//!
//! Each thread has its batch. If a thread that has used some of it forks, and the child goes on without
//! `exec`, both processes draw the same bytes next: the same masking keys, and the same keys of opening
//! handshakes.

use std::cell::RefCell;

const BATCH: usize = 1024;

struct Batch {
    bytes: [u8; BATCH],
    /// How many have been used.
    used: usize,
}

std::thread_local! {
    static RANDOM: RefCell<Batch> = const { RefCell::new(Batch { bytes: [0; BATCH], used: BATCH }) };
}

/// A masking key (RFC 6455 §5.3, §10.3: from "a strong source of entropy").
///
/// # Panics
///
/// If the operating system has no randomness to give: to go on with keys that can be predicted would
/// let scripts choose the bytes on the wire.
pub fn masking_key() -> [u8; 4] {
    bytes()
}

/// `N` random bytes. More than 1024 do not compile:
///
/// ```compile_fail
/// wsconn::transport::random::bytes::<1025>();
/// ```
pub fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= BATCH, "at most 1024 bytes are drawn at once") };
    RANDOM.with_borrow_mut(|batch| {
        let fresh = batch.bytes.get(batch.used..).and_then(|rest| rest.first_chunk::<N>().copied());
        let taken = fresh.unwrap_or_else(|| {
            fill(&mut batch.bytes);
            batch.used = 0;
            batch.bytes.first_chunk::<N>().copied().unwrap_or([0; N])
        });
        batch.used += N;
        taken
    })
}

#[allow(clippy::expect_used)] // Documented above; it does not depend on input.
fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)] // this is a test
mod tests {
    use alloc::vec::Vec;
    use std::thread;

    use super::*;

    const KEYS: usize = 1_000_000;

    #[test]
    fn a_million_keys_repeat_no_more_than_chance_and_have_every_byte_everywhere() {
        let mut seen = [[false; 256]; 4];
        let mut keys = Vec::with_capacity(KEYS);
        for _ in 0..KEYS {
            let key = masking_key();
            for (seen, byte) in seen.iter_mut().zip(key) {
                seen[usize::from(byte)] = true;
            }
            keys.push(u32::from_ne_bytes(key));
        }
        assert!(seen.as_flattened().iter().all(|seen| *seen));
        // By chance n²/2^33 pairs are alike: 116. Hardly any would be a bad sign too: a generator's period.
        keys.sort_unstable();
        let alike = keys.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((20..300).contains(&alike), "{alike} pairs are alike");
    }

    #[test]
    fn as_many_bytes_as_are_drawn_at_once_are_random_too() {
        assert_ne!(bytes::<BATCH>(), [0; BATCH]);
        assert_ne!(bytes::<BATCH>(), bytes::<BATCH>());
    }

    #[test]
    fn two_threads_have_different_keys() {
        let keys = || (0..20).map(|_| masking_key()).collect::<Vec<_>>();
        let other = thread::spawn(keys);
        let ours = keys();
        let theirs = other.join().unwrap();
        assert!(ours.iter().all(|key| !theirs.contains(key)), "{ours:?} {theirs:?}");
    }
}
