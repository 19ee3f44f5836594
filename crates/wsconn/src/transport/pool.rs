//! Buffers that connections borrow while they have something to read or write.
//!
//! Each thread keeps a few, and the process some large ones. A connection that waits holds none.

use alloc::{boxed::Box, vec, vec::Vec};
use std::{cell::RefCell, sync::Mutex};

/// The size of a buffer, in bytes.
pub const BUFFER: usize = 64 << 10;

/// The most buffers of each kind that a thread keeps.
const KEEP: usize = 8;

/// The largest buffer that is kept to assemble a message in, in bytes, and the most of them.
const MESSAGE: usize = 1 << 20;
const KEEP_MESSAGES: usize = 8;

/// Of the process, not of each thread: of those there may be one for each connection. Who finds it locked
/// goes without.
static MESSAGES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

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
    /// With these bytes at its start, and room for the reads that come after them.
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() || bytes.len() > BUFFER {
            return Self(bytes.into());
        }
        let mut buffer = Self::take();
        if let Some(start) = buffer.room().get_mut(..bytes.len()) {
            start.copy_from_slice(&bytes);
        }
        buffer
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

/// A buffer to assemble a large message in; without one that was kept, none. What lies in it is of no
/// account.
pub(super) fn take_message() -> Vec<u8> {
    MESSAGES.try_lock().ok().and_then(|mut kept| kept.pop()).unwrap_or_default()
}

/// Keeps a buffer that a message was assembled in, if it is large and not too large. An allocator that
/// returned it to the system would have it cleared for the next message.
pub(super) fn put_message(buffer: Vec<u8>) {
    if (BUFFER..=MESSAGE).contains(&buffer.capacity())
        && let Ok(mut kept) = MESSAGES.try_lock()
        && kept.len() < KEEP_MESSAGES
    {
        kept.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_leaves_room_for_whole_reads() {
        let mut buffer = ReadBuffer::from(vec![1, 2]);
        assert_eq!(buffer.bytes().get(..2), Some(&[1, 2][..]));
        assert_eq!(buffer.room().len(), BUFFER);
        let long = ReadBuffer::from(vec![3; BUFFER + 1]);
        assert_eq!(long.bytes(), vec![3; BUFFER + 1]);
    }
}
