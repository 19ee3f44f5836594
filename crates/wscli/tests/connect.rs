//! `ws connect` and `ws echo`, through pipes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::time::Instant;

use support::{PATIENCE, Server, answering, run, serving};
use tokio::io::AsyncWriteExt;
use wstokio::{Acceptor, CloseCode, opening::ServerOptions};

fn echo() -> Server {
    Server::start(&["echo", "--transport", "tokio"])
}

#[test]
fn lines_go_out_and_their_echoes_come_back_in_order() {
    let echo = echo();
    let ran = run(&["connect", &echo.url("/")], "one\n\ngrüße 🎉\r\nno newline".as_bytes());
    assert_eq!(ran.stdout(), "one\n\ngrüße 🎉\nno newline\n");
    assert_eq!(ran.stderr, "connected\nclosed by this side: 1000 (normal closure)\n");
    assert_eq!(ran.status, Some(0));
}

#[test]
fn ten_thousand_lines_at_once_come_back_in_order() {
    let echo = echo();
    let lines: String =
        (0..10_000).map(|i| format!("line {i} {}\n", "x".repeat(i % 100))).collect();
    let ran = run(&["connect", &echo.url("/"), "--linger", "0"], lines.as_bytes());
    assert!(ran.stdout() == lines, "{} of {} bytes", ran.stdout.len(), lines.len());
    assert_eq!(ran.status, Some(0));
}

#[test]
fn a_line_of_1_mib_comes_back() {
    let echo = Server::start(&["echo", "--threads", "2"]);
    let line = "0123456789abcdef".repeat(1 << 16) + "\n";
    let ran = run(&["connect", &echo.url("/")], line.as_bytes());
    assert!(ran.stdout() == line, "{} of {} bytes", ran.stdout.len(), line.len());
    assert_eq!(ran.status, Some(0));
}

#[test]
fn with_binary_any_bytes_come_back() {
    let echo = echo();
    let ran = run(&["connect", "--binary", &echo.url("/")], b"\xff\xfe\0\n\xc3\x28\n");
    assert_eq!(ran.stdout, b"\xff\xfe\0\n\xc3\x28\n");
    assert_eq!(ran.status, Some(0));
}

