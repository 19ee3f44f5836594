//! A request's head, against the naive reading: its end, what is accepted, and the 101 that answers it.

#![no_main]

#[path = "../../crates/wshandshake/tests/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_request(input));
