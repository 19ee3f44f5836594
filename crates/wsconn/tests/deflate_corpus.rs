//! The fuzz target's oracle for compressed messages, over its committed corpus. There C zlib inflates,
//! here the zlib that the connection has, but all of a stream at once.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)] // this is a test

mod oracles;

use std::path::Path;

use oracles::{End, Inflated, check_inflate, check_round_trip};
use wstest::alloc::CountingAllocator;
use zlib_rs::{Inflate, InflateFlush, Status};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn inflate(input: &[u8]) -> Inflated {
    let mut inflate = Inflate::new(false, 15);
    let mut output = vec![0; 1 << 16];
    let end = loop {
        let (read, written) = (inflate.total_in() as usize, inflate.total_out() as usize);
        if written == output.len() {
            output.resize(2 * written, 0);
        }
        let (rest, room) = (&input[read..], &mut output[written..]);
        match inflate.decompress(rest, room, InflateFlush::NoFlush) {
            Ok(Status::StreamEnd) => break End::Final(inflate.total_in() as usize),
            Err(_) => break End::Corrupt,
            Ok(_) if (inflate.total_out() as usize) < output.len() => break End::Open,
            Ok(_) => {}
        }
    };
    output.truncate(inflate.total_out() as usize);
    Inflated { output, end }
}

/// Every file of the corpus.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/deflate");
    let entries = folder.read_dir().expect("the corpus is committed");
    let files: Vec<_> =
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(files.len() > 10, "{} files in {}", files.len(), folder.display());
    files
}

#[test]
fn compressed_messages_of_the_corpus_come_out_as_zlib_has_them_and_others_come_back() {
    for file in corpus() {
        // Of the fuzz target the first bit says which.
        let (which, input) = file.split_first().unwrap();
        let check = if *which < 128 { check_inflate } else { check_round_trip };
        check(input, inflate);
    }
}
