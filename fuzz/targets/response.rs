//! A response's head, against the naive reading: its end, and what is accepted.

#![no_main]

#[path = "../../crates/wshandshake/tests/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_response(input));
