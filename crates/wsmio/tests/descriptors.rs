//! A peer that resets, half-closes or stalls at any byte frees its slot and its descriptor; a server
//! without descriptors neither spins nor stops. Linux only: it looks into /proc.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use support::{
    LONG, Note, Notes, Running, affordable, client, close, descriptors, dial, from_client, noting,
    quiet, read_frame, read_head, wait_until,
};
use wsmio::{
    CloseCause, CloseCode, CloseInfo, Config, ConnectionId, Handler, Message, Peer, Timeout,
    opening::ServerOptions,
};
use wstest::handshake::request;
use wstest::reference::Frame;

/// One test at a time, so that the descriptors are its own.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handshake and a session, as a client sends them, and where the handshake ends.
fn session() -> (Vec<u8>, usize) {
    let request = request(&[]);
    let frames = [
        Frame::new(1, "hello"),
        Frame::new(9, "ping"),
        Frame::new(2, vec![1; 200]).unfinished(),
        Frame::new(0, vec![2; 100]),
        close(1000, "bye"),
    ];
    let bytes = [request.as_bytes(), &from_client(&frames)].concat();
    (bytes, request.len())
}

/// What the peer does after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Reset,
    HalfClose,
    Stall,
}

fn leaves_nothing(then: Then, config: Config) {
    let (bytes, handshake) = session();
    let mut options = ServerOptions::default();
    options.config = config.into();
    options.handshake_timeout = Duration::from_millis(50);
    let before = descriptors();
    let (server, told) = noting(options);
    let idle = descriptors();
    let peers: Vec<TcpStream> = (0..=bytes.len())
        .map(|len| {
            let mut peer = dial(server.addr);
            // A stalled handshake may be cut off already while the last ones begin.
            let _ = peer.write_all(&bytes[..len]);
            match then {
                Then::Reset => {
                    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
                }
                Then::HalfClose => drop(peer.shutdown(Shutdown::Write)),
                Then::Stall => {}
            }
            peer
        })
        .collect();
    if then == Then::Reset {
        drop(peers);
        wait_until("the descriptors are free", || descriptors() == idle);
    } else {
        // Half of them are ours.
        wait_until("the descriptors are free", || descriptors() == idle + peers.len());
        drop(peers);
    }
    // Others are served, in slots that are used again.
    let mut peer = client(server.addr);
    peer.write_all(&from_client(&[Frame::new(1, "alive?")])).unwrap();
    assert_eq!(read_frame(&mut peer).payload, b"alive?");
    drop(peer);
    wait_until("the descriptors are free", || descriptors() == idle);
    server.stop();
    wait_until("the descriptors are free", || descriptors() == before);
    let (mut open, mut ended) = (HashSet::new(), 0);
    for note in told {
        match note {
            Note::Open(id) => assert!(open.insert(id)),
            Note::Close(id, info) => {
                assert!(open.remove(&id), "{id:?} is told once");
                ended += 1;
                assert!(!info.clean || info.code.get() == 1000, "{info}");
            }
            Note::Message(..) | Note::Drain(_) => {}
        }
    }
    assert!(open.is_empty(), "{open:?} never end");
    // Resets may drop what came before them.
    assert!(ended > 1 && ended <= bytes.len() - handshake + 2, "{ended}");
    assert!(then == Then::Reset || ended == bytes.len() - handshake + 2, "{ended}");
}

#[test]
fn a_peer_that_resets_at_any_byte_frees_its_slot_and_its_descriptor() {
    let _alone = alone();
    leaves_nothing(Then::Reset, quiet());
}

#[test]
fn a_peer_that_half_closes_at_any_byte_frees_its_slot_and_its_descriptor() {
    let _alone = alone();
    leaves_nothing(Then::HalfClose, quiet());
}

#[test]
fn a_peer_that_stalls_at_any_byte_frees_its_slot_and_its_descriptor() {
    let _alone = alone();
    let mut config = Config::default();
    config.keepalive = Some(Duration::from_millis(50));
    config.keepalive_timeout = Duration::from_millis(50);
    config.fin_timeout = Duration::from_millis(50);
    leaves_nothing(Then::Stall, config);
}

/// A handler that tells who has come, and how and when each has gone.
struct Timing {
    opened: mpsc::Sender<ConnectionId>,
    ended: mpsc::Sender<(Instant, CloseInfo)>,
}

impl Handler for Timing {
    type State = ();

    fn open(&mut self, peer: &mut Peer<'_, ()>) {
        self.opened.send(peer.id()).unwrap();
    }

    fn message(&mut self, _: &mut Peer<'_, ()>, _: Message<'_>) {}

    fn close(&mut self, _: ConnectionId, (): (), info: &CloseInfo) {
        // Those that are there when the server stops are told to nobody.
        let _ = self.ended.send((Instant::now(), info.clone()));
    }
}

