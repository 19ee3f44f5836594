//! What a client takes for an answer to its request.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use wshandshake::{HandshakeError, Header, HeaderSlots, Key, Response, Upgrade};

const LINES: [&str; 3] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

fn upgrade() -> Upgrade<'static> {
    Upgrade {
        subprotocols: &["chat", "superchat"],
        extensions: Some("permessage-deflate; client_max_window_bits, x-other"),
        ..Upgrade::new("server.example.com", "/chat", Key::new(*b"the sample nonce"))
    }
}

/// A good response but that the lines of the same names are replaced, or left out if empty.
fn head(first: &str, changes: &[&str]) -> String {
    let name = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
    let changed = |line: &str| changes.iter().any(|change| name(change) == name(line));
    let kept = LINES.iter().filter(|line| !changed(line));
    let added = changes.iter().filter(|change| !change.ends_with(':'));
    let lines: String = kept.chain(added).map(|line| format!("{line}\r\n")).collect();
    format!("{first}\r\n{lines}\r\n")
}

fn switch(changes: &[&str]) -> String {
    head("HTTP/1.1 101 Switching Protocols", changes)
}

fn verdict(head: &str) -> Option<HandshakeError> {
    let mut slots = HeaderSlots::new();
    match Response::parse(head.as_bytes(), &mut slots) {
        Ok(response) => response.verify(&upgrade()).err(),
        Err(error) => Some(error),
    }
}

#[test]
fn a_server_that_agrees_is_believed() {
    let responses = [
        switch(&[]),
        head("HTTP/1.1 101 ", &[]),
        head("HTTP/1.1 101 Web Socket Protocol Handshake", &[]),
        switch(&["upgrade: WebSocket", "connection: keep-alive, upgrade"]),
        switch(&["Content-Length: 0"]),
        switch(&["Sec-WebSocket-Protocol: superchat"]),
        switch(&["Sec-WebSocket-Extensions: x-other, permessage-deflate"]),
        switch(&["Date: now", "Set-Cookie: a=\u{e9}"]),
    ];
    for response in responses {
        assert_eq!(verdict(&response), None, "{response}");
    }
}

#[test]
fn what_the_server_chose_is_told() {
    // Erratum 3433: extensions may come in several lines.
    let head = switch(&[
        "Sec-WebSocket-Protocol: chat",
        "Sec-WebSocket-Extensions: x-other",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10",
    ]);
    let mut slots = HeaderSlots::new();
    let response = Response::parse(head.as_bytes(), &mut slots).unwrap();
    assert_eq!((response.status(), response.reason()), (101, "Switching Protocols"));
    let accepted = response.verify(&upgrade()).unwrap();
    assert_eq!(accepted.subprotocol(), Some("chat"));
    assert!(accepted.extensions().map(|one| one.name()).eq(["x-other", "permessage-deflate"]));
    let deflate = accepted.extensions().last().unwrap();
    let bits = deflate.params().next().unwrap();
    assert_eq!(bits.name(), "server_max_window_bits");
    assert_eq!(bits.value().unwrap().number(), Some(10));
}

