//! Idle connections: what each costs the server, after it has echoed a message.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use wire::{Result, frames};

use crate::{connection::upgrade, subject::Subject};

/// The first ones, whose cost does not count: they warm up what is shared.
const FIRST: usize = 100;
const BYTES: usize = 1000;

pub(crate) fn run(connections: usize, server: &[String]) -> Result {
    let mut server = Subject::start(server)?;
    let addr = server.addr()?;
    let connections = connections.min(affordable().saturating_sub(FIRST));
    let mut open = Vec::new();
    for _ in 0..FIRST {
        open.push(talk(addr)?);
    }
    let (heap, own) = server.memory()?;
    for _ in 0..connections {
        open.push(talk(addr)?);
    }
    let (heap_after, own_after) = server.memory()?;
    let each = |before: i64, after: i64| (after - before) as f64 / connections as f64;
    println!("connections {connections}");
    println!("heap {}", each(heap, heap_after));
    println!("resident {}", each(own, own_after));
    Ok(())
}

fn talk(addr: SocketAddr) -> Result<TcpStream> {
    let mut tcp = TcpStream::connect(addr)?;
    upgrade(&mut tcp)?;
    let message = frames::message(BYTES, false);
    tcp.write_all(&message)?;
    tcp.read_exact(&mut vec![0; message.len() - 4])?;
    Ok(tcp)
}

/// How many connections this process, and a server like it, may have.
fn affordable() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    soft.unwrap_or(1024).saturating_sub(100)
}
