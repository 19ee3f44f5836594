//! The fuzz target's oracle for async operations, over its committed corpus and random sessions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod oracles;
mod support;

use std::path::Path;

use oracles::check_async;
use proptest::{collection::vec, prelude::*};

#[test]
fn the_corpus_of_operations_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/operations");
    let mut count = 0;
    for entry in folder.read_dir().expect("the corpus is committed") {
        check_async(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 10, "{count} files in {}", folder.display());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn operations_dropped_anywhere_lose_and_double_nothing(session in vec(any::<u8>(), 0..300)) {
        check_async(&session);
    }
}
