//! What a server takes for a request, and what it answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use wshandshake::{
    Accept, HandshakeError, HeadScanner, Header, HeaderSlots, MAX_HEADERS, MAX_SUBPROTOCOLS,
    Request, Scan,
};

const LINES: [&str; 5] = [
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A good request but that the lines of the same names are replaced, or left out if empty.
fn head(first: &str, changes: &[&str]) -> String {
    let name = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
    let changed = |line: &str| changes.iter().any(|change| name(change) == name(line));
    let kept = LINES.iter().filter(|line| !changed(line));
    let added = changes.iter().filter(|change| !change.ends_with(':'));
    let lines: String = kept.chain(added).map(|line| format!("{line}\r\n")).collect();
    format!("{first}\r\n{lines}\r\n")
}

fn get(changes: &[&str]) -> String {
    head("GET /chat HTTP/1.1", changes)
}

/// Parsed by us, and by another library that took it apart: the same.
fn verdict(head: &str) -> Option<HandshakeError> {
    let mut slots = HeaderSlots::new();
    let error = Request::parse(head.as_bytes(), &mut slots).err();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let parts = (first.next(), first.next(), first.next(), first.next());
    let headers: Option<Vec<_>> = lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some(Header { name, value: value.trim_matches([' ', '\t']).as_bytes() })
        })
        .collect();
    if let ((Some(method), Some(target), Some(version), None), Some(headers)) = (parts, headers) {
        let again = Request::from_parts(method, target, version == "HTTP/1.1", &headers);
        if error != Some(HandshakeError::BadHead) {
            assert_eq!(again.err(), error, "{head:?}");
        }
    }
    error
}

#[test]
fn the_example_of_the_rfc_is_answered_byte_for_byte() {
    // RFC 6455 §1.2 and §1.3.
    let head = "GET /chat HTTP/1.1\r\n\
        Host: server.example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    let mut slots = HeaderSlots::new();
    let request = Request::parse(head.as_bytes(), &mut slots).unwrap();
    assert_eq!((request.target(), request.path(), request.query()), ("/chat", "/chat", None));
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Some("http://example.com"));
    assert!(request.subprotocols().eq(["chat", "superchat"]));
    assert_eq!(request.extensions().count(), 0);
    assert_eq!(request.header("UPGRADE"), Some(&b"websocket"[..]));
    assert_eq!(request.headers().len(), 7);
    assert_eq!(request.accept_key().unwrap().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let mut answer = String::new();
    let accept = Accept { subprotocol: Some("chat"), ..Accept::default() };
    request.write_accept(&mut answer, &accept).unwrap();
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n"
    );
}

#[test]
fn every_cut_of_a_request_with_frames_behind_it_ends_at_the_same_byte() {
    let head = get(&[]);
    let mut bytes = head.clone().into_bytes();
    bytes.extend(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\r\n\r\n");
    let end = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut scanner = HeadScanner::new(1024);
        let mut before = 0;
        for piece in pieces {
            match scanner.scan(piece).unwrap() {
                Scan::Complete(len) => return before + len,
                Scan::Partial => before += piece.len(),
            }
        }
        panic!("the head is all there");
    };
    assert_eq!(end(&mut bytes.chunks(1)), head.len());
    for cut in 0..=bytes.len() {
        assert_eq!(end(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), head.len());
    }
}

#[test]
fn a_head_that_is_cut_or_has_bytes_behind_it_is_not_parsed() {
    let head = get(&[]);
    for len in 0..head.len() {
        assert_eq!(verdict(&head[..len]), Some(HandshakeError::BadHead), "{len}");
    }
    assert_eq!(verdict(&format!("{head}x")), Some(HandshakeError::BadHead));
}

