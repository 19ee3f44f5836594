use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
};

use wsconn::Time;

use super::entry::{Common, Got, Turn, read};

/// A request that has been refused: the response is written, and what comes is discarded until the
/// peer has ended its side.
pub(super) struct Refused {
    response: Vec<u8>,
    written: usize,
    shut_down: bool,
    eof: bool,
    deadline: Time,
}

impl Refused {
    pub(super) fn new(response: Vec<u8>, deadline: Time) -> Self {
        Self { response, written: 0, shut_down: false, eof: false, deadline }
    }

    /// Nothing to say, and nothing to wait for.
    pub(super) fn gone(deadline: Time) -> Self {
        Self { eof: true, ..Self::new(Vec::new(), deadline) }
    }

    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether the peer has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        self.eof
    }

    pub(super) fn read<H>(&mut self, tcp: &mut TcpStream, common: &mut Common<H>) -> Turn {
        match read(tcp, &mut common.input) {
            Got::Bytes(_, more) => Turn::read(more),
            Got::Nothing => Turn::Done,
            Got::Ended | Got::Failed => {
                self.eof = true;
                Turn::Done
            }
        }
    }

    /// Writes the response, and says whether there is something to wait for.
    pub(super) fn settle(&mut self, tcp: &mut TcpStream) -> bool {
        while let Some(rest) = self.response.get(self.written..).filter(|rest| !rest.is_empty()) {
            match tcp.write(rest) {
                Ok(len) if len > 0 => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                _ => return false,
            }
        }
        if !std::mem::replace(&mut self.shut_down, true) {
            let _ = tcp.shutdown(Shutdown::Write);
        }
        !self.eof
    }
}
