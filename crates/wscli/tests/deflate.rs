//! The options of `ws` about permessage-deflate: what is offered and agreed with them, and what is
//! refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{io::Write, net::TcpStream};

use support::{Server, answering, head, run, serving};
use wstokio::{Acceptor, deflate::DeflateOptions, opening::ServerOptions};

/// What a server agrees to with whoever offers this.
fn agreed(server: &Server, offer: &str) -> Option<String> {
    let mut tcp = TcpStream::connect(server.addr).unwrap();
    let request = format!(
        "GET /ws/lobby?nick=ann HTTP/1.1\r\nHost: {addr}\r\nOrigin: http://{addr}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat.v1\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n",
        addr = server.addr
    );
    tcp.write_all(request.as_bytes()).unwrap();
    let head = head(&mut tcp);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    extensions(&head)
}

/// The value of the header.
fn extensions(head: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-extensions").then(|| value.to_owned())
    })
}

const CHROMIUM: &str = "permessage-deflate; client_max_window_bits";
const FIREFOX: &str = "permessage-deflate";
const NO_TAKEOVER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn echo_compresses_where_it_was_asked_to_and_as_it_was() {
    let transports: &[&str] = if cfg!(unix) { &["tokio", "mio"] } else { &["tokio"] };
    for transport in transports {
        let echo = |options: &[&str]| {
            Server::start(&[&["echo", "--transport", transport], options].concat())
        };
        assert_eq!(agreed(&echo(&[]), CHROMIUM), None);
        assert_eq!(agreed(&echo(&["--deflate"]), FIREFOX).as_deref(), Some(NO_TAKEOVER));
        let shaped = echo(&["--deflate", "--context-takeover", "--window-bits", "11"]);
        let answer = agreed(&shaped, CHROMIUM);
        assert_eq!(answer.as_deref(), Some("permessage-deflate; server_max_window_bits=11"));
        // Nothing that was not offered.
        assert_eq!(agreed(&shaped, "x-other"), None);
    }
}

#[test]
fn echo_refuses_what_makes_no_sense() {
    let refused: [(&[&str], &str); 6] = [
        (&["--deflate", "--window-bits", "8"], "9..=15"),
        (&["--deflate", "--window-bits", "16"], "9..=15"),
        (&["--deflate", "--compress-from", "few"], "few"),
        (&["--context-takeover"], "--deflate"),
        (&["--window-bits", "10"], "--deflate"),
        (&["--compress-from", "1KiB"], "--deflate"),
    ];
    for (options, word) in refused {
        let ran = run(&[&["echo", "--addr", "127.0.0.1:0"], options].concat(), b"");
        assert_eq!(ran.status, Some(2), "{options:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{options:?}: {}", ran.stderr);
    }
}

#[test]
fn serve_compresses_unless_it_was_told_not_to() {
    let offers = [CHROMIUM, FIREFOX];
    let (on, off) = (Server::start(&["serve"]), Server::start(&["serve", "--no-deflate"]));
    for offer in offers {
        assert_eq!(agreed(&on, offer).as_deref(), Some(NO_TAKEOVER));
        assert_eq!(agreed(&off, offer), None);
    }
}

#[test]
fn connect_offers_to_compress_unless_it_was_told_not_to() {
    let refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let transports: &[&str] = if cfg!(unix) { &["tokio", "mio"] } else { &["tokio"] };
    for transport in transports {
        let (addr, request) = answering(refusal);
        let url = format!("ws://{addr}/");
        run(&["connect", "--transport", transport, &url], b"");
        assert_eq!(extensions(&request.recv().unwrap()).as_deref(), Some(CHROMIUM));
        let (addr, request) = answering(refusal);
        let url = format!("ws://{addr}/");
        run(&["connect", "--transport", transport, "--no-deflate", &url], b"");
        assert_eq!(extensions(&request.recv().unwrap()), None);
    }
}

#[test]
fn long_lines_come_back_whatever_was_agreed() {
    let text = "a line that is like the next one\n".repeat(50);
    let line = text.replace('\n', " ") + "\n";
    let input = [text.as_bytes(), line.as_bytes()].concat();
    for takeover in [false, true] {
        for option in [None, Some("--no-deflate")] {
            let url = serving(move |tcp| async move {
                let mut options = ServerOptions::default();
                let mut deflate = DeflateOptions::default();
                deflate.context_takeover = takeover;
                deflate.peer_context_takeover = takeover;
                options.deflate = Some(deflate);
                let mut ws = Acceptor::new(options).accept(tcp).await?;
                let (rx, tx) = ws.halves();
                while let Some(message) = rx.recv().await? {
                    tx.send(message).await?;
                }
                Ok(())
            });
            let mut arguments = vec!["connect", &url];
            arguments.extend(option);
            let ran = run(&arguments, &input);
            assert!(ran.stdout == input, "takeover {takeover}, {option:?}: {}", ran.stderr);
            assert_eq!(ran.status, Some(0));
        }
    }
}
