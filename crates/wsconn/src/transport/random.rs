//! Bytes that nobody can predict, drawn from the operating system in batches.

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

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
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
