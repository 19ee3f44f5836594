//! `ws` over TLS: what it serves, whom it trusts, and what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
};

use support::{Server, run, ws};
use wstokio::{CloseCode, Connector, Message, opening::ClientOptions, tls};

fn secure(server: &Server, path: &str) -> String {
    server.url(path).replacen("ws://", "wss://", 1)
}

/// Files of a certificate for `name` and of its key, until this is dropped.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ws-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn lines_come_back_over_tls_from_a_certificate_that_is_trusted_by_file() {
    let files = Files::new("127.0.0.1");
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let echo = Server::start(&["echo", "--tls-cert", &cert, "--tls-key", &key]);
    let url = secure(&echo, "/");
    let transports: &[&str] = if cfg!(unix) { &["tokio", "mio"] } else { &["tokio"] };
    for transport in transports {
        let ran = run(&["connect", "--transport", transport, "--ca", &cert, &url], b"one\ntwo\n");
        assert_eq!(ran.stdout(), "one\ntwo\n", "{}", ran.stderr);
        assert_eq!(ran.stderr, "connected\nclosed by this side: 1000 (normal closure)\n");
        assert_eq!(ran.status, Some(0));
    }
}

#[test]
fn an_unknown_certificate_is_refused_unless_verification_is_off_which_is_told() {
    let echo = Server::start(&["echo", "--tls-self-signed"]);
    let url = secure(&echo, "/");
    let ca = Files::new("other.example");
    let ran = run(&["connect", "--ca", &ca.path("cert.pem"), &url], b"one\n");
    ran.assert_fails_with(&["the TLS handshake failed", "--ca", "--insecure"]);

    let ran = run(&["connect", "--insecure", &url], b"one\n");
    assert_eq!(ran.stdout(), "one\n", "{}", ran.stderr);
    assert!(ran.stderr.starts_with("--insecure: the server's certificate is not verified"));
    assert_eq!(ran.status, Some(0));
}

#[test]
fn plain_on_a_tls_port_and_tls_on_a_plain_port_say_which_url_to_give() {
    let echo = Server::start(&["echo", "--tls-self-signed"]);
    run(&["connect", &echo.url("/")], b"").assert_fails_with(&["wss://"]);
    let echo = Server::start(&["echo"]);
    let ran = run(&["connect", "--insecure", &secure(&echo, "/")], b"");
    assert!(ran.stderr.contains("does not speak TLS on this port"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ws://") && ran.status == Some(1), "{}", ran.stderr);
}

#[tokio::test]
async fn the_chat_is_served_over_tls() {
    let serve = Server::start(&["serve", "--tls-self-signed"]);
    let connector = Connector::default().tls(tls::client_config_without_verification());
    let mut ws = connector.connect(&secure(&serve, "/ws/lobby?nick=ada")).await.unwrap();
    assert!(matches!(ws.recv().await.unwrap(), Some(Message::Text(_))));
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(ws.close_info().unwrap().clean);
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let files = Files::new("localhost");
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let missing = files.path("none.pem");
    let serve = |cert: &str, key: &str| {
        run(&["serve", "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key], b"")
    };
    serve(&missing, &key).assert_fails_with(&["cannot read", "none.pem"]);
    serve(&key, &key).assert_fails_with(&["no certificate in the PEM"]);
    serve(&cert, &cert).assert_fails_with(&["no private key in the PEM"]);
    let ran = run(&["connect", "--ca", &key, "wss://127.0.0.1:1/"], b"");
    ran.assert_fails_with(&["key.pem", "no certificate in the PEM"]);
    assert_eq!(run(&["serve", "--tls-cert", &cert], b"").status, Some(2));
    assert_eq!(run(&["echo", "--tls-self-signed", "--tls-key", &key], b"").status, Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_ends_connect_quietly() {
    let echo = Server::start(&["echo"]);
    let mut child = ws(&["connect", "--linger", "60", &echo.url("/")])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::Write::write_all(&mut stdin, b"one\n").unwrap();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(stdout);
    // A process that another test starts holds a copy of the pipe until it runs its own program, so
    // that the first lines may still go into it.
    while std::io::Write::write_all(&mut stdin, b"two\n").is_ok() {}
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "connected\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn the_chat_over_tls_takes_rooms_over_http2_and_over_http_1_1() {
    let chat = Server::start(&["serve", "--tls-self-signed"]);
    let connector = || {
        let mut options = ClientOptions::default();
        options.subprotocols = vec!["chat.v1".into()];
        Connector::new(options).tls(tls::client_config_without_verification())
    };
    let url = secure(&chat, "/ws/garden?nick=ada");
    let http2 = connector().connect_http2(&url).await.unwrap();
    let mut ada = http2.open(&url).await.unwrap();
    let mut bob = connector().connect(&secure(&chat, "/ws/garden?nick=bob")).await.unwrap();
    assert_eq!((ada.subprotocol(), bob.subprotocol()), (Some("chat.v1"), Some("chat.v1")));
    bob.send(r#"{"type":"say","text":"hello"}"#).await.unwrap();
    loop {
        let message = ada.recv().await.unwrap().unwrap();
        if matches!(message, Message::Text(text) if text.contains("hello")) {
            break;
        }
    }
    let refused = http2.open(&secure(&chat, "/ws/no%20room")).await.err().unwrap();
    assert!(refused.to_string().contains("404"), "{refused}");
    ada.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(ada.close_info().unwrap().clean);
}

#[tokio::test]
async fn the_echo_server_speaks_no_http2() {
    let echo = Server::start(&["echo", "--tls-self-signed"]);
    let connector = Connector::default().tls(tls::client_config_without_verification());
    let error = connector.connect_http2(&secure(&echo, "/")).await.unwrap_err().to_string();
    assert!(error.starts_with("the server does not speak HTTP/2 here"), "{error}");
}

#[cfg(unix)]
#[test]
fn tls_is_refused_over_mio_before_a_certificate_is_made() {
    let ran = run(&["echo", "--transport", "mio", "--tls-self-signed"], b"");
    ran.assert_fails_with(&["TLS is for --transport tokio only"]);
}
