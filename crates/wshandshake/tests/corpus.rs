//! The fuzz targets' oracles, over their committed corpora and random heads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod oracles;

use std::path::Path;

use oracles::{check_extensions, check_request, check_response};
use proptest::{collection::vec, prelude::*, sample::Index};

/// Every file of a corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = folder.read_dir().expect("the corpus is committed");
    let files: Vec<_> =
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(files.len() > 8, "{} files in {}", files.len(), folder.display());
    files
}

#[test]
fn the_corpus_of_request_passes() {
    corpus("request").iter().for_each(|file| check_request(file));
}

#[test]
fn the_corpus_of_response_passes() {
    corpus("response").iter().for_each(|file| check_response(file));
}

#[test]
fn the_corpus_of_extensions_passes() {
    corpus("extensions").iter().for_each(|file| check_extensions(file));
}

/// A few bytes of a file of the corpus replaced.
fn changed(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        prop_oneof![any::<u8>(), (0..18_usize).prop_map(|at| b" \t\r\n:;,=\"\\/?#[]0a1"[at])];
    (any::<Index>(), vec((any::<Index>(), 0_usize..3, vec(byte, 0..3)), 1..3)).prop_map(
        move |(file, changes)| {
            let mut bytes = file.get(&corpus(target)).clone();
            for (at, len, new) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + len).min(bytes.len());
                bytes.splice(at..end, new);
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_judged_as_the_naive_reading_judges_them(bytes in changed("request")) {
        check_request(&bytes);
    }

    #[test]
    fn responses_are_judged_as_the_naive_reading_judges_them(bytes in changed("response")) {
        check_response(&bytes);
    }

    #[test]
    fn extensions_are_judged_as_the_naive_reading_judges_them(bytes in changed("extensions")) {
        check_extensions(&bytes);
    }
}
