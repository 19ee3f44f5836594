//! What the event loop calls its handler with, and what becomes of what that sends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    sync::mpsc,
    time::Duration,
};

use support::{
    LONG, Note, Notes, OnMessage, Running, client, close, closed, dial, from_client, next, noting,
    opened, quiet, read_frame, read_frames, read_head, thread_number, wait_until_asleep,
};
use wsmio::{
    CloseCause, CloseCode, CloseInfo, Config, ConnectionId, Handler, Message, Peer,
    PreparedMessage, RemoteError, Sent, Server, Side, Timeout,
    opening::{Accept, Refusal, Request, ServerOptions},
};
use wstest::{handshake::request, reference::Frame};

fn options(config: Config) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.config = config.into();
    options
}

fn text(text: &str) -> Frame {
    Frame::new(1, text)
}

#[test]
fn a_handler_is_told_of_each_thing_once_and_in_order() {
    let (server, told) = noting(ServerOptions::default());
    let mut peer = client(server.addr);
    let frames = [
        text("one"),
        Frame::new(9, "ping"),
        Frame::new(2, "t").unfinished(),
        Frame::new(10, ""),
        Frame::new(0, "wo"),
        close(3000, "bye"),
        text("too late"),
    ];
    peer.write_all(&from_client(&frames)).unwrap();
    let written = read_frames(&mut peer);
    let expected = [text("one"), Frame::new(10, "ping"), Frame::new(2, "two"), close(3000, "")];
    assert_eq!(written, expected);
    drop(peer);
    server.stop();
    let notes: Vec<Note> = told.iter().collect();
    let [Note::Open(a), Note::Message(b, one), Note::Message(c, two), Note::Close(d, info)] =
        notes.as_slice()
    else {
        panic!("{notes:?}");
    };
    assert!(a == b && b == c && c == d);
    assert_eq!((one, two), (&"one".into(), &b"two".to_vec().into()));
    assert_eq!((info.code.get(), info.reason.as_str(), info.by), (3000, "bye", Side::Peer));
    assert!(info.clean);
}

/// A server of several rooms, whose name is the state.
struct Rooms(mpsc::Sender<String>);

impl Handler for Rooms {
    type State = String;

    fn upgrade(&mut self, request: &Request<'_, '_>, room: &mut String) -> Result<Accept, Refusal> {
        room.push_str(request.path());
        if request.path() == "/secret" {
            let mut refusal = Refusal::new(401, "who are you?\n");
            refusal.headers = vec![("WWW-Authenticate".into(), "Basic".into())];
            return Err(refusal);
        }
        let mut accept = Accept::default();
        if request.path() == "/own" {
            accept.subprotocol = request.subprotocols().last().map(str::to_owned);
        }
        accept.headers = vec![("Set-Cookie".into(), "a=b".into())];
        Ok(accept)
    }

    fn open(&mut self, peer: &mut Peer<'_, String>) {
        let ip = peer.addr().unwrap().ip();
        let greeting = format!("welcome to {} from {ip}", peer.state());
        assert_eq!(peer.send(&greeting), Sent::Sent);
    }

    fn message(&mut self, peer: &mut Peer<'_, String>, _: Message<'_>) {
        peer.state().push('!');
        peer.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(peer.send("too late"), Sent::Refused);
    }

    fn close(&mut self, _: ConnectionId, room: String, _: &CloseInfo) {
        self.0.send(room).unwrap();
    }
}

