//! A connection of the load generator.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream as Std},
    time::Duration,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use wire::{
    Result,
    frames::{Echoes, REQUEST},
};

/// How long to wait for a server, or a client, that does nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Connection {
    tcp: TcpStream,
    counted: Counted,
    /// Messages to send, and how much of them has been written.
    pub(crate) due: usize,
    written: usize,
}

/// How messages are counted in what comes back.
pub(crate) enum Counted {
    ByBytes { each: usize, rest: usize },
    ByHeaders(Echoes),
}

impl Connection {
    /// A connection after its opening handshake, if there is to be one.
    pub(crate) fn open(
        addr: SocketAddr,
        index: usize,
        counted: Counted,
        registry: &Registry,
    ) -> Result<Self> {
        let mut std = Std::connect(addr)?;
        std.set_nodelay(true)?;
        if matches!(counted, Counted::ByHeaders(_)) {
            upgrade(&mut std)?;
        }
        std.set_nonblocking(true)?;
        let mut tcp = TcpStream::from_std(std);
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut tcp, Token(index), both)?;
        Ok(Self { tcp, counted, due: 0, written: 0 })
    }

    /// Reads what there is, and tells how many messages were completed.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        loop {
            let len = match self.tcp.read(room) {
                Ok(0) => return Err("the server has closed a connection".into()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
                Err(error) => return Err(error.into()),
            };
            done += match &mut self.counted {
                Counted::ByBytes { each, rest } => {
                    let whole = (*rest + len) / *each;
                    *rest = (*rest + len) % *each;
                    whole
                }
                Counted::ByHeaders(echoes) => echoes.count(&room[..len])?,
            };
            if len < room.len() {
                return Ok(done);
            }
        }
    }

    /// Writes the messages that are due, together, from a batch of as many as there may be.
    pub(crate) fn write(&mut self, batch: &[u8], message: usize) -> Result {
        while self.due > 0 {
            let end = (self.due * message).min(batch.len());
            match self.tcp.write(&batch[self.written..end]) {
                Ok(len) => {
                    self.written += len;
                    let whole = self.written / message;
                    self.due -= whole;
                    self.written -= whole * message;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

pub(crate) fn upgrade(tcp: &mut Std) -> Result {
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.write_all(REQUEST.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(format!("the server answers {:?}", String::from_utf8_lossy(&head)).into());
    }
    Ok(())
}
