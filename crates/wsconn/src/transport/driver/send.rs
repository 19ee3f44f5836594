//! What a caller has the driver send.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    task::{Poll, ready},
};

use super::{Driver, Error, Io, pool};
#[cfg(feature = "deflate")]
use crate::deflate::Compress;
use crate::{Connection, Message, Misuse, PreparedMessage, Role, Sending};

/// Once this many bytes are queued they are written, if the stream takes them, though no one has
/// asked to flush; and the message that makes them so many from where it lies. Up to here a copy costs
/// less than a call to the system.
const EAGER_WRITE: usize = pool::BUFFER;

impl Driver {
    /// Queues a message if that takes no waiting and no writing, and says whether it did.
    #[inline]
    pub fn try_queue(&mut self, message: Message<'_>) -> bool {
        let queued = self.connection.outgoing().len();
        if queued + message.as_bytes().len() >= EAGER_WRITE {
            return false;
        }
        self.lend();
        let queued = self.connection.send(message).is_ok();
        self.meter.counted.messages_sent += u64::from(queued);
        queued
    }

    /// Queues a message. If [`poll_ready`](Self::poll_ready) has `promised` room for it, and others have
    /// filled the queue since, it goes beyond.
    pub fn queue(&mut self, message: Message<'_>, promised: bool) -> Result<(), Error> {
        self.lend();
        if promised {
            self.connection.send_late(message)?;
        } else {
            self.connection.send(message)?;
        }
        self.meter.counted.messages_sent += 1;
        Ok(())
    }

    /// Waits until a message can be queued.
    pub fn poll_ready(&mut self, io: &mut impl Io) -> Poll<Result<(), Error>> {
        loop {
            if !self.connection.is_open() {
                return Poll::Ready(self.verdict().and(Err(Error::Closed)));
            }
            if !self.connection.is_full() {
                return Poll::Ready(Ok(()));
            }
            if self.poll_write(io).is_pending() && self.connection.is_full() {
                self.read_for_sender(io);
                ready!(self.poll_timer(io));
            }
        }
    }

    /// Queues a message, once there is room, or writes it if it is large. The connection owns what is
    /// left of it.
    pub fn poll_queue(
        &mut self,
        io: &mut impl Io,
        message: Message<'_>,
    ) -> Poll<Result<(), Error>> {
        let len = message.as_bytes().len();
        self.poll_send(io, len, |connection| connection.send_direct(message))
    }

    /// As [`poll_queue`](Self::poll_queue), of a message that was prepared.
    pub fn poll_queue_prepared(
        &mut self,
        io: &mut impl Io,
        message: &PreparedMessage,
    ) -> Poll<Result<(), Error>> {
        let len = message.as_bytes().len();
        self.poll_send(io, len, |connection| connection.send_prepared_direct(message))
    }

