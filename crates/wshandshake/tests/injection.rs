//! HAZARDS F: no string of a caller ends its line, and nothing is written before all is checked.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use wshandshake::{
    Accept, HeaderSlots, InvalidInput, Key, MAX_SUBPROTOCOLS, Request, Upgrade, write_refusal,
};

const BREAKS: [&str; 7] =
    ["\r\nX: y", "\r", "\n", "\0", "\u{b}", "\x7f", "a\r\n\r\nGET / HTTP/1.1"];

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: x-one, x-two\r\n\r\n";

fn upgrade() -> Upgrade<'static> {
    Upgrade::new("server.example.com", "/chat", Key::new(*b"the sample nonce"))
}

fn upgrade_error(upgrade: &Upgrade<'_>) -> Option<InvalidInput> {
    let mut out = String::new();
    let error = upgrade.write(&mut out).err();
    assert_eq!(upgrade.check().err(), error);
    assert_eq!(out.is_empty(), error.is_some(), "all or nothing");
    error
}

fn accept_error(accept: &Accept<'_>) -> Option<InvalidInput> {
    let mut slots = HeaderSlots::new();
    let request = Request::parse(HEAD, &mut slots).unwrap();
    let mut out = String::new();
    let error = request.write_accept(&mut out, accept).err();
    assert_eq!(request.check_accept(accept).err(), error);
    assert_eq!(out.is_empty(), error.is_some(), "all or nothing");
    error
}

fn refusal_error(status: u16, headers: &[(&str, &str)]) -> Option<InvalidInput> {
    let mut out = String::new();
    let error = write_refusal(&mut out, status, "no\r\n\r\nno", headers).err();
    assert_eq!(out.is_empty(), error.is_some(), "all or nothing");
    error
}

#[test]
fn a_string_that_would_end_its_line_is_refused_wherever_it_is_given() {
    for bad in BREAKS {
        let value = &*format!("a{bad}");
        let target = &*format!("/{value}");
        let (in_name, in_value) = ([(value, "a")], [("X", value)]);
        let offered = [value];
        let cases = [
            (Upgrade { host: value, ..upgrade() }, InvalidInput::Host),
            (Upgrade { target, ..upgrade() }, InvalidInput::Target),
            (Upgrade { origin: Some(value), ..upgrade() }, InvalidInput::Origin),
            (Upgrade { subprotocols: &offered, ..upgrade() }, InvalidInput::Subprotocol),
            (Upgrade { extensions: Some(value), ..upgrade() }, InvalidInput::Extensions),
            (Upgrade { headers: &in_name, ..upgrade() }, InvalidInput::HeaderName),
            (Upgrade { headers: &in_value, ..upgrade() }, InvalidInput::HeaderValue),
        ];
        for (upgrade, error) in cases {
            assert_eq!(upgrade_error(&upgrade), Some(error), "{bad:?}");
        }
        let cases = [
            (Accept { subprotocol: Some(value), ..Accept::default() }, InvalidInput::Subprotocol),
            (Accept { extensions: Some(value), ..Accept::default() }, InvalidInput::Extensions),
            (Accept { headers: &in_name, ..Accept::default() }, InvalidInput::HeaderName),
            (Accept { headers: &in_value, ..Accept::default() }, InvalidInput::HeaderValue),
        ];
        for (accept, error) in cases {
            assert_eq!(accept_error(&accept), Some(error), "{bad:?}");
        }
        assert_eq!(refusal_error(403, &in_name), Some(InvalidInput::HeaderName));
        assert_eq!(refusal_error(403, &in_value), Some(InvalidInput::HeaderValue));
    }
}

