//! The two halves of a socket.

use std::{fmt, sync::Arc, task::Poll, time::Duration};

#[cfg(feature = "deflate")]
use wsconn::deflate::Compress;
use wsconn::{
    Chunk, CloseCode, CloseInfo, Delivery, Event, Location, Message, PreparedMessage,
    transport::{Driver, Error, Inbox},
};

use crate::{
    MaybeTls, Stream, WebSocket,
    shared::{Half, NonBlocking, Shared, Waiting},
};

/// The receiving half of a [`WebSocket`]; see [`WebSocket::split`].
pub struct Receiver<S = MaybeTls> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) inbox: Inbox,
    pub(crate) waiting: Waiting,
}

impl<S> Receiver<S> {
    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.shared.close_info()
    }

    /// How long a call may block before it fails with [`Error::Io`] of kind
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). Nothing is lost by that: call again. What has come is
    /// looked at first, but not without end where no message comes of it. Default: no limit but the connection's own.
    pub fn set_read_timeout(&mut self, limit: Option<Duration>) {
        self.waiting.limit = limit;
    }

    /// The socket again, if the halves are of one.
    ///
    /// # Errors
    ///
    /// Both halves, as they were, if they are not.
    #[expect(clippy::result_large_err, reason = "the halves go back to where they came from")]
    pub fn reunite(self, sender: Sender<S>) -> Result<WebSocket<S>, (Self, Sender<S>)> {
        if Arc::ptr_eq(&self.shared, &sender.shared) {
            Ok(WebSocket::of(self, sender))
        } else {
            Err((self, sender))
        }
    }
}

impl<S: Stream> Receiver<S> {
    /// The next message, borrowed until the next call: `None` once the connection has ended, as
    /// [`close_info`](Self::close_info) then tells. That the peer closed, or broke the protocol, is no
    /// error.
    ///
    /// Before it blocks, it writes what is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Timeout`] once, if they ended the connection, on whichever half is
    /// called first; [`Error::Io`] of kind `TimedOut` after
    /// [`set_read_timeout`](Self::set_read_timeout); [`Error::Misuse`] in the middle of a message that
    /// [`recv_chunk`](Self::recv_chunk) has begun.
    pub fn recv(&mut self) -> Result<Option<Message<'_>>, Error> {
        let location = self.location(Delivery::Messages, false)?;
        Ok(location.and_then(|location| match self.inbox.event(&location) {
            Event::Message(message) => Some(message),
            _ => None,
        }))
    }

    /// As [`recv`](Self::recv), but shows pings and pongs too. Pings have been answered already.
    pub fn recv_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        let location = self.location(Delivery::Messages, true)?;
        Ok(location.map(|location| self.inbox.event(&location)))
    }

    /// The next part of a message, as soon as it arrives: for messages too large to hold. `None` once
    /// the connection has ended.
    ///
    /// A message begun in chunks must be finished in chunks. The limits hold all the same: raise
    /// [`Config::max_message_size`](crate::Config::max_message_size) and
    /// [`Config::max_frame_size`](crate::Config::max_frame_size) for messages larger than them.
    ///
    /// Errors as for [`recv`](Self::recv).
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let location = self.location(Delivery::Chunks, false)?;
        Ok(location.and_then(|location| match self.inbox.event(&location) {
            Event::Chunk(chunk) => Some(chunk),
            _ => None,
        }))
    }

    /// Receives what still comes, until the end.
    pub(crate) fn discard_rest(&mut self) -> Result<(), Error> {
        loop {
            // A message that was begun in chunks is finished in chunks.
            let delivery = self.shared.now(|core| core.driver.delivery());
            if self.location(delivery, false)?.is_none() {
                return Ok(());
            }
        }
    }

    fn location(&mut self, delivery: Delivery, controls: bool) -> Result<Option<Location>, Error> {
        let Self { shared, inbox, waiting } = self;
        waiting.begin();
        loop {
            let location = match shared.now(|core| core.driver.buffered_event(inbox, delivery)) {
                Some(location) => location,
                None => {
                    let waited = shared.block(Half::Receiver, waiting, |driver, io| {
                        driver.poll_event(io, inbox, delivery)
                    });
                    match waited? {
                        Some(location) => location,
                        None => return Ok(None),
                    }
                }
            };
            if controls || !location.is_control() {
                return Ok(Some(location));
            }
            waiting.check()?;
        }
    }
}

impl<S> fmt::Debug for Receiver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("close_info", &self.close_info()).finish_non_exhaustive()
    }
}

