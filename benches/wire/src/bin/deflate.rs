//! Echoes of 1 KiB of JSON in memory, with context takeover both ways: those that compress beside each
//! other, and one that does not for reference.
//!
//! ```text
//! cd benches/wire
//! cargo run --release --features deflate --bin deflate
//! ```
//!
//! prints a table, for which all take turns in short runs. With `NAME LEVEL MESSAGES` one makes so many
//! echoes, for `valgrind --tool=callgrind`.
//!
//! All but the reference compress with zlib-rs. A message is like those before it, and none is within the
//! window again.

#![forbid(unsafe_code)]

use std::{
    env, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Instant,
};

use flate2::{Compress, Compression, FlushCompress};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::{
    Result,
    frames::{self, Echoes, REQUEST},
    servers::{self, Mode},
};

const BYTES: usize = 1024;

/// So many together do not fit the window.
const DIFFERENT: usize = 64;

/// How many arrive together.
const BATCH: usize = 16;

const ROUNDS: usize = 31;
const ROUND: usize = 100 * BATCH;

const CONTENDERS: [(&str, u32); 6] = [
    ("wstokio", 1),
    ("sockudo-ws", 1),
    ("yawc", 1),
    ("wstokio", 6),
    ("sockudo-ws", 6),
    ("yawc", 6),
];
const REFERENCE: &str = "tokio-websockets";

fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    if let [name, level, messages] = &arguments[..] {
        let mut echo = Running::start(name, level.parse()?);
        echo.run(messages.parse()?)?;
        println!("{name}: {:.1} bytes for each message", echo.bytes_each());
        return Ok(());
    }
    let reference = [(REFERENCE, 0)];
    let contenders = || CONTENDERS.iter().chain(&reference);
    let mut running: Vec<_> =
        contenders().map(|(name, level)| Running::start(name, *level)).collect();
    let mut times = vec![Vec::new(); running.len()];
    for _ in 0..ROUNDS {
        for (running, times) in running.iter_mut().zip(&mut times) {
            let started = Instant::now();
            running.run(ROUND)?;
            times.push(started.elapsed().as_nanos() / ROUND as u128);
        }
    }
    println!("| | level | ns per message: median (lowest–highest) | bytes sent for each |");
    println!("|---|---|---:|---:|");
    for (((name, level), running), mut times) in contenders().zip(&running).zip(times) {
        times.sort_unstable();
        let level = if *level == 0 { "none".to_owned() } else { level.to_string() };
        let [low, median, high] = [times[0], times[ROUNDS / 2], times[ROUNDS - 1]];
        println!("| {name} | {level} | {median} ({low}–{high}) | {:.1} |", running.bytes_each());
    }
    Ok(())
}

/// A server that echoes, and the client's side of its stream.
struct Running {
    server: Pin<Box<dyn Future<Output = Result>>>,
    wire: Wire,
    sent: usize,
}

impl Running {
    fn start(name: &str, level: u32) -> Self {
        let messages: Vec<_> = (0..DIFFERENT).map(json).collect();
        let frames = match level {
            0 => messages.iter().chain(&messages).map(|message| frame(0x81, message)).collect(),
            _ => compressed(&messages),
        };
        // Ours is told by an opening handshake that it is to compress, the others by their constructors.
        let head = if name == "wstokio" { request() } else { Vec::new() };
        let wire = Wire::new(head, frames);
        let stream = wire.clone();
        let mode = Mode::Batched;
        let server: Pin<Box<dyn Future<Output = Result>>> = match name {
            "wstokio" => Box::pin(servers::wstokio::echo_compressed(stream, mode, level)),
            "sockudo-ws" => Box::pin(servers::sockudo::echo_compressed(stream, mode, level)),
            "yawc" => Box::pin(servers::yawc::echo_compressed(stream, mode, level)),
            _ => Box::pin(servers::tokio_websockets::echo(stream, mode)),
        };
        Self { server, wire, sent: 0 }
    }

