//! What connections without takeover borrow for a message, kept per thread.

use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;
use std::thread_local;

use super::codec::{Compressor, Inflater, Shape};

/// The most of each kind that a thread keeps. More are in use at once only where many messages are
/// under way, of which a part has come.
const KEEP: usize = 4;

/// The smallest and the largest buffer that is kept, in bytes.
const BUFFER: core::ops::RangeInclusive<usize> = 2 << 10..=128 << 10;

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { compressors: Vec::new(), inflaters: Vec::new(), buffers: Vec::new() })
    };
}

#[expect(clippy::vec_box, reason = "they come from connections in boxes, and go back in them")]
struct Pool {
    compressors: Vec<Box<Compressor>>,
    inflaters: Vec<Box<Inflater>>,
    buffers: Vec<Vec<u8>>,
}

/// A compressor without context.
pub(super) fn compressor(shape: Shape) -> Box<Compressor> {
    let kept = with(|pool| {
        let at = pool.compressors.iter().position(|kept| kept.shape() == shape)?;
        Some(pool.compressors.swap_remove(at))
    });
    kept.flatten().unwrap_or_else(|| Box::new(Compressor::new(shape)))
}

pub(super) fn put_compressor(mut compressor: Box<Compressor>) {
    compressor.reset();
    with(|pool| keep(&mut pool.compressors, compressor));
}

/// An inflater without context.
pub(super) fn inflater() -> Box<Inflater> {
    with(|pool| pool.inflaters.pop()).flatten().unwrap_or_else(|| Box::new(Inflater::new()))
}

pub(super) fn put_inflater(mut inflater: Box<Inflater>) {
    inflater.reset();
    with(|pool| keep(&mut pool.inflaters, inflater));
}

/// A buffer to inflate into; perhaps without capacity.
pub(super) fn buffer() -> Vec<u8> {
    with(|pool| pool.buffers.pop()).flatten().unwrap_or_default()
}

pub(super) fn put_buffer(buffer: Vec<u8>) {
    if BUFFER.contains(&buffer.capacity()) {
        with(|pool| keep(&mut pool.buffers, buffer));
    }
}

/// The oldest makes way: it may be of a shape that is not wanted any more.
fn keep<T>(kept: &mut Vec<T>, item: T) {
    if kept.len() == KEEP {
        kept.remove(0);
    }
    kept.push(item);
}

/// A thread that is ending has no pool any more, and needs none.
fn with<R>(work: impl FnOnce(&mut Pool) -> R) -> Option<R> {
    POOL.try_with(|pool| work(&mut pool.borrow_mut())).ok()
}