#[test]
fn a_header_that_the_handshake_sets_itself_is_refused() {
    let everywhere = [
        "Host",
        "host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "SEC-WEBSOCKET-ACCEPT",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    ];
    let reserved = Some(InvalidInput::ReservedHeader);
    for name in everywhere {
        let headers = [("X-Fine", "a"), (name, "a")];
        assert_eq!(upgrade_error(&Upgrade { headers: &headers, ..upgrade() }), reserved, "{name}");
        assert_eq!(accept_error(&Accept { headers: &headers, ..Accept::default() }), reserved);
        assert_eq!(refusal_error(403, &headers), reserved, "{name}");
    }
    for name in ["Upgrade", "Sec-WebSocket-Version"] {
        let headers = [(name, "13")];
        assert_eq!(upgrade_error(&Upgrade { headers: &headers, ..upgrade() }), reserved, "{name}");
        assert_eq!(accept_error(&Accept { headers: &headers, ..Accept::default() }), reserved);
        // A refusal may say what would have been accepted.
        assert_eq!(refusal_error(426, &headers), None, "{name}");
    }
    let headers = [("Origin", "http://a")];
    assert_eq!(upgrade_error(&Upgrade { headers: &headers, ..upgrade() }), reserved);
    assert_eq!(refusal_error(403, &[("Content-Type", "text/html")]), reserved);
}

#[test]
fn a_request_is_written_only_if_a_server_would_take_it() {
    for target in ["", "chat", "*", "http://a/", "/a b", "/#a", "/\u{e9}", "/<a>", "/?\"a\""] {
        let error = upgrade_error(&Upgrade { target, ..upgrade() });
        assert_eq!(error, Some(InvalidInput::Target), "{target}");
    }
    for host in ["", "a b", "a/b", "u@a", "a:b", "::1", "[::1", "a,b", "\u{e9}"] {
        let error = upgrade_error(&Upgrade { host, ..upgrade() });
        assert_eq!(error, Some(InvalidInput::Host), "{host}");
    }
    let many: Vec<_> = (0..=MAX_SUBPROTOCOLS).map(|at| at.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let cases: [(&[&str], _); 5] = [
        (&[""], InvalidInput::Subprotocol),
        (&["a b"], InvalidInput::Subprotocol),
        (&["ch\u{e4}t"], InvalidInput::Subprotocol),
        (&["a", "b", "a"], InvalidInput::RepeatedSubprotocol),
        (&many, InvalidInput::TooManySubprotocols),
    ];
    for (subprotocols, error) in cases {
        assert_eq!(upgrade_error(&Upgrade { subprotocols, ..upgrade() }), Some(error));
    }
    let error = upgrade_error(&Upgrade { extensions: Some("a;"), ..upgrade() });
    assert_eq!(error, Some(InvalidInput::Extensions));
    assert_eq!(
        upgrade_error(&Upgrade { origin: Some(""), ..upgrade() }),
        Some(InvalidInput::Origin)
    );
}

#[test]
fn only_what_was_offered_can_be_accepted() {
    let subprotocol = |one| accept_error(&Accept { subprotocol: Some(one), ..Accept::default() });
    assert_eq!(subprotocol("superchat"), None);
    assert_eq!(subprotocol("Chat"), Some(InvalidInput::SubprotocolNotOffered));
    assert_eq!(subprotocol("chat, superchat"), Some(InvalidInput::Subprotocol));
    let extensions = |value| accept_error(&Accept { extensions: Some(value), ..Accept::default() });
    assert_eq!(extensions("x-two; a=1, x-one"), None);
    assert_eq!(extensions("x-two, x-three"), Some(InvalidInput::ExtensionNotOffered));
    assert_eq!(extensions(""), Some(InvalidInput::Extensions));
}

#[test]
fn strings_that_the_caller_owns_will_do() {
    let own = |text: &str| text.to_string();
    let subprotocols = [own("chat")];
    let headers = vec![(own("X-A"), own("b"))];
    let upgrade = upgrade();
    let upgrade = Upgrade {
        host: upgrade.host,
        target: upgrade.target,
        key: upgrade.key,
        origin: None,
        subprotocols: &subprotocols,
        extensions: None,
        headers: &headers,
    };
    let mut out = String::new();
    upgrade.write(&mut out).unwrap();
    assert!(out.contains("\r\nSec-WebSocket-Protocol: chat\r\nX-A: b\r\n\r\n"));
    let mut slots = HeaderSlots::new();
    let request = Request::parse(out.as_bytes(), &mut slots).unwrap();
    let accept = Accept { subprotocol: Some("chat"), extensions: None, headers: &headers };
    let mut out = String::new();
    request.write_accept(&mut out, &accept).unwrap();
    assert!(out.ends_with("\r\nX-A: b\r\n\r\n"));
    let mut out = String::new();
    write_refusal(&mut out, 403, "", &headers).unwrap();
    assert!(out.ends_with("\r\nX-A: b\r\n\r\n"));
}

#[test]
fn a_refusal_closes_the_connection_and_counts_its_bytes() {
    let mut out = String::new();
    write_refusal(&mut out, 426, "n\u{e9}e\n", &[("Upgrade", "websocket")]).unwrap();
    let expected = "HTTP/1.1 426 Upgrade Required\r\n\
        Connection: close, Upgrade\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 5\r\n\
        Upgrade: websocket\r\n\r\n\
        n\u{e9}e\n";
    assert_eq!(out, expected);
    let mut out = String::new();
    write_refusal::<&str>(&mut out, 599, "", &[]).unwrap();
    assert!(out.starts_with("HTTP/1.1 599 \r\nConnection: close\r\n"));
}

#[test]
fn a_refusal_has_the_status_of_one() {
    for status in [0, 99, 100, 101, 199, 204, 205, 304, 600, 1000, u16::MAX] {
        assert_eq!(refusal_error(status, &[]), Some(InvalidInput::Status), "{status}");
    }
    for status in [200, 302, 400, 401, 403, 503, 599] {
        assert_eq!(refusal_error(status, &[]), None, "{status}");
    }
}

#[test]
fn a_writer_that_fails_is_told_apart_from_bad_input() {
    struct Full;
    impl std::fmt::Write for Full {
        fn write_str(&mut self, _: &str) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    assert_eq!(upgrade().write(&mut Full), Err(InvalidInput::Output));
    assert_eq!(write_refusal::<&str>(&mut Full, 400, "", &[]), Err(InvalidInput::Output));
}
