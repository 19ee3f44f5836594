//! What the programs of the race share.

#![forbid(unsafe_code)]

/// The opening handshake that the load generator sends, and that the raw echoes answer like anything
/// else.
pub const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A masked binary frame of `len` bytes, as a client sends it, and the length of its echo.
pub fn frame(len: usize) -> (Vec<u8>, usize) {
    let mut frame = vec![0x82];
    match len {
        0..=125 => frame.push(0x80 | len as u8),
        126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    let echo = frame.len() + len;
    let key = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(key);
    frame.extend((0..len).map(|i| b'x' ^ key[i % 4]));
    (frame, echo)
}
