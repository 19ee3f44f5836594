//! Buffers that connections borrow while they have something to read or write.
//!
//! Each thread keeps a few. A connection that waits holds none.

use alloc::{boxed::Box, vec, vec::Vec};
use std::cell::RefCell;

/// The size of a buffer, in bytes.
pub const BUFFER: usize = 64 << 10;

/// The most buffers of each kind that a thread keeps.
const KEEP: usize = 8;

std::thread_local! {
    static READ: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer to read into, which goes back to the pool when it is dropped.
pub struct ReadBuffer(Box<[u8]>);

impl ReadBuffer {
    /// One of [`BUFFER`] bytes.
    pub fn take() -> Self {
        let kept = READ.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        Self(kept.unwrap_or_else(|| vec![0; BUFFER].into()))
    }

    /// Its bytes, to read into.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // A thread that is ending has no pool any more, and needs none.
        let _ = READ.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEEP && buffer.len() == BUFFER {
                pool.push(buffer);
            }
        });
    }
}

impl From<Vec<u8>> for ReadBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// An empty buffer to queue in.
pub fn take_write() -> Vec<u8> {
    let kept = WRITE.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| Vec::with_capacity(BUFFER))
}

/// Gives back an empty buffer, whoever allocated it.
pub fn put_write(buffer: Vec<u8>) {
    if (BUFFER..=2 * BUFFER).contains(&buffer.capacity()) {
        let _ = WRITE.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEEP {
                pool.push(buffer);
            }
        });
    }
}
