//! A server that only reads: what a client gets rid of.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wire::{Result, frames};

use crate::{
    connection::PATIENCE,
    subject::{Meter, Subject},
};

/// The client gets the port as its last argument.
pub(crate) fn run(bytes: usize, run: Duration, client: &[String]) -> Result {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut client = client.to_vec();
    client.push(listener.local_addr()?.port().to_string());
    let client = Subject::start(&client)?;
    let (mut tcp, _) = listener.accept()?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte)?;
        head.push(byte[0].into());
    }
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let accept = derive_accept_key(key.ok_or("the client sends no key")?.as_bytes());
    write!(
        tcp,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    let message = frames::message(bytes, false).len();
    let mut room = vec![0; 1 << 20];
    let mut meter = Meter::new(run);
    let (mut done, mut rest) = (0, 0);
    while !meter.is_over(done, &client)? {
        let len = tcp.read(&mut room)?;
        if len == 0 {
            return Err("the client has closed its connection".into());
        }
        rest += len;
        done = rest / message;
        rest %= message;
    }
    Ok(())
}
