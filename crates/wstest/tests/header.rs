//! wsframe's headers against the reference codec. Here, and not in wsframe, so that wsframe's own tests
//! run without the features that the rest of the workspace turns on in it.

use wsframe::{Header, OpCode, Rsv};
use wstest::reference::{Frame, LengthForm};

#[test]
fn every_header_is_encoded_as_the_reference_encodes_it() {
    let opcodes = [
        (OpCode::Continuation, 0x0),
        (OpCode::Text, 0x1),
        (OpCode::Binary, 0x2),
        (OpCode::Close, 0x8),
        (OpCode::Ping, 0x9),
        (OpCode::Pong, 0xa),
    ];
    let bits = [
        (Rsv::NONE, 0),
        (Rsv::RSV1, 4),
        (Rsv::RSV2, 2),
        (Rsv::RSV3, 1),
        (Rsv::RSV1.with(Rsv::RSV2).with(Rsv::RSV3), 7),
    ];
    for len in [0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537] {
        let mut reference = Frame::new(0, vec![0; len]);
        for (opcode, opcode_bits) in opcodes {
            for (rsv, rsv_bits) in bits {
                for fin in [false, true] {
                    for masking_key in [None, Some([0x37, 0xfa, 0x21, 0x3d])] {
                        let payload_len = len as u64;
                        let header = Header { fin, rsv, opcode, masking_key, payload_len };
                        reference.fin = fin;
                        reference.rsv = rsv_bits;
                        reference.opcode = opcode_bits;
                        reference.mask = masking_key;
                        reference.length = LengthForm::Minimal;
                        let (encoded, expected) = (header.encode(), reference.encode());
                        let (start, payload) = expected.split_at(expected.len() - len);
                        assert_eq!(encoded.as_slice(), start, "{header:?}");
                        assert_eq!(payload.len(), len);
                    }
                }
            }
        }
    }
}
