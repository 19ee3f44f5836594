//! What people read: errors, refusals, and what a log shows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashSet;
use std::fmt::{Debug, Display};

use wshandshake::{
    HandshakeError, Header, HeaderSlots, InvalidInput, Key, Origin, Request, Response,
    write_refusal,
};

/// Each is a sentence of its own, which has the words that tell it from the others.
fn check<Error: Display + Debug>(errors: &[(Error, &str)]) {
    let mut seen = HashSet::new();
    for (error, part) in errors {
        let sentence = error.to_string();
        assert!(sentence.contains(part), "{error:?} is told as {sentence:?}");
        assert!(seen.insert(sentence), "{error:?} is told like another");
    }
}

#[test]
fn each_error_of_a_peer_is_told_in_a_sentence_that_says_what_is_wrong() {
    use HandshakeError::*;
    check(&[
        (HeadTooLong { limit: 16_384 }, "head exceeds the limit of 16384 bytes"),
        (TargetTooLong { limit: 16_384 }, "first line"),
        (TooManyHeaders { limit: 100 }, "more than 100 headers"),
        (TooManySubprotocols, "more than 100 subprotocols"),
        (UnexpectedStatus(503), "HTTP status 503"),
        (MissingHeader("Host"), "no Host header"),
        (RepeatedHeader("Host"), "more than one Host header"),
        (BadHeader("Host"), "Host header is malformed"),
        (BadHead, "head is malformed"),
        (Tls, "wss://"),
        (HttpVersion, "HTTP/1.1"),
        (Method, "other than GET"),
        (BadTarget, "request target"),
        (NotAnUpgrade, "`Upgrade: websocket`"),
        (NoConnectionUpgrade, "Connection header does not contain `Upgrade`"),
        (NotExtendedConnect, "RFC 8441"),
        (OtherProtocol, "another `:protocol`"),
        (Version, "version 13"),
        (HasBody, "announces a body"),
        (MissingUpgrade, "server's 101 is not an `Upgrade: websocket`"),
        (MissingConnection, "no `Connection: Upgrade`"),
        (BadAccept, "Sec-WebSocket-Accept"),
        (SubprotocolNotOffered, "chose a subprotocol"),
        (ExtensionNotOffered, "chose an extension"),
    ]);
}

#[test]
fn each_mistake_of_the_caller_is_told_in_a_sentence_that_says_what_to_mend() {
    use InvalidInput::*;
    check(&[
        (HeaderName, "name of an extra header"),
        (HeaderValue, "value of an extra header"),
        (ReservedHeader, "the handshake sets itself"),
        (Subprotocol, "not a token"),
        (RepeatedSubprotocol, "twice"),
        (TooManySubprotocols, "too many"),
        (SubprotocolNotOffered, "subprotocol was not offered"),
        (Extensions, "RFC 6455 §9.1"),
        (ExtensionNotOffered, "extension was not offered"),
        (Target, "request target"),
        (Host, "host is not"),
        (Origin, "origin is not printable ASCII"),
        (Status, "status"),
        (ExtendedConnect, "not with a 101"),
        (Output, "could not be written"),
    ]);
}

#[test]
fn a_refusal_has_the_phrase_of_its_status_and_none_where_it_is_unknown() {
    let phrases = [
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (408, "Request Timeout"),
        (410, "Gone"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (426, "Upgrade Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (599, ""),
    ];
    for (status, phrase) in phrases {
        let mut out = String::new();
        write_refusal::<&str>(&mut out, status, "no\n", &[]).unwrap();
        assert_eq!(out.lines().next().unwrap(), format!("HTTP/1.1 {status} {phrase}"));
    }
}

#[test]
fn a_head_that_is_cut_is_malformed() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    for len in 0..request.len() {
        let error = Request::parse(&request.as_bytes()[..len], &mut HeaderSlots::new()).err();
        assert_eq!(error, Some(HandshakeError::BadHead), "{:?}", &request[..len]);
    }
    for len in 0..response.len() {
        let error = Response::parse(&response.as_bytes()[..len], &mut HeaderSlots::new()).err();
        assert_eq!(error, Some(HandshakeError::BadHead), "{:?}", &response[..len]);
    }
}

#[test]
fn what_a_log_shows_of_a_head_has_no_value_of_its_headers() {
    let header = Header { name: "Cookie", value: b"secret" };
    assert_eq!(format!("{header:?}"), r#"Header { name: "Cookie", .. }"#);

    let key = Key::new(*b"the sample nonce");
    assert_eq!(format!("{key:?}"), r#"Key("dGhlIHNhbXBsZSBub25jZQ==")"#);
    assert_eq!(format!("{:?}", key.accept()), r#"AcceptKey("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")"#);

    let head = b"GET /chat?token=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nCookie: secret\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut slots: HeaderSlots<'_> = HeaderSlots::default();
    let request = Request::parse(head, &mut slots).unwrap();
    let shown = format!("{request:?}");
    assert_eq!(shown, r#"Request { path: "/chat", host: "a", origin: None, .. }"#);

    let head = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nSet-Cookie: secret\r\n\r\n";
    let mut slots = HeaderSlots::new();
    let response = Response::parse(head, &mut slots).unwrap();
    assert_eq!(format!("{response:?}"), r#"Response { status: 101, reason: "Yes", .. }"#);
}

#[test]
fn an_origin_without_a_place_is_opaque_and_a_name_is_no_address() {
    assert!(Origin::parse("null").unwrap().is_opaque());
    let origin = Origin::parse("http://[::1]").unwrap();
    assert!(!origin.is_opaque());
    assert!(origin.same_host("[0:0::1]") && !origin.same_host("localhost"));
}