#[test]
fn requests_that_browsers_and_proxies_make_are_taken() {
    let requests = [
        get(&[]),
        get(&["Upgrade: WebSocket"]),
        get(&["Upgrade: h2c, websocket"]),
        get(&["connection:keep-alive, upgrade"]),
        get(&["Connection: keep-alive", "Connection: ,UPGRADE"]),
        get(&["Host: [2001:db8::1]:8080"]),
        get(&["Host: 127.0.0.1"]),
        get(&["Host: my_service:80"]),
        get(&["Content-Length: 0"]),
        get(&["Cookie: a=\u{e9}; b"]),
        get(&["Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="]),
        get(&["Sec-WebSocket-Key:   dGhlIHNhbXBsZSBub25jZQ==\t "]),
        get(&["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b,, A"]),
        get(&["Sec-WebSocket-Extensions: a; b, c", "Sec-WebSocket-Extensions: a"]),
        get(&["Origin: null"]),
        head("GET / HTTP/1.1", &[]),
        head("GET /?a=[b]|{c}^\\`' HTTP/1.1", &[]),
        head("GET //a/%20/..;b@c:d?? HTTP/1.1", &[]),
        head("GET http://Server.example.com:80 HTTP/1.1", &[]),
        head("GET HTTPS://server.example.com:443/?a HTTP/1.1", &[]),
    ];
    for request in requests {
        assert_eq!(verdict(&request), None, "{request}");
    }
}

