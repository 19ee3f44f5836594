//! Two connections whose bytes are damaged on the way: one verdict each, bounded memory, both end.

#![no_main]

use wstest::alloc::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wstest::oracles::check_pair(input));