#[test]
fn an_upgrade_is_accepted_with_a_subprotocol_and_a_state_or_refused_with_a_status() {
    let (rooms, told) = mpsc::channel();
    let mut options = ServerOptions::default();
    options.subprotocols = vec!["b".into(), "c".into()];
    let server = Running::new(1, options, move || Rooms(rooms.clone()));
    for (path, subprotocol) in [("/any", "b"), ("/own", "c")] {
        let mut peer = dial(server.addr);
        let lines = [&format!("GET {path} HTTP/1.1"), "+Sec-WebSocket-Protocol: a, b, c"];
        peer.write_all(request(&lines).as_bytes()).unwrap();
        let head = read_head(&mut peer);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains(&format!("\r\nSec-WebSocket-Protocol: {subprotocol}\r\n")), "{head}");
        assert!(head.contains("\r\nSet-Cookie: a=b\r\n"), "{head}");
        let greeting = format!("welcome to {path} from 127.0.0.1");
        assert_eq!(read_frame(&mut peer), text(&greeting));
        peer.write_all(&from_client(&[text(""), close(1000, "")])).unwrap();
        assert_eq!(read_frames(&mut peer), [close(1000, "")]);
        drop(peer);
        assert_eq!(told.recv_timeout(LONG).unwrap(), format!("{path}!"));
    }
    let mut peer = dial(server.addr);
    peer.write_all(request(&["GET /secret HTTP/1.1"]).as_bytes()).unwrap();
    let mut response = String::new();
    peer.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
    assert!(response.contains("\r\nWWW-Authenticate: Basic\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nwho are you?\n"), "{response}");
    server.stop();
    assert!(told.try_recv().is_err(), "what was refused was not opened");
}

#[test]
fn what_is_sent_while_one_read_is_handled_stays_together_until_its_end() {
    let (queued, told) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let server = Running::new(1, ServerOptions::default(), move || {
        let (queued, gate) = (queued.clone(), gate.lock().unwrap().take().unwrap());
        OnMessage(move |peer: &mut Peer<'_, ()>, message: Message<'_>| {
            assert_eq!(peer.send(message), Sent::Sent);
            queued.send(peer.queued()).unwrap();
            if peer.queued() == 16 * 22 {
                gate.recv_timeout(LONG).unwrap();
            }
        })
    });
    let mut peer = client(server.addr);
    let frames: Vec<Frame> = (0..16).map(|n| Frame::new(2, vec![n; 20])).collect();
    peer.write_all(&from_client(&frames)).unwrap();
    for n in 1..=16 {
        assert_eq!(told.recv_timeout(LONG).unwrap(), n * 22);
    }
    // The last of them is still being handled: nothing has been written.
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    peer.set_nonblocking(false).unwrap();
    go.send(()).unwrap();
    for frame in frames {
        assert_eq!(read_frame(&mut peer), frame);
    }
}

#[test]
#[cfg(target_os = "linux")] // Elsewhere a reset may take back what has arrived.
fn what_a_peer_sent_before_it_was_gone_is_handled_though_no_answer_can_be_written() {
    /// Answers a message once it may, at length, and tells what it was called with.
    struct Answers {
        gate: mpsc::Receiver<()>,
        told: mpsc::Sender<String>,
    }

    impl Handler for Answers {
        type State = ();

        fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
            self.told.send(format!("{message:?}")).unwrap();
            let _ = self.gate.recv_timeout(LONG);
            let _ = peer.send(&vec![7; 1 << 20]);
            assert_eq!(peer.send("too late"), Sent::Refused);
        }

        fn close(&mut self, _: ConnectionId, (): (), info: &CloseInfo) {
            self.told.send(info.to_string()).unwrap();
        }
    }

    let closes = r#"closed by the peer: 1008 (policy violation) "no""#;
    let lost = "the connection was lost";
    for (last, end) in [(close(1008, "no"), closes), (Frame::new(9, ""), lost)] {
        let (told, notes) = mpsc::channel();
        let (go, gate) = mpsc::channel();
        let gate = std::sync::Mutex::new(Some(gate));
        let server = Running::new(1, ServerOptions::default(), move || Answers {
            gate: gate.lock().unwrap().take().unwrap(),
            told: told.clone(),
        });
        let mut peer = client(server.addr);
        peer.write_all(&from_client(&[text("one"), text("two"), last])).unwrap();
        let one = notes.recv_timeout(LONG).unwrap();
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        drop(go);
        let two = notes.recv_timeout(LONG).unwrap();
        assert_eq!([one, two], ["Text(\"one\")", "Text(\"two\")"]);
        assert_eq!(notes.recv_timeout(LONG).unwrap(), end);
    }
}

