//! Every I/O operation of a session fails once, and the stream ends at every byte (HAZARDS I).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::TcpStream,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use support::{LONG, Pair, ROLES, close, from_peer_of, quiet, socket};
use wsconn::{OwnedMessage, Role};
use wsmio::{CloseCause, CloseCode, CloseInfo, Error, Side, Stream, WebSocket};
use wstest::{
    reference::{self, Frame},
    reset,
};

/// How a [`Faulty`] stream behaves.
#[derive(Clone, Copy, Debug)]
struct Faults {
    /// Which operation fails, and with what. If that is not `Interrupted`, so do all behind it.
    fail: Option<(usize, ErrorKind)>,
    /// The most bytes that one read or write takes.
    most: usize,
    /// Whether the peer answers a close frame.
    answers: bool,
}

/// What a [`Faulty`] stream has seen.
#[derive(Debug, Default)]
struct Seen {
    operations: usize,
    written: Vec<u8>,
    shut: bool,
    dropped: bool,
    /// The first operation failed for good.
    failed: bool,
}

/// A Unix socket with its peer inside: what is written ends up in [`Seen`], and when that is a close
/// frame the peer answers it.
struct Faulty {
    inner: UnixStream,
    peer: UnixStream,
    role: Role,
    faults: Faults,
    seen: Arc<Mutex<Seen>>,
}

impl Faulty {
    /// A stream that gives `input`, and then ends if the peer does not answer a close frame later.
    fn new(role: Role, faults: Faults, input: &[u8]) -> (Self, Arc<Mutex<Seen>>) {
        let (inner, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(input).unwrap();
        if !faults.answers {
            Stream::shutdown_write(&mut peer).unwrap();
        }
        let seen = Arc::<Mutex<Seen>>::default();
        (Self { inner, peer, role, faults, seen: seen.clone() }, seen)
    }

    /// Before an operation that does not block.
    fn enter(&self) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap();
        let at = seen.operations;
        assert!(at < 200_000, "an endless loop");
        seen.operations += 1;
        match self.faults.fail {
            _ if seen.failed => Err(ErrorKind::BrokenPipe.into()),
            Some((n, kind)) if n == at => {
                seen.failed = kind != ErrorKind::Interrupted;
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }
}

impl Read for Faulty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.enter()?;
        let most = self.faults.most.min(buffer.len());
        let result = self.inner.read(&mut buffer[..most]);
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            // How often one looks in vain is not counted.
            self.seen.lock().unwrap().operations -= 1;
        }
        result
    }
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.enter()?;
        let mut seen = self.seen.lock().unwrap();
        assert!(!seen.shut, "a write after the shutdown");
        let before = seen.written.len();
        for slice in slices {
            let room = self.faults.most - (seen.written.len() - before);
            seen.written.extend(&slice[..slice.len().min(room)]);
        }
        if self.faults.answers && ends_with_close(&seen.written) {
            self.faults.answers = false;
            self.peer.write_all(&from_peer_of(self.role, &[close(1000, "")])).unwrap();
            Stream::shutdown_write(&mut self.peer).unwrap();
        }
        Ok(seen.written.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.enter()
    }
}

fn ends_with_close(written: &[u8]) -> bool {
    let frame = |len: usize| &written[written.len().saturating_sub(len)..];
    frame(4).starts_with(&[0x88, 2, 3]) || frame(8).starts_with(&[0x88, 0x82])
}

impl AsRawFd for Faulty {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl Stream for Faulty {
    fn set_nonblocking(&self) -> io::Result<()> {
        Stream::set_nonblocking(&self.inner)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.enter()?;
        self.seen.lock().unwrap().shut = true;
        Ok(())
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.seen.lock().unwrap().dropped = true;
    }
}

/// What the application saw of a session.
#[derive(Debug, Default)]
struct Log {
    messages: Vec<OwnedMessage>,
    /// Every `Error::Io`.
    failures: Vec<ErrorKind>,
    info: Option<CloseInfo>,
}

impl Log {
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Error::Io(error)) => self.failures.push(error.kind()),
            // What any call that sends says after the end.
            Err(Error::Closed) => {}
            Err(error) => panic!("no other error is due: {error}"),
        }
        None
    }
}

/// What the application does with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    /// Echoes until the peer closes.
    Echo,
    /// Sends, receives as much, closes.
    Talk,
    /// Two threads, the same.
    Split,
    /// The sending half alone.
    SendOnly,
}

