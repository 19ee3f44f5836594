//! What `ws connect` says when it cannot connect: one sentence, what happened and what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::net::TcpListener;

use support::{answering, run};

#[track_caller]
fn fails_with(url: &str, words: &[&str]) {
    run(&["connect", url], b"hello\n").assert_fails_with(words);
}

#[track_caller]
fn answer_fails_with(answer: &str, words: &[&str]) {
    let (addr, _) = answering(answer);
    fails_with(&format!("ws://{addr}/"), words);
}

#[test]
fn a_plain_http_server() {
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello";
    answer_fails_with(page, &["200 OK", "an ordinary page", "check the path"]);
    let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    answer_fails_with(none, &["404 Not Found", "check the path"]);
    let other = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";
    answer_fails_with(other, &["426 Upgrade Required"]);
    let none = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    answer_fails_with(none, &["503 Service Unavailable", "try again later"]);
}

#[test]
fn a_server_that_wants_to_know_who_asks() {
    let answer =
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    answer_fails_with(answer, &["401 Unauthorized", "--header 'Authorization: "]);
}

#[test]
fn a_server_that_lets_only_its_own_pages_in() {
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    answer_fails_with(answer, &["403 Forbidden", "--origin", "--header"]);
}

#[test]
fn a_redirect_says_where_to() {
    let answer =
        "HTTP/1.1 302 Found\r\nLocation: http://example.org/chat\r\nContent-Length: 0\r\n\r\n";
    answer_fails_with(
        answer,
        &["302 Found", "connect to \"http://example.org/chat\"", "not followed"],
    );
}

#[test]
fn a_port_where_nothing_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}/");
    fails_with(&url, &[&url, "nothing listens there", "is the server running"]);
    let with_user = format!("ws://ada:secret@127.0.0.1:{port}/");
    let ran = run(&["connect", &with_user], b"");
    ran.assert_fails_with(&["ws://…@127.0.0.1:", "nothing listens there"]);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

#[test]
fn a_url_that_is_none() {
    for (url, why) in [
        ("", "ws://"),
        ("example.org", "ws://"),
        ("127.0.0.1:9001", "ws://"),
        ("localhost:9001/x", "ws://"),
        ("http://127.0.0.1/", "ws://"),
        ("ws://", "host"),
        ("ws:///path", "host"),
        ("ws://127.0.0.1:99999/", "port"),
        ("ws://127.0.0.1:0/", "port"),
        ("ws://127.0.0.1/#part", "#"),
        ("ws://127.0.0.1/a b", "%20"),
    ] {
        fails_with(url, &[&format!("{url:?} is not a URL to connect to"), why]);
    }
}

#[test]
fn a_proxy_that_does_not_connect() {
    let connect = |proxy: &str| {
        run(&["connect", "--transport", "tokio", "--proxy", proxy, "ws://server.invalid/"], b"")
    };
    let (addr, _) = answering("HTTP/1.1 407 Who are you\r\n\r\n");
    connect(&addr.to_string()).assert_fails_with(&["the proxy answered 407", "a password"]);
    assert_eq!(connect("ftp://a").status, Some(2));
}

#[test]
fn a_server_that_does_not_speak_http() {
    answer_fails_with("SSH-2.0-OpenSSH_10.0\r\n\r\n", &["HTTP", "is this a server of WebSockets"]);
    answer_fails_with("\x15\x03\x01\x00\x02\x02\x46", &["speaks TLS", "give a wss:// address"]);
    answer_fails_with("", &["ended the connection during the opening handshake"]);
}

#[test]
fn a_server_that_does_not_do_the_handshake_right() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    answer_fails_with(answer, &["Sec-WebSocket-Accept"]);
}

#[test]
fn what_must_not_be_sent_is_refused_before_anything_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    for (option, value, words) in [
        ("--header", "Host: other", "sets itself"),
        ("--header", "a b: c", "name of an extra header"),
        ("--header", "a: b\r\nc: d", "control character"),
        ("--subprotocol", "a b", "subprotocol is not a token"),
        ("--origin", "https://ex ample", "origin"),
    ] {
        let ran = run(&["connect", &url, option, value], b"");
        ran.assert_fails_with(&[words]);
    }
    // A usage error has the status that clap gives it.
    let ran = run(&["connect", &url, "--header", "no colon"], b"");
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("a name, a colon and a value"), "{}", ran.stderr);
}
