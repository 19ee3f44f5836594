//! Moving the bytes of an opening handshake.

use std::{
    io,
    time::{Duration, Instant},
};

use wsconn::{
    Timeout,
    opening::{HandshakeFailure, Progress},
    transport::Error,
};

use crate::{Stream, wait::Wait};

/// How much of a head is read at a time, in bytes: all of most. It is read on the stack, since a thread
/// that waits for the rest keeps no buffer meanwhile, in its pool neither.
const ROOM: usize = 4 << 10;

/// A byte stream during its handshake.
pub(crate) struct Handshake<'a, S> {
    stream: &'a mut S,
    wait: Wait,
    /// When it has to be over, and what it is then.
    deadline: Option<Instant>,
    timeout: Timeout,
}

impl<'a, S: Stream> Handshake<'a, S> {
    pub(crate) fn new(
        stream: &'a mut S,
        deadline: Option<Instant>,
        timeout: Timeout,
    ) -> Result<Self, Error> {
        stream.set_nonblocking()?;
        let wait = Wait::new(stream.as_raw_fd())?;
        Ok(Self { stream, wait, deadline, timeout })
    }

    /// Writes all of a request or a response.
    pub(crate) fn write(&mut self, head: &str) -> Result<(), Error> {
        let mut rest = head.as_bytes();
        while !rest.is_empty() {
            let len = self.block(|stream| stream.write(rest))?;
            if len == 0 {
                return Err(Error::Io(io::ErrorKind::WriteZero.into()));
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        self.block(|stream| stream.flush())
    }

    /// Feeds what arrives to `receive` until it has a complete head, and gives what was read behind
    /// it.
    pub(crate) fn read_head(
        &mut self,
        mut receive: impl FnMut(&[u8]) -> Progress,
    ) -> Result<Vec<u8>, Error> {
        let mut room = [0; ROOM];
        loop {
            let len = match self.block(|stream| stream.read(&mut room)) {
                // TLS without a close_notify.
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                read => read?,
            };
            if len == 0 {
                return Err(HandshakeFailure::Eof.into());
            }
            let read = room.get(..len).unwrap_or_default();
            let progress = receive(read);
            if progress.complete {
                return Ok(read.get(progress.consumed..).unwrap_or_default().to_vec());
            }
        }
    }

    /// Ends the byte stream after a refusal, so that the peer gets to read it: to close at once, with
    /// bytes unread, would make TCP reset the connection and drop the response.
    pub(crate) fn linger(mut self, wait: Duration) {
        self.deadline = Instant::now().checked_add(wait);
        let mut room = [0; ROOM];
        if self.block(Stream::shutdown_write).is_ok() {
            while self.block(|stream| stream.read(&mut room)).is_ok_and(|len| len > 0) {}
        }
    }

    /// Does what may have to wait, and waits.
    pub(crate) fn block<T>(
        &mut self,
        mut step: impl FnMut(&mut S) -> io::Result<T>,
    ) -> Result<T, Error> {
        loop {
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Error::Timeout(self.timeout));
            }
            match step(self.stream) {
                Ok(done) => return Ok(done),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => drop(self.wait.wait(self.deadline)?),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Error::Io(error)),
                },
            }
        }
    }
}
