//! Every I/O operation of a session fails once, and the stream ends at every byte (HAZARDS I).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{io::ErrorKind, time::Duration};

use support::{
    Handle, Pending, Piece, Polled, ROLES, Script, Scripted, close, finish, from_peer_of,
    poll_n_then_drop, runtime, socket,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use wsconn::{OwnedMessage, Role};
use wstest::{
    reference::{self, Frame},
    reset,
};
use wstokio::{
    CloseCause, CloseCode, CloseInfo, Config, Connector, Error, MaybeTls, Side, WebSocket,
};

/// What the application saw of a session.
#[derive(Debug, Default)]
struct Log {
    messages: Vec<OwnedMessage>,
    /// Every `Error::Io`.
    failures: Vec<ErrorKind>,
    info: Option<CloseInfo>,
}

impl Log {
    fn error(&mut self, error: Error) {
        match error {
            Error::Io(error) => self.failures.push(error.kind()),
            // What any call that sends says after the end.
            Error::Closed => {}
            error => panic!("no other error is due: {error}"),
        }
    }

    fn note<T>(&mut self, result: Result<T, Error>) {
        if let Err(error) = result {
            self.error(error);
        }
    }
}

type Socket = WebSocket<Scripted>;

/// What the application does with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// Echoes until the end.
    Echo,
    /// Sends, receives as much, closes.
    Talk,
    /// Two halves at once, the same.
    Split,
    /// The sending half alone.
    SendOnly,
}

const SESSIONS: [Session; 4] = [Session::Echo, Session::Talk, Session::Split, Session::SendOnly];

const LARGE: usize = 40_000;

/// What the peer sends: all at once, but its close frame.
fn frames() -> [Frame; 5] {
    [
        Frame::new(1, "one"),
        Frame::new(9, "ping"),
        Frame::new(2, vec![1; 100]).unfinished(),
        Frame::new(0, vec![1; 200]),
        Frame::new(2, vec![2; LARGE]),
    ]
}

fn messages() -> [OwnedMessage; 3] {
    ["one".into(), vec![1; 300].into(), vec![2; LARGE].into()]
}

impl Session {
    fn script(self, role: Role) -> Script {
        let bytes = from_peer_of(role, &frames());
        let mut script = Script::pieces(&bytes, 15_000);
        if self != Self::Echo {
            script.input.push(Piece::AfterClose);
        }
        script.input.push(Piece::Bytes(from_peer_of(role, &[close(1000, "")])));
        script.write_max = 25_000;
        script
    }

    async fn run(self, ws: Socket, log: &mut Log) -> Option<Socket> {
        match self {
            Self::Echo => Some(echo(ws, log).await),
            Self::Talk => Some(talk(ws, log).await),
            Self::Split => Some(split(ws, log).await),
            Self::SendOnly => {
                let (rx, mut tx) = ws.split();
                drop(rx);
                for message in &messages() {
                    log.note(tx.send(message).await);
                }
                log.note(tx.close(CloseCode::NORMAL, "").await);
                log.note(tx.flush().await);
                assert!(matches!(tx.send("more").await, Err(Error::Closed)));
                log.info = tx.close_info().cloned();
                None
            }
        }
    }
}

async fn echo(mut ws: Socket, log: &mut Log) -> Socket {
    let (rx, tx) = ws.halves();
    loop {
        match rx.recv().await {
            Ok(Some(message)) => {
                log.messages.push(message.to_owned());
                log.note(tx.feed(message).await);
            }
            Ok(None) => return ws,
            Err(error) => log.error(error),
        }
    }
}

async fn talk(mut ws: Socket, log: &mut Log) -> Socket {
    for message in &messages() {
        log.note(ws.send(message).await);
        match ws.recv().await {
            Ok(Some(message)) => log.messages.push(message.to_owned()),
            Ok(None) => {}
            Err(error) => log.error(error),
        }
    }
    log.note(ws.close(CloseCode::NORMAL, "").await);
    ws
}

async fn split(ws: Socket, log: &mut Log) -> Socket {
    let (mut rx, mut tx) = ws.split();
    let mut sent = Log::default();
    let receive = async {
        loop {
            match rx.recv().await {
                Ok(Some(message)) => log.messages.push(message.to_owned()),
                Ok(None) => break,
                Err(error) => log.error(error),
            }
        }
    };
    let send = async {
        for message in &messages() {
            sent.note(tx.send(message).await);
        }
        sent.note(tx.close(CloseCode::NORMAL, "").await);
    };
    tokio::join!(receive, send);
    log.failures.extend(sent.failures);
    rx.reunite(tx).ok().unwrap()
}

