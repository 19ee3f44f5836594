//! A session of structured operations, in either role, against the naive reference connection.

#![no_main]

use wstest::alloc::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wstest::oracles::check_connection(input));
