//! Requests that a server must refuse, and responses that open no WebSocket, written once, sent to
//! every transport.

use wsconn::opening::{ClientOptions, HandshakeFailure, OriginPolicy, ServerOptions};
use wshandshake::{Accept, HeaderSlots, Request};

/// A request that must be refused.
#[derive(Clone, Debug)]
pub struct BadRequest {
    /// The class of advisories that it stands for, as in SECURITY.md.
    pub class: char,
    /// What is wrong with it.
    pub case: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The status of the response.
    pub status: u16,
}

/// A request with `Host: a`, and these lines instead of, or behind (`+`), those it has; `-` takes one
/// away.
pub fn request(lines: &[&str]) -> String {
    let mut headers = vec![
        "Host: a".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Connection: Upgrade".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
    ];
    let mut first = "GET /chat HTTP/1.1".to_owned();
    for line in lines {
        let name = line.split(':').next().unwrap();
        if line.contains(" HTTP/") {
            first = (*line).to_owned();
        } else if let Some(without) = line.strip_prefix('-') {
            headers.retain(|header| !header.starts_with(without));
        } else if let Some(again) = line.strip_prefix('+') {
            headers.push(again.to_owned());
        } else {
            headers.retain(|header| header.split(':').next() != Some(name));
            headers.push((*line).to_owned());
        }
    }
    format!("{first}\r\n{}\r\n\r\n", headers.join("\r\n"))
}

