//! What `tracing` is told.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use support::{Script, close, finish, from_peer_of, socket};
use wsconn::Role;
use wstest::reference::Frame;
use wstokio::{CloseCode, Config};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs it, and gives what was told meanwhile.
fn told(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn the_opening_and_the_end_are_told_with_the_codes_of_both_sides() {
    let told = told(|| {
        let script = Script::pieces(&from_peer_of(Role::Server, &[close(1001, "")]), 100);
        let mut ws = socket(Role::Server, script.stream().0, Config::default());
        finish(ws.close(CloseCode::NORMAL, "bye")).unwrap();
        assert_eq!(ws.close_info().unwrap().answer, Some(CloseCode::GOING_AWAY));
    });
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("DEBUG websocket{role=Server}:"), "{told}");
    assert!(lines[0].ends_with("opened"), "{told}");
    assert!(lines[1].contains("closed code=1000 answer=1001 reason=\"bye\" by=Local"), "{told}");
    assert_eq!(lines.len(), 2, "{told}");
}

#[test]
fn a_limit_that_is_broken_is_a_warning_and_a_lost_stream_is_told() {
    let told = told(|| {
        let mut config = Config::default();
        config.max_message_size = 10;
        let bytes = from_peer_of(Role::Server, &[Frame::new(2, vec![0; 11])]);
        let mut ws = socket(Role::Server, Script::pieces(&bytes, 100).stream().0, config);
        assert!(finish(ws.recv()).unwrap().is_none());
        let mut ws = socket(Role::Client, Script::pieces(&[], 1).stream().0, Config::default());
        assert!(finish(ws.recv()).unwrap().is_none());
    });
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert!(lines[1].starts_with("WARN") && lines[1].contains("code=1009"), "{told}");
    assert!(lines[3].starts_with("INFO websocket{role=Client}:"), "{told}");
}

#[tokio::test]
async fn a_handshake_that_fails_is_told() {
    let (near, far) = tokio::io::duplex(100);
    drop(far);
    let lines = told(|| {
        let mut accepting = Box::pin(wstokio::accept(near));
        assert!(finish(&mut accepting).is_err());
    });
    assert!(lines.contains("INFO") && lines.contains("the opening handshake failed role=Server"));
}
