//! Contract *Cancel safety* of closing, and of the opening handshake.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::future::Future;

use support::{
    Handle, Pending, Piece, Polled, ROLES, Script, Scripted, close, finish, from_peer_of,
    poll_n_then_drop, read_by_peer, runtime, socket,
};
use wsconn::Role;
use wstest::reference::{self, Frame};
use wstokio::{CloseCause, CloseCode, Config, Error, Message, Side, WebSocket};

/// What is sent first.
const BEFORE: &[u8; 6] = b"before";

/// A stream whose peer answers the close frame that follows "before", and the answer.
fn closing_peer(role: Role) -> Script {
    let mask = if role == Role::Client { 4 } else { 0 };
    let before_and_close = 2 + mask + BEFORE.len() + 2 + mask + 5;
    let late = from_peer_of(role, &[Frame::new(1, "late"), Frame::new(9, "ping")]);
    let answer = from_peer_of(role, &[close(1001, "")]);
    let input =
        vec![Piece::Bytes(late), Piece::AfterWritten(before_and_close), Piece::Bytes(answer)];
    Script { input, ends: true, pending: Pending::ALL, write_max: 1, ..Script::default() }
}

fn check_closed(role: Role, ws: &WebSocket<Scripted>, handle: &Handle, case: &str) {
    let info = ws.close_info().unwrap();
    assert!(info.clean && info.by == Side::Local, "{case}: {info:?}");
    assert_eq!((info.cause, info.code.get()), (CloseCause::Handshake, 1001), "{case}");
    assert_eq!(info.reason, "end", "{case}");
    let frames = reference::decode(&handle.seen().written);
    let opcodes: Vec<_> = frames.iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [2, 8], "{case}");
    assert_eq!(frames[1].payload, close(1001, "end").payload, "{case}");
    read_by_peer(role, &handle.seen().written);
}

#[test]
fn cancel_safety_of_closing() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for then_receive in [false, true] {
            for n in 1.. {
                let case = format!("{role:?}, close dropped after {n} polls, {then_receive}");
                let (stream, handle) = closing_peer(role).stream();
                let mut ws = socket(role, stream, Config::default());
                finish(ws.feed(BEFORE)).unwrap();
                let first = poll_n_then_drop(ws.close(CloseCode::GOING_AWAY, "end"), n);
                assert!(!matches!(finish(ws.send("no")), Ok(())), "{case}: closing has begun");
                if then_receive {
                    while let Some(message) = finish(ws.recv()).unwrap() {
                        assert_eq!(message, Message::Text("late"), "{case}");
                    }
                } else {
                    finish(ws.close(CloseCode::NORMAL, "not this")).unwrap();
                }
                check_closed(role, &ws, &handle, &case);
                if let Polled::Ready(result) = first {
                    result.unwrap();
                    break;
                }
            }
        }
    }
}

#[test]
fn the_closing_of_a_sending_half_is_cancel_safe() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for n in 1.. {
            let case = format!("{role:?}, close dropped after {n} polls");
            let (stream, handle) = closing_peer(role).stream();
            let (rx, mut tx) = socket(role, stream, Config::default()).split();
            drop(rx);
            finish(tx.feed(BEFORE)).unwrap();
            let first = poll_n_then_drop(tx.close(CloseCode::GOING_AWAY, "end"), n);
            finish(tx.close(CloseCode::NORMAL, "not this")).unwrap();
            assert!(tx.close_info().unwrap().clean, "{case}");
            let frames = reference::decode(&handle.seen().written);
            let last = frames.last().unwrap();
            assert_eq!((last.opcode, &last.payload), (8, &close(1001, "end").payload), "{case}");
            if let Polled::Ready(result) = first {
                result.unwrap();
                break;
            }
        }
    }
}

/// Drops a handshake after every number of polls: the stream must be gone with it.
fn drop_handshake<F, T>(script: &Script, handshake: impl Fn(Scripted) -> F)
where
    F: Future<Output = Result<T, Error>>,
{
    for n in 0.. {
        let (stream, handle) = script.clone().stream();
        match poll_n_then_drop(handshake(stream), n) {
            Polled::Ready(result) => {
                result.map(drop).unwrap();
                assert!(n > 10, "it was dropped only {n} times");
                assert!(handle.seen().dropped);
                return;
            }
            Polled::Dropped => assert!(handle.seen().dropped, "after {n} polls"),
            Polled::Waits => panic!("after {n} polls it waits, and nothing will wake it"),
        }
    }
}

#[test]
fn a_handshake_that_is_dropped_drops_its_stream() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let script = Script { pending: Pending::ALL, write_max: 5, ..Script::pieces(request, 3) };
    drop_handshake(&script, wstokio::accept);

    let input = vec![Piece::Upgrade(Vec::new())];
    let script = Script { input, pending: Pending::ALL, write_max: 5, read_max: 3, ..script };
    drop_handshake(&script, |stream| async {
        wstokio::Connector::default().connect_stream(stream, "ws://a/").await
    });
}
