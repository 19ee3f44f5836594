//! The bytes that the load generator sends, and how it sees that they came back.

use crate::Result;

/// The opening handshake of the load generator.
pub const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A message of `len` letters as a client sends it, in one masked frame.
pub fn message(len: usize, text: bool) -> Vec<u8> {
    let mut frame = vec![if text { 0x81 } else { 0x82 }];
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
    let key = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(key);
    frame.extend((0..len).map(|i| b'x' ^ key[i % 4]));
    frame
}

/// Counts the messages in what a server sends, by the headers of their frames.
#[derive(Debug, Default)]
pub struct Echoes {
    /// What has come of a header.
    header: [u8; 10],
    have: usize,
    /// Bytes of payload that are still to come, and whether they end a message.
    payload: u64,
    last: bool,
}

impl Echoes {
    /// Takes what was read, and tells how many messages it completed.
    ///
    /// # Errors
    ///
    /// If there is anything but messages in it.
    pub fn count(&mut self, mut bytes: &[u8]) -> Result<usize> {
        let mut done = 0;
        loop {
            let skipped = self.payload.min(bytes.len() as u64);
            self.payload -= skipped;
            bytes = &bytes[skipped as usize..];
            if self.payload > 0 {
                return Ok(done);
            }
            done += usize::from(std::mem::take(&mut self.last));
            let need = match (self.have, self.header[1]) {
                (0 | 1, _) => 2,
                (_, 126) => 4,
                (_, 127) => 10,
                _ => 2,
            };
            let taken = (need - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < need {
                return Ok(done);
            }
            if self.have == 2 && self.header[1] >= 126 {
                continue;
            }
            self.header()?;
        }
    }

    /// A header is complete.
    fn header(&mut self) -> Result {
        let [first, second, ..] = self.header;
        if first & 0x0f > 2 || second & 0x80 != 0 {
            return Err(format!("the server sent a frame that begins with {first:#x}").into());
        }
        self.payload = match second {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => self.header[2..10].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
            len => u64::from(len),
        };
        self.last = first & 0x80 != 0;
        self.have = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_whatever_the_cuts() {
        let mut wire = Vec::new();
        for len in [0_u32, 20, 125, 126, 1024, 65_535, 65_536] {
            let header: &[u8] = match len {
                0..126 => &[len as u8],
                126..65_536 => &[126, (len >> 8) as u8, len as u8],
                _ => &[127, 0, 0, 0, 0, 0, 1, 0, 0],
            };
            // In two fragments: the first of no bytes.
            wire.extend([0x02, 0x00, 0x80]);
            wire.extend(header);
            wire.extend(vec![0x88; len as usize]);
        }
        for piece in [1, 2, 3, 7, 1000, wire.len()] {
            let mut echoes = Echoes::default();
            let counts = wire.chunks(piece).map(|piece| echoes.count(piece).unwrap());
            assert_eq!(counts.sum::<usize>(), 7, "pieces of {piece}");
        }
        assert!(Echoes::default().count(&[0x88, 0]).is_err());
    }
}
