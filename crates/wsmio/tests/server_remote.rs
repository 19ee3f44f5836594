//! What other threads ask of a server's loops: to send, to broadcast, to close, to stop.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use support::{
    LONG, Note, Notes, OnMessage, Running, client, close, closed, dial, from_client, noting,
    opened, quiet, read_frame, read_frames, wait_until,
};
use wsmio::{
    CloseCause, CloseCode, CloseInfo, ConnectionId, Handler, Message, Peer, PreparedMessage,
    Remote,
    RemoteError::{self, Full, Gone},
    Server, Side,
    opening::ServerOptions,
};
use wstest::reference::Frame;

fn binary(bytes: &[u8]) -> PreparedMessage {
    PreparedMessage::new(bytes)
}

/// Which loop a connection is in.
fn in_loop(id: ConnectionId) -> String {
    format!("{id:?}").split(':').next().unwrap().to_owned()
}

/// Which slot of its loop.
fn slot(id: ConnectionId) -> String {
    format!("{id:?}").split('.').next().unwrap().to_owned()
}

#[test]
fn messages_of_many_threads_reach_the_connections_of_all_loops() {
    const THREADS: u8 = 4;
    const EACH: u8 = 50;
    let (notes, told) = mpsc::channel();
    let make = move || Notes { notes: notes.clone(), echo: true };
    let server = Running::new(3, ServerOptions::default(), make);
    let mut clients: Vec<(TcpStream, ConnectionId)> = Vec::new();
    for _ in 0..30 {
        let peer = client(server.addr);
        clients.push((peer, opened(&told)));
    }
    let ids: Vec<ConnectionId> = clients.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 30);
    let loops: HashSet<String> = ids.iter().map(|id| in_loop(*id)).collect();
    assert!(loops.len() > 1, "the system shares them out: {loops:?}");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (remote, ids) = (server.remote.clone(), &ids);
            scope.spawn(move || {
                for n in 0..EACH {
                    for (id, to) in ids.iter().zip(0..) {
                        remote.send(*id, &binary(&[to, thread, n])).unwrap();
                    }
                }
                remote.broadcast(&binary(&[255, thread])).unwrap();
            });
        }
    });
    for ((peer, _), to) in clients.iter_mut().zip(0..) {
        let mut next = [0; THREADS as usize];
        let mut ended = 0;
        while ended < THREADS {
            match read_frame(peer).payload.as_slice() {
                [255, thread] => {
                    assert_eq!(next[usize::from(*thread)], EACH, "the order of one thread");
                    ended += 1;
                }
                [at, thread, n] => {
                    let expected = &mut next[usize::from(*thread)];
                    assert_eq!((*at, *n), (to, *expected));
                    *expected += 1;
                }
                payload => panic!("{payload:?}"),
            }
        }
    }
    server.stop();
}

#[test]
fn a_connection_is_closed_with_the_code_that_another_thread_says_if_it_may_be_sent() {
    let (server, told) = noting(ServerOptions::default());
    let cases = [(CloseCode::POLICY_VIOLATION, "out", 1008), (CloseCode::NO_STATUS, "x", 1011)];
    for (code, reason, sent) in cases {
        let mut peer = client(server.addr);
        let id = opened(&told);
        server.remote.close(id, code, reason).unwrap();
        let frame = read_frame(&mut peer);
        assert_eq!(frame.payload[..2], u16::to_be_bytes(sent));
        peer.write_all(&from_client(&[frame])).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        drop(peer);
        let (ended, info) = closed(&told);
        assert_eq!((ended, info.by, info.clean), (id, Side::Local, true));
    }
}

