//! Two halves of a socket, each in a thread that blocks, over TCP, Unix sockets and TLS.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::ErrorKind, net::TcpStream, os::unix::net::UnixStream, sync::mpsc, thread, time::Duration,
};

use support::{
    LONG, Pair, ROLES, close, from_peer_of, quiet, read_frame, read_frames, socket, thread_number,
    wait_until_asleep,
};
use wsconn::{OwnedMessage, Role};
use wsmio::{CloseCode, Error, Receiver, Sender, Stream, WebSocket};
use wstest::reference::Frame;

/// Each test over every kind of stream.
macro_rules! over_each {
    ($($name:ident)*) => {
        mod over_tcp {
            $(#[test] fn $name() { super::$name::<super::TcpStream>(); })*
        }
        mod over_unix {
            $(#[test] fn $name() { super::$name::<super::UnixStream>(); })*
        }
        #[cfg(feature = "tls")]
        mod over_tls {
            $(#[test] fn $name() { super::$name::<wsmio::tls::TlsStream>(); })*
        }
    };
}

over_each! {
    thousands_of_messages_cross_both_ways_while_both_halves_are_busy
    while_the_sender_is_blocked_at_the_high_water_mark_the_newest_ping_is_answered
    a_half_that_closes_sees_the_closing_handshake_through
    a_peer_that_closes_ends_both_halves_though_both_are_blocked
    without_its_receiver_a_sender_sees_the_closing_handshake_through
    a_receiver_that_is_dropped_while_the_sender_waits_lets_it_close
    without_its_sender_a_receiver_goes_on
    the_end_is_seen_wherever_it_comes_behind_a_message
    after_a_read_timeout_nothing_is_lost
    after_a_write_timeout_the_stream_is_still_whole
    halves_of_two_sockets_are_not_reunited
}

const MESSAGES: usize = 3000;

/// The `n`th message: of any length from 0 on, some large.
fn message(n: usize) -> Vec<u8> {
    vec![n as u8; if n.is_multiple_of(500) { 500_000 } else { n % 300 }]
}

fn send_all<S: Stream>(mut tx: Sender<S>) -> Sender<S> {
    for n in 0..MESSAGES {
        if n % 3 == 0 {
            tx.send(&message(n)).unwrap();
        } else {
            tx.feed(&message(n)).unwrap();
        }
    }
    tx.flush().unwrap();
    tx
}

fn receive_all<S: Stream>(mut rx: Receiver<S>) -> Receiver<S> {
    for n in 0..MESSAGES {
        let expected = message(n);
        assert!(rx.recv().unwrap() == Some((&expected).into()), "message {n}");
    }
    rx
}

fn thousands_of_messages_cross_both_ways_while_both_halves_are_busy<S: Pair>() {
    for max_outgoing in [100, 1 << 20] {
        let mut config = quiet();
        config.max_outgoing = max_outgoing;
        let (client, server) = S::pair();
        let mut ends = Vec::new();
        for (role, stream) in [(Role::Client, client), (Role::Server, server)] {
            let (rx, tx) = socket(role, stream, config.clone()).split();
            let rx = thread::spawn(move || receive_all(rx));
            ends.push((rx, thread::spawn(move || send_all(tx))));
        }
        let mut whole = ends.into_iter().map(|(rx, tx)| {
            let (rx, tx) = (rx.join().unwrap(), tx.join().unwrap());
            rx.reunite(tx).ok().unwrap()
        });
        let (mut client, mut server) = (whole.next().unwrap(), whole.next().unwrap());
        let closing = thread::spawn(move || {
            client.close(CloseCode::NORMAL, "done").unwrap();
            client.close_info().cloned().unwrap()
        });
        assert!(server.recv().unwrap().is_none());
        assert!(closing.join().unwrap().clean && server.close_info().unwrap().clean);
    }
}

/// Both halves blocked: the receiver for want of a message, the sender because the peer reads
/// nothing. What they end with.
struct Blocked<S> {
    /// Told of each message that is received.
    received: mpsc::Receiver<()>,
    receiving: thread::JoinHandle<Receiver<S>>,
    sending: thread::JoinHandle<(Sender<S>, Result<(), Error>)>,
}

const HUGE: usize = 12 << 20;

fn blocked<S: Pair>(role: Role, stream: S) -> Blocked<S> {
    let mut config = quiet();
    config.max_outgoing = 1000;
    let (mut rx, mut tx) = socket(role, stream, config).split();
    let (number, numbers) = mpsc::channel();
    let own = number.clone();
    let (receives, received) = mpsc::channel();
    let receiving = thread::spawn(move || {
        own.send(thread_number()).unwrap();
        while rx.recv().unwrap().is_some() {
            receives.send(()).unwrap();
        }
        rx
    });
    let sending = thread::spawn(move || {
        number.send(thread_number()).unwrap();
        let mut result = tx.feed(&vec![7; HUGE]);
        if result.is_ok() {
            result = tx.send("behind it");
        }
        (tx, result)
    });
    for _ in 0..2 {
        wait_until_asleep(&numbers.recv_timeout(LONG).unwrap());
    }
    Blocked { received, receiving, sending }
}

fn while_the_sender_is_blocked_at_the_high_water_mark_the_newest_ping_is_answered<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let blocked = blocked(role, stream);
        let pings = ["first", "second", "newest"].map(|ping| Frame::new(9, ping));
        peer.write_all(&from_peer_of(role, &pings)).unwrap();
        // Once that has come, so have the pings.
        peer.write_all(&from_peer_of(role, &[Frame::new(1, "behind them")])).unwrap();
        blocked.received.recv_timeout(LONG).unwrap();
        // That pong goes out though the sender waits, and it alone.
        let frames = [(); 3].map(|()| read_frame(&mut peer));
        assert_eq!(frames[0].payload.len(), HUGE);
        let mut rest = [&frames[1], &frames[2]].map(|frame| (frame.opcode, &frame.payload[..]));
        rest.sort_unstable();
        assert_eq!(rest, [(1, &b"behind it"[..]), (10, b"newest")]);
        peer.write_all(&from_peer_of(role, &[close(1000, "")])).unwrap();
        assert_eq!(read_frame(&mut peer).payload, close(1000, "").payload);
        drop(peer);
        let (tx, result) = blocked.sending.join().unwrap();
        result.unwrap();
        let rx = blocked.receiving.join().unwrap();
        assert!(rx.reunite(tx).ok().unwrap().close_info().unwrap().clean);
    }
}

fn a_peer_that_closes_ends_both_halves_though_both_are_blocked<S: Pair>() {
    for role in ROLES {
        let (stream, peer) = S::pair();
        let blocked = blocked(role, stream);
        // It ends its side, and still reads nothing.
        peer.bound();
        let mut peer = peer;
        peer.shutdown_write().unwrap();
        let (tx, result) = blocked.sending.join().unwrap();
        assert!(matches!(result, Err(Error::Closed)), "{result:?}");
        let rx = blocked.receiving.join().unwrap();
        assert_eq!(rx.close_info(), tx.close_info());
        assert_eq!(rx.close_info().unwrap().code, CloseCode::ABNORMAL);
    }
}

fn a_half_that_closes_sees_the_closing_handshake_through<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let (mut rx, mut tx) = socket(role, stream, quiet()).split();
        let (number, numbers) = mpsc::channel();
        let receiving = thread::spawn(move || {
            number.send(thread_number()).unwrap();
            let last = rx.recv().unwrap().map(|message| message.to_owned());
            assert!(rx.recv().unwrap().is_none());
            (rx, last)
        });
        wait_until_asleep(&numbers.recv().unwrap());
        let closing = thread::spawn(move || {
            tx.close(CloseCode::GOING_AWAY, "bye").unwrap();
            assert!(tx.close_info().unwrap().clean);
            assert!(matches!(tx.send("more"), Err(Error::Closed)));
            tx
        });
        assert_eq!(read_frame(&mut peer).payload, close(1001, "bye").payload);
        // What comes before the peer's close frame is delivered.
        let last = [Frame::new(1, "last"), close(1001, "")];
        peer.write_all(&from_peer_of(role, &last)).unwrap();
        peer.shutdown_write().unwrap();
        assert!(read_frames(&mut peer).is_empty());
        let (rx, last) = receiving.join().unwrap();
        assert_eq!(last, Some("last".into()));
        let info = rx.close_info().unwrap().clone();
        assert_eq!((info.code, info.reason.as_str()), (CloseCode::GOING_AWAY, "bye"));
        assert_eq!(closing.join().unwrap().close_info(), Some(&info));
    }
}

