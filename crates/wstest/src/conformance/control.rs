//! Control frames and reserved bits (HAZARDS H).

use wsconn::{Config, Role};

use super::{Expect, List, text};
use crate::reference::{Frame, LengthForm};

pub(super) fn add(list: &mut List) {
    let longest = [b'p'; 125];
    let pings = [Frame::new(9, longest), Frame::new(9, ""), Frame::new(9, "x")];
    let expect = Expect::eof().with_pongs(&[&longest, b"", b"x"]);
    list.frames("Pings of any length up to 125 are answered in order", &pings, expect);
    let pongs = [Frame::new(10, ""), Frame::new(10, longest), Frame::new(1, "on")];
    list.frames("Unsolicited pongs are ignored", &pongs, Expect::eof().with(&[text("on")]));

    for opcode in [8, 9, 10] {
        let long = Frame::new(opcode, [[0x0f, 0x40]; 63].concat());
        let name = format!("A control frame of 126 bytes breaks the protocol (opcode {opcode})");
        list.frames(&name, std::slice::from_ref(&long), Expect::failed(1002));
        for length in [LengthForm::Two, LengthForm::Eight] {
            let padded = Frame { length, ..Frame::new(opcode, [0x0f, 0x40]) };
            let name =
                format!("A control frame with a long length breaks the protocol (opcode {opcode})");
            list.frames(&name, &[padded], Expect::failed(1002));
        }
        let name = format!("A fragmented control frame breaks the protocol (opcode {opcode})");
        list.frames(&name, &[Frame::new(opcode, "").unfinished()], Expect::failed(1002));
        list.frames(&name, &[Frame::new(opcode, [0x0f, 0x40]).unfinished()], Expect::failed(1002));
        // A verdict from the first two bytes alone.
        let mut start = super::wire(Role::Server, &[long]);
        start.truncate(2);
        let name = format!("A long control frame is known by its second byte (opcode {opcode})");
        list.raw(&name, Role::Server, Config::default(), start, Expect::failed(1002));
    }

    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let name = format!("The reserved opcode {opcode} breaks the protocol");
        for payload in ["", "payload"] {
            let frames = [Frame::new(1, "before"), Frame::new(opcode, payload)];
            list.frames(&name, &frames, Expect::failed(1002).with(&[text("before")]));
        }
        let inside = [Frame::new(1, "a").unfinished(), Frame::new(opcode, "")];
        list.frames(&name, &inside, Expect::failed(1002));
    }

    for rsv in 1..=7 {
        for opcode in [1, 2, 8, 9, 10] {
            let name = format!("Reserved bits {rsv:03b} break the protocol (opcode {opcode})");
            let frame = Frame { rsv, ..Frame::new(opcode, "") };
            list.frames(&name, &[frame], Expect::failed(1002));
        }
        let name = format!("Reserved bits {rsv:03b} on a continuation break the protocol");
        let inside = Frame { rsv, ..Frame::new(0, "b") };
        list.frames(&name, &[Frame::new(1, "a").unfinished(), inside], Expect::failed(1002));
    }
    // `A2 00`: it took a server down once (CVE-2014-9374 and its like).
    let config = Config::default();
    let expect = Expect::failed(1002);
    list.raw(
        "An empty frame with RSV2 is no crash",
        Role::Client,
        config.clone(),
        vec![0xa2, 0],
        expect.clone(),
    );
    list.raw("An empty frame with RSV2 is no crash", Role::Server, config, vec![0xa2, 0], expect);
}
