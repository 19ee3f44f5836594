//! Async operations over a stream that is slow, cuts and fails, their futures dropped after some polls:
//! what is written is whole, nothing is lost or doubled.

#![no_main]

#[path = "../../crates/wstokio/tests/oracles/mod.rs"]
mod oracles;
#[path = "../../crates/wstokio/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_async(input));
