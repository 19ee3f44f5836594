//! The fuzz targets' oracles, over their committed corpora and random sessions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::path::Path;

use proptest::{collection::vec, prelude::*};
use wstest::{
    alloc::CountingAllocator,
    oracles::{check_connection, check_pair},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Runs the oracle over every file of a corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in folder.read_dir().expect("the corpus is committed") {
        check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        count += 1;
    }
    assert!(count > 10, "{count} files in {}", folder.display());
}

#[test]
fn the_corpus_of_connection_passes() {
    replay("connection", check_connection);
}

#[test]
fn the_corpus_of_pair_passes() {
    replay("pair", check_pair);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_session_of_a_connection_is_as_the_reference_has_it(session in vec(any::<u8>(), 0..600)) {
        check_connection(&session);
    }

    #[test]
    fn any_session_of_a_pair_out_of_step_comes_to_its_end(session in vec(any::<u8>(), 0..600)) {
        check_pair(&session);
    }
}