/// Runs a session to its end, and some calls after it.
fn run(session: Session, role: Role, script: Script) -> (Log, Handle) {
    let (stream, handle) = script.stream();
    let mut log = Log::default();
    let whole = async {
        let ws = socket(role, stream, Config::default());
        if let Some(mut ws) = session.run(ws, &mut log).await {
            for _ in 0..2 {
                assert!(ws.recv().await.unwrap().is_none(), "after the end");
                assert!(ws.recv_chunk().await.unwrap().is_none(), "after the end");
                assert!(matches!(ws.send("more").await, Err(Error::Closed)), "after the end");
                assert!(matches!(ws.feed("more").await, Err(Error::Closed)), "after the end");
                assert!(matches!(ws.ping(b"").await, Err(Error::Closed)), "after the end");
                ws.close(CloseCode::NORMAL, "").await.unwrap();
            }
            log.info = ws.close_info().cloned();
        }
    };
    // The clock goes on when all wait: this is no time, but a hang.
    let hour = Duration::from_secs(3600);
    runtime().block_on(async { tokio::time::timeout(hour, whole).await }).expect("it hangs");
    (log, handle)
}

fn variants() -> impl Iterator<Item = (Session, Role, Script)> {
    let all = SESSIONS.into_iter().flat_map(|session| ROLES.map(|role| (session, role)));
    all.flat_map(|(session, role)| {
        [Pending::default(), Pending::ALL].map(|pending| {
            let script = Script { pending, ..session.script(role) };
            (session, role, script)
        })
    })
}

#[test]
fn every_session_is_clean_if_nothing_fails() {
    for (session, role, script) in variants() {
        let script_waits = script.pending.flushes;
        let (log, handle) = run(session, role, script);
        let case = format!("{session:?} {role:?}: {:?}", log.info);
        assert_eq!(log.failures, [], "{case}");
        assert!(log.info.unwrap().clean, "{case}");
        if session != Session::SendOnly {
            assert!(log.messages == messages(), "{case}");
        }
        let seen = handle.seen();
        // A shutdown that would have to wait, when all is over, is not waited for.
        assert!(seen.shut || script_waits, "{case}");
        assert!(seen.dropped && seen.operations() > 8, "{case}");
        reference::decode(&seen.written);
    }
}

#[test]
fn when_any_operation_fails_there_is_exactly_one_verdict() {
    for (session, role, script) in variants() {
        for kind in [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe] {
            for n in 0.. {
                let script = Script { fail: Some((n, kind)), ..script.clone() };
                let (log, handle) = run(session, role, script);
                let (info, seen) = (log.info.unwrap(), handle.seen());
                let case = format!("{session:?} {role:?}, {kind} at operation {n}: {info}");
                if info.clean {
                    // It failed only when the peer's close frame had been seen, or not at all.
                    assert_eq!((info.cause, info.code.get()), (CloseCause::Handshake, 1000));
                    assert_eq!(log.failures, [], "{case}");
                    assert_eq!(info.by == Side::Peer, session == Session::Echo, "{case}");
                } else {
                    assert_eq!(log.failures, [kind], "{case}");
                    assert_eq!((info.cause, info.code.get()), (CloseCause::Transport, 1006));
                    assert_eq!(info.by, Side::Peer, "{case}");
                }
                assert!(messages().starts_with(&log.messages), "{case}");
                // Nothing is tried again and again: one more at most, to end the stream.
                assert!(seen.operations() <= n + 3 || info.clean, "{case}: {seen:?}");
                assert!(seen.dropped, "{case}");
                if seen.operations() <= n {
                    break;
                }
            }
        }
    }
}

#[test]
fn an_interrupted_operation_is_done_again_and_nobody_sees_it() {
    for (session, role, script) in variants() {
        let script_waits = script.pending.flushes;
        let (untouched, handle) = run(session, role, script.clone());
        let operations = handle.seen().operations();
        for n in 0..operations {
            let script = Script { fail: Some((n, ErrorKind::Interrupted)), ..script.clone() };
            let (log, handle) = run(session, role, script);
            let case =
                format!("{session:?} {role:?}, operation {n} of {operations}: {:?}", log.info);
            assert_eq!((&log.failures, &log.info), (&untouched.failures, &untouched.info));
            assert!(log.messages == untouched.messages, "{case}");
            let seen = handle.seen();
            assert!(seen.shut || script_waits, "{case}");
            assert!(seen.operations() > n, "{case}");
            reference::decode(&seen.written);
        }
    }
}

