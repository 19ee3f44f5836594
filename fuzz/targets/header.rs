//! Decoding a header, against the standard written down naively.

#![no_main]

#[path = "../../crates/wsframe/tests/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_header(input));
