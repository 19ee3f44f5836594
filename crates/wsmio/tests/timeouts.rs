//! The connection's own deadlines, kept while a thread blocks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use support::{
    LONG, Pair, ROLES, close, dial, drip, from_peer_of, is_cut_off, patient_with_the_request,
    quiet, read_frame, read_head, socket, thread_number, wait_until_asleep, write_slowly,
};
use wsconn::Role;
use wsmio::{
    Acceptor, CloseCause, CloseCode, Config, Connector, Error, Receiver, Side, Stream, Timeout,
    opening::{ClientOptions, ServerOptions},
};
use wstest::{handshake::request, reference::Frame};

const SHORT: Duration = Duration::from_millis(50);

fn is_timeout<T>(result: &Result<T, Error>, which: Timeout) -> bool {
    matches!(result, Err(Error::Timeout(timeout)) if *timeout == which)
}

#[test]
fn a_silent_peer_gets_a_ping_and_is_lost_while_recv_blocks() {
    for role in ROLES {
        let (stream, mut peer) = TcpStream::pair();
        let mut config = Config::default();
        (config.keepalive, config.keepalive_timeout) = (Some(SHORT), SHORT);
        let mut ws = socket(role, stream, config);
        let result = ws.recv();
        assert!(is_timeout(&result, Timeout::Keepalive), "{result:?}");
        assert!(ws.recv().unwrap().is_none(), "it is told once");
        let info = ws.close_info().unwrap();
        assert_eq!(info.cause, CloseCause::Timeout(Timeout::Keepalive));
        assert_eq!(read_frame(&mut peer).opcode, 9);
    }
}

#[test]
fn a_peer_that_answers_pings_is_kept_while_recv_blocks() {
    for role in ROLES {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        peer.bound();
        let mut config = Config::default();
        (config.keepalive, config.keepalive_timeout) = (Some(Duration::from_millis(1)), LONG);
        let mut ws = socket(role, stream, config);
        let answering = thread::spawn(move || {
            for _ in 0..5 {
                let ping = read_frame(&mut peer);
                assert_eq!((ping.opcode, ping.payload.len()), (9, 4));
                peer.write_all(&from_peer_of(role, &[Frame::new(10, ping.payload)])).unwrap();
            }
            peer.write_all(&from_peer_of(role, &[close(1000, "")])).unwrap();
        });
        assert!(ws.recv().unwrap().is_none());
        assert!(ws.close_info().unwrap().clean);
        answering.join().unwrap();
    }
}

/// A stream that always has another ping, for a long time.
struct Pings(UnixStream, Instant);

impl Read for Pings {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.elapsed() > LONG {
            return Ok(0);
        }
        from_peer_of(Role::Server, &[Frame::new(9, "")]).as_slice().read(buffer)
    }
}

