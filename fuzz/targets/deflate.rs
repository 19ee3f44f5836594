//! Compressed messages, against C zlib: any bytes in any pieces have the verdict that they should have,
//! and what is sent comes back.

#![no_main]

#[path = "../../crates/wsconn/tests/oracles/mod.rs"]
mod oracles;

use flate2::{Decompress, FlushDecompress, Status};
use oracles::{End, Inflated, check_inflate, check_round_trip};
use wstest::alloc::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

libfuzzer_sys::fuzz_target!(|input: &[u8]| match input.split_first() {
    Some((0..=127, input)) => check_inflate(input, inflate),
    Some((_, input)) => check_round_trip(input, inflate),
    None => {}
});

fn inflate(input: &[u8]) -> Inflated {
    let mut zlib = Decompress::new(false);
    let mut output = vec![0; 1 << 16];
    let end = loop {
        let (read, written) = (zlib.total_in() as usize, zlib.total_out() as usize);
        if written == output.len() {
            output.resize(2 * written, 0);
        }
        match zlib.decompress(&input[read..], &mut output[written..], FlushDecompress::None) {
            Ok(Status::StreamEnd) => break End::Final(zlib.total_in() as usize),
            Err(_) => break End::Corrupt,
            Ok(_) if (zlib.total_out() as usize) < output.len() => break End::Open,
            Ok(_) => {}
        }
    };
    output.truncate(zlib.total_out() as usize);
    Inflated { output, end }
}