#[test]
fn what_is_sent_to_a_connection_that_is_gone_never_reaches_the_next_in_its_slot() {
    let (server, told) = noting(ServerOptions::default());
    let mut past: Vec<ConnectionId> = Vec::new();
    for n in 0..10 {
        let mut peer = client(server.addr);
        let id = opened(&told);
        for gone in &past {
            assert_eq!(slot(*gone), slot(id), "the slot is used again");
            assert_ne!(*gone, id);
            assert_eq!(server.remote.send(*gone, &binary(b"lost")), Err(Gone));
            assert_eq!(server.remote.close(*gone, CloseCode::NORMAL, ""), Err(Gone));
        }
        server.remote.send(id, &binary(b"kept")).unwrap();
        assert_eq!(read_frame(&mut peer).payload, b"kept", "of connection {n}");
        drop(peer);
        let (ended, info) = closed(&told);
        assert_eq!((ended, info.cause), (id, CloseCause::Eof));
        past.push(id);
    }
    assert!(!Gone.to_string().is_empty());
}

/// Tells, of each connection that has ended, what becomes of a message to it.
struct Late(Arc<OnceLock<Remote>>, mpsc::Sender<Result<(), RemoteError>>);

impl Handler for Late {
    type State = ();

    fn message(&mut self, _: &mut Peer<'_, ()>, _: Message<'_>) {}

    fn close(&mut self, id: ConnectionId, (): (), _: &CloseInfo) {
        self.1.send(self.0.get().unwrap().send(id, &binary(b"late"))).unwrap();
    }
}

#[test]
fn a_connection_is_gone_for_all_once_the_handler_is_told_of_its_end() {
    let remote = Arc::<OnceLock<Remote>>::default();
    let (answer, answers) = mpsc::channel();
    let late = remote.clone();
    let server =
        Running::new(1, ServerOptions::default(), move || Late(late.clone(), answer.clone()));
    assert!(remote.set(server.remote.clone()).is_ok());
    // One in order, and one without a closing handshake.
    let mut peer = client(server.addr);
    peer.write_all(&from_client(&[close(1000, "")])).unwrap();
    assert_eq!(answers.recv_timeout(LONG).unwrap(), Err(Gone));
    drop(client(server.addr));
    assert_eq!(answers.recv_timeout(LONG).unwrap(), Err(Gone));
}

/// A server whose loop waits in its handler until it is let go, again and again.
fn gated() -> (Running, mpsc::Receiver<ConnectionId>, mpsc::Sender<()>) {
    let (id, ids) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let gate = Mutex::new(Some(gate));
    let server = Running::new(1, ServerOptions::default(), move || {
        let (id, gate) = (id.clone(), gate.lock().unwrap().take().unwrap());
        OnMessage(move |peer: &mut Peer<'_, ()>, _: Message<'_>| {
            id.send(peer.id()).unwrap();
            gate.recv_timeout(LONG).unwrap();
        })
    });
    (server, ids, go)
}

#[test]
fn a_message_that_was_on_its_way_when_its_connection_ended_is_dropped() {
    let (server, ids, go) = gated();
    let mut gate = client(server.addr);
    let mut gone = client(server.addr);
    let frame = from_client(&[Frame::new(1, "x")]);
    gone.write_all(&frame).unwrap();
    let gone_id = ids.recv_timeout(LONG).unwrap();
    go.send(()).unwrap();
    gate.write_all(&frame).unwrap();
    let gate_id = ids.recv_timeout(LONG).unwrap();
    // The loop is busy: the end of the one, the beginning of the next and the message all wait.
    drop(gone);
    let mut next = dial(server.addr);
    next.write_all(wstest::handshake::request(&[]).as_bytes()).unwrap();
    next.write_all(&frame).unwrap();
    server.remote.send(gone_id, &binary(b"lost")).unwrap();
    server.remote.close(gone_id, CloseCode::NORMAL, "lost").unwrap();
    server.remote.send(gate_id, &binary(b"kept")).unwrap();
    go.send(()).unwrap();
    assert_eq!(read_frame(&mut gate).payload, b"kept");
    let next_id = ids.recv_timeout(LONG).unwrap();
    assert_eq!(slot(next_id), slot(gone_id));
    go.send(()).unwrap();
    server.remote.send(next_id, &binary(b"its own")).unwrap();
    support::read_head(&mut next);
    assert_eq!(read_frame(&mut next).payload, b"its own");
}