impl Write for Pings {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Pings {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Stream for Pings {
    fn set_nonblocking(&self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_read_timeout_holds_though_pings_come_all_the_while() {
    let (stream, _peer) = UnixStream::pair().unwrap();
    let mut ws = socket(Role::Server, Pings(stream, Instant::now()), quiet());
    ws.set_read_timeout(Some(SHORT));
    let result = ws.recv();
    let timed_out =
        |error: &Error| matches!(error, Error::Io(e) if e.kind() == ErrorKind::TimedOut);
    assert!(result.as_ref().is_err_and(timed_out), "{result:?}");
}

#[test]
fn a_peer_that_never_answers_a_close_frame_is_given_up_on_either_half() {
    for role in ROLES {
        for halves in [false, true] {
            let (stream, mut peer) = TcpStream::pair();
            let mut config = quiet();
            config.close_timeout = SHORT;
            let mut ws = socket(role, stream, config);
            let result = if halves {
                ws.halves().1.close(CloseCode::NORMAL, "")
            } else {
                ws.close(CloseCode::NORMAL, "")
            };
            assert!(is_timeout(&result, Timeout::Close), "{result:?}");
            assert!(ws.recv().unwrap().is_none(), "it is told once");
            assert_eq!(read_frame(&mut peer).opcode, 8);
        }
    }
}

#[test]
fn pings_do_not_extend_the_wait_for_a_close_frame() {
    for role in ROLES {
        let (stream, mut peer) = TcpStream::pair();
        let mut config = quiet();
        config.close_timeout = SHORT;
        let mut ws = socket(role, stream, config);
        let pinging = thread::spawn(move || {
            while peer.write_all(&from_peer_of(role, &[Frame::new(9, "ping")])).is_ok() {}
        });
        let result = ws.close(CloseCode::NORMAL, "");
        assert!(is_timeout(&result, Timeout::Close), "{result:?}");
        drop(ws);
        pinging.join().unwrap();
    }
}

#[test]
fn a_peer_that_does_not_end_its_side_after_both_closes_is_not_waited_for() {
    for role in ROLES {
        let (stream, mut peer) = TcpStream::pair();
        let mut config = quiet();
        config.fin_timeout = SHORT;
        let mut ws = socket(role, stream, config);
        peer.write_all(&from_peer_of(role, &[close(1000, "")])).unwrap();
        assert!(ws.recv().unwrap().is_none());
        assert!(ws.close_info().unwrap().clean);
        drop(ws);
        assert_eq!(read_frame(&mut peer).opcode, 8);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}

/// What `recv` gives on a thread that waits in it.
fn blocked_in_recv(mut rx: Receiver<UnixStream>) -> JoinHandle<Result<(), Error>> {
    let (number, numbers) = mpsc::channel();
    let receiving = thread::spawn(move || {
        number.send(thread_number()).unwrap();
        rx.recv().map(drop)
    });
    wait_until_asleep(&numbers.recv().unwrap());
    receiving
}

/// More than the buffers of the system take.
const HUGE: usize = 12 << 20;

#[test]
fn a_peer_that_reads_nothing_is_lost_whichever_half_is_blocked() {
    for role in ROLES {
        for receiver_blocks in [false, true] {
            let (stream, peer) = UnixStream::pair().unwrap();
            let mut config = quiet();
            config.write_timeout = SHORT;
            let (mut rx, mut tx) = socket(role, stream, config).split();
            if !receiver_blocks {
                let result = tx.send(&vec![7; HUGE]);
                assert!(is_timeout(&result, Timeout::Write), "{role:?} {result:?}");
                assert!(rx.recv().unwrap().is_none(), "it is told once");
                continue;
            }
            // It waits without a deadline, until there is one by what the other half does.
            let receiving = blocked_in_recv(rx);
            tx.feed(&vec![7; HUGE]).unwrap();
            let result = receiving.join().unwrap();
            assert!(is_timeout(&result, Timeout::Write), "{result:?}");
            let info = tx.close_info().unwrap();
            assert_eq!((info.by, info.clean), (Side::Local, false));
            drop(peer);
        }
    }
}

#[test]
fn a_close_that_its_caller_gave_up_still_ends_for_the_receiver() {
    let (stream, peer) = UnixStream::pair().unwrap();
    let mut config = quiet();
    config.close_timeout = SHORT;
    let (rx, mut tx) = socket(Role::Client, stream, config).split();
    let receiving = blocked_in_recv(rx);
    tx.set_write_timeout(Some(Duration::ZERO));
    match tx.close(CloseCode::NORMAL, "") {
        Err(Error::Io(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        result => panic!("{result:?}"),
    }
    let result = receiving.join().unwrap();
    assert!(is_timeout(&result, Timeout::Close), "{result:?}");
    drop(peer);
}

#[test]
fn closing_waits_for_the_peer_whatever_the_read_timeout() {
    let (stream, mut peer) = UnixStream::pair().unwrap();
    let mut ws = socket(Role::Client, stream, quiet());
    ws.set_read_timeout(Some(Duration::ZERO));
    let (number, numbers) = mpsc::channel();
    let closing = thread::spawn(move || {
        number.send(thread_number()).unwrap();
        ws.close(CloseCode::NORMAL, "")
    });
    assert_eq!(read_frame(&mut peer).opcode, 8);
    wait_until_asleep(&numbers.recv().unwrap());
    peer.write_all(&from_peer_of(Role::Client, &[close(1000, "")])).unwrap();
    drop(peer);
    closing.join().unwrap().unwrap();
}

#[test]
fn a_close_that_is_not_answered_ends_the_half_that_receives_too() {
    let (stream, peer) = UnixStream::pair().unwrap();
    let mut config = quiet();
    config.close_timeout = SHORT;
    let (rx, mut tx) = socket(Role::Client, stream, config).split();
    let receiving = blocked_in_recv(rx);
    // The one half says why, whichever it is; the other just ends.
    let closed = tx.close(CloseCode::NORMAL, "");
    let received = receiving.join().unwrap();
    let told = [&closed, &received].map(|result| is_timeout(result, Timeout::Close));
    assert!(told[0] != told[1], "{closed:?} {received:?}");
    drop(peer);
}

#[test]
fn a_server_that_does_not_answer_the_request_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ClientOptions::default();
    options.handshake_timeout = SHORT;
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let result = Connector::new(options.clone()).connect(&url).map(drop);
    assert!(is_timeout(&result, Timeout::Handshake), "{result:?}");

    // Nor is one that goes on and on waited for: the deadline is absolute.
    let answering = thread::spawn(move || {
        listener.accept().unwrap(); // the connection from before
        drip(&mut listener.accept().unwrap().0, b"HTTP/1.1 101 x\r\nX: x")
    });
    options.max_head = usize::MAX;
    let start = Instant::now();
    let result = Connector::new(options).connect(&url).map(drop);
    assert!(is_timeout(&result, Timeout::Handshake), "{result:?}");
    assert!((SHORT..LONG).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(answering.join().unwrap());
}

#[test]
fn a_client_that_sends_its_request_too_slowly_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ServerOptions::default();
    (options.handshake_timeout, options.max_head) = (SHORT, usize::MAX);
    let acceptor = Acceptor::new(options);
    for drips in [false, true] {
        let mut client = dial(listener.local_addr().unwrap());
        let tcp = listener.accept().unwrap().0;
        let talking = thread::spawn(move || {
            client.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
            // It is gone: whether that shows as an end or as a reset does not matter.
            if drips { drip(&mut client, b"x") } else { is_cut_off(&mut client) }
        });
        let start = Instant::now();
        let result = acceptor.accept(tcp).map(drop);
        assert!(is_timeout(&result, Timeout::Handshake), "{result:?}");
        assert!((SHORT..LONG).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(talking.join().unwrap());
    }
}

#[test]
fn a_slow_client_that_is_done_before_the_deadline_is_served() {
    let (tcp, mut client) = TcpStream::pair();
    let talking = thread::spawn(move || {
        write_slowly(&mut client, request(&[]).as_bytes());
        assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
    });
    Acceptor::new(patient_with_the_request()).accept(tcp).unwrap();
    talking.join().unwrap();
}
