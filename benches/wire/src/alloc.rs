//! An allocator that counts for the whole process, once it is told to.
//!
//! Every program of the race has it, so that all are alike; one that is not told to count pays a load and
//! a branch for each call.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

/// The system's allocator, counting if [`count`] was called.
#[derive(Debug)]
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Counts from now on.
pub fn count() {
    ON.store(true, Relaxed);
}

/// The bytes of heap that have been taken since [`count`], less those given back.
pub fn live() -> i64 {
    LIVE.load(Relaxed)
}

/// The allocations since [`count`]; a reallocation is one.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

fn note(old: usize, new: usize) {
    if ON.load(Relaxed) {
        LIVE.fetch_add(new as i64 - old as i64, Relaxed);
        ALLOCATIONS.fetch_add(u64::from(new > 0), Relaxed);
    }
}

// SAFETY: every method passes its arguments unchanged to the system's allocator, whose contract is the
// same, and gives back what that returns. Counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(0, layout.size());
        // SAFETY: the caller's promise on `layout` is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(0, layout.size());
        // SAFETY: the caller's promise on `layout` is ours.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(layout.size(), size);
        // SAFETY: `block` came from `System` by one of these methods, with this `layout`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(layout.size(), 0);
        // SAFETY: `block` came from `System` by one of these methods, with this `layout`.
        unsafe { System.dealloc(block, layout) }
    }
}
