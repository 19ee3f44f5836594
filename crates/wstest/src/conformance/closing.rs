//! Close frames (HAZARDS H) and the end of a connection (HAZARDS I).

use wsconn::{Config, Role};

use super::{Expect, List, Sent, text};
use crate::reference::Frame;

fn close(code: u16, reason: &[u8]) -> Frame {
    Frame::new(8, [&code.to_be_bytes(), reason].concat())
}

pub(super) fn add(list: &mut List) {
    bodies(list);
    order(list);
    end_of_stream(list);
}

fn bodies(list: &mut List) {
    let empty = Expect { close: Sent::Empty, ..Expect::closed(1005, "") };
    list.frames("A close frame without a body is answered by one", &[Frame::new(8, "")], empty);
    let one_byte = [Frame::new(8, [3])];
    list.frames("A close frame of one byte breaks the protocol", &one_byte, Expect::failed(1002));

    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        let expect = Expect::closed(code, "");
        let name = format!("The code {code} is echoed");
        list.frames(&name, &[close(code, b"")], expect);
    }
    let bad = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535];
    for code in bad {
        let name = format!("The code {code} breaks the protocol");
        list.frames(&name, &[close(code, b"")], Expect::failed(1002));
        list.frames(&name, &[close(code, b"a reason")], Expect::failed(1002));
    }

    let reason = "grüße".repeat(17) + "!!!!";
    assert_eq!(reason.len(), 123);
    for reason in ["bye", &reason] {
        let expect = Expect::closed(1001, reason);
        list.frames("A reason is told", &[close(1001, reason.as_bytes())], expect);
    }
    for reason in [&b"\xff"[..], b"ok \xed\xa0\x80", b"cut \xe2\x82"] {
        let name = "A reason that is not UTF-8 is an invalid payload";
        list.frames(name, &[close(1000, reason)], Expect::failed(1007));
    }
    let name = "A bad code is worse than a bad reason";
    list.frames(name, &[close(1005, b"\xff")], Expect::failed(1002));
}

fn order(list: &mut List) {
    list.class = 'I';
    let frames = [
        Frame::new(1, "before"),
        Frame::new(9, "before"),
        close(1000, b"bye"),
        Frame::new(1, "after"),
        Frame::new(9, "after"),
        close(1001, b"again"),
        Frame { rsv: 7, ..Frame::new(15, "and nonsense") },
    ];
    let expect = Expect::closed(1000, "bye").with(&[text("before")]).with_pongs(&[b"before"]);
    list.frames("What comes after a close frame is ignored", &frames, expect);

    let frames =
        [Frame::new(1, "before"), Frame::new(3, ""), Frame::new(1, "after"), close(1000, b"")];
    let expect = Expect::failed(1002).with(&[text("before")]);
    list.frames("What comes after a violation is ignored", &frames, expect);
}

fn end_of_stream(list: &mut List) {
    list.class = 'I';
    list.frames("The end of the stream at once is abnormal", &[], Expect::eof());
    let expect = Expect::eof().with(&[text("done")]);
    let name = "The end of the stream between messages is abnormal";
    list.frames(name, &[Frame::new(1, "done")], expect.clone());
    let unfinished = [Frame::new(1, "done"), Frame::new(1, "half").unfinished()];
    let name = "The end of the stream inside a fragmented message is abnormal";
    list.frames(name, &unfinished, expect);

    // At every byte of a close frame: before its last one nothing has been closed.
    for role in [Role::Client, Role::Server] {
        let whole = super::wire(role, &[close(1000, b"bye")]);
        for len in 1..whole.len() {
            let name = format!("The end of the stream at byte {len} of a close frame is abnormal");
            list.raw(&name, role, Config::default(), whole[..len].to_vec(), Expect::eof());
        }
        let long = super::wire(role, &[Frame::new(2, vec![7; 300])]);
        for len in [1, 3, 7, 20, long.len() - 1] {
            let name = format!("The end of the stream at byte {len} of a message is abnormal");
            list.raw(&name, role, Config::default(), long[..len].to_vec(), Expect::eof());
        }
    }
}