const SESSIONS: [Session; 4] = [Session::Echo, Session::Talk, Session::Split, Session::SendOnly];

const LARGE: usize = 40_000;

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

fn echo(ws: &mut WebSocket<Faulty>, log: &mut Log) {
    let (rx, tx) = ws.halves();
    loop {
        match rx.recv() {
            Ok(Some(message)) => {
                log.messages.push(message.to_owned());
                log.note(tx.feed(message));
            }
            Ok(None) => return,
            Err(error) => drop(log.note::<()>(Err(error))),
        }
    }
}

fn talk(ws: &mut WebSocket<Faulty>, log: &mut Log) {
    for message in &messages() {
        log.note(ws.send(message));
        let received = ws.recv().map(|message| message.map(|message| message.to_owned()));
        let received = log.note(received).flatten();
        log.messages.extend(received);
    }
    log.note(ws.close(CloseCode::NORMAL, ""));
}

fn split(ws: WebSocket<Faulty>, log: &mut Log) -> WebSocket<Faulty> {
    let (mut rx, mut tx) = ws.split();
    let receiving = thread::spawn(move || {
        let mut log = Log::default();
        loop {
            let received = rx.recv().map(|message| message.map(|message| message.to_owned()));
            match log.note(received) {
                Some(Some(message)) => log.messages.push(message),
                Some(None) => return (rx, log),
                None => {}
            }
        }
    });
    for message in &messages() {
        log.note(tx.send(message));
    }
    log.note(tx.close(CloseCode::NORMAL, ""));
    let (rx, received) = receiving.join().unwrap();
    log.failures.extend(received.failures);
    log.messages = received.messages;
    rx.reunite(tx).ok().unwrap()
}

fn send_only(ws: WebSocket<Faulty>, log: &mut Log) {
    let (rx, mut tx) = ws.split();
    drop(rx);
    for message in &messages() {
        log.note(tx.send(message));
    }
    log.note(tx.close(CloseCode::NORMAL, ""));
    log.note(tx.flush());
    assert!(matches!(tx.send("more"), Err(Error::Closed)));
    log.info = tx.close_info().cloned();
}

/// Runs a session to its end, and some calls after it.
fn run(session: Session, role: Role, faults: Faults, input: &[u8]) -> (Log, Arc<Mutex<Seen>>) {
    let (stream, seen) = Faulty::new(role, faults, input);
    let mut ws = socket(role, stream, quiet());
    let mut log = Log::default();
    match session {
        Session::Echo => echo(&mut ws, &mut log),
        Session::Talk => talk(&mut ws, &mut log),
        Session::Split => ws = split(ws, &mut log),
        Session::SendOnly => {
            send_only(ws, &mut log);
            return (log, seen);
        }
    }
    for _ in 0..2 {
        assert!(ws.recv().unwrap().is_none(), "after the end");
        assert!(ws.recv_chunk().unwrap().is_none(), "after the end");
        assert!(matches!(ws.send("more"), Err(Error::Closed)), "after the end");
        assert!(matches!(ws.feed("more"), Err(Error::Closed)), "after the end");
        assert!(matches!(ws.ping(b""), Err(Error::Closed)), "after the end");
        ws.close(CloseCode::NORMAL, "").unwrap();
    }
    log.info = ws.close_info().cloned();
    (log, seen)
}

/// All sessions with what their peer sends.
fn variants() -> impl Iterator<Item = (Session, Role, Faults, Vec<u8>)> {
    let all = SESSIONS.into_iter().flat_map(|session| ROLES.map(|role| (session, role)));
    all.map(|(session, role)| {
        let answers = session != Session::Echo;
        let mut input = from_peer_of(role, &frames());
        if !answers {
            input.extend(from_peer_of(role, &[close(1000, "")]));
        }
        (session, role, Faults { fail: None, most: 15_000, answers }, input)
    })
}

#[test]
fn every_session_is_clean_if_nothing_fails_whatever_a_read_or_write_takes() {
    for (session, role, faults, input) in variants() {
        for most in [1, 7, usize::MAX] {
            let (log, seen) = run(session, role, Faults { most, ..faults }, &input);
            let case = format!("{session:?} {role:?} {most}: {:?}", log.info);
            assert_eq!(log.failures, [], "{case}");
            assert!(log.info.unwrap().clean, "{case}");
            if session != Session::SendOnly {
                assert!(log.messages == messages(), "{case}");
            }
            let seen = seen.lock().unwrap();
            assert!(seen.shut && seen.dropped, "{case}");
            reference::decode(&seen.written);
        }
    }
}