#[test]
fn a_line_that_is_not_utf_8_is_told_and_the_others_go_out() {
    let echo = echo();
    let ran = run(&["connect", &echo.url("/")], b"before\n\xff\nafter\n");
    assert_eq!(ran.stdout(), "before\nafter\n");
    assert!(ran.stderr.contains("line 2 is not UTF-8 and was not sent"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--binary"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(0));
}

#[test]
fn a_message_over_the_servers_limit_is_told_with_the_limit() {
    let echo = Server::start(&["echo", "--max-message", "1KiB"]);
    let ran = run(&["connect", &echo.url("/")], &[b'x'; 1025]);
    assert_eq!(ran.stdout(), "");
    assert!(ran.stderr.contains("1009 (message too big)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1024"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_message_over_our_own_limit_says_which_option_raises_it() {
    let url = serving(|tcp| async {
        let mut ws = wstokio::accept(tcp).await?;
        ws.send(&[0; 1025]).await?;
        while ws.recv().await?.is_some() {}
        Ok(())
    });
    let ran = run(&["connect", &url, "--max-message", "1KiB", "--linger", "1000"], b"");
    assert_eq!(ran.stdout, b"");
    assert!(ran.stderr.contains("1009 (message too big)"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("--max-message raises the limit\n"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn headers_subprotocols_and_origin_reach_the_server() {
    let (addr, request) = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let url = format!("ws://{addr}/a/path?q=1");
    let options = [
        ["--header", "Authorization: Bearer 1:2"],
        ["--header", "Cookie:a=b"],
        ["--subprotocol", "chat.v2"],
        ["--subprotocol", "chat.v1"],
        ["--origin", "https://example.org"],
    ];
    let ran = run(&[&["connect", &url], options.as_flattened()].concat(), b"");
    ran.assert_fails_with(&["403 Forbidden"]);

    let request = request.recv_timeout(PATIENCE).unwrap();
    let lines: Vec<_> = request.lines().collect();
    assert_eq!(lines[0], "GET /a/path?q=1 HTTP/1.1");
    for line in [
        &*format!("Host: {addr}"),
        "Authorization: Bearer 1:2",
        "Cookie: a=b",
        "Sec-WebSocket-Protocol: chat.v2, chat.v1",
        "Origin: https://example.org",
    ] {
        assert!(lines.contains(&line), "no {line:?} in {request}");
    }
}

#[test]
fn the_subprotocol_that_was_agreed_is_shown() {
    let url = serving(|tcp| async {
        let mut options = ServerOptions::default();
        options.subprotocols = vec!["chat.v1".into()];
        let mut ws = Acceptor::new(options).accept(tcp).await?;
        ws.close(CloseCode::NORMAL, "").await
    });
    let ran = run(&["connect", &url, "--subprotocol", "chat.v1"], b"");
    assert!(ran.stderr.starts_with("connected, subprotocol chat.v1\n"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(0));
}

#[test]
fn pings_pongs_and_the_close_are_shown_beside_the_messages() {
    let url = serving(|mut tcp| async move {
        let mut ws = wstokio::accept(&mut tcp).await?;
        ws.ping(b"are you there?").await?;
        ws.send("a message").await?;
        drop(ws);
        tcp.write_all(b"\x8a\x02\x00\xff\x88\x06\x03\xe9soon").await?;
        tcp.shutdown().await?;
        Ok(())
    });
    let ran = run(&["connect", &url, "--linger", "60"], b"");
    assert_eq!(ran.stdout(), "a message\n");
    assert_eq!(
        ran.stderr,
        "connected\nping are you there?\npong 00ff\nclosed by the peer: 1001 (going away) \"soon\"\n"
    );
    assert_eq!(ran.status, Some(0));
}

#[test]
fn the_exit_status_tells_a_goodbye_from_a_failure() {
    let codes = [
        (CloseCode::NORMAL, "1000 (normal closure)", 0),
        (CloseCode::GOING_AWAY, "1001 (going away)", 0),
        (CloseCode::NO_STATUS, "1005 (no status)", 0),
        (CloseCode::POLICY_VIOLATION, "1008 (policy violation)", 1),
        (CloseCode::INTERNAL_ERROR, "1011 (internal error)", 1),
        (CloseCode::new(4000).unwrap(), "4000 (private use)", 1),
    ];
    for (code, words, status) in codes {
        let url =
            serving(move |tcp| async move { wstokio::accept(tcp).await?.close(code, "").await });
        // The wait for replies ends with the connection.
        let started = Instant::now();
        let ran = run(&["connect", &url, "--linger", "1000"], b"hello\n");
        assert_eq!(ran.status, Some(status), "{ran:?}");
        assert_eq!(ran.stderr, format!("connected\nclosed by the peer: {words}\n"));
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn an_end_without_a_close_frame_is_a_failure() {
    let url = serving(|tcp| async {
        wstokio::accept(tcp).await?;
        Ok(())
    });
    let ran = run(&["connect", &url, "--linger", "1000"], b"");
    assert_eq!(
        ran.stderr,
        "connected\nthe peer ended the connection without a closing handshake\n"
    );
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_server_that_breaks_the_protocol_is_a_failure() {
    let url = serving(|mut tcp| async move {
        wstokio::accept(&mut tcp).await?;
        tcp.write_all(b"\xff\x00").await?;
        tcp.shutdown().await?;
        Ok(())
    });
    let ran = run(&["connect", &url, "--linger", "1000"], b"");
    assert!(ran.stderr.contains("1002 (protocol error) because of the peer"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn what_comes_after_the_end_of_input_is_waited_for() {
    let url = serving(|tcp| async {
        let mut ws = wstokio::accept(tcp).await?;
        // It says nothing before the client has closed: all replies are late.
        let mut count = 0;
        while ws.recv().await?.is_some() {
            count += 1;
            if count == 2 {
                ws.send("both have come").await?;
                ws.close(CloseCode::NORMAL, "done").await?;
            }
        }
        Ok(())
    });
    let ran = run(&["connect", &url, "--linger", "1000"], b"one\ntwo");
    assert_eq!(ran.stdout(), "both have come\n");
    assert_eq!(ran.status, Some(0));
}
