//! An allocator that counts, per thread.
//!
//! ```
//! use wstest::alloc::{CountingAllocator, measure};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! let (buffer, usage) = measure(|| vec![0_u8; 1000]);
//! assert_eq!((usage.live, usage.allocations), (1000, 1));
//! # drop(buffer);
//! ```

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, counting what each thread asks for. Install it with
/// `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

/// What a thread has asked of the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// The bytes held; less than zero where more was freed than allocated.
    pub live: i64,
    /// The most bytes held at any time.
    pub peak: i64,
    /// How many allocations there were; a reallocation is one.
    pub allocations: u64,
    /// How many bytes were asked for in all; a reallocation counts its whole new size.
    pub allocated: u64,
}

thread_local! {
    static USAGE: Cell<Usage> = const {
        Cell::new(Usage { live: 0, peak: 0, allocations: 0, allocated: 0 })
    };
}

/// Runs `work` and tells what this thread asked of the allocator meanwhile. Calls do not nest.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Usage) {
    let before = USAGE.get();
    USAGE.set(Usage { peak: before.live, ..before });
    let result = work();
    let after = USAGE.get();
    let usage = Usage {
        live: after.live - before.live,
        peak: after.peak - before.live,
        allocations: after.allocations - before.allocations,
        allocated: after.allocated - before.allocated,
    };
    (result, usage)
}

/// The bytes that this thread holds now.
pub fn live() -> i64 {
    USAGE.get().live
}

fn count(old: usize, new: usize) {
    // At the end of a thread its counters are gone before its last deallocations.
    let _ = USAGE.try_with(|usage| {
        let mut now = usage.get();
        now.live += new as i64 - old as i64;
        now.peak = now.peak.max(now.live);
        if new > 0 {
            now.allocations += 1;
            now.allocated += new as u64;
        }
        usage.set(now);
    });
}

// SAFETY: every method passes its arguments unchanged to the system's allocator, whose contract is
// the same, and gives back what that returns. Counting does not allocate: the thread-local is
// initialised at compile time and has no destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise on `layout` is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise on `layout` is ours.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: `block` came from `System` by one of these methods, with this `layout`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: `block` came from `System` by one of these methods, with this `layout`.
        unsafe { System.dealloc(block, layout) }
    }
}
