//! Raw clients: what they write is spelled out here, byte for byte, and owes nothing to our crates.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::Result;

/// Longer than any answer takes: when it is over, none comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The start of a request, which is never finished.
pub(super) const HALF_A_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs";

/// An honest client's connection. It blocks, as do all here.
pub(super) fn dial(server: SocketAddr) -> Result<TcpStream> {
    from(Ipv4Addr::LOCALHOST, server)
}

/// An attacker's connection, from an address of its own so that the honest ones do not have to look for free
/// ports among its many, and with hardly any room to receive.
pub(super) fn dial_as_attacker(server: SocketAddr) -> Result<TcpStream> {
    from(Ipv4Addr::new(127, 0, 0, 2), server)
}

fn from(address: Ipv4Addr, server: SocketAddr) -> Result<TcpStream> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if address != Ipv4Addr::LOCALHOST {
            socket.set_recv_buffer_size(4096)?;
        }
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        socket.connect(&server.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    open().map_err(|error: std::io::Error| format!("cannot connect to {server}: {error}"))
}

/// Does the opening handshake.
pub(super) fn open(mut stream: TcpStream, deflate: bool) -> Result<TcpStream> {
    let extensions = match deflate {
        true => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        false => "",
    };
    let request = format!("{REQUEST}{extensions}\r\n");
    let head = stream.write_all(request.as_bytes()).and_then(|()| read_head(&mut stream));
    let head = head.map_err(|error| format!("the opening handshake failed: {error}"))?;
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(format!("the server refused an honest client: {head:?}"));
    }
    if deflate && !head.to_ascii_lowercase().contains("permessage-deflate") {
        return Err("the server did not agree to permessage-deflate".to_owned());
    }
    Ok(stream)
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A client's frame, with a masking key that changes nothing.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// The first byte and the payload of the server's next frame.
pub(super) fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut start = [0; 2];
    stream.read_exact(&mut start)?;
    let len = match start[1] {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            u64::from(u16::from_be_bytes(len))
        }
        127 => {
            let mut len = [0; 8];
            stream.read_exact(&mut len)?;
            u64::from_be_bytes(len)
        }
        len => u64::from(len),
    };
    let mut payload = Vec::new();
    stream.take(len).read_to_end(&mut payload)?;
    match payload.len() as u64 == len {
        true => Ok((start[0], payload)),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// The code of the close frame that the server sends, whatever it sends before.
pub(super) fn close_code(stream: &mut TcpStream) -> std::io::Result<u16> {
    loop {
        if let (0x88, payload) = read_frame(stream)? {
            let code = payload.first_chunk().copied().map(u16::from_be_bytes);
            return Ok(code.unwrap_or(1005));
        }
    }
}

/// Whether the server has ended this connection; what else it sent is thrown away. It must not block.
pub(super) fn is_gone(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Sends a message and waits for its echo, over and over; says how long each took.
pub(super) fn echo(stream: &mut TcpStream, payload: &[u8]) -> Result<Duration> {
    let start = Instant::now();
    let exchange = stream.write_all(&frame(0x82, payload)).and_then(|()| {
        loop {
            match read_frame(stream)? {
                // The server looks whether we are there.
                (0x89, ping) => stream.write_all(&frame(0x8a, &ping))?,
                answer => return Ok(answer),
            }
        }
    });
    match exchange {
        Ok((0x82, echoed)) if echoed == payload => Ok(start.elapsed()),
        Ok((first, echoed)) => Err(format!(
            "an honest client got a frame {first:#x} of {} bytes instead of its echo of {}",
            echoed.len(),
            payload.len()
        )),
        Err(error) => Err(format!("an honest client was not served: {error}")),
    }
}