#[test]
fn the_end_of_the_stream_is_clean_only_behind_both_close_frames() {
    for role in ROLES {
        let mut sent = frames();
        sent[4] = Frame::new(2, "last");
        let mut input = from_peer_of(role, &sent);
        input.extend(from_peer_of(role, &[close(1000, "bye")]));
        for len in 0..=input.len() {
            for pending in [Pending::default(), Pending::ALL] {
                let script = Script { pending, ..Script::pieces(&input[..len], 50) };
                let (log, handle) = run(Session::Echo, role, script);
                let info = log.info.unwrap();
                let case = format!("{role:?}, {len} of {} bytes: {info}", input.len());
                assert_eq!(log.failures, [], "{case}");
                assert_eq!(info.clean, len == input.len(), "{case}");
                if info.clean {
                    let frames = reference::decode(&handle.seen().written);
                    assert_eq!(frames.last().map(|frame| frame.opcode), Some(8), "{case}");
                } else {
                    assert_eq!((info.cause, info.code.get()), (CloseCause::Eof, 1006), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_message_that_could_not_be_written_is_not_said_to_be_sent() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for len in [10, LARGE] {
            let fail = Some((0, ErrorKind::ConnectionReset));
            let (stream, handle) = Script { window: 0, fail, ..Script::default() }.stream();
            let (mut rx, mut tx) = socket(role, stream, Config::default()).split();
            let payload = vec![1; len];
            let mut send = std::pin::pin!(tx.send(&payload));
            assert!(poll_n_then_drop(send.as_mut(), 2).ready().is_none());
            // The receiving half is the one to be told how the connection ended.
            handle.push(b"");
            assert!(matches!(finish(rx.recv()), Err(Error::Io(_))));
            let sent = poll_n_then_drop(send.as_mut(), 2);
            assert!(matches!(sent, Polled::Ready(Err(Error::Closed))), "{sent:?}");
        }
    }
}

/// Runs an opening handshake to its end.
fn handshake(role: Role, script: &Script) -> (Result<(), Error>, Handle) {
    let (stream, handle) = script.clone().stream();
    let connecting = async {
        let ws = match role {
            Role::Server => wstokio::accept(MaybeTls::Plain(stream)).await?,
            Role::Client => Connector::default().connect_stream(stream, "ws://a/").await?,
        };
        assert!(ws.close_info().is_none());
        Ok(())
    };
    let hour = Duration::from_secs(3600);
    let result = runtime().block_on(async { tokio::time::timeout(hour, connecting).await });
    (result.expect("it hangs"), handle)
}

fn handshake_script(role: Role, pending: Pending) -> Script {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let input = match role {
        Role::Server => vec![Piece::Bytes(request.to_vec())],
        Role::Client => vec![Piece::Upgrade(Vec::new())],
    };
    Script { input, ends: true, pending, read_max: 20, write_max: 30, ..Script::default() }
}

#[test]
fn an_opening_handshake_that_fails_at_any_operation_says_so_and_one_interrupted_goes_on() {
    for role in ROLES {
        for pending in [Pending::default(), Pending::ALL] {
            let script = handshake_script(role, pending);
            let (result, handle) = handshake(role, &script);
            result.unwrap();
            let operations = handle.seen().operations();
            assert!(operations > 8, "{operations}");
            for n in 0..operations {
                let fail = Some((n, ErrorKind::ConnectionReset));
                let (result, handle) = handshake(role, &Script { fail, ..script.clone() });
                let error = result.unwrap_err();
                let reset = matches!(&error, Error::Io(error) if error.kind() == ErrorKind::ConnectionReset);
                assert!(reset, "{role:?}, operation {n}: {error:?}");
                assert!(handle.seen().dropped);
                let fail = Some((n, ErrorKind::Interrupted));
                let (result, _) = handshake(role, &Script { fail, ..script.clone() });
                result.unwrap_or_else(|error| panic!("{role:?}, operation {n}: {error}"));
            }
        }
    }
}

#[test]
fn an_opening_handshake_that_ends_at_any_byte_says_so() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    for (role, head) in [(Role::Server, &request[..]), (Role::Client, response)] {
        for len in 0..head.len() {
            let script = Script::pieces(&head[..len], 10);
            let error = handshake(role, &script).0.unwrap_err();
            let eof = "the peer ended the connection during the opening handshake";
            assert_eq!(error.to_string(), eof, "{role:?}, {len} bytes");
        }
    }
}

#[tokio::test]
async fn class_i_a_reset_at_any_byte_over_tcp_is_one_verdict() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for role in ROLES {
        let session = reset::Session::of(role);
        for len in 0..=session.input.len() {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            peer.write_all(&session.input[..len]).await.unwrap();
            // What was written goes out first, and then a reset instead of an end.
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            let mut ws = socket(role, stream, Config::default());
            let mut log = Log::default();
            loop {
                match ws.recv().await {
                    Ok(Some(message)) => log.messages.push(message.to_owned()),
                    Ok(None) => break,
                    Err(error) => log.error(error),
                }
            }
            let info = ws.close_info().unwrap();
            session.assert_verdict(len, &log.messages, info, log.failures.len());
            assert!(ws.recv().await.unwrap().is_none(), "{role:?}, {len} bytes");
        }
    }
}