/// Sends messages of `len` bytes until one is refused, at first and once it is drained.
struct Flood {
    len: usize,
    sent: mpsc::Sender<Vec<(Sent, usize)>>,
}

impl Flood {
    fn flood(&self, peer: &mut Peer<'_, ()>) {
        let mut all = Vec::new();
        while all.last().is_none_or(|(sent, _)| *sent != Sent::Refused) {
            all.push((peer.send(&vec![7; self.len]), peer.queued()));
        }
        self.sent.send(all).unwrap();
    }
}

impl Handler for Flood {
    type State = ();

    fn message(&mut self, peer: &mut Peer<'_, ()>, _: Message<'_>) {
        self.flood(peer);
    }

    fn drain(&mut self, peer: &mut Peer<'_, ()>) {
        assert_eq!(peer.queued(), 0);
        self.flood(peer);
    }
}

#[test]
fn a_slow_peer_is_told_from_one_that_keeps_up_and_drain_tells_when_it_has_caught_up() {
    const LEN: usize = 60_000;
    const HIGH_WATER: usize = 400_000;
    let mut config = quiet();
    config.max_outgoing = HIGH_WATER;
    let (sent, told) = mpsc::channel();
    let make = move || Flood { len: LEN, sent: sent.clone() };
    let server = Running::new(1, options(config), make);
    let mut peer = client(server.addr);
    peer.write_all(&from_client(&[text("go")])).unwrap();
    // It fills what the system takes, then the queue; reads to the last byte; and that once more.
    for _ in 0..2 {
        let all = told.recv_timeout(LONG).unwrap();
        let kinds: Vec<u8> = all
            .iter()
            .map(|(sent, queued)| match sent {
                Sent::Sent => 0,
                Sent::Queued(bytes) => {
                    assert!(bytes == queued && *bytes < HIGH_WATER + LEN + 10, "{all:?}");
                    1
                }
                Sent::Refused => 2,
            })
            .collect();
        assert!(kinds.is_sorted(), "{all:?}");
        let queued = kinds.iter().filter(|kind| **kind == 1).count();
        // What is written together when the peer takes no more may be three of them.
        assert!(queued >= HIGH_WATER / LEN - 2, "{all:?}");
        let (_, last) = all.last().unwrap();
        assert!(*last >= HIGH_WATER, "{all:?}");
        for _ in 1..all.len() {
            assert_eq!(read_frame(&mut peer).payload.len(), LEN);
        }
    }
}

#[test]
fn drain_also_tells_of_messages_that_were_refused_though_the_peer_keeps_up() {
    let mut config = quiet();
    config.max_outgoing = 1000;
    let (sent, told) = mpsc::channel();
    let server = Running::new(1, options(config), move || Flood { len: 90, sent: sent.clone() });
    let mut peer = client(server.addr);
    peer.write_all(&from_client(&[text("go")])).unwrap();
    for _ in 0..100 {
        let all = told.recv_timeout(LONG).unwrap();
        assert!(all.len() <= 12, "{all:?}");
        for _ in 1..all.len() {
            assert_eq!(read_frame(&mut peer).payload.len(), 90);
        }
    }
}

#[test]
fn a_connection_that_always_has_more_to_send_leaves_the_others_their_turns() {
    let mut config = quiet();
    config.max_outgoing = 1000;
    let (sent, told) = mpsc::channel();
    let server = Running::new(1, options(config), move || Flood { len: 90, sent: sent.clone() });
    let mut greedy = client(server.addr);
    greedy.write_all(&from_client(&[text("go")])).unwrap();
    let mut reading = greedy.try_clone().unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    told.recv_timeout(LONG).unwrap();
    // A second one is accepted and served meanwhile.
    let mut other = client(server.addr);
    other.write_all(&from_client(&[text("go")])).unwrap();
    assert_eq!(read_frame(&mut other).payload.len(), 90);
    server.stop();
    let _ = reading.join().unwrap();
}

