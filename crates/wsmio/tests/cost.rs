//! What a message and a connection cost: allocations, operations on the stream, bytes of heap. These
//! figures gate.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use support::{
    LONG, OnMessage, ROLES, affordable, allocations, client, dial, from_client, from_peer_of,
    quiet, socket, wait_until,
};
use wsmio::{Config, Connector, Message, Peer, Remote, Server, Stream, opening::ServerOptions};
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

/// An event loop that echoes, and says what it holds. There is one at a time, for all descriptors.
struct Asked {
    _alone: MutexGuard<'static, ()>,
    addr: SocketAddr,
    remote: Remote,
    running: thread::JoinHandle<io::Result<()>>,
    first: TcpStream,
    told: mpsc::Receiver<i64>,
}

impl Asked {
    fn new(config: Config) -> Self {
        let mut options = ServerOptions::default();
        options.config = config.into();
        Self::with(options)
    }

    fn with(options: ServerOptions) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (heap, told) = mpsc::channel();
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
        Self { _alone, addr, remote, running, first: client(addr), told }
    }

    /// The bytes that the loop holds, once it has handled what was sent before.
    fn ask(&mut self) -> i64 {
        self.first.write_all(&from_client(&[Frame::new(1, "how much?")])).unwrap();
        self.told.recv_timeout(LONG).unwrap()
    }

    fn stop(self, peers: Vec<TcpStream>) {
        for peer in &peers {
            socket2::SockRef::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(peers);
        self.remote.stop(Duration::ZERO);
        self.running.join().unwrap().unwrap();
    }
}

#[test]
fn an_idle_connection_of_the_event_loop_costs_little_heap_and_owns_no_buffer() {
    // With keepalive, so that each has a timer.
    let mut server = Asked::new(Config::default());
    let count = affordable();
    let message = from_client(&[Frame::new(2, vec![7; 1000])]);
    let mut echoed = vec![0; message.len() - 4];
    let mut talk = |peer: &mut TcpStream| {
        peer.write_all(&message).unwrap();
        peer.read_exact(&mut echoed).unwrap();
    };
    // The loop's own buffers and pools are warm.
    let mut peers = vec![client(server.addr)];
    talk(&mut peers[0]);
    let before = server.ask();
    peers.extend((0..count).map(|_| client(server.addr)));
    let open = server.ask();
    for peer in &mut peers {
        talk(peer);
    }
    let talked = server.ask();
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
    server.ask();
    let held = (server.ask() - talked) / 100;
    assert!(held <= 2 * 506, "{held} bytes for half of 1000");
    server.stop(peers);
}

#[test]
fn a_thousand_connections_of_the_event_loop_that_declare_all_there_is_hold_4_kib_each_at_most() {
    let mut unlimited = quiet();
    (unlimited.max_frame_size, unlimited.max_message_size) = (u64::MAX, u64::MAX);
    let mut server = Asked::new(unlimited);
    let count = affordable().min(1000);
    let peers: Vec<_> = (0..=count).map(|_| client(server.addr)).collect();
    let header = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat();
    let mut first = &peers[0];
    // The loop's own buffers and pools are warm.
    first.write_all(&header).unwrap();
    let before = server.ask();
    let mut arrived = 0;
    // The payload's first bytes come with the header, and then into the room that there is for them.
    for piece in [&[&header[..], b"x"].concat()[..], b"x", &[7; 100]] {
        for mut peer in &peers[1..] {
            peer.write_all(piece).unwrap();
        }
        arrived += piece.len() as i64;
        let each = (server.ask() - before) / count as i64;
        println!("{each} bytes for each of {count} that declares all there is, {arrived} are here");
        // Each has begun a message, and is there still.
        assert!((1..=4096 + arrived).contains(&each), "{each} bytes, {arrived} are here");
    }
    server.stop(peers);
}

/// The first bytes of a head, and how many bytes may be held for it. The long one is as long as a head may
/// be, but for a few bytes.
fn halves(start: &str) -> [(Vec<u8>, i64); 2] {
    let short = format!("{start}Upgrade: webs");
    let long = format!("{short}{}", "x".repeat(16_300));
    [(short.into(), 3 << 10), (long.into(), 19 << 10)]
}

#[test]
fn a_half_open_handshake_of_the_event_loop_holds_little_more_than_what_has_come() {
    const COUNT: i64 = 100;
    for (half, most) in halves("GET / HTTP/1.1\r\nHost: a\r\n") {
        let mut options = ServerOptions::default();
        options.handshake_timeout = 10 * LONG;
        let mut server = Asked::with(options);
        let before = server.ask();
        let begin = |_| {
            let mut peer = dial(server.addr);
            peer.write_all(&half).unwrap();
            peer
        };
        let peers = (0..COUNT).map(begin).collect();
        let mut each = 0;
        wait_until("all of it has come", || {
            each = (server.ask() - before) / COUNT;
            each >= half.len() as i64
        });
        println!("{each} bytes for a handshake of which {} have come", half.len());
        assert!(each <= most, "{each} bytes for {} of a request", half.len());
        server.stop(peers);
    }
}

/// The most that a thread of its own holds on a stream that ends behind these bytes.
fn held(bytes: &[u8], work: impl FnOnce(UnixStream) + Send) -> i64 {
    let (stream, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(bytes).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    thread::scope(|scope| scope.spawn(|| measure(|| work(stream)).1.peak).join().unwrap())
}

#[test]
fn a_half_open_blocking_handshake_holds_little_more_than_what_has_come() {
    for (half, most) in halves("GET / HTTP/1.1\r\nHost: a\r\n") {
        let held = held(&half, |stream| drop(wsmio::accept(stream).unwrap_err()));
        println!("{held} bytes for a request of which {} have come", half.len());
        assert!(held <= most, "{held} bytes for {} of a request", half.len());
    }
    for (half, most) in halves("HTTP/1.1 101 Switching Protocols\r\n") {
        let connect = |stream| Connector::default().connect_stream(stream, "ws://a/");
        let held = held(&half, |stream| drop(connect(stream).unwrap_err()));
        println!("{held} bytes for a response of which {} have come", half.len());
        assert!(held <= most, "{held} bytes for {} of a response", half.len());
    }
    // And while it waits for the end of a stream whose request it has refused.
    let refused = [&b"POST / HTTP/1.1\r\n\r\n"[..], &[b'x'; 50_000]].concat();
    let held = held(&refused, |stream| drop(wsmio::accept(stream).unwrap_err()));
    assert!(held <= 8 << 10, "{held} bytes for one that was refused");
}
