//! The attacks. Each fails if the server does not hold, and otherwise says in a line what was seen.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::target::Target;
use super::wire::{self, HALF_A_REQUEST};
use crate::Result;

const CROWD: usize = 10_000;
/// Honest opening handshakes in one measurement of what they cost.
const HANDSHAKES: u32 = 2_000;
/// How late a deadline may be kept.
const GRACE: Duration = Duration::from_secs(1);
/// How long 99 of 100 echoes may take while messages inflate.
const BESIDE_BOMBS: Duration = Duration::from_millis(50);
const MIB: u64 = 1 << 20;

// The defaults of the server, from SECURITY.md.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const FIN_TIMEOUT: Duration = Duration::from_secs(2);
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_MESSAGE: u64 = 16 * MIB;
const MAX_OUTGOING: u64 = MIB;

/// 10,000 handshakes that are begun and never finished. New ones go on at 80 % of the rate without them at
/// least, by the server's processor time, and each half-open one is cut off at its deadline.
pub(super) fn slow_handshakes(target: &Target) -> Result<String> {
    let before = handshakes(target)?;
    let memory = target.memory()?;
    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut stream = wire::dial_as_attacker(target.addr)?;
        let begun = Instant::now();
        let sent = stream.write_all(HALF_A_REQUEST).and_then(|()| stream.set_nonblocking(true));
        sent.map_err(|error| format!("an attacker cannot write: {error}"))?;
        crowd.push((begun, stream));
    }
    let each = target.memory()?.saturating_sub(memory) / CROWD as u64;
    let during = handshakes(target)?;
    if crowd.first().is_some_and(|(begun, _)| begun.elapsed() > HANDSHAKE_TIMEOUT) {
        return Err("this machine is too slow: the first of the crowd was due before the rate \
                    beside all of them could be measured"
            .to_owned());
    }
    let mut latest = Duration::ZERO;
    while !crowd.is_empty() {
        crowd.retain_mut(|(begun, stream)| {
            let gone = wire::is_gone(stream);
            if gone {
                latest = latest.max(begun.elapsed());
            }
            !gone
        });
        if crowd.iter().any(|(begun, _)| begun.elapsed() > HANDSHAKE_TIMEOUT + GRACE) {
            let left = crowd.len();
            return Err(format!("{left} half-open handshakes live on, 1 s past their deadline"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let share = before.as_secs_f64() / during.as_secs_f64();
    let costs = format!(
        "a handshake costs the server {:.1} µs beside {CROWD} half-open ones and {:.1} µs without ({share:.2} of the rate)",
        during.as_secs_f64() * 1e6,
        before.as_secs_f64() * 1e6
    );
    if share < 0.8 {
        return Err(costs);
    }
    // A head may have 16 KiB; what has come of these is far less.
    if each > 16 << 10 {
        return Err(format!("a half-open handshake costs {each} bytes"));
    }
    Ok(format!(
        "{costs}; {each} B resident each, the last cut off after {:.2} s",
        latest.as_secs_f64()
    ))
}

/// The processor time that an honest handshake costs the server.
fn handshakes(target: &Target) -> Result<Duration> {
    let start = target.clock().now()?;
    for _ in 0..HANDSHAKES {
        wire::open(wire::dial(target.addr)?, false)?;
    }
    Ok((target.clock().now()? - start) / HANDSHAKES)
}

/// 10,000 connections that get a close frame and never end their side: half of them have asked for it, the
/// others have broken the protocol.
pub(super) fn close_limbo(target: &Target) -> Result<String> {
    let mut crowd = crowd(target)?;
    let unmasked: &[u8] = &[0x81, 0];
    let close = wire::frame(0x88, &1000_u16.to_be_bytes());
    for (index, stream) in crowd.iter_mut().enumerate() {
        let last = if index % 2 == 0 { &close } else { unmasked };
        stream.write_all(last).map_err(|error| format!("an attacker cannot write: {error}"))?;
    }
    let took = target.wait_for(0, FIN_TIMEOUT + GRACE)?;
    for (index, stream) in crowd.iter_mut().enumerate().step_by(97) {
        let wanted = if index % 2 == 0 { 1000 } else { 1002 };
        match wire::close_code(stream) {
            Ok(code) if code == wanted => {}
            other => return Err(format!("a connection in limbo got {other:?}, not {wanted}")),
        }
    }
    Ok(format!("{CROWD} were let go {:.2} s after the last close frame", took.as_secs_f64()))
}

/// 10,000 connections that do not answer the close frame that they get when the server stops.
pub(super) fn unanswered_close(target: Target) -> Result<String> {
    let mut crowd = crowd(&target)?;
    let took = target.stop(CLOSE_TIMEOUT + GRACE)?;
    if took < CLOSE_TIMEOUT {
        return Err(format!("the server gave up after {:.2} s", took.as_secs_f64()));
    }
    for stream in crowd.iter_mut().step_by(97) {
        match wire::close_code(stream) {
            Ok(1001) => {}
            other => {
                return Err(format!("a connection of a server that stops got {other:?}, not 1001"));
            }
        }
    }
    Ok(format!("{CROWD} were let go {:.2} s after the server was to stop", took.as_secs_f64()))
}

/// 10,000 open connections.
fn crowd(target: &Target) -> Result<Vec<TcpStream>> {
    target.wait_for(0, wire::PATIENCE)?;
    let open = |_| wire::open(wire::dial_as_attacker(target.addr)?, false);
    let crowd = (0..CROWD).map(open).collect::<Result<Vec<_>>>()?;
    match target.connections()? {
        CROWD => Ok(crowd),
        open => Err(format!("the server has {open} connections and not {CROWD}")),
    }
}

/// A stream of bytes that is repeated as long as the server takes it. Nothing is ever read.
struct Flooder {
    kind: &'static str,
    stream: TcpStream,
    bytes: Vec<u8>,
    at: usize,
}

impl Flooder {
    fn new(server: SocketAddr, kind: &'static str, first: &[u8], bytes: Vec<u8>) -> Result<Self> {
        let mut stream = wire::open(wire::dial_as_attacker(server)?, false)?;
        let begun = stream.write_all(first).and_then(|()| stream.set_nonblocking(true));
        begun.map_err(|error| format!("an attacker cannot write: {error}"))?;
        Ok(Self { kind, stream, bytes, at: 0 })
    }

    /// Writes on; says whether the connection lives.
    fn flood(&mut self) -> bool {
        for _ in 0..4 {
            match self.stream.write(&self.bytes[self.at..]) {
                Ok(len) => self.at = (self.at + len) % self.bytes.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

/// 100 each of peers that send pings, messages and fragments without end and never read.
pub(super) fn floods(target: &Target) -> Result<String> {
    const EACH: u64 = 100;
    target.wait_for(0, wire::PATIENCE)?;
    let honest = Honest::start(target);
    let memory = target.memory()?;
    let mut flooders = Vec::new();
    for _ in 0..EACH {
        let pings = wire::frame(0x89, &[0; 125]).repeat(500);
        flooders.push(Flooder::new(target.addr, "pings", &[], pings)?);
        let messages = wire::frame(0x82, &[0; 60_000]);
        flooders.push(Flooder::new(target.addr, "messages", &[], messages)?);
        let fragments = wire::frame(0x00, &[]).repeat(10_000);
        let first = wire::frame(0x02, &[]);
        flooders.push(Flooder::new(target.addr, "fragments", &first, fragments)?);
    }
    let (mut most, start) = (0, Instant::now());
    // A reader that does not read is not known for one before the buffers of the kernel are full.
    let limit = Duration::from_secs(5) + WRITE_TIMEOUT + GRACE;
    while !flooders.is_empty() {
        flooders.retain_mut(Flooder::flood);
        most = most.max(target.memory()?);
        if start.elapsed() > limit {
            let count = |kind| flooders.iter().filter(|flooder| flooder.kind == kind).count();
            return Err(format!(
                "1 s past the deadline {} floods of pings, {} of messages and {} of fragments go on",
                count("pings"),
                count("messages"),
                count("fragments")
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    target.wait_for(HONEST, FIN_TIMEOUT + GRACE)?;
    let served = honest.finish(Duration::MAX)?;
    let held = most.saturating_sub(memory);
    // What may wait to be written, and a message beyond it. Those who send pings and fragments hold nothing.
    let bound = EACH * (MAX_OUTGOING + MIB / 8) + 2 * EACH * MIB / 64 + 16 * MIB;
    within(held, bound)?;
    Ok(format!(
        "{} floods over after {:.1} s, at most {} MiB held (bound {}); {served}",
        3 * EACH,
        took.as_secs_f64(),
        held / MIB,
        bound / MIB
    ))
}

/// 64 messages at once that inflate a thousandfold.
pub(super) fn bombs(target: &Target) -> Result<String> {
    const BOMBS: u64 = 64;
    target.wait_for(0, wire::PATIENCE)?;
    let memory = target.memory()?;
    // The code of a length of 258, and of a distance of 1, has one bit each: a zero byte is 1,032 bytes.
    let mut bomb = vec![0xed, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a];
    bomb.resize(200_000, 0);
    let frame = wire::frame(0xc2, &bomb);
    let mut streams = (0..BOMBS)
        .map(|_| wire::open(wire::dial_as_attacker(target.addr)?, true))
        .collect::<Result<Vec<_>>>()?;
    let honest = Honest::start(target);
    let start = Instant::now();
    let mut most = 0;
    let codes: Vec<_> = thread::scope(|scope| {
        let throwing: Vec<_> = streams
            .iter_mut()
            .map(|stream| {
                let frame = &frame;
                scope.spawn(move || {
                    // The server may answer before it has read all.
                    let _ = stream.write_all(frame);
                    wire::close_code(stream)
                })
            })
            .collect();
        while !throwing.iter().all(thread::ScopedJoinHandle::is_finished) {
            most = most.max(target.memory().unwrap_or(0));
            thread::sleep(Duration::from_millis(1));
        }
        throwing.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let took = start.elapsed();
    for code in codes {
        match code {
            Ok(Ok(1009)) => {}
            other => return Err(format!("a bomb was answered with {other:?} and not with 1009")),
        }
    }
    drop(streams);
    let served = honest.finish(BESIDE_BOMBS)?;
    let held = most.saturating_sub(memory);
    let bound = BOMBS * (MAX_MESSAGE + MIB / 8) + 16 * MIB;
    within(held, bound)?;
    Ok(format!(
        "{BOMBS} bombs answered with 1009 in {:.2} s, at most {} MiB held (bound {}); {served}",
        took.as_secs_f64(),
        held / MIB,
        bound / MIB
    ))
}

fn within(held: u64, bound: u64) -> Result {
    match held <= bound {
        true => Ok(()),
        false => Err(format!("{} MiB were held, and {} are the bound", held / MIB, bound / MIB)),
    }
}

/// How many honest clients there are beside a flood.
const HONEST: usize = 4;

/// Clients that wait for the echo of each message, beside an attack.
struct Honest {
    stop: &'static AtomicBool,
    clients: Vec<thread::JoinHandle<Result<Vec<Echo>>>>,
}

/// How long an echo took, and how much processor time the server used meanwhile, which is no more if something else
/// keeps the machine busy.
struct Echo {
    took: Duration,
    used: Duration,
}

impl Honest {
    fn start(target: &Target) -> Self {
        let stop: &AtomicBool = Box::leak(Box::default());
        let (server, clock) = (target.addr, target.clock());
        let client = move || {
            let mut stream = wire::open(wire::dial(server)?, false)?;
            let mut echoes = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let start = clock.now()?;
                let took = wire::echo(&mut stream, &[7; 100])?;
                echoes.push(Echo { took, used: clock.now()?.saturating_sub(start) });
                thread::sleep(Duration::from_millis(2));
            }
            Ok(echoes)
        };
        Self { stop, clients: (0..HONEST).map(|_| thread::spawn(client)).collect() }
    }

    /// What they saw. None of them may have waited for longer than 2 seconds, nor one in 100 while the server
    /// worked for longer than `limit`.
    fn finish(self, limit: Duration) -> Result<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.join().map_err(|_| "an honest client has failed")??);
        }
        let (mut took, mut used): (Vec<_>, Vec<_>) =
            all.into_iter().map(|echo| (echo.took, echo.used)).unzip();
        took.sort();
        used.sort();
        let at = |times: &[Duration], share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place).or(times.last()).copied().unwrap_or(Duration::MAX)
        };
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let seen = format!(
            "{} honest echoes meanwhile, p50 {:.1} ms, p99 {:.1} ms ({:.1} ms of the server's processor time), longest {:.0} ms",
            took.len(),
            millis(at(&took, 0.5)),
            millis(at(&took, 0.99)),
            millis(at(&used, 0.99)),
            millis(at(&took, 1.0))
        );
        let served = at(&took, 1.0) <= Duration::from_secs(2) && at(&used, 0.99) <= limit;
        if served { Ok(seen) } else { Err(seen) }
    }
}