fn without_its_receiver_a_sender_sees_the_closing_handshake_through<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let (rx, mut tx) = socket(role, stream, quiet()).split();
        // What nobody receives is discarded, a ping answered.
        let frames = [Frame::new(1, "x"), Frame::new(2, vec![1; 100_000]), Frame::new(9, "ping")];
        peer.write_all(&from_peer_of(role, &frames)).unwrap();
        drop(rx);
        let closing = thread::spawn(move || {
            tx.send("hello").unwrap();
            tx.close(CloseCode::NORMAL, "").unwrap();
            assert!(tx.close_info().unwrap().clean);
        });
        let mut opcodes = Vec::new();
        while opcodes.last() != Some(&8) {
            opcodes.push(read_frame(&mut peer).opcode);
        }
        assert_eq!(opcodes.first(), Some(&1));
        peer.write_all(&from_peer_of(role, &[close(1000, "")])).unwrap();
        peer.shutdown_write().unwrap();
        closing.join().unwrap();
    }
}

fn a_receiver_that_is_dropped_while_the_sender_waits_lets_it_close<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let (rx, mut tx) = socket(role, stream, quiet()).split();
        let (number, numbers) = mpsc::channel();
        let closing = thread::spawn(move || {
            number.send(thread_number()).unwrap();
            tx.close(CloseCode::NORMAL, "").unwrap();
            assert!(tx.close_info().unwrap().clean);
        });
        assert_eq!(read_frame(&mut peer).opcode, 8);
        peer.write_all(&from_peer_of(role, &[close(1000, "")])).unwrap();
        peer.shutdown_write().unwrap();
        wait_until_asleep(&numbers.recv().unwrap());
        drop(rx);
        closing.join().unwrap();
    }
}

