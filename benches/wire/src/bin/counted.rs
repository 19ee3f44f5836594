//! `counted NAME each|batched BYTES IN_FLIGHT BATCHES`: echoes batches of messages and prints what that took, to
//! be run under callgrind too. `cargo xtask bench wire counted` runs it twice; the difference is what the
//! batches cost.
//!
//! The libraries over tokio echo over a stream in memory. An event loop has nothing but sockets: it echoes
//! over loopback, to a process of its own.

#![forbid(unsafe_code)]

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    pin::Pin,
    process::{self, Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Waker},
    thread,
};

use wire::{
    Result, alloc, frames,
    memory::{Counts, Memory},
    servers::{self, Mode},
};

/// How often to poll in vain.
const PATIENCE: usize = 1000;

fn main() -> Result {
    alloc::count();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, mode, bytes, in_flight, batches] = &arguments[..] else {
        return Err("counted NAME each|batched BYTES IN_FLIGHT BATCHES".into());
    };
    let (bytes, in_flight): (usize, usize) = (bytes.parse()?, in_flight.parse()?);
    let message = frames::message(bytes, false);
    let batch = message.repeat(in_flight);
    let raw = name.starts_with("raw-");
    let echo = if raw { batch.len() } else { batch.len() - 4 * in_flight };
    let batches = batches.parse()?;
    let mode = if mode == "each" { Mode::Each } else { Mode::Batched };
    if let Ok(port) = env::var("WIRE_PORT") {
        return talk(&port, &batch, echo, batches, raw);
    }
    if name.ends_with("mio") {
        return over_loopback(name, mode, &arguments);
    }
    // It finds out how fast the processor's clock is, which takes it a different number of instructions each
    // time.
    sockudo_ws::init_clock();
    let counts = Arc::<Counts>::default();
    let stream = Memory::new(batch, echo, batches, counts.clone());
    // For the timers, none of which comes to its end.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let mut echoing: Pin<Box<dyn Future<Output = Result>>> = match &**name {
        "raw-tokio" => Box::pin(servers::raw::connection(stream)),
        "wstokio" => Box::pin(servers::wstokio::echo(stream, mode)),
        "tokio-tungstenite" => Box::pin(servers::tungstenite::echo(stream, mode)),
        "fastwebsockets" => Box::pin(servers::fastwebsockets::echo(stream)),
        "tokio-websockets" => Box::pin(servers::tokio_websockets::echo(stream, mode)),
        "yawc" => Box::pin(servers::yawc::echo(stream, mode)),
        "sockudo-ws" => Box::pin(servers::sockudo::echo(stream, mode)),
        _ => return Err(format!("there is no server {name}").into()),
    };
    measured(&mut echoing, &counts)?;
    println!("reads {}", counts.reads.load(Relaxed));
    println!("writes {}", counts.writes.load(Relaxed));
    println!("allocations {}", alloc::allocations());
    Ok(())
}

/// Where callgrind counts. Polls until the stream has come to its end; what the library then makes of that is up
/// to it, since there was no close frame.
#[inline(never)]
fn measured(echoing: &mut Pin<Box<dyn Future<Output = Result>>>, counts: &Counts) -> Result {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut in_vain, mut seen) = (0, 0);
    while echoing.as_mut().poll(&mut cx).is_pending() {
        let reads = counts.reads.load(Relaxed);
        in_vain = if reads == seen { in_vain + 1 } else { 0 };
        seen = reads;
        if in_vain == PATIENCE {
            return Err("the server does not echo".into());
        }
    }
    Ok(())
}

/// Serves in this process, and talks to itself from another.
fn over_loopback(name: &str, mode: Mode, arguments: &[String]) -> Result {
    let arguments = arguments.to_vec();
    servers::run(name, mode, move |addr| {
        let port = addr.port().to_string();
        let mut peer = Command::new(env::current_exe()?);
        peer.args(&arguments).env("WIRE_PORT", port).stdin(Stdio::null());
        let mut peer = peer.spawn()?;
        thread::spawn(move || {
            let ended = peer.wait();
            println!("allocations {}", alloc::allocations());
            process::exit(i32::from(!ended.is_ok_and(|status| status.success())));
        });
        Ok(())
    })
}

/// The client of an event loop.
fn talk(port: &str, batch: &[u8], echo: usize, batches: u64, raw: bool) -> Result {
    let mut tcp = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    tcp.set_nodelay(true)?;
    if !raw {
        tcp.write_all(frames::REQUEST.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte)?;
            head.extend(byte);
        }
    }
    let mut writing = tcp.try_clone()?;
    let mut echoed = vec![0; echo];
    for _ in 0..batches {
        thread::scope(|scope| {
            // A large batch does not fit into the buffers in between.
            let written = scope.spawn(|| writing.write_all(batch));
            tcp.read_exact(&mut echoed)?;
            written.join().map_err(|_| "the writer has failed")??;
            Result::Ok(())
        })?;
    }
    Ok(())
}
