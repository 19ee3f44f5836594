//! `ws serve`, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use support::{Ran, Server, block_on, ended, ws};
use tokio::net::TcpSocket;
use wstokio::{CloseCode, Connector, Error, Message, Side, WebSocket, opening::ClientOptions};

fn serve() -> Server {
    Server::start(&["serve"])
}

/// What the server answers to these bytes, up to the end of the connection.
fn answer(server: &Server, request: &[u8]) -> String {
    let mut tcp = TcpStream::connect(server.addr).unwrap();
    tcp.write_all(request).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}

fn get(server: &Server, path: &str, headers: &str) -> String {
    let addr = server.addr;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{headers}\r\n");
    answer(server, request.as_bytes())
}

/// A request for a WebSocket, from a page of this origin.
fn upgrade(server: &Server, path: &str, origin: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.addr
    )
}

#[track_caller]
fn assert_status(answer: &str, status: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "not {status}: {answer}");
}

/// Someone in a room.
struct Chat {
    ws: WebSocket,
}

fn connector() -> Connector {
    let mut options = ClientOptions::default();
    options.subprotocols = vec!["chat.v1".into()];
    Connector::new(options)
}

impl Chat {
    /// Joins, and is welcome.
    async fn join(server: &Server, room: &str, nick: &str) -> (Self, Value) {
        let url = server.url(&format!("/ws/{room}?nick={nick}"));
        let ws = connector().connect(&url).await.unwrap();
        assert_eq!(ws.subprotocol(), Some("chat.v1"));
        let mut chat = Self { ws };
        let welcome = chat.hear().await;
        assert_eq!(welcome["type"], "welcome");
        (chat, welcome)
    }

    async fn request(&mut self, request: Value) {
        self.ws.send(&request.to_string()).await.unwrap();
    }

    async fn say(&mut self, text: &str) {
        self.request(json!({"type": "say", "text": text})).await;
    }

    /// The next notice.
    async fn hear(&mut self) -> Value {
        let message = self.ws.recv().await.unwrap();
        let Some(Message::Text(text)) = message else { panic!("{message:?}") };
        serde_json::from_str(text).unwrap()
    }
}