impl<S> Drop for Receiver<S> {
    fn drop(&mut self) {
        self.shared.receiver_gone(&mut self.inbox);
    }
}

/// The sending half of a [`WebSocket`]; see [`WebSocket::split`].
pub struct Sender<S = MaybeTls> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) waiting: Waiting,
}

impl<S> Sender<S> {
    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.shared.close_info()
    }

    /// How long a call may block before it fails with [`Error::Io`] of kind
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). A message that was accepted goes out with what is
    /// written next. [`send`](Self::send) is two calls: [`feed`](Self::feed) and
    /// [`flush`](Self::flush). Default: no limit but the connection's own.
    pub fn set_write_timeout(&mut self, limit: Option<Duration>) {
        self.waiting.limit = limit;
    }
}

impl<S: Stream> Sender<S> {
    /// Sends a message: text from a string, binary from bytes. Returns when it, and all that was
    /// queued before, has been written.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] once closing has begun, by either side; [`Error::Io`] and
    /// [`Error::Timeout`] as for [`Receiver::recv`]; [`Error::Misuse`] while a message is being sent
    /// in fragments.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.feed(message)?;
        self.flush()
    }

    /// Queues a message. It leaves with the next [`flush`](Self::flush), or [`send`](Self::send), or
    /// [`recv`](Receiver::recv) that has to block, or when 64 KiB are queued: so the answers to many
    /// messages that arrived together leave together.
    ///
    /// It blocks only while [`Config::max_outgoing`](crate::Config::max_outgoing) bytes are queued.
    /// Errors as for [`send`](Self::send).
    pub fn feed<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let message = message.into();
        if self.shared.now(|core| core.driver.try_queue(message)) {
            return Ok(());
        }
        self.block(|driver, io| driver.poll_queue(io, message))
    }

    /// As [`send`](Self::send), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub fn send_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        self.feed_as(message, compress)?;
        self.flush()
    }

    /// As [`feed`](Self::feed), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub fn feed_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        let message = message.into();
        self.block(|driver, io| driver.poll_queue_as(io, message, compress))
    }

    /// Sends a message that was encoded, and perhaps compressed, once for many connections. A client
    /// masks it all the same.
    ///
    /// Blocks and fails as [`send`](Self::send).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.feed_prepared(message)?;
        self.flush()
    }

    /// Queues a message that was prepared. Blocks and fails as [`feed`](Self::feed).
    pub fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.block(|driver, io| driver.poll_queue_prepared(io, message))
    }

    /// Queues a part of a message as a fragment (RFC 6455 §5.4), the last one if `fin`: for messages
    /// too large to hold, or not known in full yet. All parts are of one kind.
    ///
    /// Blocks and fails as [`feed`](Self::feed).
    pub fn feed_fragment<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
    ) -> Result<(), Error> {
        let part = part.into();
        self.block(|driver, io| driver.poll_queue_fragment(io, part, fin))
    }

    /// As [`feed_fragment`](Self::feed_fragment), saying whether to compress the message. It counts in
    /// its first part.
    #[cfg(feature = "deflate")]
    pub fn feed_fragment_as<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Error> {
        let part = part.into();
        self.block(|driver, io| driver.poll_queue_fragment_as(io, part, fin, compress))
    }

    /// Writes all that is queued, and blocks until the stream has taken it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.block(|driver, io| driver.poll_flush(io))
    }

    /// Sends a ping of at most 125 bytes. The peer's pong is seen by [`Receiver::recv_event`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.block(|driver, io| driver.poll_ping(io, payload))?;
        self.flush()
    }

    /// Closes the connection, as [`WebSocket::close`]. The receiving half has to be kept receiving, or
    /// dropped, for the peer's close frame to be seen before
    /// [`Config::close_timeout`](crate::Config::close_timeout). Unlike there, the
    /// [write timeout](Self::set_write_timeout) counts.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.shared.now(|core| core.begin_close(code, reason))?;
        self.block(|driver, io| driver.poll_closed(io))
    }

    /// Does what may have to wait, and waits.
    fn block(
        &mut self,
        step: impl FnMut(&mut Driver, &mut NonBlocking<'_, S>) -> Poll<Result<(), Error>>,
    ) -> Result<(), Error> {
        self.waiting.begin();
        self.shared.block(Half::Sender, &mut self.waiting, step)
    }
}

impl<S> fmt::Debug for Sender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("close_info", &self.close_info()).finish_non_exhaustive()
    }
}

impl<S> Drop for Sender<S> {
    fn drop(&mut self) {
        // The receiver may wait for what only the sender could have done.
        self.shared.wake();
    }
}
