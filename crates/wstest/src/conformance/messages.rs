//! Messages in fragments (HAZARDS B), and text (RFC 6455 §8.1).

use wsconn::Config;

use super::{Expect, List, binary, text};
use crate::reference::Frame;

fn first(opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(opcode, payload).unfinished()
}

fn more(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(0, payload).unfinished()
}

fn last(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(0, payload)
}

pub(super) fn add(list: &mut List) {
    fragments(list);
    limits(list);
    utf8(list);
}

fn fragments(list: &mut List) {
    let frames = [first(1, "a"), more("b"), last("c"), Frame::new(2, "d")];
    let expect = Expect::eof().with(&[text("abc"), binary(b"d")]);
    list.frames("Fragments are put together, and the next message is another", &frames, expect);

    let frames = [first(2, ""), more(""), more("x"), more(""), last("")];
    let expect = Expect::eof().with(&[binary(b"x")]);
    list.frames("Empty fragments are allowed anywhere", &frames, expect);

    let frames = [first(1, ""), last(""), Frame::new(1, ""), Frame::new(2, "")];
    let expect = Expect::eof().with(&[text(""), text(""), binary(b"")]);
    list.frames("Empty messages are delivered, of one frame or two", &frames, expect);

    let frames = [
        first(1, "Hel"),
        Frame::new(9, "1"),
        Frame::new(9, ""),
        more("l"),
        Frame::new(10, "unasked"),
        Frame::new(9, "3"),
        last("o"),
    ];
    let expect = Expect::eof().with(&[text("Hello")]).with_pongs(&[b"1", b"", b"3"]);
    list.frames("Pings between fragments are answered in order", &frames, expect);

    let frames = [first(1, "Hel"), Frame::new(8, [3, 232])];
    let name = "A close frame between fragments closes, and the half message is not delivered";
    list.frames(name, &frames, Expect::closed(1000, ""));

    let stray = [Frame::new(1, "ok"), last("stray")];
    let expect = Expect::failed(1002).with(&[text("ok")]);
    list.frames("A continuation of nothing breaks the protocol", &stray, expect);
    list.frames("An unfinished continuation of nothing too", &[more("")], Expect::failed(1002));
    for opcode in [1, 2] {
        for inner in [1, 2] {
            let frames = [first(opcode, "a"), Frame::new(inner, "b"), last("c")];
            let name = "A new message inside a message breaks the protocol";
            list.frames(name, &frames, Expect::failed(1002));
        }
    }
}

fn limits(list: &mut List) {
    let mut three = Config::default();
    three.max_fragments = 3;
    let frames = [first(2, ""), more(""), last("x"), first(2, "y"), more("z"), last("")];
    let expect = Expect::eof().with(&[binary(b"x"), binary(b"yz")]);
    list.frames_with("As many fragments as allowed are received", three.clone(), &frames, expect);
    let frames = [first(2, ""), more(""), more(""), more("")];
    let expect = Expect::failed(1008);
    list.frames_with(
        "One fragment more is against the policy, empty or not",
        three.clone(),
        &frames,
        expect,
    );
    let frames = [first(2, ""), more(""), Frame::new(9, "p"), Frame::new(9, "q"), last("x")];
    let expect = Expect::eof().with(&[binary(b"x")]).with_pongs(&[b"p", b"q"]);
    list.frames_with("Control frames are not counted as fragments", three, &frames, expect);

    let mut ten = Config::default();
    ten.max_message_size = 10;
    let frames = [first(2, "12345"), last("67890"), first(2, "12345"), more("6789"), last("0")];
    let expect = Expect::eof().with(&[binary(b"1234567890"), binary(b"1234567890")]);
    list.frames_with("Fragments may fill the message limit", ten.clone(), &frames, expect);
    let frames = [Frame::new(2, "ok"), first(2, "12345"), more("67890"), last("1")];
    let expect = Expect::failed(1009).with(&[binary(b"ok")]);
    list.frames_with("Fragments over the message limit are too big", ten.clone(), &frames, expect);
    let frames = [first(2, "12345"), Frame::new(9, "a long ping"), last("67890")];
    let expect = Expect::eof().with(&[binary(b"1234567890")]).with_pongs(&[b"a long ping"]);
    list.frames_with("Control frames are not counted to the message limit", ten, &frames, expect);
}

fn utf8(list: &mut List) {
    let valid =
        "κόσμε $¢€𐍈 \u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}";
    list.frames(
        "Text of every width is delivered",
        &[Frame::new(1, valid)],
        Expect::eof().with(&[text(valid)]),
    );
    let mut frames = vec![first(1, "")];
    frames.extend(valid.bytes().map(|byte| more([byte])));
    frames.push(last(""));
    let expect = Expect::eof().with(&[text(valid)]);
    list.frames("A fragment may end inside a character", &frames, expect);
    let bytes = b"\xff\xc0\xed\xa0\x80";
    let expect = Expect::eof().with(&[binary(bytes)]);
    list.frames("Binary messages need not be UTF-8", &[Frame::new(2, bytes)], expect);

    let invalid: [(&str, &[u8]); 9] = [
        ("a byte that starts nothing", b"\xff"),
        ("a continuation byte first", b"\x80"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong null", b"\xe0\x80\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a code point beyond the last", b"\xf4\x90\x80\x80"),
        ("a five-byte sequence", b"\xf8\x88\x80\x80\x80"),
        ("a sequence cut by ASCII", b"\xe2\x82x"),
        ("a sequence cut by another", b"\xf0\x9f\xe2\x82\xac"),
    ];
    for (what, bytes) in invalid {
        let bad = [b"good ", bytes].concat();
        let expect = Expect::failed(1007).with(&[text("before")]);
        let name = format!("Text with {what} is invalid, and what came before is delivered");
        list.frames(&name, &[Frame::new(1, "before"), Frame::new(1, bad.clone())], expect.clone());
        let mut frames = vec![Frame::new(1, "before"), first(1, "")];
        frames.extend(bad.iter().map(|byte| more([*byte])));
        let name = format!("Text with {what} is invalid across fragments, without an end");
        list.frames(&name, &frames, expect);
    }
    for cut in ["\u{a2}", "\u{20ac}", "\u{1f600}"] {
        let bytes = &cut.as_bytes()[..cut.len() - 1];
        let name = "Text that ends inside a character is invalid";
        list.frames(name, &[Frame::new(1, bytes)], Expect::failed(1007));
        list.frames(name, &[first(1, bytes), last("")], Expect::failed(1007));
        let name = "Text that may go on is not invalid yet";
        list.frames(name, &[first(1, bytes)], Expect::eof());
    }
    // Of 65536 bytes declared only the bad start comes.
    let input = Frame::new(1, [b"\xc3\x28".to_vec(), vec![b'x'; 65534]].concat());
    for role in [wsconn::Role::Client, wsconn::Role::Server] {
        let input = super::wire(role, std::slice::from_ref(&input));
        let header = if role == wsconn::Role::Server { 14 } else { 10 };
        let name = "Text is invalid at its first bad byte, not at the end of its frame";
        let expect = Expect::failed(1007);
        list.raw(name, role, Config::default(), input[..header + 2].to_vec(), expect);
    }
}
