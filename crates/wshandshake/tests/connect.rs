//! Extended CONNECT: what a server takes for a request for a WebSocket over HTTP/2, and what a client
//! takes for its answer.

#![allow(clippy::unwrap_used)]

use wshandshake::{
    Accept, ExtendedConnect, HandshakeError, Header, InvalidInput, Key, MAX_SUBPROTOCOLS, Request,
    Response, Upgrade,
};

const GOOD: ExtendedConnect<'static, 'static> = ExtendedConnect {
    method: "CONNECT",
    protocol: Some("websocket"),
    scheme: "https",
    authority: "server.example.com",
    path: "/chat?room=1",
};

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

fn headers<'b>(lines: &[(&'b str, &'b str)]) -> Vec<Header<'b>> {
    lines.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect()
}

fn verdict(connect: &ExtendedConnect<'_, '_>, lines: &[(&str, &str)]) -> Option<HandshakeError> {
    Request::from_connect(connect, &headers(lines)).err()
}

#[test]
fn the_example_of_rfc_8441_is_a_request() {
    let headers = headers(&[
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        VERSION,
        ("origin", "http://www.example.com"),
    ]);
    let request = Request::from_connect(&GOOD, &headers).unwrap();
    assert_eq!(request.path(), "/chat");
    assert_eq!(request.query(), Some("room=1"));
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Some("http://www.example.com"));
    assert!(request.subprotocols().eq(["chat", "superchat"]));
    assert_eq!(request.extensions().count(), 1);
    assert_eq!(request.accept_key(), None);
    let chosen = Accept { subprotocol: Some("chat"), ..Accept::default() };
    assert_eq!(request.check_accept(&chosen), Ok(()));
    let mut out = String::new();
    assert_eq!(request.write_accept(&mut out, &chosen), Err(InvalidInput::ExtendedConnect));
    assert_eq!(out, "");
}

#[test]
fn what_is_no_websocket_request_is_refused_with_a_status_of_its_own() {
    use HandshakeError::*;
    for (connect, error, status) in [
        (ExtendedConnect { method: "GET", protocol: None, ..GOOD }, NotExtendedConnect, 400),
        (ExtendedConnect { method: "GET", ..GOOD }, NotExtendedConnect, 400),
        (ExtendedConnect { method: "connect", ..GOOD }, NotExtendedConnect, 400),
        (ExtendedConnect { protocol: None, ..GOOD }, NotExtendedConnect, 400),
        (ExtendedConnect { protocol: Some("connect-udp"), ..GOOD }, OtherProtocol, 501),
        (ExtendedConnect { protocol: Some(""), ..GOOD }, OtherProtocol, 501),
        (ExtendedConnect { protocol: Some("websocket, h2c"), ..GOOD }, OtherProtocol, 501),
        (ExtendedConnect { scheme: "", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { scheme: "wss", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { scheme: "ftp", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { authority: "", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { authority: "user@host", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { authority: "host:x", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { authority: "a b", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "*", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "chat", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "https://server.example.com/", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "/a b", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "/a#b", ..GOOD }, BadTarget, 400),
        (ExtendedConnect { path: "/a\r\nb", ..GOOD }, BadTarget, 400),
    ] {
        assert_eq!(verdict(&connect, &[VERSION]), Some(error), "{connect:?}");
        assert_eq!(error.status(), status, "{connect:?}");
    }
    assert_eq!(verdict(&ExtendedConnect { protocol: Some("WebSocket"), ..GOOD }, &[VERSION]), None);
    assert_eq!(verdict(&ExtendedConnect { scheme: "HTTP", ..GOOD }, &[VERSION]), None);
}

#[test]
fn headers_are_judged_as_in_http_1_1_and_those_of_a_connection_are_refused() {
    use HandshakeError::*;
    let protocol = "sec-websocket-protocol";
    let many: Vec<String> = (0..=MAX_SUBPROTOCOLS).map(|n| format!("p{n}")).collect();
    let many = many.join(",");
    for (line, error) in [
        (("connection", "upgrade"), Some(BadHeader("Connection"))),
        (("upgrade", "websocket"), Some(BadHeader("Upgrade"))),
        (("keep-alive", "5"), Some(BadHeader("Keep-Alive"))),
        (("proxy-connection", "x"), Some(BadHeader("Proxy-Connection"))),
        (("transfer-encoding", "chunked"), Some(BadHeader("Transfer-Encoding"))),
        (("content-length", "1"), Some(HasBody)),
        (("content-length", ""), Some(HasBody)),
        (("content-length", "0"), None),
        (("host", "server.example.com"), None),
        (("host", "SERVER.example.com:443"), None),
        (("host", "server.example.com:80"), Some(BadTarget)),
        (("host", "other.example.com"), Some(BadTarget)),
        (("host", ""), Some(BadHeader("Host"))),
        (("origin", "grüße"), Some(BadHeader("Origin"))),
        ((protocol, ""), Some(BadHeader("Sec-WebSocket-Protocol"))),
        ((protocol, "a, a"), Some(BadHeader("Sec-WebSocket-Protocol"))),
        ((protocol, &many), Some(TooManySubprotocols)),
        (("sec-websocket-extensions", ";"), Some(BadHeader("Sec-WebSocket-Extensions"))),
        // RFC 8441 §5: it is not processed.
        (("sec-websocket-key", "no key"), None),
        (("x", "a\nb"), Some(BadHead)),
        (("x y", "a"), Some(BadHead)),
        (("", "a"), Some(BadHead)),
        ((":path", "/"), Some(BadHead)),
        (("sec-websocket-version", "13"), Some(RepeatedHeader("Sec-WebSocket-Version"))),
    ] {
        assert_eq!(verdict(&GOOD, &[VERSION, line]), error, "{line:?}");
    }
    assert_eq!(verdict(&GOOD, &[]), Some(Version));
    assert_eq!(verdict(&GOOD, &[("sec-websocket-version", "8")]), Some(Version));
    assert_eq!(Version.status(), 426);
}

#[test]
fn any_2xx_answers_an_extended_connect_and_nothing_may_be_agreed_that_was_not_offered() {
    let upgrade = Upgrade {
        subprotocols: &["chat"],
        extensions: Some("permessage-deflate"),
        ..Upgrade::new("server.example.com", "/", Key::new([0; 16]))
    };
    let answer = |status, lines: &[(&'static str, &'static str)]| {
        let headers = headers(lines);
        let accepted = Response::from_parts(status, "", false, &headers)?;
        let accepted = accepted.verify_connect(&upgrade)?;
        Ok(accepted.subprotocol().map(str::to_owned))
    };
    let chosen = answer(200, &[("sec-websocket-protocol", "chat")]);
    assert_eq!(chosen, Ok(Some("chat".to_owned())));
    assert_eq!(answer(200, &[]), Ok(None));
    assert_eq!(answer(299, &[("sec-websocket-extensions", "permessage-deflate")]), Ok(None));
    for status in [101, 199, 300, 404, 500] {
        assert_eq!(answer(status, &[]), Err(HandshakeError::UnexpectedStatus(status)));
    }
    let other = answer(200, &[("sec-websocket-protocol", "other")]);
    assert_eq!(other, Err(HandshakeError::SubprotocolNotOffered));
    let other = answer(200, &[("sec-websocket-extensions", "x-other")]);
    assert_eq!(other, Err(HandshakeError::ExtensionNotOffered));
}
