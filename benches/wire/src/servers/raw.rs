//! Raw TCP: what arrives goes back.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Result;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    tcp: TcpStream,
    /// What could not be written.
    rest: Vec<u8>,
}

/// Over tokio: one read and one write at a time, a task for each connection.
pub async fn connection(mut tcp: impl AsyncRead + AsyncWrite + Unpin) -> Result {
    let mut room = vec![0; 64 << 10];
    while let len @ 1.. = tcp.read(&mut room).await? {
        tcp.write_all(&room[..len]).await?;
    }
    Ok(())
}

/// Over mio: one read and one write for each readiness, one buffer for all.
pub(super) fn over_mio(listening: impl FnOnce(SocketAddr) -> Result) -> Result {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    listening(listener.local_addr()?)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut open: Vec<Option<Connection>> = Vec::new();
    let mut room = vec![0; 256 << 10];
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut tcp, _)) = listener.accept() {
                    tcp.set_nodelay(true)?;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut tcp, Token(open.len()), both)?;
                    open.push(Some(Connection { tcp, rest: Vec::new() }));
                }
                continue;
            }
            let slot = &mut open[event.token().0];
            if let Some(connection) = slot
                && connection.ready(&mut room).is_err()
            {
                *slot = None;
            }
        }
    }
}

impl Connection {
    fn ready(&mut self, room: &mut [u8]) -> std::io::Result<()> {
        loop {
            while !self.rest.is_empty() {
                match self.tcp.write(&self.rest) {
                    Ok(len) => drop(self.rest.drain(..len)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            let len = match self.tcp.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            match self.tcp.write(&room[..len]) {
                Ok(written) => self.rest.extend_from_slice(&room[written..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.rest.extend_from_slice(&room[..len]);
                }
                Err(error) => return Err(error),
            }
            if len < room.len() && self.rest.is_empty() {
                return Ok(());
            }
        }
    }
}
