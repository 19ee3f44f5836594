//! Opening handshakes with the event loop: what hostile and broken clients get (HAZARDS D, E, F, J).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use support::{
    Note, Running, closed, dial, from_client, next, noting, opened, read_frame, read_head, request,
};
use wsmio::opening::{OriginPolicy, ServerOptions};
use wstest::reference::Frame;

/// What the server answers to these bytes, to the end of the stream.
fn answer(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut peer = dial(addr);
    peer.write_all(bytes).unwrap();
    // So that one that waits for more does not wait.
    peer.shutdown(Shutdown::Write).unwrap();
    let mut response = String::new();
    peer.read_to_string(&mut response).unwrap();
    response
}

/// Panics unless the response is whole, has this status, and says that nothing follows.
fn assert_refused(response: &str, status: u16, case: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{case}: {response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nConnection: close"), "{case}: {response}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{case}: {response}");
    assert!(!body.is_empty() && !body.contains("HTTP/1.1 1"), "{case}: {response}");
}

#[test]
fn every_bad_request_gets_its_status_and_a_reason() {
    let long_line = format!("GET /{} HTTP/1.1", "a".repeat(64 << 10));
    let many: Vec<String> = (0..101).map(|i| format!("+X-{i}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let spaces = format!("X: b{}x", " ".repeat(32 << 10));
    let cases: &[(&str, Vec<&str>, u16)] = &[
        ("a line of 64 KiB", vec![&long_line], 414),
        ("101 more headers", many, 431),
        ("32k spaces", vec![&spaces], 431),
        ("a subprotocol that is not ASCII", vec!["Sec-WebSocket-Protocol: grüße"], 400),
        ("an empty subprotocol", vec!["Sec-WebSocket-Protocol: a,,b c"], 400),
        ("a host that is none", vec!["Host: a b"], 400),
        ("no host", vec!["-Host"], 400),
        ("no key", vec!["-Sec-WebSocket-Key"], 400),
        ("a long key", vec!["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA"], 400),
        ("a key of 15 bytes", vec!["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"], 400),
        ("version 8", vec!["Sec-WebSocket-Version: 8"], 426),
        ("no version", vec!["-Sec-WebSocket-Version"], 426),
        ("no upgrade", vec!["-Upgrade"], 426),
        ("another upgrade", vec!["Upgrade: h2c"], 426),
        ("no Connection: Upgrade", vec!["Connection: keep-alive"], 400),
        ("a folded line", vec!["+X: a\r\n b"], 400),
        ("a bare line feed", vec!["+X: a\nY: b"], 400),
        ("a bare carriage return", vec!["+X: a\rY: b"], 400),
        ("NUL", vec!["+X: a\0"], 400),
        ("a space before the colon", vec!["+X : a"], 400),
        ("a bad target", vec!["GET /a<b> HTTP/1.1"], 400),
        ("a target of another host", vec!["GET http://b/chat HTTP/1.1"], 400),
        ("a fragment", vec!["GET /chat#x HTTP/1.1"], 400),
        ("a body", vec!["Content-Length: 5"], 400),
        ("a chunked body", vec!["Transfer-Encoding: chunked"], 400),
        ("two keys", vec!["+Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 400),
        ("two hosts", vec!["+Host: b"], 400),
        ("HTTP/1.0", vec!["GET /chat HTTP/1.0"], 400),
        ("HTTP/2", vec!["GET /chat HTTP/2.0"], 400),
        ("POST", vec!["POST /chat HTTP/1.1"], 405),
        ("a page of another host", vec!["Origin: http://evil-a"], 403),
        ("a page of a host below", vec!["Origin: http://a.evil"], 403),
        ("another port", vec!["Origin: http://a:81"], 403),
        ("a page of nowhere", vec!["Origin: null"], 403),
    ];
    let (server, told) = noting(ServerOptions::default());
    for (case, lines, status) in cases {
        let request = request(lines);
        // Alone, and with frames and another request behind it, which are not answered.
        let behind = from_client(&[Frame::new(1, "x")]);
        let pipelined = [request.as_bytes(), &behind, support::request(&[]).as_bytes()].concat();
        for bytes in [request.as_bytes(), &pipelined] {
            let response = answer(server.addr, bytes);
            assert_refused(&response, *status, case);
            let header = match status {
                405 => "\r\nAllow: GET\r\n",
                426 if case.contains("version") => "\r\nSec-WebSocket-Version: 13\r\n",
                426 => "\r\nUpgrade: websocket\r\n",
                _ => "\r\n",
            };
            assert!(response.contains(header), "{case}: {response}");
        }
    }
    server.stop();
    assert!(told.recv().is_err(), "none of them is opened");
}

#[test]
fn a_head_without_end_is_refused_once_it_is_too_long() {
    let (server, _told) = noting(ServerOptions::default());
    for line in ["X: 1\r\n", "X", "X: \\a\\a\"\r\n"] {
        let mut bytes = request(&[]).into_bytes();
        bytes.truncate(bytes.len() - 2);
        while bytes.len() < 1 << 20 {
            bytes.extend(line.as_bytes());
        }
        assert_refused(&answer(server.addr, &bytes), 431, line);
    }
}

#[test]
fn pages_that_the_options_name_may_connect() {
    let mut options = ServerOptions::default();
    options.origin = OriginPolicy::List(vec!["https://good.com".into()]);
    let (server, _told) = noting(options);
    let cases = [
        ("https://good.com", true),
        ("https://GOOD.com:443", true),
        ("http://good.com", false),
        ("https://good.com:444", false),
        ("https://good.com.evil", false),
        ("https://evil-good.com", false),
        ("null", false),
    ];
    for (origin, fits) in cases {
        let mut peer = dial(server.addr);
        peer.write_all(request(&[&format!("Origin: {origin}")]).as_bytes()).unwrap();
        let head = read_head(&mut peer);
        let status = if fits { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " };
        assert!(head.starts_with(status), "{origin}: {head}");
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_accepted_and_what_is_behind_it_is_kept() {
    let (server, told) = noting(ServerOptions::default());
    let mut peer = dial(server.addr);
    let frames = from_client(&[Frame::new(1, "one"), Frame::new(2, "two")]);
    for byte in [request(&[]).as_bytes(), &frames].concat() {
        peer.write_all(&[byte]).unwrap();
    }
    assert!(read_head(&mut peer).starts_with("HTTP/1.1 101 "));
    assert_eq!(read_frame(&mut peer), Frame::new(1, "one"));
    assert_eq!(read_frame(&mut peer), Frame::new(2, "two"));
    opened(&told);
    assert!(matches!(next(&told), Note::Message(..)) && matches!(next(&told), Note::Message(..)));
}

#[test]
fn a_client_that_sends_its_request_too_slowly_is_cut_off_however_it_goes_on() {
    let mut options = ServerOptions::default();
    options.handshake_timeout = Duration::from_millis(50);
    let (server, told) = noting(options);
    let mut silent = dial(server.addr);
    let mut half = dial(server.addr);
    half.write_all(&request(&[]).as_bytes()[..40]).unwrap();
    let mut endless = dial(server.addr);
    endless.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut bytes = b"X: 1\r\n".iter().cycle();
    // The deadline is absolute: bytes do not move it. It ends before the head is too long, but for a
    // fast machine, which is told so.
    while endless.write_all(&[*bytes.next().unwrap()]).is_ok() {
        std::thread::yield_now();
    }
    for peer in [&mut silent, &mut half] {
        assert!(support::is_cut_off(peer));
    }
    // Others are not concerned, and nothing was opened by those.
    let mut swift = dial(server.addr);
    swift.write_all(request(&[]).as_bytes()).unwrap();
    assert!(read_head(&mut swift).starts_with("HTTP/1.1 101 "));
    drop(swift);
    let id = opened(&told);
    assert_eq!(closed(&told).0, id);
}

#[test]
fn a_client_that_reads_no_response_and_sends_on_is_not_waited_for() {
    let mut options = ServerOptions::default();
    let mut config = wsmio::Config::default();
    config.fin_timeout = Duration::from_millis(50);
    options.config = config.into();
    let server = Running::new(1, options, || {
        support::OnMessage(|_: &mut wsmio::Peer<'_, ()>, _: wsmio::Message<'_>| {})
    });
    let mut peer = dial(server.addr);
    peer.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
    while peer.write_all(&[b'x'; 1000]).is_ok() {
        std::thread::yield_now();
    }
}
