//! The grammar of extensions, against the naive reading by splitting.

#![no_main]

#[path = "../../crates/wshandshake/tests/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::check_extensions(input));
