//! What fuzzing holds the handshake against: the grammar written down naively. The fuzz targets
//! include this file, and so does the test that replays their corpora.
#![allow(
    dead_code, // each user takes a part of it
    unused_imports,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod extensions;
mod heads;

use wshandshake::{
    Accept, Extensions, HandshakeError, HeadScanner, HeaderSlots, Key, Request, Response, Scan,
    Upgrade,
};

pub(crate) use self::extensions::check_extensions;
use self::extensions::naive_extensions;
use self::heads::{Head, naive_end};

/// The most bytes that a head may have here.
const LIMIT: usize = 1024;
/// The most headers.
const SLOTS: usize = 16;

/// A request's head: where it ends is where the naive reading says, whatever the cut. What is accepted
/// has all that RFC 6455 §4.2.1 asks for, what plainly has it is accepted, and the 101 that is
/// written to it is one that the client who asked accepts.
pub(crate) fn check_request(input: &[u8]) {
    let Some(head) = check_scanner(HeadScanner::new(LIMIT), input, b"") else { return };
    let mut slots = HeaderSlots::<SLOTS>::with_slots();
    let parsed = Request::parse(head, &mut slots);
    let naive = Head::read(head);
    let Ok(request) = parsed else {
        let plain = naive.is_some_and(|naive| naive.is_plain_upgrade());
        assert!(!plain, "{:?} for what is a plain upgrade", parsed.err());
        return;
    };
    let naive = naive.expect("what was accepted is a head");
    naive.assert_is_upgrade(request.target());
    assert_eq!(request.headers().len(), naive.headers.len());
    for (header, (name, value)) in request.headers().zip(&naive.headers) {
        assert_eq!((header.name.as_bytes(), trim(header.value)), (&name[..], &value[..]));
    }

    let key = std::str::from_utf8(naive.only("sec-websocket-key")).unwrap();
    assert_eq!(key.len(), 24);
    let offered: Vec<String> = request.subprotocols().map(str::to_owned).collect();
    let extensions: Vec<_> = request.headers().collect();
    let extensions: Vec<_> = extensions
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("Sec-WebSocket-Extensions"))
        .map(|header| std::str::from_utf8(header.value).unwrap())
        .collect();
    let extensions = (!extensions.is_empty()).then(|| extensions.join(","));
    let accept = Accept {
        subprotocol: offered.last().map(String::as_str),
        extensions: extensions.as_deref(),
        ..Accept::default()
    };
    let mut answer = String::new();
    request.write_accept(&mut answer, &accept).expect("what was offered may be accepted");
    let scanned = HeadScanner::for_response(usize::MAX).scan(answer.as_bytes());
    assert_eq!(scanned, Ok(Scan::Complete(answer.len())));
    let mut slots = HeaderSlots::<SLOTS>::with_slots();
    let response = Response::parse(answer.as_bytes(), &mut slots).unwrap();
    assert_eq!(response.status(), 101);
    let accept_key = response.header("sec-websocket-accept");
    assert_eq!(accept_key, request.accept_key().as_ref().map(|key| key.as_str().as_bytes()));
    assert_eq!(response.header("sec-websocket-protocol"), accept.subprotocol.map(str::as_bytes));
}

/// A response's head: where it ends is where the naive reading says, whatever the cut. What is
/// accepted has all that RFC 6455 §4.1 asks for and nothing that was not offered; what plainly has
/// it is accepted.
pub(crate) fn check_response(input: &[u8]) {
    let scanner = HeadScanner::for_response(LIMIT);
    let Some(head) = check_scanner(scanner, input, b"HTTP/1.") else { return };
    let mut slots = HeaderSlots::<SLOTS>::with_slots();
    let Ok(response) = Response::parse(head, &mut slots) else {
        let plain = Head::read(head).is_some_and(|naive| naive.is_plain_agreement());
        assert!(!plain, "a plain 101 is refused");
        return;
    };
    let naive = Head::read(head).expect("what was parsed is a head");
    assert_eq!(format!("{:03}", response.status()).as_bytes(), naive.words[1]);
    assert_eq!(response.headers().len(), naive.headers.len());
    for (header, (name, value)) in response.headers().zip(&naive.headers) {
        assert_eq!((header.name.as_bytes(), trim(header.value)), (&name[..], &value[..]));
    }
    let upgrade = Upgrade {
        subprotocols: &["chat", "superchat"],
        extensions: Some("a, c"),
        ..Upgrade::new("server.example.com", "/", Key::new(*b"the sample nonce"))
    };
    match response.verify(&upgrade) {
        Ok(accepted) => {
            naive.assert_is_agreement();
            assert!(matches!(accepted.subprotocol(), None | Some("chat" | "superchat")));
            assert!(accepted.extensions().all(|one| matches!(one.name(), "a" | "c")));
        }
        Err(error) => assert!(!naive.is_plain_agreement(), "{error:?} for a plain 101"),
    }
}

/// Scans `input` whole, byte by byte and in two pieces; gives the head if it is complete.
fn check_scanner<'a>(scanner: HeadScanner, input: &'a [u8], begins: &[u8]) -> Option<&'a [u8]> {
    let whole = scan(&scanner, [input]);
    assert_eq!(scan(&scanner, input.chunks(1)), whole, "byte by byte");
    let middle = input.len() / 2;
    assert_eq!(scan(&scanner, [&input[..middle], &input[middle..]]), whole, "in two pieces");
    let end = whole.ok().flatten();
    assert_eq!(end.is_some(), naive_end(input, begins, LIMIT).is_some(), "{whole:?}");
    assert_eq!(end, naive_end(input, begins, LIMIT));
    end.map(|end| &input[..end])
}

fn scan<'a>(
    scanner: &HeadScanner,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<usize>, HandshakeError> {
    let mut scanner = scanner.clone();
    let mut before = 0;
    for piece in pieces {
        match scanner.scan(piece)? {
            Scan::Complete(len) => return Ok(Some(before + len)),
            Scan::Partial => before += piece.len(),
        }
    }
    Ok(None)
}

/// What was understood of a header's value, as names and parameters.
type Understood = Vec<(Vec<u8>, Vec<(Vec<u8>, Option<Vec<u8>>)>)>;

fn understood(value: &[u8]) -> Option<Understood> {
    let extensions = Extensions::parse(value).ok()?;
    let extension = |one: wshandshake::Extension<'_>| {
        let params = one.params().map(|param| {
            let value = param.value().map(|value| value.bytes().collect());
            (param.name().as_bytes().to_vec(), value)
        });
        (one.name().as_bytes().to_vec(), params.collect())
    };
    Some(extensions.map(extension).collect())
}

fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !blank(byte)) else { return &[] };
    let end = bytes.iter().rposition(|byte| !blank(byte)).unwrap();
    &bytes[start..=end]
}
