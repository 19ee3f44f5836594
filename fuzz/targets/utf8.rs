//! Validating text cut at every point, against `std::str::from_utf8`.

#![no_main]

#[path = "../../crates/wsframe/tests/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_utf8(input));
