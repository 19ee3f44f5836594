//! HAZARDS D: what costs the attacker little must not cost us more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use wshandshake::{Extensions, HandshakeError, HeadScanner, HeaderSlots, Request, Response, Scan};

const LIMIT: usize = 16 * 1024;

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// How many bytes are taken before the verdict, one at a time.
fn feed(bytes: impl IntoIterator<Item = u8>) -> (usize, Result<Scan, HandshakeError>) {
    let mut scanner = HeadScanner::new(LIMIT);
    let mut taken = 0;
    for byte in bytes {
        taken += 1;
        match scanner.scan(&[byte]) {
            Ok(Scan::Partial) => {}
            verdict => return (taken, verdict),
        }
    }
    (taken, Ok(Scan::Partial))
}

fn request_error(head: &str) -> HandshakeError {
    Request::parse(head.as_bytes(), &mut HeaderSlots::new()).unwrap_err()
}

#[test]
fn a_line_of_64_kib_is_refused_at_the_limit() {
    let line = b"GET /".iter().copied().chain(std::iter::repeat_n(b'a', 1 << 16));
    assert_eq!(feed(line), (LIMIT, Err(HandshakeError::TargetTooLong { limit: LIMIT })));
    let header = b"GET / HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat_n(b'a', 1 << 16));
    assert_eq!(feed(header), (LIMIT, Err(HandshakeError::HeadTooLong { limit: LIMIT })));
    assert_eq!(HandshakeError::TargetTooLong { limit: LIMIT }.status(), 414);
    assert_eq!(HandshakeError::HeadTooLong { limit: LIMIT }.status(), 431);
}

#[test]
fn a_hundred_thousand_headers_are_refused_by_bytes_and_by_number() {
    let lines = "a:\r\n".repeat(100_000);
    let head = format!("{GOOD}{lines}\r\n");
    let (taken, verdict) = feed(head.bytes());
    assert_eq!((taken, verdict), (LIMIT, Err(HandshakeError::HeadTooLong { limit: LIMIT })));
    assert_eq!(request_error(&head), HandshakeError::TooManyHeaders { limit: 100 });
    let head = format!("HTTP/1.1 101 a\r\n{lines}\r\n");
    let error = Response::parse(head.as_bytes(), &mut HeaderSlots::new()).unwrap_err();
    assert_eq!(error, HandshakeError::TooManyHeaders { limit: 100 });
}

#[test]
fn long_malformed_extensions_are_refused_in_one_pass() {
    // A megabyte of each; `cargo xtask counts` counts the work.
    let values = [
        format!("b{}x", " ".repeat(1 << 20)),
        format!("a; b=\"{}", "\\a".repeat(1 << 19)),
        format!("a; b=\"{}\"\"", "\\a".repeat(1 << 19)),
        format!("{};", "a;b,".repeat(1 << 18)),
        format!("{}\"", ",".repeat(1 << 20)),
        format!("a{}", ";a".repeat(1 << 19)) + "=",
    ];
    for value in values {
        let error = HandshakeError::BadHeader("Sec-WebSocket-Extensions");
        assert_eq!(Extensions::parse(value.as_bytes()).unwrap_err(), error, "{}", &value[..8]);
        let head = format!("{GOOD}Sec-WebSocket-Extensions: {value}\r\n\r\n");
        assert_eq!(request_error(&head), error);
    }
}

#[test]
fn long_well_formed_extensions_are_read_in_one_pass() {
    let value = format!("a; b=\"{}\"{}", "\\a".repeat(1 << 19), ", a;b".repeat(1 << 17));
    let extensions = Extensions::parse(value.as_bytes()).unwrap();
    let params: usize = extensions.map(|extension| extension.params().count()).sum();
    assert_eq!(params, 1 + (1 << 17));
    let first = Extensions::parse(value.as_bytes()).unwrap().next().unwrap();
    let long = first.params().next().unwrap().value().unwrap();
    assert_eq!((long.bytes().count(), long.number()), (1 << 19, None));
}

#[test]
fn long_lists_are_read_in_one_pass() {
    let commas = ",".repeat(1 << 20);
    let head = format!("{GOOD}Sec-WebSocket-Protocol: {commas}a\r\nConnection: {commas}\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let request = Request::parse(head.as_bytes(), &mut slots).unwrap();
    assert!(request.subprotocols().eq(["a"]));
    let tokens: Vec<_> = (0..1 << 17).map(|at| at.to_string()).collect();
    let head = format!("{GOOD}Sec-WebSocket-Protocol: {}\r\n\r\n", tokens.join(","));
    assert_eq!(request_error(&head), HandshakeError::TooManySubprotocols);
}
