//! The fuzz targets' oracles, over their committed corpora and over what is known to be hard.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod oracles;

use std::path::Path;

use oracles::{check_header, check_mask, check_utf8};
use proptest::prelude::*;

/// Runs the oracle over every file of a corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in folder.read_dir().expect("the corpus is committed") {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 10, "{count} files in {}", folder.display());
}

#[test]
fn the_corpus_of_header_passes() {
    replay("header", check_header);
}

#[test]
fn the_corpus_of_mask_passes() {
    replay("mask", check_mask);
}

#[test]
fn the_corpus_of_utf8_passes() {
    replay("utf8", check_utf8);
}

/// A long text with something wrong, or cut, near the edges of blocks.
#[test]
fn an_error_is_found_at_its_byte_in_long_text_wherever_it_is() {
    let ascii = "plain ".repeat(700);
    let mixed = "κόσμε, 日本語 𐍈 ".repeat(130);
    for text in [ascii.as_bytes(), mixed.as_bytes()] {
        for at in [0, 1, 62, 63, 64, 65, 127, 128, 1000, 2047, 4093] {
            for wrong in [&[0xff][..], &[0x80], &[0xc0], &[0xed, 0xa0], &[0xf4, 0x90], &[0xe2]] {
                let mut text = text.to_vec();
                text.truncate(at.min(text.len()));
                text.extend_from_slice(wrong);
                check_utf8(&text);
                text.extend_from_slice(ascii.as_bytes());
                check_utf8(&text);
            }
        }
    }
}

#[test]
fn text_of_many_blocks_is_valid_in_pieces_of_any_size() {
    let text = "Où est la bibliothèque? 日本語テキスト 𐍈𐍈𐍈 ascii ".repeat(1200).into_bytes();
    for size in [1000, 4096, 16383, 16384, 16385, 40000, text.len()] {
        let mut utf8 = wsframe::Utf8::new();
        assert!(text.chunks(size).all(|piece| utf8.push(piece).is_ok()));
        assert!(utf8.finish().is_ok());
        for at in [10, 16383, 16384, 33000, text.len() - 1] {
            let mut text = text.clone();
            text[at] = 0xff;
            let expected = oracles::naive_utf8(&text);
            let mut utf8 = wsframe::Utf8::new();
            let found = text.chunks(size).enumerate().find_map(|(i, piece)| {
                utf8.push(piece).err().map(|error| i * size + error.valid_up_to)
            });
            assert_eq!(found, expected, "pieces of {size}, wrong at {at}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_in_any_two_pieces_is_judged_as_std_judges_it(text: String, tail: Vec<u8>) {
        check_utf8(&[text.as_bytes(), &tail].concat());
    }

    #[test]
    fn any_bytes_as_a_header_are_judged_as_the_standard_says(input: [u8; 16]) {
        check_header(&input);
    }
}