#[test]
fn a_peer_that_takes_nothing_is_closed_at_the_write_deadline() {
    let mut config = quiet();
    config.write_timeout = Duration::from_millis(50);
    let (notes, told) = mpsc::channel();
    let make = move || Notes { notes: notes.clone(), echo: true };
    let server = Running::new(1, options(config), make);
    let mut peer = client(server.addr);
    let id = opened(&told);
    // Its own echo is more than the system holds.
    peer.write_all(&from_client(&[Frame::new(2, vec![7; 12 << 20])])).unwrap();
    let (ended, info) = closed(&told);
    assert_eq!((ended, info.cause), (id, CloseCause::Timeout(Timeout::Write)));
    assert_eq!(server.remote.send(id, &PreparedMessage::new("x")), Err(RemoteError::Gone));
}

#[test]
fn a_silent_peer_gets_a_ping_and_is_lost() {
    let mut config = Config::default();
    config.keepalive = Some(Duration::from_millis(50));
    config.keepalive_timeout = Duration::from_millis(50);
    let (server, told) = noting(options(config));
    let mut peer = client(server.addr);
    assert_eq!(read_frame(&mut peer).opcode, 9);
    let (_, info) = closed(&told);
    assert_eq!(info.cause, CloseCause::Timeout(Timeout::Keepalive));
    assert!(read_frames(&mut peer).is_empty());
}

#[test]
fn a_peer_that_never_answers_a_close_frame_is_given_up() {
    let mut config = quiet();
    config.close_timeout = Duration::from_millis(50);
    let (server, told) = noting(options(config));
    let mut peer = client(server.addr);
    server.remote.close(opened(&told), CloseCode::NORMAL, "bye").unwrap();
    assert_eq!(read_frame(&mut peer), close(1000, "bye"));
    let (_, info) = closed(&told);
    assert_eq!(info.cause, CloseCause::Timeout(Timeout::Close));
}

#[test]
fn after_a_burst_of_more_than_one_turn_the_loop_sleeps() {
    let (number, numbers) = mpsc::channel();
    let server = Running::new(1, options(quiet()), move || {
        number.send(thread_number()).unwrap();
        OnMessage(|peer: &mut Peer<'_, ()>, message: Message<'_>| {
            if message.as_bytes() == b"last" {
                let _ = peer.send(message);
            }
        })
    });
    let mut peer = client(server.addr);
    let mut burst = from_client(&[Frame::new(2, vec![7; 300_000])]).repeat(200);
    burst.extend(from_client(&[Frame::new(2, "last")]));
    peer.write_all(&burst).unwrap();
    assert_eq!(read_frame(&mut peer).payload, b"last");
    wait_until_asleep(&numbers.recv().unwrap());
    assert!(matches!(next_is_nothing(&mut peer), Some(ErrorKind::WouldBlock)));
}

fn next_is_nothing(peer: &mut std::net::TcpStream) -> Option<ErrorKind> {
    peer.set_nonblocking(true).unwrap();
    peer.read(&mut [0]).err().map(|error| error.kind())
}

#[test]
fn a_large_message_is_echoed_whole_while_others_are_served() {
    let (server, told) = noting(options(quiet()));
    let mut large = client(server.addr);
    let mut small = client(server.addr);
    let frame = Frame::new(2, (0..8 << 20).map(|n: u32| (n % 251) as u8).collect::<Vec<u8>>());
    let bytes = from_client(std::slice::from_ref(&frame));
    let (start, end) = bytes.split_at(3 << 20);
    large.write_all(start).unwrap();
    small.write_all(&from_client(&[text("small")])).unwrap();
    assert_eq!(read_frame(&mut small), text("small"));
    large.write_all(end).unwrap();
    assert!(read_frame(&mut large) == frame);
    let _ = (opened(&told), next(&told));
}

#[test]
fn a_port_is_not_shared_with_another_server() {
    for threads in [1, 2] {
        let bind = |addr, threads| Server::bind_with(addr, threads, ServerOptions::default());
        let first = bind("127.0.0.1:0".parse().unwrap(), threads).unwrap();
        for threads in [1, 2] {
            let error = bind(first.local_addr(), threads).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
    }
}