fn without_its_sender_a_receiver_goes_on<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let (mut rx, mut tx) = socket(role, stream, quiet()).split();
        tx.feed("queued").unwrap();
        drop(tx);
        let receiving = thread::spawn(move || {
            assert_eq!(rx.recv().unwrap(), Some("one".into()));
            assert!(rx.recv().unwrap().is_none());
            assert!(rx.close_info().unwrap().clean);
        });
        assert_eq!(read_frame(&mut peer).payload, b"queued");
        let frames = [Frame::new(1, "one"), Frame::new(9, "ping"), close(1000, "")];
        peer.write_all(&from_peer_of(role, &frames)).unwrap();
        peer.shutdown_write().unwrap();
        let opcodes: Vec<u8> = read_frames(&mut peer).iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [10, 8]);
        receiving.join().unwrap();
    }
}

fn is_timed_out<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Io(error)) if error.kind() == ErrorKind::TimedOut)
}

fn the_end_is_seen_wherever_it_comes_behind_a_message<S: Pair>() {
    let frame = from_peer_of(Role::Server, &[Frame::new(1, "x")]);
    for n in 0..120 {
        let (stream, mut peer) = S::pair();
        let mut ws = socket(Role::Server, stream, quiet());
        ws.set_read_timeout(Some(LONG));
        let frame = &frame;
        // The end is there when the message is read, when it is waited for, or comes later.
        let end = move || {
            for _ in 0..10 * (n % 100) {
                std::hint::spin_loop();
            }
            peer.write_all(frame).unwrap();
            for _ in 0..n {
                std::hint::spin_loop();
            }
            peer.shutdown_write().unwrap();
            peer
        };
        thread::scope(|scope| {
            let (_early, late) = match n % 3 {
                0 => (Some(end()), None),
                _ => (None, Some(scope.spawn(end))),
            };
            assert_eq!(ws.recv().unwrap(), Some("x".into()));
            assert_eq!(ws.recv().unwrap(), None);
            drop(late.map(|late| late.join()));
        });
    }
}

fn after_a_read_timeout_nothing_is_lost<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let mut ws = socket(role, stream, quiet());
        ws.set_read_timeout(Some(Duration::from_millis(1)));
        let bytes =
            from_peer_of(role, &[Frame::new(1, "hello"), Frame::new(9, ""), close(1000, "")]);
        for byte in bytes {
            match ws.recv() {
                Ok(message) => assert_eq!(message, Some("hello".into())),
                result => assert!(is_timed_out(&result), "{result:?}"),
            }
            peer.write_all(&[byte]).unwrap();
        }
        peer.shutdown_write().unwrap();
        ws.set_read_timeout(None);
        assert!(ws.recv().unwrap().is_none());
        assert!(ws.close_info().unwrap().clean);
    }
}

fn after_a_write_timeout_the_stream_is_still_whole<S: Pair>() {
    for role in ROLES {
        let (stream, mut peer) = S::pair();
        let mut config = quiet();
        config.max_outgoing = 1000;
        let mut ws: WebSocket<S> = socket(role, stream, config);
        ws.set_write_timeout(Some(Duration::from_millis(1)));
        ws.feed(&vec![7; HUGE]).unwrap();
        for _ in 0..3 {
            let result = ws.feed("refused");
            assert!(is_timed_out(&result), "{result:?}");
            let result = ws.flush();
            assert!(is_timed_out(&result), "{result:?}");
        }
        ws.set_write_timeout(None);
        let reading = thread::spawn(move || {
            let frames = [(); 3].map(|()| read_frame(&mut peer));
            peer.write_all(&from_peer_of(role, &[close(1000, "")])).unwrap();
            frames
        });
        ws.send("taken").unwrap();
        ws.close(CloseCode::NORMAL, "").unwrap();
        let [huge, taken, closing] = reading.join().unwrap();
        assert!(huge.payload == vec![7; HUGE]);
        assert_eq!((taken.payload.as_slice(), closing.opcode), (&b"taken"[..], 8));
    }
}

fn halves_of_two_sockets_are_not_reunited<S: Pair>() {
    let (one, other) = S::pair();
    let (one_rx, one_tx) = socket(Role::Client, one, quiet()).split();
    let (other_rx, other_tx) = socket(Role::Server, other, quiet()).split();
    let (one_rx, other_tx) = one_rx.reunite(other_tx).unwrap_err();
    let mut one = one_rx.reunite(one_tx).unwrap();
    let mut other = other_rx.reunite(other_tx).unwrap();
    one.send("hello").unwrap();
    assert_eq!(other.recv().unwrap(), Some(OwnedMessage::from("hello").as_message()));
}