#[test]
fn a_batch_for_one_connection_leaves_in_order_and_what_is_too_much_is_dropped() {
    let (server, ids, go) = gated();
    let mut peer = client(server.addr);
    peer.write_all(&from_client(&[Frame::new(1, "x")])).unwrap();
    let id = ids.recv_timeout(LONG).unwrap();
    for n in 0..20_u8 {
        server.remote.send(id, &binary(&[n])).unwrap();
    }
    // More than the system's buffers and the high-water mark of 1 MiB take together.
    let message = binary(&[7; 100_000]);
    for _ in 0..1000 {
        server.remote.send(id, &message).unwrap();
    }
    server.remote.close(id, CloseCode::NORMAL, "").unwrap();
    go.send(()).unwrap();
    for n in 0..20_u8 {
        assert_eq!(read_frame(&mut peer).payload, [n]);
    }
    let mut large = 0;
    loop {
        let frame = read_frame(&mut peer);
        if frame.opcode == 8 {
            break;
        }
        assert_eq!(frame.payload, [7; 100_000]);
        large += 1;
    }
    assert!((11..1000).contains(&large), "{large}");
}

#[test]
fn a_loop_that_is_asked_for_more_than_it_does_takes_no_more_until_it_has_looked() {
    let (server, ids, go) = gated();
    let mut peer = client(server.addr);
    peer.write_all(&from_client(&[Frame::new(1, "x")])).unwrap();
    let id = ids.recv_timeout(LONG).unwrap();
    // One message for many is held once.
    let shared = binary(&[7; 1 << 20]);
    for _ in 0..1000 {
        server.remote.broadcast(&shared).unwrap();
    }
    // Others are held each.
    let mut taken = 0;
    while server.remote.send(id, &binary(&vec![7; 1 << 20])).is_ok() {
        taken += 1;
        assert!(taken < 16, "16 MiB are held");
    }
    assert_eq!(taken, 15);
    assert_eq!(server.remote.send(id, &binary(b"")), Err(Full));
    assert_eq!(server.remote.broadcast(&binary(b"")), Err(Full));
    assert_eq!(server.remote.close(id, CloseCode::NORMAL, ""), Err(Full));
    assert!(Full.to_string().contains("16777216"), "{Full}");
    go.send(()).unwrap();
    wait_until("it has looked", || server.remote.close(id, CloseCode::NORMAL, "bye").is_ok());
    while read_frame(&mut peer) != close(1000, "bye") {}
    // Small ones count for what it takes to keep them.
    let mut gate = client(server.addr);
    gate.write_all(&from_client(&[Frame::new(1, "x")])).unwrap();
    let id = ids.recv_timeout(LONG).unwrap();
    let small = binary(b"");
    let taken = (0..1 << 20).take_while(|_| server.remote.send(id, &small).is_ok()).count();
    assert!(taken < 1 << 20, "16 bytes each would be too few");
    // To stop it is always heard.
    go.send(()).unwrap();
    server.stop();
}

#[test]
fn a_broadcast_reaches_the_connections_of_all_loops_or_none() {
    let (id, ids) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let server = Running::new(2, ServerOptions::default(), move || {
        let (id, gate) = (id.clone(), gate.clone());
        OnMessage(move |peer: &mut Peer<'_, ()>, message: Message<'_>| {
            id.send(peer.id()).unwrap();
            if message.as_bytes() == b"wait" {
                gate.lock().unwrap().recv_timeout(LONG).unwrap();
            }
        })
    });
    let connect = || {
        let mut peer = client(server.addr);
        peer.write_all(&from_client(&[Frame::new(1, "x")])).unwrap();
        (peer, ids.recv_timeout(LONG).unwrap())
    };
    // One that keeps its loop busy, and one that waits in each of the two loops.
    let (mut gate, busy) = connect();
    let (mut beside, mut apart) = (None, None);
    while beside.is_none() || apart.is_none() {
        let (peer, id) = connect();
        *(if in_loop(id) == in_loop(busy) { &mut beside } else { &mut apart }) = Some((peer, id));
    }
    let (mut peers, id) = (vec![beside.unwrap().0], apart.as_ref().unwrap().1);
    peers.push(apart.unwrap().0);
    gate.write_all(&from_client(&[Frame::new(1, "wait")])).unwrap();
    assert_eq!(ids.recv_timeout(LONG).unwrap(), busy);
    let reason = "x".repeat(1 << 20);
    while server.remote.close(busy, CloseCode::NORMAL, &reason).is_ok() {}
    assert_eq!(server.remote.broadcast(&binary(b"none")), Err(Full));
    // The other loop is not full.
    server.remote.send(id, &binary(b"one")).unwrap();
    assert_eq!(read_frame(&mut peers[1]).payload, b"one");
    go.send(()).unwrap();
    wait_until("it has looked", || server.remote.broadcast(&binary(b"all")).is_ok());
    for peer in &mut peers {
        assert_eq!(read_frame(peer).payload, b"all");
    }
}

