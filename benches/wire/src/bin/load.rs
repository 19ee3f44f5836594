//! The load generator: `load PORT KIND CONNECTIONS BYTES IN_FLIGHT MILLIS`, where KIND is `ws` or `raw`.
//!
//! One thread, closed loop: each connection has so many messages in flight, and sends a new one for each
//! echo. It prints how many messages per second came back. It parses nothing: an echo is so many bytes.

#![forbid(unsafe_code)]

use std::{
    env,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream as Std},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

struct Connection {
    tcp: TcpStream,
    /// Bytes of echoes that are still to come for the message under way.
    missing: usize,
    /// Messages to send, and how much of the batch has been written.
    due: usize,
    written: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, port, kind, connections, bytes, in_flight, millis] = arguments.as_slice() else {
        return Err("load PORT ws|raw CONNECTIONS BYTES IN_FLIGHT MILLIS".into());
    };
    let addr: SocketAddr = format!("127.0.0.1:{port}").parse()?;
    let in_flight: usize = in_flight.parse()?;
    let (frame, echo) = wire::frame(bytes.parse()?);
    let echo = if kind == "raw" { frame.len() } else { echo };
    let batch = frame.repeat(in_flight);

    let mut poll = Poll::new()?;
    let mut open = Vec::new();
    for index in 0..connections.parse()? {
        let mut std = Std::connect(addr)?;
        std.set_nodelay(true)?;
        if kind == "ws" {
            upgrade(&mut std)?;
        }
        std.set_nonblocking(true)?;
        let mut tcp = TcpStream::from_std(std);
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut tcp, Token(index), both)?;
        open.push(Connection { tcp, missing: echo, due: in_flight, written: 0 });
    }

    let mut room = vec![0; 1 << 20];
    let mut events = Events::with_capacity(256);
    let run = Duration::from_millis(millis.parse()?);
    // A tenth of the time, before it counts, warms up.
    let warm = Instant::now() + run / 10;
    let (mut count, mut begun) = (0u64, None);
    loop {
        let now = Instant::now();
        if begun.is_none() && now >= warm {
            (count, begun) = (0, Some(now));
        }
        if let Some(begun) = begun
            && now.duration_since(begun) >= run
        {
            println!("{:.0}", count as f64 / now.duration_since(begun).as_secs_f64());
            return Ok(());
        }
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let connection = &mut open[event.token().0];
            if event.is_readable() {
                count += connection.read(&mut room, echo)?;
            }
            connection.write(&batch, frame.len())?;
        }
    }
}

fn upgrade(tcp: &mut Std) -> std::io::Result<()> {
    tcp.write_all(wire::REQUEST.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "the server does not upgrade");
    Ok(())
}

impl Connection {
    /// Reads what there is, and tells how many echoes were completed.
    fn read(&mut self, room: &mut [u8], echo: usize) -> std::io::Result<u64> {
        let mut done = 0;
        loop {
            let len = match self.tcp.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
                Err(error) => return Err(error),
            };
            if len < self.missing {
                self.missing -= len;
            } else {
                let beyond = len - self.missing;
                let completed = 1 + beyond / echo;
                self.missing = echo - beyond % echo;
                self.due += completed;
                done += completed as u64;
            }
            if len < room.len() {
                return Ok(done);
            }
        }
    }

    /// Writes the messages that are due, together.
    fn write(&mut self, batch: &[u8], frame: usize) -> std::io::Result<()> {
        while self.due > 0 {
            let end = (self.due * frame).min(batch.len());
            match self.tcp.write(&batch[self.written..end]) {
                Ok(len) => {
                    self.written += len;
                    let whole = self.written / frame;
                    self.due -= whole;
                    self.written -= whole * frame;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
