//! What a message and a connection cost: allocations, operations on the stream, bytes of heap. These
//! figures gate.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use support::{
    LONG, OnMessage, ROLES, allocations, client, from_client, from_peer_of, quiet, socket,
};
use wsmio::{Config, Message, Peer, Server, Stream, opening::ServerOptions};
use wstest::{
    alloc::{CountingAllocator, live, measure},
    reference::Frame,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A Unix socket that counts what is asked of it.
struct Counted {
    inner: UnixStream,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Counted {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl Stream for Counted {
    fn set_nonblocking(&self) -> io::Result<()> {
        Stream::set_nonblocking(&self.inner)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.inner.shutdown_write()
    }

    fn empties_when_short(&self) -> bool {
        true
    }
}

#[test]
fn a_message_over_a_blocking_socket_allocates_nothing_and_sixteen_leave_in_one_write() {
    for role in ROLES {
        for len in [20, 125, 1024] {
            for window in [1, 16] {
                for send in [false, true] {
                    cost_of_an_echo(role, len, window, send);
                }
            }
        }
    }
}

fn cost_of_an_echo(role: wsconn::Role, len: usize, window: usize, send: bool) {
    const TIMES: usize = 100;
    let (inner, mut peer) = UnixStream::pair().unwrap();
    let (reads, writes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let stream = Counted { inner, reads: reads.clone(), writes: writes.clone() };
    let mut ws = socket(role, stream, quiet());
    // So that it writes what is queued and waits, though nothing will come: this is on one thread.
    ws.set_read_timeout(Some(Duration::ZERO));
    let (rx, tx) = ws.halves();
    let frames = from_peer_of(role, &vec![Frame::new(2, vec![b'x'; len]); window]);
    // What comes back is masked where the other is not.
    let mask = 4 * window;
    let back = if role == wsconn::Role::Server { frames.len() - mask } else { frames.len() + mask };
    let mut echoed = vec![0; back];
    let mut round = || {
        peer.write_all(&frames).unwrap();
        for _ in 0..window {
            let message = rx.recv().unwrap().unwrap();
            if send {
                tx.send(message).unwrap();
            } else {
                tx.feed(message).unwrap();
            }
        }
        assert!(rx.recv().is_err());
        peer.read_exact(&mut echoed).unwrap();
    };
    for _ in 0..10 {
        round();
    }
    let count = || (reads.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
    let before = count();
    let ((), usage) = measure(|| (0..TIMES).for_each(|_| round()));
    let after = count();
    let (reads, writes) = (after.0 - before.0, after.1 - before.1);
    let case = format!("{role:?} {len} bytes × {window}, send {send}: {reads} reads");
    assert_eq!((usage.allocations, usage.live), (0, 0), "{case}");
    assert_eq!(writes, TIMES * if send { window } else { 1 }, "{case}");
    // With the write that is two operations for a message at window 1, beside the wait.
    assert_eq!(reads, TIMES, "{case}");
}

#[test]
fn a_message_over_the_event_loop_allocates_nothing() {
    for (len, window) in [(20, 1), (20, 16), (1024, 1), (1024, 16), (100_000, 1)] {
        let talk = move |rounds: usize| {
            move |addr| {
                let mut peer = client(addr);
                let frames = from_client(&vec![Frame::new(2, vec![7; len]); window]);
                let mut echoed = vec![0; frames.len() - 4 * window];
                for _ in 0..rounds {
                    peer.write_all(&frames).unwrap();
                    peer.read_exact(&mut echoed).unwrap();
                }
            }
        };
        // What a connection costs is the same, but for how its end comes; what is left is that of the
        // messages.
        let [few, many] = [10, 1010].map(|rounds| {
            let mut options = ServerOptions::default();
            options.config = quiet().into();
            allocations(options, talk(rounds))
        });
        let more = many.saturating_sub(few);
        let rounds = if len <= 1024 { 0 } else { 16 * 1000 };
        assert!(more <= 8 + rounds, "{more} for 1000 times {window} messages of {len} bytes");
    }
}

/// In bytes. A connection in its entry is most of it, the rest are its places in the tables.
const HEAP_PER_IDLE_CONNECTION: f64 = 256.0;

/// How many connections this process may have, both of whose ends are its own.
fn affordable() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    (soft.unwrap_or(256).saturating_sub(100) / 2).min(9_500)
}

#[test]
fn an_idle_connection_of_the_event_loop_costs_little_heap_and_owns_no_buffer() {
    let (heap, told) = mpsc::channel();
    let mut options = ServerOptions::default();
    // With keepalive, so that each has a timer.
    options.config = Config::default().into();
    let server = Server::bind_with("127.0.0.1:0".parse().unwrap(), 1, options).unwrap();
    let (addr, remote) = (server.local_addr(), server.remote());
    let running = thread::spawn(move || {
        server.run(move || {
            let heap = heap.clone();
            OnMessage(move |peer: &mut Peer<'_, ()>, message: Message<'_>| {
                if message.as_bytes() == b"how much?" {
                    heap.send(live()).unwrap();
                } else {
                    let _ = peer.send(message);
                }
            })
        })
    });
    let mut first = client(addr);
    let question = from_client(&[Frame::new(1, "how much?")]);
    let mut ask = || {
        first.write_all(&question).unwrap();
        told.recv_timeout(LONG).unwrap()
    };
    let count = affordable();
    let message = from_client(&[Frame::new(2, vec![7; 1000])]);
    let mut echoed = vec![0; message.len() - 4];
    let mut talk = |peer: &mut TcpStream| {
        peer.write_all(&message).unwrap();
        peer.read_exact(&mut echoed).unwrap();
    };
    // The loop's own buffers and pools are warm.
    let mut peers = vec![client(addr)];
    talk(&mut peers[0]);
    let before = ask();
    peers.extend((0..count).map(|_| client(addr)));
    let open = ask();
    for peer in &mut peers {
        talk(peer);
    }
    let talked = ask();
    let each = |heap: i64| (heap - before) as f64 / count as f64;
    println!(
        "{} bytes each for {count} connections, {} once they have talked",
        each(open),
        each(talked)
    );
    assert!(each(open) <= HEAP_PER_IDLE_CONNECTION, "{} bytes for each of {count}", each(open));
    // Timers may have moved meanwhile, in a wheel that all share.
    assert!(
        talked - open < count as i64,
        "{} bytes for each of {count} that has talked",
        each(talked)
    );
    // Those of half a message own what has come of it, and no more than twice that.
    let half = &from_client(&[Frame::new(2, vec![7; 1000])])[..506];
    for peer in &mut peers[1..=100] {
        peer.write_all(half).unwrap();
    }
    ask();
    let held = (ask() - talked) / 100;
    assert!(held <= 2 * 506, "{held} bytes for half of 1000");
    for peer in &peers {
        socket2::SockRef::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(peers);
    remote.stop(Duration::ZERO);
    running.join().unwrap().unwrap();
}