#[test]
fn the_page_is_served_for_every_room_under_a_strict_policy() {
    let server = serve();
    for path in ["/", "/r/garden", "/r/A-1_b?nick=ada"] {
        let page = get(&server, path, "");
        assert_status(&page, "200");
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
        assert!(
            head.contains("content-security-policy: default-src 'none'; script-src 'nonce-"),
            "{head}"
        );
        assert!(!head.contains("unsafe-inline"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(body.contains("<!doctype html>"), "{body}");
    }
    let nonces = [get(&server, "/", ""), get(&server, "/", "")];
    assert_ne!(nonces[0], nonces[1], "the nonce is fresh each time");
}

#[test]
fn what_is_not_there_is_404_and_what_is_no_upgrade_is_426() {
    let server = serve();
    for path in ["/nothing", "/r/", "/r/a/b", "/r/%3Cb%3E", "/favicon.ico"] {
        assert_status(&get(&server, path, ""), "404");
    }
    let plain = get(&server, "/ws/lobby", "");
    assert_status(&plain, "426");
    assert!(plain.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{plain}");
    let post = format!("POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.addr);
    assert_status(&answer(&server, post.as_bytes()), "405");
    let request = upgrade(&server, "/ws/no%20room", &format!("http://{}", server.addr));
    assert_status(&answer(&server, request.as_bytes()), "404");
}

#[test]
fn pages_from_elsewhere_may_not_connect() {
    let server = serve();
    let addr = server.addr;
    let port = addr.port();
    for origin in [
        "http://example.org".to_owned(),
        "null".to_owned(),
        "http://127.0.0.1".to_owned(),
        format!("http://127.0.0.1.example.org:{port}"),
        format!("http://localhost:{port}"),
    ] {
        let request = upgrade(&server, "/ws/lobby", &origin);
        assert_status(&answer(&server, request.as_bytes()), "403");
    }
    let mut tcp = TcpStream::connect(addr).unwrap();
    tcp.write_all(upgrade(&server, "/ws/lobby", &format!("http://{addr}")).as_bytes()).unwrap();
    assert_status(&support::head(&mut tcp), "101");
}

#[test]
fn garbage_is_answered_with_400_and_the_others_are_served() {
    let server = serve();
    for garbage in
        [&b"garbage\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0\0\0\0\r\n"]
    {
        assert_status(&answer(&server, garbage), "400");
        assert_status(&get(&server, "/", ""), "200");
    }
    // And behind an upgrade: it fails that connection, and no other.
    block_on(async {
        let (mut ada, _) = Chat::join(&server, "lobby", "ada").await;
        let mut tcp = TcpStream::connect(server.addr).unwrap();
        let request = upgrade(&server, "/ws/lobby", &format!("http://{}", server.addr));
        tcp.write_all(&[request.as_bytes(), b"\xff\xff\xff\xff"].concat()).unwrap();
        assert_eq!(ada.hear().await["type"], "joined");
        assert_eq!(ada.hear().await["type"], "left");
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).unwrap();
        let text = String::from_utf8_lossy(&rest);
        assert!(text.contains("reserved bit"), "the close frame says what was wrong: {text}");
    });
}

#[test]
fn people_in_a_room_hear_each_other_and_nobody_else() {
    let server = serve();
    block_on(async {
        let (mut ada, welcome) = Chat::join(&server, "garden", "ada").await;
        assert_eq!(welcome["members"].as_array().unwrap().len(), 1);
        let (mut eve, _) = Chat::join(&server, "kitchen", "eve").await;
        let (mut bob, welcome) = Chat::join(&server, "garden", "bob").await;
        assert_eq!(welcome["members"].as_array().unwrap().len(), 2);
        let joined = ada.hear().await;
        assert_eq!((&joined["type"], &joined["nick"]), (&json!("joined"), &json!("bob")));

        bob.request(json!({"type": "typing", "on": true})).await;
        assert_eq!(ada.hear().await["type"], "typing");
        bob.hear().await;
        bob.say("<b>grüße</b> 🎉").await;
        for chat in [&mut ada, &mut bob] {
            let said = chat.hear().await;
            assert_eq!((&said["type"], &said["nick"]), (&json!("said"), &json!("bob")));
            assert_eq!(said["text"], "<b>grüße</b> 🎉");
        }
        bob.request(json!({"type": "nick", "nick": "Bob B."})).await;
        assert_eq!(ada.hear().await["nick"], "Bob B.");
        bob.hear().await;

        // Nonsense is answered, and harms nobody.
        bob.request(json!({"type": "dance"})).await;
        assert_eq!(bob.hear().await["type"], "error");
        bob.say(&"x".repeat((16 << 10) + 1)).await;
        assert_eq!(bob.hear().await["type"], "error");

        bob.ws.close(CloseCode::NORMAL, "").await.unwrap();
        assert_eq!(ada.hear().await["type"], "left");
        let (_late, welcome) = Chat::join(&server, "garden", "late").await;
        assert_eq!(welcome["history"][0]["text"], "<b>grüße</b> 🎉");

        // Nothing of all that has reached the kitchen.
        eve.say("alone").await;
        assert_eq!(eve.hear().await["text"], "alone");
    });
}

#[test]
fn a_binary_message_or_one_too_long_closes_with_the_code_for_it() {
    let server = serve();
    block_on(async {
        let (mut ada, _) = Chat::join(&server, "lobby", "ada").await;
        ada.ws.send(b"\xff\xff").await.unwrap();
        assert!(ada.ws.recv().await.unwrap().is_none());
        assert_eq!(ada.ws.close_info().unwrap().code, CloseCode::UNSUPPORTED_DATA);

        let (mut bob, _) = Chat::join(&server, "elsewhere", "bob").await;
        bob.say(&"x".repeat(64 << 10)).await;
        assert!(bob.ws.recv().await.unwrap().is_none());
        assert_eq!(bob.ws.close_info().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    });
}

#[test]
fn who_does_not_read_delays_nobody_and_is_closed() {
    let server = serve();
    block_on(async {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.set_recv_buffer_size(4096).unwrap();
        let tcp = tcp.connect(server.addr).await.unwrap();
        let url = server.url("/ws/lobby?nick=stuck");
        let ws = connector().connect_stream(tcp, &url).await.unwrap();
        let mut stuck = Chat { ws };
        assert_eq!(stuck.hear().await["type"], "welcome");

        let (mut ada, _) = Chat::join(&server, "lobby", "ada").await;
        let (mut bob, _) = Chat::join(&server, "lobby", "bob").await;
        assert_eq!(ada.hear().await["nick"], "bob");
        let text = "x".repeat(16 << 10);
        let mut left = 0;
        // Everything that is said is heard at once, long after the stuck one's buffers are full.
        while left < 2 {
            ada.say(&text).await;
            for chat in [&mut ada, &mut bob] {
                let mut notice = chat.hear().await;
                if notice["type"] == "left" {
                    assert_eq!(notice["nick"], "stuck");
                    left += 1;
                    notice = chat.hear().await;
                }
                assert_eq!(notice["type"], "said");
            }
        }

        // It gets to read what was written, and perhaps why nothing more comes.
        loop {
            match stuck.ws.recv().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Error::Io(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let info = stuck.ws.close_info().unwrap();
        assert_eq!(info.by, Side::Peer);
        assert!(matches!(info.code, CloseCode::TRY_AGAIN_LATER | CloseCode::ABNORMAL), "{info}");
    });
}

#[cfg(unix)]
#[test]
fn ctrl_c_closes_every_connection_with_1001_and_exits_with_0() {
    let mut server = serve();
    block_on(async {
        let (mut ada, _) = Chat::join(&server, "garden", "ada").await;
        let (mut bob, _) = Chat::join(&server, "kitchen", "bob").await;
        // A browser's connection that is kept alive holds nothing up.
        let mut kept = TcpStream::connect(server.addr).unwrap();
        let request = format!("GET /nothing HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
        kept.write_all(request.as_bytes()).unwrap();
        assert_status(&support::head(&mut kept), "404");

        server.interrupt();
        for chat in [&mut ada, &mut bob] {
            while chat.ws.recv().await.unwrap().is_some() {}
            let info = chat.ws.close_info().unwrap();
            assert!(info.clean && info.by == Side::Peer, "{info}");
            assert_eq!((info.code, &*info.reason), (CloseCode::GOING_AWAY, "the server stops"));
        }
    });
    assert_eq!(server.wait().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_closes_the_connections_of_an_echo_server_with_1001() {
    for transport in ["tokio", "mio"] {
        let mut server = Server::start(&["echo", "--threads", "2", "--transport", transport]);
        block_on(async {
            let mut sockets = Vec::new();
            for _ in 0..4 {
                let mut ws = wstokio::connect(&format!("ws://{}", server.addr)).await.unwrap();
                ws.send("hello").await.unwrap();
                assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
                sockets.push(ws);
            }
            server.interrupt();
            for mut ws in sockets {
                assert!(ws.recv().await.unwrap().is_none());
                assert_eq!(ws.close_info().unwrap().code, CloseCode::GOING_AWAY, "{transport}");
            }
        });
        assert_eq!(server.wait().code(), Some(0), "{transport}");
    }
}

#[test]
fn a_taken_port_is_told_by_either_server() {
    let serve = serve();
    let echo = Server::start(&["echo", "--threads", "2"]);
    for taken in [serve.addr.to_string(), echo.addr.to_string()] {
        for arguments in [
            &["serve"][..],
            &["echo"],
            &["echo", "--threads", "2"],
            #[cfg(unix)]
            &["echo", "--threads", "2", "--transport", "mio"],
        ] {
            let ran: Ran = ended(ws(arguments).args(["--addr", &taken]).spawn().unwrap());
            ran.assert_fails_with(&[&taken, "something listens there already", "--addr"]);
        }
    }
}

#[test]
fn the_command_line_says_what_is_wrong_with_it() {
    for (arguments, words) in [
        (&["serve", "--addr", "localhost:8080"][..], "as in 127.0.0.1:8080"),
        (&["echo", "--max-message", "5MB"], "as in 64MiB"),
        (&["echo", "--threads", "0"], "1..=1024"),
        (&["connect"], "<URL>"),
        (&["conect"], "'connect'"),
    ] {
        let ran = ended(ws(arguments).spawn().unwrap());
        assert_eq!((ran.status, ran.stdout()), (Some(2), ""));
        assert!(ran.stderr.contains(words), "no {words:?} in {}", ran.stderr);
    }
}