#[test]
fn all_connections_in_close_limbo_are_freed_at_the_deadline_and_none_before() {
    let _alone = alone();
    let mut config = quiet();
    config.close_timeout = Duration::from_secs(1);
    let timeout = config.close_timeout;
    let mut options = ServerOptions::default();
    options.config = config.into();
    let (opened, ids) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let make = move || Timing { opened: opened.clone(), ended: ended.clone() };
    let server = Running::new(1, options, make);
    let idle = descriptors();
    let mut peers: Vec<TcpStream> = (0..affordable()).map(|_| client(server.addr)).collect();
    let ids: Vec<_> = peers.iter().map(|_| ids.recv_timeout(LONG).unwrap()).collect();
    let start = Instant::now();
    for id in ids {
        server.remote.close(id, CloseCode::NORMAL, "").unwrap();
    }
    for peer in &mut peers {
        assert_eq!(read_frame(peer), close(1000, ""));
    }
    let asked = Instant::now();
    let mut last = start;
    for _ in &peers {
        let (ended, info) = ends.recv_timeout(LONG).unwrap();
        assert_eq!(info.cause, CloseCause::Timeout(Timeout::Close), "{info}");
        assert!(ended >= start + timeout, "it was freed {:?} after the start", ended - start);
        last = ended;
    }
    // The loop is exact to a quarter of a second. The rest is for a slow machine to free so many in.
    let late = last.saturating_duration_since(asked + timeout);
    println!("the last of {} was freed {late:?} after the deadline", peers.len());
    assert!(late < Duration::from_secs(3), "{late:?} too late");
    wait_until("the descriptors are free", || descriptors() == idle + peers.len());
    assert!(ends.try_recv().is_err(), "each is told once");
}

#[test]
fn a_blocking_connection_frees_all_its_descriptors() {
    let _alone = alone();
    let server = Running::new(1, ServerOptions::default(), || {
        support::OnMessage(|peer: &mut Peer<'_, ()>, message: Message<'_>| {
            let _ = peer.send(message);
        })
    });
    let before = descriptors();
    for how in 0..3 {
        let mut ws = wsmio::connect(&format!("ws://{}/", server.addr)).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        if how == 1 {
            ws.close(CloseCode::NORMAL, "").unwrap();
        }
        let (rx, tx) = ws.split();
        if how == 2 {
            drop(tx);
            drop(rx);
        } else {
            drop(rx);
            drop(tx);
        }
        wait_until("the descriptors are free", || descriptors() <= before);
    }
    // What fails leaves none either.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let refusing = thread::spawn(move || drop(listener.accept().unwrap()));
    assert!(wsmio::connect(&url).is_err());
    refusing.join().unwrap();
    wait_until("the descriptors are free", || descriptors() <= before);
}

/// Not a test: the server in a process of its own, with few descriptors.
#[test]
#[ignore = "it is run by the test below"]
fn a_server_with_few_descriptors() {
    if env::var_os("WSMIO_FEW_DESCRIPTORS").is_none() {
        return;
    }
    let (notes, _told) = mpsc::channel();
    let make = move || Notes { notes: notes.clone(), echo: true };
    let mut options = ServerOptions::default();
    options.config = quiet().into();
    options.handshake_timeout = 10 * LONG;
    let server = Running::new(1, options, make);
    println!("\nlistens on {}", server.addr);
    server.join();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often the threads of a process went to sleep.
fn sleeps(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let line = |status: String| {
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    status.map(line).sum()
}

/// The processor time that a process has used, in ticks of a hundredth of a second.
fn used(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_server_without_descriptors_neither_spins_nor_stops_and_accepts_again() {
    const LIMIT: usize = 40;
    let _alone = alone();
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -n {LIMIT} && exec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .args(["a_server_with_few_descriptors", "--exact", "--ignored", "--nocapture"])
        .env("WSMIO_FEW_DESCRIPTORS", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let child = Killed(child);
    let line = output.lines().map(Result::unwrap).find(|line| line.contains("listens on "));
    let addr = line.unwrap().split("listens on ").last().unwrap().parse().unwrap();
    let fds = format!("/proc/{}/fd", child.0.id());
    let below = |name: std::ffi::OsString| name.to_str().unwrap().parse::<usize>().unwrap() < LIMIT;
    let count =
        || fs::read_dir(&fds).unwrap().filter(|fd| below(fd.as_ref().unwrap().file_name())).count();

    let mut peers: Vec<TcpStream> = (0..2 * LIMIT).map(|_| dial(addr)).collect();
    for peer in &mut peers {
        peer.write_all(request(&[]).as_bytes()).unwrap();
    }
    wait_until("all descriptors are used", || count() == LIMIT);
    // Those that it has are served.
    assert!(read_head(&mut peers[0]).starts_with("HTTP/1.1 101 "));
    let echo = |peer: &mut TcpStream| {
        peer.write_all(&from_client(&[Frame::new(1, "alive?")])).unwrap();
        assert_eq!(read_frame(peer).payload, b"alive?");
    };
    echo(&mut peers[0]);
    // While nothing can be done it looks again now and then: a tenth of a second apart. This waits for
    // nothing: it is how long is measured, and on a slow machine less happens.
    let (slept, before) = (sleeps(child.0.id()), used(child.0.id()));
    thread::sleep(Duration::from_millis(500));
    let (slept, used) = (sleeps(child.0.id()) - slept, used(child.0.id()) - before);
    assert!(slept < 50 && used < 10, "woke {slept} times, ran for {used} ticks");
    // Whoever leaves makes room for the next.
    for peer in peers.iter_mut().skip(1) {
        assert!(read_head(peer).starts_with("HTTP/1.1 101 "));
        peer.shutdown(Shutdown::Both).unwrap();
    }
    echo(&mut peers[0]);
    let mut late = client(addr);
    echo(&mut late);
}