#[test]
fn a_server_that_stops_says_going_away_to_all_and_ends_when_they_have_answered() {
    let (server, told) = noting(ServerOptions::default());
    let mut clients: Vec<TcpStream> = (0..6).map(|_| client(server.addr)).collect();
    let ids: Vec<ConnectionId> = clients.iter().map(|_| opened(&told)).collect();
    let mut waiting = dial(server.addr);
    let addr = server.addr;
    let remote = server.remote.clone();
    let start = Instant::now();
    remote.stop(10 * LONG);
    for peer in &mut clients {
        assert_eq!(read_frame(peer).payload[..2], 1001_u16.to_be_bytes());
    }
    assert!(TcpStream::connect(addr).is_err(), "nobody listens");
    // They may say something before they answer.
    let last = from_client(&[Frame::new(1, "last"), close(1001, "")]);
    for peer in &mut clients {
        peer.write_all(&last).unwrap();
        assert!(read_frames(peer).is_empty());
        peer.shutdown(Shutdown::Both).unwrap();
    }
    server.join();
    assert!(start.elapsed() < 10 * LONG);
    assert!(support::is_cut_off(&mut waiting));
    let notes: Vec<Note> = told.iter().collect();
    let mut ended = HashSet::new();
    for note in notes {
        match note {
            Note::Close(id, info) => {
                assert!(info.clean && info.by == Side::Local, "{info}");
                assert!(ended.insert(id), "{id:?} is told once");
            }
            Note::Message(_, message) => assert_eq!(message, "last".into()),
            note => panic!("{note:?}"),
        }
    }
    assert_eq!(ended, ids.iter().copied().collect());
    // Nothing is left to ask.
    assert_eq!(remote.send(ids[0], &binary(b"")), Err(Gone));
    assert_eq!(remote.close(ids[0], CloseCode::NORMAL, ""), Err(Gone));
    remote.broadcast(&binary(b"")).unwrap();
    remote.stop(Duration::ZERO);
}

#[test]
fn a_server_that_stops_does_not_wait_beyond_its_patience_for_a_peer_that_is_stuck() {
    let mut options = ServerOptions::default();
    options.config = quiet().into();
    let (server, told) = noting(options);
    let mut stuck = client(server.addr);
    let id = opened(&told);
    let _half_open = dial(server.addr);
    let start = Instant::now();
    server.remote.stop(Duration::from_millis(50));
    server.join();
    assert!(start.elapsed() < 10 * LONG, "it waited for the peer");
    assert_eq!(read_frame(&mut stuck).payload[..2], 1001_u16.to_be_bytes());
    let (ended, info) = closed(&told);
    assert_eq!((ended, info.clean), (id, false));
    assert!(told.recv().is_err(), "the handler is gone");
}

#[test]
fn a_loop_whose_handler_cannot_be_made_stops_the_others() {
    let server = Server::bind_with("127.0.0.1:0".parse().unwrap(), 3, ServerOptions::default());
    let server = server.unwrap();
    let made = Mutex::new(0);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.run(|| {
            let mut made = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *made += 1;
            assert!(*made < 3, "no third handler");
            OnMessage(|_: &mut Peer<'_, ()>, _: Message<'_>| {})
        })
    }));
    assert!(result.is_err(), "the panic reaches whoever runs the server");
}