#[test]
fn what_is_wrong_with_a_request_says_with_which_status_it_is_refused() {
    use HandshakeError::*;
    let key = "Sec-WebSocket-Key";
    let protocol = "Sec-WebSocket-Protocol";
    let extensions = "Sec-WebSocket-Extensions";
    let cases = [
        (head("GET /chat HTTP/1.0", &[]), HttpVersion, 400),
        (head("GET /chat HTTP/1.2", &[]), HttpVersion, 400),
        (head("GET /chat HTTP/2.0", &[]), HttpVersion, 400),
        (head("GET /chat", &[]), BadHead, 400),
        (head("POST /chat HTTP/1.1", &[]), Method, 405),
        (head("get /chat HTTP/1.1", &[]), Method, 405),
        (head("CONNECT server.example.com:80 HTTP/1.1", &[]), Method, 405),
        (head("GET /chat room HTTP/1.1", &[]), HttpVersion, 400),
        (head("GET chat HTTP/1.1", &[]), BadTarget, 400),
        (head("GET * HTTP/1.1", &[]), BadTarget, 400),
        (head("GET /#a HTTP/1.1", &[]), BadTarget, 400),
        (head("GET /?a#b HTTP/1.1", &[]), BadTarget, 400),
        (head("GET /<a> HTTP/1.1", &[]), BadTarget, 400),
        (head("GET /` HTTP/1.1", &[]), BadTarget, 400),
        (head("GET /?\" HTTP/1.1", &[]), BadTarget, 400),
        (head("GET ftp://server.example.com/ HTTP/1.1", &[]), BadTarget, 400),
        (head("GET http:///chat HTTP/1.1", &[]), BadTarget, 400),
        (head("GET http://u@server.example.com/ HTTP/1.1", &[]), BadTarget, 400),
        (head("GET http://other.example.com/ HTTP/1.1", &[]), BadTarget, 400),
        (head("GET http://server.example.com:81/ HTTP/1.1", &[]), BadTarget, 400),
        (get(&["Host:"]), MissingHeader("Host"), 400),
        (get(&["Host: "]), BadHeader("Host"), 400),
        (get(&["Host: a", "Host: a"]), RepeatedHeader("Host"), 400),
        (get(&["Host: a b"]), BadHeader("Host"), 400),
        (get(&["Host: a, b"]), BadHeader("Host"), 400),
        (get(&["Host: a/b"]), BadHeader("Host"), 400),
        (get(&["Host: u@a"]), BadHeader("Host"), 400),
        (get(&["Host: a:b"]), BadHeader("Host"), 400),
        (get(&["Host: a:65536"]), BadHeader("Host"), 400),
        (get(&["Host: [::1"]), BadHeader("Host"), 400),
        (get(&["Host: \u{e9}"]), BadHeader("Host"), 400),
        (get(&["Content-Length: 1"]), HasBody, 400),
        (get(&["Content-Length: -0"]), HasBody, 400),
        (get(&["Content-Length: x"]), HasBody, 400),
        (get(&["Content-Length: "]), HasBody, 400),
        (get(&["Content-Length: 0", "Content-Length: 5"]), HasBody, 400),
        (get(&["Transfer-Encoding: chunked"]), HasBody, 400),
        (get(&["transfer-encoding: identity"]), HasBody, 400),
        (get(&["Upgrade:"]), NotAnUpgrade, 426),
        (get(&["Upgrade: websockets"]), NotAnUpgrade, 426),
        (get(&["Upgrade: web socket"]), NotAnUpgrade, 426),
        (get(&["Upgrade: h2c"]), NotAnUpgrade, 426),
        (get(&["Upgrade: websocket", "Upgrade: websocket"]), RepeatedHeader("Upgrade"), 400),
        (get(&["Upgrade: h2c", "Upgrade: websocket"]), RepeatedHeader("Upgrade"), 400),
        (get(&["Upgrade: websocket", "Upgrade: h2c"]), RepeatedHeader("Upgrade"), 400),
        (get(&["Connection:"]), NoConnectionUpgrade, 400),
        (get(&["Connection: keep-alive"]), NoConnectionUpgrade, 400),
        (get(&["Sec-WebSocket-Version:"]), Version, 426),
        (get(&["Sec-WebSocket-Version: 8"]), Version, 426),
        (get(&["Sec-WebSocket-Version: 013"]), Version, 426),
        (get(&["Sec-WebSocket-Version: 13, 8"]), Version, 426),
        (
            get(&["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"]),
            RepeatedHeader("Sec-WebSocket-Version"),
            400,
        ),
        (get(&["Sec-WebSocket-Key:"]), MissingHeader(key), 400),
        (get(&["Sec-WebSocket-Key: "]), BadHeader(key), 400),
        (get(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"]), BadHeader(key), 400),
        (get(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXg="]), BadHeader(key), 400),
        (get(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXh4"]), BadHeader(key), 400),
        (get(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXh4eHg="]), BadHeader(key), 400),
        (get(&["Sec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ=="]), BadHeader(key), 400),
        (get(&[LINES[3], LINES[3]]), RepeatedHeader(key), 400),
        (get(&["Origin: a", "Origin: a"]), RepeatedHeader("Origin"), 400),
        (get(&["Origin: http://\u{e9}"]), BadHeader("Origin"), 400),
        (get(&["Sec-WebSocket-Protocol: ch\u{e4}t"]), BadHeader(protocol), 400),
        (get(&["Sec-WebSocket-Protocol: a b"]), BadHeader(protocol), 400),
        (get(&["Sec-WebSocket-Protocol: a, b, a"]), BadHeader(protocol), 400),
        (get(&["Sec-WebSocket-Protocol: ,"]), BadHeader(protocol), 400),
        (
            get(&["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"]),
            BadHeader(protocol),
            400,
        ),
        (get(&["Sec-WebSocket-Extensions: a;"]), BadHeader(extensions), 400),
        (get(&["Sec-WebSocket-Extensions: a; b=\"c"]), BadHeader(extensions), 400),
        (
            get(&["Sec-WebSocket-Extensions: a", "Sec-WebSocket-Extensions: "]),
            BadHeader(extensions),
            400,
        ),
        (get(&["X: a\r\n b"]), BadHead, 400),
        (get(&["X : a"]), BadHead, 400),
        (get(&["X\u{e9}: a"]), BadHead, 400),
        (get(&["X: a\nY: b"]), BadHead, 400),
        (get(&["X: a\rY: b"]), BadHead, 400),
        (get(&["X: a\0b"]), BadHead, 400),
        (get(&["X: a\x1bb"]), BadHead, 400),
        (get(&["X"]), BadHead, 400),
        (get(&["X: a"]).replace("\r\n", "\n"), BadHead, 400),
        (format!("\r\n{}", get(&[])), BadHead, 400),
    ];
    for (request, error, status) in cases {
        assert_eq!(verdict(&request), Some(error), "{request}");
        assert_eq!(error.status(), status, "{error}");
    }
}

#[test]
fn a_refusal_says_what_would_have_been_accepted() {
    assert_eq!(HandshakeError::Method.header(), Some(("Allow", "GET")));
    assert_eq!(HandshakeError::NotAnUpgrade.header(), Some(("Upgrade", "websocket")));
    assert_eq!(HandshakeError::Version.header(), Some(("Sec-WebSocket-Version", "13")));
    assert_eq!(HandshakeError::BadHead.header(), None);
}

#[test]
fn the_path_and_query_of_a_url_are_those_of_its_path() {
    let cases = [
        ("/a/b?c?d", "/a/b", Some("c?d")),
        ("/?", "/", Some("")),
        ("http://server.example.com", "/", None),
        ("http://server.example.com?a", "/", Some("a")),
        ("http://server.example.com/b?a", "/b", Some("a")),
    ];
    for (target, path, query) in cases {
        let head = head(&format!("GET {target} HTTP/1.1"), &[]);
        let mut slots = HeaderSlots::new();
        let request = Request::parse(head.as_bytes(), &mut slots).unwrap();
        assert_eq!((request.target(), request.path(), request.query()), (target, path, query));
    }
}

#[test]
fn headers_parsed_elsewhere_are_not_taken_on_trust() {
    for bad in [("X Y", &b"a"[..]), ("", b"a"), ("X", b"a\r\nY: b"), ("X", b"a\0"), ("X", b"\x7f")]
    {
        let (name, value) = bad;
        let headers = [Header { name, value }];
        let error = Request::from_parts("GET", "/", true, &headers).err();
        assert_eq!(error, Some(HandshakeError::BadHead), "{bad:?}");
    }
}

#[test]
fn there_are_as_many_headers_as_there_are_slots_and_not_one_more() {
    let more = |count| {
        let lines: Vec<_> = (0..count).map(|at| format!("X-{at}: a")).collect();
        get(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let limit = MAX_HEADERS;
    assert_eq!(verdict(&more(limit - LINES.len())), None);
    let head = more(limit - LINES.len() + 1);
    let mut slots = HeaderSlots::new();
    let error = Request::parse(head.as_bytes(), &mut slots).unwrap_err();
    assert_eq!((error, error.status()), (HandshakeError::TooManyHeaders { limit }, 431));
    let mut slots = HeaderSlots::<4>::with_slots();
    let head = get(&[]);
    let error = Request::parse(head.as_bytes(), &mut slots).unwrap_err();
    assert_eq!(error, HandshakeError::TooManyHeaders { limit: 4 });
}

#[test]
fn there_is_a_limit_to_the_subprotocols_on_offer() {
    let offer = |count: usize| {
        let tokens: Vec<_> = (0..count).map(|at| at.to_string()).collect();
        get(&[&format!("Sec-WebSocket-Protocol: {}", tokens.join(","))])
    };
    assert_eq!(verdict(&offer(MAX_SUBPROTOCOLS)), None);
    let error = verdict(&offer(MAX_SUBPROTOCOLS + 1));
    assert_eq!(error, Some(HandshakeError::TooManySubprotocols));
}

#[test]
fn slots_can_be_used_for_one_head_after_another() {
    let (first, second) = (get(&["X: a"]), get(&[]));
    let mut slots = HeaderSlots::new();
    assert_eq!(Request::parse(first.as_bytes(), &mut slots).unwrap().headers().len(), 6);
    let request = Request::parse(second.as_bytes(), &mut slots).unwrap();
    assert_eq!((request.headers().len(), request.header("X")), (5, None));
}
