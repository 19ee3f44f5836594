//! Opening handshakes: connect, send the request, read the response, reset, and again.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use mio::{Events, Interest, Poll, Registry, Token, net::TcpStream};
use wire::{Result, frames::REQUEST};

use crate::subject::{Meter, Subject};

struct Attempt {
    tcp: TcpStream,
    asked: bool,
    head: Vec<u8>,
}

pub(crate) fn run(connections: usize, run: Duration, server: &[String]) -> Result {
    let mut server = Subject::start(server)?;
    let addr = server.addr()?;
    let mut poll = Poll::new()?;
    let mut attempts = Vec::new();
    for index in 0..connections {
        attempts.push(Attempt::begin(addr, index, poll.registry())?);
    }
    let mut events = Events::with_capacity(256);
    let mut meter = Meter::new(run);
    let mut done = 0;
    while !meter.is_over(done, &server)? {
        done = 0;
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let Token(index) = event.token();
            if attempts[index].is_over()? {
                done += 1;
                attempts[index] = Attempt::begin(addr, index, poll.registry())?;
            }
        }
    }
    Ok(())
}

impl Attempt {
    fn begin(addr: SocketAddr, index: usize, registry: &Registry) -> Result<Self> {
        let mut tcp = TcpStream::connect(addr)?;
        // So that its port is free again at once.
        socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut tcp, Token(index), both)?;
        Ok(Self { tcp, asked: false, head: Vec::new() })
    }

    fn is_over(&mut self) -> Result<bool> {
        if !self.asked {
            match self.tcp.write(REQUEST.as_bytes()) {
                Ok(_) => self.asked = true,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
                Err(error) => return Err(error.into()),
            }
            return Ok(false);
        }
        let mut room = [0; 1024];
        match self.tcp.read(&mut room) {
            Ok(0) => Err("the server has closed a connection".into()),
            Ok(len) => {
                self.head.extend(&room[..len]);
                if !self.head.ends_with(b"\r\n\r\n") {
                    return Ok(false);
                }
                if !self.head.starts_with(b"HTTP/1.1 101") {
                    return Err("the server does not upgrade".into());
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