    /// As [`poll_queue`](Self::poll_queue), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub fn poll_queue_as(
        &mut self,
        io: &mut impl Io,
        message: Message<'_>,
        compress: Compress,
    ) -> Poll<Result<(), Error>> {
        let len = message.as_bytes().len();
        self.poll_send(io, len, |connection| connection.send_direct_as(message, compress))
    }

    /// Sends a message of so many bytes, once there is room.
    fn poll_send<'m>(
        &mut self,
        io: &mut impl Io,
        len: usize,
        send: impl for<'c> FnOnce(&'c mut Connection) -> Result<Sending<'c, 'm>, Misuse>,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(io))?;
        let queued = self.connection.outgoing().len() + len;
        let copied = queued < EAGER_WRITE || self.connection.role() == Role::Client;
        // One that is compressed is queued whatever its size.
        #[cfg(feature = "deflate")]
        let lent = copied || self.connection.deflate().is_some();
        #[cfg(not(feature = "deflate"))]
        let lent = copied;
        if lent {
            self.lend();
        }
        let mut failure = None;
        let mut blocked = false;
        let mut sending = send(&mut self.connection)?;
        while !copied && !sending.is_done() && failure.is_none() && !blocked {
            let slices = sending.slices().map(IoSlice::new);
            self.unflushed = true;
            match io.poll_write_vectored(&slices) {
                Poll::Ready(Ok(0)) => failure = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    sending.advance(len);
                    self.meter.counted.bytes_sent += len as u64;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => failure = Some(error),
                Poll::Pending => blocked = true,
            }
        }
        drop(sending);
        self.meter.counted.messages_sent += 1;
        if let Some(failure) = failure {
            self.write_fails(io, failure);
        }
        if blocked {
            self.write_now(io);
        }
        self.write_eagerly(io);
        Poll::Ready(Ok(()))
    }

    /// Queues a part of a message as a fragment, once there is room.
    pub fn poll_queue_fragment(
        &mut self,
        io: &mut impl Io,
        part: Message<'_>,
        fin: bool,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(io))?;
        Poll::Ready(self.queue_fragment(io, part, fin))
    }

    /// Queues a part of a message as a fragment, for which [`poll_ready`](Self::poll_ready) has made
    /// room. If others have filled the queue since, it goes beyond: whoever has read the part could only
    /// hold it.
    pub fn queue_fragment(
        &mut self,
        io: &mut impl Io,
        part: Message<'_>,
        fin: bool,
    ) -> Result<(), Error> {
        self.lend();
        self.connection.send_late_fragment(part, fin)?;
        self.meter.counted.messages_sent += u64::from(fin);
        self.write_eagerly(io);
        Ok(())
    }

    /// As [`poll_queue_fragment`](Self::poll_queue_fragment), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub fn poll_queue_fragment_as(
        &mut self,
        io: &mut impl Io,
        part: Message<'_>,
        fin: bool,
        compress: Compress,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(io))?;
        self.lend();
        self.connection.send_fragment_as(part, fin, compress)?;
        self.meter.counted.messages_sent += u64::from(fin);
        self.write_eagerly(io);
        Poll::Ready(Ok(()))
    }

    /// Queues a ping, once there is room.
    pub fn poll_ping(&mut self, io: &mut impl Io, payload: &[u8]) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(io))?;
        self.connection.ping(payload)?;
        self.meter.pinged(io.now());
        Poll::Ready(Ok(()))
    }

    /// Sends what waits, in order, as far as the stream takes it. A later call sends what is left of it,
    /// unless the connection has been closed by then.
    pub fn send_waiting(&mut self, io: &mut impl Io, waiting: &mut VecDeque<PreparedMessage>) {
        while let Some(message) = waiting.front() {
            // Room is made here: a failure is for whoever calls for the connection to be told of.
            let wants_room = self.connection.is_blocked() || self.connection.is_full();
            let blocked = wants_room && self.poll_write(io).is_pending();
            let sends = !blocked && self.connection.is_open();
            if !sends || !matches!(self.poll_queue_prepared(io, message), Poll::Ready(Ok(()))) {
                break;
            }
            waiting.pop_front();
        }
        self.write_now(io);
    }

    /// Queues what waits, as far as there is room, without writing any of it.
    pub fn queue_waiting(&mut self, waiting: &mut VecDeque<PreparedMessage>) {
        while let Some(message) = waiting.front() {
            self.lend();
            if self.connection.send_prepared(message).is_err() {
                break;
            }
            self.meter.counted.messages_sent += 1;
            waiting.pop_front();
        }
    }

    /// As [`queue_waiting`](Self::queue_waiting), if the moment of [`close_at`](Self::close_at) has come: what
    /// waits goes out before the close frame.
    pub fn queue_before_close(&mut self, io: &impl Io, waiting: &mut VecDeque<PreparedMessage>) {
        if self.goodbye.as_ref().is_some_and(|goodbye| goodbye.at <= io.now()) {
            self.queue_waiting(waiting);
        }
    }

    /// Gives the connection a buffer to queue in.
    #[inline]
    fn lend(&mut self) {
        if self.connection.wants_buffer() {
            self.connection.lend(pool::take_write());
        }
    }

    fn write_eagerly(&mut self, io: &mut impl Io) {
        if self.connection.outgoing().len() >= EAGER_WRITE {
            self.write_now(io);
        }
    }
}
