//! Declared lengths (HAZARDS A) and masking (HAZARDS G): verdicts from the header alone.

use wsconn::{Config, Role};

use super::{Expect, List, binary};
use crate::reference::{Frame, LengthForm};

pub(super) fn add(list: &mut List) {
    // From a client, so with the mask bit; every one ends where its verdict is due.
    let from_client: [(&str, &[u8], u16); 8] = [
        (
            "The greatest length there is, 2^63-1, is too big",
            b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
            1009,
        ),
        ("A length with its top bit set breaks the protocol", b"\x82\xff\x80\0\0\0\0\0\0\0", 1002),
        (
            "A length of 2^64-1 breaks the protocol",
            b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            1002,
        ),
        ("A length of 4 GiB and 5 is not taken for 5", b"\x82\xff\0\0\0\x01\0\0\0\x05", 1009),
        ("A length of 1 in 16 bits is not minimal", b"\x82\xfe\0\x01", 1002),
        ("A length of 125 in 16 bits is not minimal", b"\x82\xfe\0\x7d", 1002),
        ("A length of 125 in 64 bits is not minimal", b"\x82\xff\0\0\0\0\0\0\0\x7d", 1002),
        ("A length of 65535 in 64 bits is not minimal", b"\x82\xff\0\0\0\0\0\0\xff\xff", 1002),
    ];
    for (name, input, code) in from_client {
        let config = Config::default();
        list.raw(name, Role::Server, config.clone(), input.to_vec(), Expect::failed(code));
        let mut input = input.to_vec();
        input[1] &= 0x7f;
        list.raw(name, Role::Client, config, input, Expect::failed(code));
    }

    for len in [0, 1, 125, 126, 127, 65535, 65536] {
        let name = format!("A message of {len} bytes is received");
        let payload = vec![0xfe; len];
        let expect = Expect::eof().with(&[binary(&payload)]);
        list.frames(&name, &[Frame::new(2, payload)], expect);
    }

    let mut small = Config::default();
    small.max_frame_size = 1000;
    let at_limit = Frame::new(2, vec![1; 1000]);
    let over = Frame::new(2, vec![1; 1001]);
    let delivered = [binary(&[1; 1000])];
    let expect = Expect::eof().with(&delivered);
    list.frames_with(
        "A frame at the limit is received",
        small.clone(),
        std::slice::from_ref(&at_limit),
        expect,
    );
    let expect = Expect::failed(1009).with(&delivered);
    let name = "A frame over the limit is too big, and what came before is delivered";
    list.frames_with(name, small, &[at_limit, over.clone()], expect);

    let mut small = Config::default();
    small.max_message_size = 1000;
    let name = "A message over the limit is too big";
    list.frames_with(name, small.clone(), &[over], Expect::failed(1009));
    // Header only: nothing of the payload is waited for.
    let lie = Frame { length: LengthForm::Lie(1 << 32), ..Frame::new(2, vec![]) };
    list.frames_with(
        "A declared length fails before the payload comes",
        small,
        &[lie],
        Expect::failed(1009),
    );

    list.class = 'G';
    let hello = Frame::new(1, "Hello");
    let key = Some([1, 2, 3, 4]);
    let name = "A frame with the wrong masking breaks the protocol and is not delivered";
    let config = Config::default();
    let masked = hello.clone().masked(key).encode();
    list.raw(name, Role::Client, config.clone(), masked.clone(), Expect::failed(1002));
    list.raw(name, Role::Server, config.clone(), hello.encode(), Expect::failed(1002));
    let name = "The wrong masking shows in the first two bytes";
    list.raw(name, Role::Client, config.clone(), masked[..2].to_vec(), Expect::failed(1002));
    list.raw(
        name,
        Role::Server,
        config.clone(),
        hello.encode()[..2].to_vec(),
        Expect::failed(1002),
    );
    let name = "A close frame with the wrong masking is no close frame";
    let close = Frame::new(8, [3, 232]);
    list.raw(
        name,
        Role::Client,
        config.clone(),
        close.clone().masked(key).encode(),
        Expect::failed(1002),
    );
    list.raw(name, Role::Server, config.clone(), close.encode(), Expect::failed(1002));
    let zero = hello.masked(Some([0; 4])).encode();
    let expect = Expect::eof().with(&["Hello".into()]);
    list.raw("A masking key of zeros is a masking key", Role::Server, config, zero, expect);
}
