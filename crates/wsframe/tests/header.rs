//! Headers, exhaustively, against what RFC 6455 §5.2 says written down once more, and naively.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod oracles;

use oracles::{naive_header, rsv};
use proptest::prelude::*;
use wsframe::{Decoded, Header, OpCode, Role, Rsv, Rules};

#[test]
fn every_first_two_bytes_role_and_length_edge_is_judged_as_the_standard_says_however_it_is_cut() {
    let limits = [0, 1, 124, 125, 126, 65535, 65536, 1 << 32, u64::MAX >> 1];
    // What follows the first two bytes: lengths at the edges, in 16 and in 64 bits.
    let mut tails: Vec<[u8; 12]> = Vec::new();
    for len in [0u64, 1, 125, 126, 127, 65535, 65536, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX] {
        for at in [0, 6] {
            // In the first two bytes, or in all eight, of the length.
            let mut tail = [0x5a; 12];
            let bytes = len.to_be_bytes();
            tail[..8 - at].copy_from_slice(&bytes[at..]);
            tails.push(tail);
        }
    }
    let mut seen = 0u64;
    for first in 0..=255 {
        for second in 0..=255 {
            let tails = if second & 0x7f < 126 { &tails[..1] } else { &tails[..] };
            for tail in tails {
                let mut bytes = [first, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                bytes[2..].copy_from_slice(tail);
                for receiver in [Role::Client, Role::Server] {
                    for (rsv, allowed) in [(Rsv::NONE, 0), (Rsv::RSV1, 4)] {
                        for max_payload in limits {
                            let rules = Rules { receiver, rsv, max_payload };
                            for len in 0..=bytes.len() {
                                let found = Header::decode(&bytes[..len], &rules);
                                let expected = naive_header(&bytes[..len], &rules, allowed);
                                assert_eq!(found, expected, "{:02x?} {rules:?}", &bytes[..len]);
                                seen += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(seen > 30_000_000);
}

fn header() -> impl Strategy<Value = Header> {
    let opcodes = prop::sample::select(vec![
        OpCode::Continuation,
        OpCode::Text,
        OpCode::Binary,
        OpCode::Close,
        OpCode::Ping,
        OpCode::Pong,
    ]);
    let len = prop_oneof![0..200u64, 65000..66000u64, 0..u64::MAX >> 1];
    (any::<bool>(), 0..8u8, opcodes, any::<Option<[u8; 4]>>(), len).prop_map(
        |(fin, bits, opcode, masking_key, len)| {
            let control = opcode.is_control();
            let payload_len = if control { len % 126 } else { len };
            let fin = fin || control;
            Header { fin, rsv: rsv(bits), opcode, masking_key, payload_len }
        },
    )
}

proptest! {
    #[test]
    fn a_header_comes_back_as_it_was_encoded(header in header()) {
        let bytes = header.encode();
        let receiver = if header.masking_key.is_some() { Role::Server } else { Role::Client };
        let rules = Rules { rsv: rsv(7), ..Rules::new(receiver) };
        let len = bytes.as_slice().len();
        prop_assert_eq!(
            Header::decode(bytes.as_slice(), &rules),
            Ok(Decoded::Header { header, len })
        );
    }
}