    /// So many echoes, of which [`BATCH`] arrive together.
    fn run(&mut self, messages: usize) -> Result {
        for _ in 0..messages / BATCH {
            self.wire.lock().arrived += BATCH;
            self.sent += BATCH;
            let mut polls = 0;
            while self.wire.lock().echoed < self.sent {
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(result) = self.server.as_mut().poll(&mut cx) {
                    result?;
                    return Err("the server has ended".into());
                }
                polls += 1;
                if polls > 100 {
                    return Err("the server waits, and for nothing".into());
                }
            }
        }
        Ok(())
    }

    fn bytes_each(&self) -> f64 {
        self.wire.lock().written as f64 / self.sent as f64
    }
}

/// Messages as they come, and what is written counted.
#[derive(Clone)]
struct Wire(Arc<Mutex<State>>);

struct State {
    /// What comes before all messages.
    head: Vec<u8>,
    /// The messages: the first [`DIFFERENT`] once, and then the others again and again.
    frames: Vec<Vec<u8>>,
    /// Which of them comes next, and which byte of it.
    next: (usize, usize),
    /// How many have come that have not been read.
    arrived: usize,
    /// Whether the response to the head has been written.
    responded: bool,
    echoes: Echoes,
    echoed: usize,
    written: usize,
}

impl Wire {
    fn new(head: Vec<u8>, frames: Vec<Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            responded: head.is_empty(),
            head,
            frames,
            next: (0, 0),
            arrived: 0,
            echoes: Echoes::default(),
            echoed: 0,
            written: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while it is locked")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let State { head, frames, next: (frame, byte), arrived, .. } = &mut *self.lock();
        if *arrived == 0 && head.is_empty() {
            return Poll::Pending;
        }
        room.put_slice(head);
        head.clear();
        while *arrived > 0 && room.remaining() > 0 {
            let rest = &frames[*frame][*byte..];
            let len = rest.len().min(room.remaining());
            room.put_slice(&rest[..len]);
            *byte += len;
            if len == rest.len() {
                *byte = 0;
                *frame = if *frame + 1 == frames.len() { DIFFERENT } else { *frame + 1 };
                *arrived -= 1;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.lock();
        if !std::mem::replace(&mut state.responded, true) {
            assert!(bytes.ends_with(b"\r\n\r\n"), "the response is written by itself");
            return Poll::Ready(Ok(bytes.len()));
        }
        state.echoed += state.echoes.count(bytes).map_err(io::Error::other)?;
        state.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn request() -> Vec<u8> {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    REQUEST.replacen("\r\n\r\n", &format!("\r\n{offer}"), 1).into_bytes()
}

/// A message like the others.
fn json(at: usize) -> Vec<u8> {
    let mut state = at as u32 * 2_654_435_761 + 1;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut text = String::from("[");
    while text.len() < BYTES {
        let (id, user, price) = (next(1_000_000), next(500), next(100_000));
        let side = ["buy", "sell"][next(2) as usize];
        let more = format!(
            r#"{{"id":{id},"user":"user-{user}","side":"{side}","price":{price},"open":true}},"#
        );
        text.push_str(&more);
    }
    text.truncate(BYTES - 1);
    text.push(']');
    text.into_bytes()
}

/// The messages twice, as a client sends them that compresses with context: what it knows is the same
/// before the second time as behind it.
fn compressed(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut zlib = Compress::new(Compression::new(6), false);
    let twice = messages.iter().chain(messages);
    twice
        .map(|message| {
            let mut payload = Vec::with_capacity(2 * BYTES);
            zlib.compress_vec(message, &mut payload, FlushCompress::Sync).expect("it has room");
            payload.truncate(payload.len() - 4);
            frame(0xc1, &payload)
        })
        .collect()
}

/// A frame of a client that begins with this byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frames::message(payload.len(), true);
    frame[0] = first;
    let start = frame.len() - payload.len();
    let key: Vec<u8> = frame[start - 4..start].to_vec();
    for (at, (to, from)) in frame[start..].iter_mut().zip(payload).enumerate() {
        *to = from ^ key[at % 4];
    }
    frame
}