#[test]
fn when_any_operation_fails_there_is_exactly_one_verdict() {
    for (session, role, faults, input) in variants() {
        for kind in [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe] {
            for n in 0.. {
                let faults = Faults { fail: Some((n, kind)), ..faults };
                let (log, seen) = run(session, role, faults, &input);
                let (info, seen) = (log.info.unwrap(), seen.lock().unwrap());
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
                assert!(seen.operations <= n + 3 || info.clean, "{case}");
                assert!(seen.dropped, "{case}");
                if !seen.failed {
                    assert!(info.clean && n > 8, "{case}");
                    break;
                }
            }
        }
    }
}

#[test]
fn an_interrupted_operation_is_done_again_and_nobody_sees_it() {
    for (session, role, faults, input) in variants() {
        let (untouched, seen) = run(session, role, faults, &input);
        let operations = seen.lock().unwrap().operations;
        for n in 0..operations {
            let faults = Faults { fail: Some((n, ErrorKind::Interrupted)), ..faults };
            let (log, seen) = run(session, role, faults, &input);
            let case = format!("{session:?} {role:?}, operation {n}: {:?}", log.info);
            assert_eq!((&log.failures, &log.info), (&vec![], &untouched.info), "{case}");
            assert!(log.messages == untouched.messages, "{case}");
            let seen = seen.lock().unwrap();
            assert!(seen.shut && seen.dropped, "{case}");
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
            for most in [1, 50] {
                let faults = Faults { fail: None, most, answers: false };
                let (log, seen) = run(Session::Echo, role, faults, &input[..len]);
                let info = log.info.unwrap();
                let case = format!("{role:?}, {len} of {} bytes: {info}", input.len());
                assert_eq!(log.failures, [], "{case}");
                assert_eq!(info.clean, len == input.len(), "{case}");
                if info.clean {
                    let frames = reference::decode(&seen.lock().unwrap().written);
                    assert_eq!(frames.last().map(|frame| frame.opcode), Some(8), "{case}");
                } else {
                    assert_eq!((info.cause, info.code.get()), (CloseCause::Eof, 1006), "{case}");
                }
            }
        }
    }
}

#[test]
fn an_end_that_is_told_together_with_the_last_bytes_is_seen() {
    for role in ROLES {
        let (stream, mut peer) = <TcpStream as Pair>::pair();
        let mut ws = socket(role, stream, quiet());
        let bytes = from_peer_of(role, &[Frame::new(1, "one"), Frame::new(1, "two")]);
        let first = bytes.len() / 2;
        peer.write_all(&bytes[..first]).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("one".into()));
        // It knows that there is nothing to read, and does not look again before it is told.
        ws.set_read_timeout(Some(Duration::ZERO));
        assert!(matches!(ws.recv(), Err(Error::Io(_))));
        // A part of a frame and the end are told at once.
        peer.write_all(&bytes[first..first + 3]).unwrap();
        Stream::shutdown_write(&mut peer).unwrap();
        ws.set_read_timeout(None);
        let (telling, told) = mpsc::channel();
        thread::spawn(move || {
            assert_eq!(ws.recv().unwrap(), None);
            telling.send(ws.close_info().cloned()).unwrap();
        });
        let info = told.recv_timeout(LONG).expect("it waits for more");
        assert_eq!(info.unwrap().cause, CloseCause::Eof);
    }
}

#[test]
fn class_i_a_reset_at_any_byte_over_tcp_is_one_verdict() {
    for role in ROLES {
        let session = reset::Session::of(role);
        for len in 0..=session.input.len() {
            let (stream, mut peer) = <TcpStream as Pair>::pair();
            peer.write_all(&session.input[..len]).unwrap();
            // What was written goes out first, and then a reset instead of an end.
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            let mut ws = socket(role, stream, quiet());
            let mut log = Log::default();
            loop {
                match ws.recv() {
                    Ok(Some(message)) => log.messages.push(message.to_owned()),
                    Ok(None) => break,
                    Err(error) => drop(log.note::<()>(Err(error))),
                }
            }
            let info = ws.close_info().unwrap();
            session.assert_verdict(len, &log.messages, info, log.failures.len());
            assert!(ws.recv().unwrap().is_none(), "{role:?}, {len} bytes");
        }
    }
}