#[test]
fn what_is_wrong_with_a_response_is_told() {
    use HandshakeError::*;
    let accept = "Sec-WebSocket-Accept";
    let protocol = "Sec-WebSocket-Protocol";
    let extensions = "Sec-WebSocket-Extensions";
    let cases = [
        (head("HTTP/1.1 200 OK", &[]), UnexpectedStatus(200)),
        (head("HTTP/1.1 302 Found", &["Location: /"]), UnexpectedStatus(302)),
        (head("HTTP/1.1 401 Unauthorized", &[]), UnexpectedStatus(401)),
        (head("HTTP/1.0 404 Not Found", &[]), UnexpectedStatus(404)),
        (head("HTTP/1.1 100 Continue", &[]), UnexpectedStatus(100)),
        (head("HTTP/1.0 101 Switching Protocols", &[]), HttpVersion),
        (head("HTTP/2 101 Switching Protocols", &[]), HttpVersion),
        (head("HTTP/1.1 1010 Switching Protocols", &[]), BadHead),
        (head("SSH-2.0-OpenSSH", &[]), HttpVersion),
        (switch(&["Upgrade:"]), MissingUpgrade),
        (switch(&["Upgrade: h2c"]), MissingUpgrade),
        (switch(&["Upgrade: websocket, h2c"]), MissingUpgrade),
        (switch(&["Upgrade: websocket", "Upgrade: h2c"]), MissingUpgrade),
        (switch(&["Connection:"]), MissingConnection),
        (switch(&["Connection: close"]), MissingConnection),
        (switch(&["Sec-WebSocket-Accept:"]), MissingHeader(accept)),
        (switch(&[LINES[2], LINES[2]]), RepeatedHeader(accept)),
        (switch(&["Sec-WebSocket-Accept: "]), BadAccept),
        (switch(&["Sec-WebSocket-Accept: s3pplmbitxaq9kygzzhzrbk+xoo="]), BadAccept),
        (switch(&["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo"]), BadAccept),
        (switch(&["Content-Length: 5"]), HasBody),
        (switch(&["Transfer-Encoding: chunked"]), HasBody),
        (switch(&["Sec-WebSocket-Protocol: other"]), SubprotocolNotOffered),
        (switch(&["Sec-WebSocket-Protocol: Chat"]), SubprotocolNotOffered),
        (switch(&["Sec-WebSocket-Protocol: chat, superchat"]), SubprotocolNotOffered),
        (switch(&["Sec-WebSocket-Protocol: "]), SubprotocolNotOffered),
        (
            switch(&["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"]),
            RepeatedHeader(protocol),
        ),
        (switch(&["Sec-WebSocket-Extensions: x-unknown"]), ExtensionNotOffered),
        (
            switch(&["Sec-WebSocket-Extensions: x-other", "Sec-WebSocket-Extensions: x-unknown"]),
            ExtensionNotOffered,
        ),
        (switch(&["Sec-WebSocket-Extensions: x-other;"]), BadHeader(extensions)),
        (switch(&["X: a\r\n b"]), BadHead),
        (switch(&["X : a"]), BadHead),
        (switch(&["X: a\nY: b"]), BadHead),
        (switch(&[]).replace("\r\n", "\n"), BadHead),
        (format!("{}x", switch(&[])), BadHead),
    ];
    for (response, error) in cases {
        assert_eq!(verdict(&response), Some(error), "{response}");
    }
}

#[test]
fn what_was_not_offered_at_all_is_not_accepted() {
    let bare = Upgrade::new("a", "/", Key::new(*b"the sample nonce"));
    let cases = [
        ("Sec-WebSocket-Protocol: chat", HandshakeError::SubprotocolNotOffered),
        ("Sec-WebSocket-Extensions: permessage-deflate", HandshakeError::ExtensionNotOffered),
    ];
    for (line, error) in cases {
        let head = switch(&[line]);
        let mut slots = HeaderSlots::new();
        let response = Response::parse(head.as_bytes(), &mut slots).unwrap();
        assert_eq!(response.verify(&bare).err(), Some(error));
    }
}

#[test]
fn a_refusal_can_be_looked_into() {
    let head = head("HTTP/1.1 302 Found", &["Location: /there", "Content-Length: 9"]);
    let mut slots = HeaderSlots::new();
    let response = Response::parse(head.as_bytes(), &mut slots).unwrap();
    assert_eq!((response.status(), response.reason()), (302, "Found"));
    assert_eq!(response.header("location"), Some(&b"/there"[..]));
}

#[test]
fn a_response_parsed_elsewhere_is_verified_the_same() {
    let header = |name, value: &'static str| Header { name, value: value.as_bytes() };
    let headers = [
        header("upgrade", "websocket"),
        header("connection", "upgrade"),
        header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    let verify = |status, http_1_1, headers| {
        Response::from_parts(status, "", http_1_1, headers)?.verify(&upgrade()).map(|_| ())
    };
    assert_eq!(verify(101, true, &headers), Ok(()));
    assert_eq!(verify(101, false, &headers), Err(HandshakeError::HttpVersion));
    assert_eq!(
        verify(101, true, &headers[..2]),
        Err(HandshakeError::MissingHeader("Sec-WebSocket-Accept"))
    );
    assert_eq!(verify(503, true, &headers), Err(HandshakeError::UnexpectedStatus(503)));
}
