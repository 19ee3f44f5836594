//! Masking, in pieces and by each instance, against the naive loop.

#![no_main]

#[path = "../../crates/wsframe/tests/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_mask(input));