/// What a server with the default options refuses, of the classes D, E, F and J.
pub fn bad_requests() -> Vec<BadRequest> {
    let long_line = format!("GET /{} HTTP/1.1", "a".repeat(64 << 10));
    let many: Vec<String> = (0..101).map(|i| format!("+X-{i}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let endless: Vec<String> = (0..20_000).map(|i| format!("+X-{i}: 1")).collect();
    let endless: Vec<&str> = endless.iter().map(String::as_str).collect();
    let spaces = format!("X: b{}x", " ".repeat(32 << 10));
    let quoted = format!("Sec-WebSocket-Extensions: a; b=\"{}", "\\a".repeat(10 << 10));
    let cases: &[(char, &str, &[&str], u16)] = &[
        ('D', "a line of 64 KiB", &[&long_line], 414),
        ('D', "101 more headers", &many, 431),
        ('D', "headers without end", &endless, 431),
        ('D', "32k spaces", &[&spaces], 431),
        ('D', "an unclosed quoted string of escapes", &[&quoted], 431),
        ('E', "a subprotocol that is not ASCII", &["Sec-WebSocket-Protocol: grüße"], 400),
        ('E', "an empty subprotocol", &["Sec-WebSocket-Protocol: a,,b c"], 400),
        ('E', "a host that is none", &["Host: a b"], 400),
        ('E', "no host", &["-Host"], 400),
        ('E', "no key", &["-Sec-WebSocket-Key"], 400),
        ('E', "a long key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA"], 400),
        ('E', "a key of 15 bytes", &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"], 400),
        ('E', "version 8", &["Sec-WebSocket-Version: 8"], 426),
        ('E', "no version", &["-Sec-WebSocket-Version"], 426),
        ('E', "no upgrade", &["-Upgrade"], 426),
        ('E', "another upgrade", &["Upgrade: h2c"], 426),
        ('E', "no Connection: Upgrade", &["Connection: keep-alive"], 400),
        ('E', "a bad target", &["GET /a<b> HTTP/1.1"], 400),
        ('E', "a target of another host", &["GET http://b/chat HTTP/1.1"], 400),
        ('E', "a fragment", &["GET /chat#x HTTP/1.1"], 400),
        ('E', "a body", &["Content-Length: 5"], 400),
        ('E', "a chunked body", &["Transfer-Encoding: chunked"], 400),
        ('E', "two keys", &["+Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 400),
        ('E', "two hosts", &["+Host: b"], 400),
        ('E', "two versions", &["+Sec-WebSocket-Version: 13"], 400),
        ('E', "two versions that contradict", &["+Sec-WebSocket-Version: 8"], 400),
        ('E', "two upgrades", &["+Upgrade: websocket"], 400),
        ('E', "two upgrades that contradict", &["Upgrade: h2c", "+Upgrade: websocket"], 400),
        ('E', "the same the other way around", &["+Upgrade: h2c"], 400),
        ('E', "HTTP/1.0", &["GET /chat HTTP/1.0"], 400),
        ('E', "HTTP/2", &["GET /chat HTTP/2.0"], 400),
        ('E', "POST", &["POST /chat HTTP/1.1"], 405),
        ('F', "a folded line", &["+X: a\r\n b"], 400),
        ('F', "a bare line feed", &["+X: a\nY: b"], 400),
        ('F', "a bare carriage return", &["+X: a\rY: b"], 400),
        ('F', "NUL", &["+X: a\0"], 400),
        ('F', "a space before the colon", &["+X : a"], 400),
        ('J', "a page of another host", &["Origin: http://evil-a"], 403),
        ('J', "a page of a host below", &["Origin: http://a.evil"], 403),
        ('J', "another port", &["Origin: http://a:81"], 403),
        ('J', "a page of nowhere", &["Origin: null"], 403),
    ];
    cases
        .iter()
        .map(|&(class, case, lines, status)| {
            let bytes = request(lines).into_bytes();
            BadRequest { class, case, bytes, status }
        })
        .collect()
}

impl BadRequest {
    /// Panics unless the response is whole, refuses this request, and says that nothing follows.
    pub fn assert_refused(&self, response: &str) {
        assert_refused(response, self.status, self.case);
        let header = match self.status {
            405 => "\r\nAllow: GET\r\n",
            426 if self.case.contains("version") => "\r\nSec-WebSocket-Version: 13\r\n",
            426 => "\r\nUpgrade: websocket\r\n",
            _ => "\r\n",
        };
        assert!(response.contains(header), "{}: {response}", self.case);
    }
}

/// Panics unless the response is whole, has this status, and says that nothing follows.
pub fn assert_refused(response: &str, status: u16, case: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{case}: {response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nConnection: close"), "{case}: {response}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{case}: {response}");
    assert!(!body.is_empty() && !body.contains("HTTP/1.1 1"), "{case}: {response}");
}

/// Pages, if any, and whether a server at `good.com` lets them connect: with the default options, and if it
/// names `https://good.com` alone.
const ORIGINS: [(Option<&str>, bool, bool); 13] = [
    (None, true, true),
    (Some("https://good.com"), true, true),
    (Some("https://GOOD.com"), true, true),
    (Some("https://good.com:443"), true, true),
    (Some("http://good.com"), true, false),
    (Some("https://good.com:444"), false, false),
    (Some("https://good.com."), false, false),
    (Some("https://good.com.evil"), false, false),
    (Some("https://evil-good.com"), false, false),
    (Some("https://user@good.com"), false, false),
    (Some("https://[::1]"), false, false),
    (Some("null"), false, false),
    (Some(""), false, false),
];

/// Panics unless servers let in the pages that they are to let in. `lets_in` says whether one with these
/// options accepts this request.
pub fn assert_origins(lets_in: impl Fn(ServerOptions, &str) -> bool) {
    for (origin, same_host, named) in ORIGINS {
        let header = origin.map(|origin| format!("Origin: {origin}"));
        let lines = ["Host: good.com"].into_iter().chain(header.as_deref());
        let request = request(&lines.collect::<Vec<_>>());
        let mut naming = ServerOptions::default();
        naming.origin = OriginPolicy::List(vec!["https://good.com".into()]);
        assert_eq!(lets_in(ServerOptions::default(), &request), same_host, "{origin:?}");
        assert_eq!(lets_in(naming, &request), named, "{origin:?} where one is named");
    }
}

/// A test for each class of advisories that requests alone show. `$refuses` is called with each bad request
/// of a class, alone and with others behind it, and gives the server's whole answer; `$lets_in` is for
/// [`assert_origins`].
#[macro_export]
macro_rules! advisory_requests {
    ($answer:expr, $lets_in:expr) => {
        /// None of them is accepted, and nothing that is pipelined behind one is answered.
        fn refuses_class(class: char) {
            let mut count = 0;
            for bad in $crate::handshake::bad_requests() {
                if bad.class == class {
                    let again = $crate::handshake::request(&[]);
                    let pipelined =
                        [&bad.bytes, &b"\x81\x81\0\0\0\0x"[..], again.as_bytes()].concat();
                    for bytes in [&bad.bytes, &pipelined] {
                        bad.assert_refused(&$answer(bytes));
                    }
                    count += 1;
                }
            }
            assert!(count > 3, "class {class}");
        }

        #[test]
        fn class_d_cost_of_the_handshake() {
            refuses_class('D');
        }

        #[test]
        fn class_e_contents_of_the_handshake() {
            refuses_class('E');
        }

        #[test]
        fn class_f_injection_and_smuggling() {
            refuses_class('F');
        }

        #[test]
        fn class_j_origins() {
            refuses_class('J');
            $crate::handshake::assert_origins($lets_in);
        }
    };
}

/// The 101 that answers `request`, and agrees to permessage-deflate if that is offered.
pub fn upgrade(request: &[u8]) -> Vec<u8> {
    let mut slots = HeaderSlots::new();
    let request = Request::parse(request, &mut slots).unwrap();
    let agreed =
        request.extensions().find(|offer| offer.name() == "permessage-deflate").map(|offer| {
            let names = offer.params().map(|param| param.name());
            let forgets = names.filter(|name| name.ends_with("_no_context_takeover"));
            [offer.name()].into_iter().chain(forgets).collect::<Vec<_>>().join("; ")
        });
    let accept = Accept { extensions: agreed.as_deref(), ..Accept::default() };
    let mut response = String::new();
    request.write_accept(&mut response, &accept).unwrap();
    response.into_bytes()
}

/// What a server makes of a request: it answers that, and ends the stream.
pub type Respond = Box<dyn FnOnce(&[u8]) -> Vec<u8> + Send>;

/// Servers that answer with a status of their own, and what is said of each.
pub fn assert_statuses(failure: impl Fn(Respond) -> HandshakeFailure) {
    let cases: [(&str, u16, &str); 8] = [
        (
            "200 OK\r\nContent-Length: 2\r\n\r\nhi",
            200,
            "the server answered 200 OK: there is an ordinary page at this address, and no WebSocket",
        ),
        (
            "401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n",
            401,
            "the server answered 401 Unauthorized: it wants to know who you are (an Authorization header)",
        ),
        (
            "302 Found\r\nLocation: https://example.org/\r\n\r\n",
            302,
            "the server answered 302 Found: it wants you to connect to \"https://example.org/\"",
        ),
        (
            "407 Nope\r\n\r\n",
            407,
            "the server answered 407 Nope: a proxy wants to know who you are",
        ),
        (
            "404 Not Found\r\n\r\n",
            404,
            "the server answered 404 Not Found instead of opening a WebSocket",
        ),
        (
            "426 \r\nSec-WebSocket-Version: 8\r\n\r\n",
            426,
            "the server answered 426 instead of opening a WebSocket",
        ),
        ("503 Busy\r\n\r\n", 503, "the server answered 503 Busy instead of opening a WebSocket"),
        (
            "103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 404 Gone\r\n\r\n",
            404,
            "the server answered 404 Gone instead of opening a WebSocket",
        ),
    ];
    for (response, expected, sentence) in cases {
        let response = format!("HTTP/1.1 {response}").into_bytes();
        let failure = failure(Box::new(|_| response));
        assert_eq!(failure.to_string(), sentence);
        let HandshakeFailure::Status { status, location, .. } = failure else {
            panic!("{failure:?}")
        };
        assert_eq!((status, location.is_some()), (expected, expected == 302));
    }
}

/// The valid response with one thing replaced, and what is said of that.
pub fn assert_wrong_101s(failure: impl Fn(Respond) -> HandshakeFailure) {
    let end = "\r\n\r\n";
    let cases = [
        ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: A", "does not answer our key"),
        ("Sec-WebSocket-Accept", "X-Accept", "no Sec-WebSocket-Accept header"),
        ("Upgrade: websocket", "Upgrade: h2c", "`Upgrade: websocket`"),
        ("Upgrade: websocket", "X: y", "`Upgrade: websocket`"),
        ("Connection: Upgrade", "Connection: close", "`Connection: Upgrade`"),
        (end, "\r\nSec-WebSocket-Protocol: chat\r\n\r\n", "a subprotocol we did not offer"),
        (
            end,
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            "an extension we did not",
        ),
        (end, "\r\nContent-Length: 5\r\n\r\n", "announces a body"),
        (end, "\r\nTransfer-Encoding: chunked\r\n\r\n", "announces a body"),
        (end, "\r\nSec-WebSocket-Accept: twice\r\n\r\n", "more than one Sec-WebSocket-Accept"),
        ("HTTP/1.1", "HTTP/1.0", "does not speak HTTP/1.1"),
        ("\r\n", "\n", "malformed"),
    ];
    for (from, to, sentence) in cases {
        let failure = failure(Box::new(move |request| {
            let response = String::from_utf8(upgrade(request)).unwrap();
            assert!(response.contains(from), "{response}");
            response.replacen(from, to, 1).into_bytes()
        }));
        assert!(matches!(failure, HandshakeFailure::Peer(_)), "{to:?}: {failure:?}");
        assert!(failure.to_string().contains(sentence), "{to:?}: {failure}");
    }
}

/// What is no HTTP, too long or too short.
pub fn assert_broken_heads(failure: impl Fn(Respond) -> HandshakeFailure) {
    let garbage = failure(Box::new(|_| b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()));
    assert_eq!(garbage.to_string(), "the peer does not speak HTTP/1.1");
    for start in ["HTTP/1.1 101 ", "HTTP/1.1 101 x\r\nX: "] {
        let endless = failure(Box::new(|_| [start.as_bytes(), &[b'x'; 1 << 20]].concat()));
        let sentence = endless.to_string();
        assert!(sentence.contains("exceeds the limit of 16384 bytes (max_head)"), "{sentence}");
    }
    let headers = format!("HTTP/1.1 101 x\r\n{}\r\n", "X: y\r\n".repeat(101)).into_bytes();
    let many = failure(Box::new(|_| headers));
    assert!(many.to_string().contains("more than 100 headers"), "{many}");
    for response in [&b""[..], b"HTTP/1.1 101 Swi"] {
        let early = failure(Box::new(|_| response.to_vec()));
        assert_eq!(early, HandshakeFailure::Eof);
    }
}

/// Strings that would end their line, wherever a caller may give one.
pub fn assert_nothing_is_injected(
    ask: impl Fn(ClientOptions, &str) -> (Option<HandshakeFailure>, Vec<u8>),
) {
    for text in ["a\r\nX: y", "a\r", "a\n", "a\0", "grüße\r"] {
        let mut cases = vec![ClientOptions::default(); 4];
        cases[0].headers = vec![("X".into(), text.into())];
        cases[1].headers = vec![(text.into(), "x".into())];
        cases[2].subprotocols = vec![text.into()];
        cases[3].origin = Some(text.into());
        for (i, options) in cases.into_iter().enumerate() {
            let (failure, written) = ask(options, "ws://a/");
            assert!(
                matches!(failure, Some(HandshakeFailure::Input(_))),
                "{text:?} in case {i}: {failure:?}"
            );
            assert_eq!(written, b"", "{text:?} in case {i}");
        }
        for url in [format!("ws://a/{text}"), format!("ws://a/?{text}"), format!("ws://{text}/")] {
            let (failure, written) = ask(ClientOptions::default(), &url);
            assert_eq!((failure, written), (None, Vec::new()), "{url:?}");
        }
    }
}

/// A test for each kind of response that opens no WebSocket, and one for requests that must not be sent.
/// `$failure` is called with what a server does ([`Respond`]), and gives what the client's handshake
/// failed with; `$ask` with options and a URL, and gives what that failed with, `None` if it was the URL,
/// and what was written meanwhile.
#[macro_export]
macro_rules! bad_responses {
    ($failure:expr, $ask:expr) => {
        #[test]
        fn a_server_that_opens_no_websocket_is_reported_with_its_status() {
            $crate::handshake::assert_statuses($failure);
        }

        #[test]
        fn a_101_that_is_wrong_is_no_websocket() {
            $crate::handshake::assert_wrong_101s($failure);
        }

        #[test]
        fn what_is_no_http_or_does_not_end_is_given_up() {
            $crate::handshake::assert_broken_heads($failure);
        }

        #[test]
        fn nothing_that_could_inject_a_header_is_sent() {
            $crate::handshake::assert_nothing_is_injected($ask);
        }
    };
}
