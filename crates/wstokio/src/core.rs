//! The connection, its byte stream and its timer: the loop that moves the bytes.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use wsconn::{
    CloseCause, CloseCode, CloseInfo, Connection, Delivery, Disposition, Event, Location, Message,
    Misuse, Role, Time,
};

use crate::{
    Error,
    pool::{self, ReadBuffer},
};

/// A message of this many bytes or more is written from where it lies, not queued first.
const DIRECT_WRITE: usize = 16 << 10;

/// Once this many bytes are queued they are written, if the stream takes them, though no one has
/// asked to flush.
const EAGER_WRITE: usize = pool::BUFFER;

pub(crate) struct Core<S> {
    stream: S,
    connection: Connection,
    /// When the connection's time began.
    origin: Instant,
    /// Set for the connection's next deadline or before it, so that it need not be moved each time.
    timer: Option<Pin<Box<Sleep>>>,
    /// Something that has been written may lie in the stream's own buffer.
    unflushed: bool,
    /// The writing direction has been shut down.
    shut_down: bool,
    /// The byte stream has nothing more to read.
    read_ended: bool,
    /// What the byte stream failed with, until it is reported.
    failure: Option<io::Error>,
    /// The error that ended the connection has been reported.
    reported: bool,
    /// [`Self::is_newly_over`] has been true.
    over: bool,
    /// There is no receiving half any more.
    pub(crate) receiver_gone: bool,
}

/// What a receiver has read and not used yet, and where the event is that it lends out.
#[derive(Default)]
pub(crate) struct Inbox {
    buffer: Option<ReadBuffer>,
    /// The bytes of `buffer` that have not been used.
    start: usize,
    end: usize,
    /// Where in `buffer` the last event's input began.
    event_start: usize,
    /// When those were read.
    read_at: Time,
    /// The bytes of the last event, where the connection held them.
    held: Vec<u8>,
}

/// What a read came to.
enum Read {
    /// Bytes in the inbox, or the end: something to look at.
    More,
    /// An event, completed where the connection holds it.
    Event(Location),
}

impl<S> Core<S> {
    pub(crate) fn new(stream: S, connection: Connection, origin: Instant) -> Self {
        Self {
            stream,
            connection,
            origin,
            timer: None,
            unflushed: false,
            shut_down: false,
            read_ended: false,
            failure: None,
            reported: false,
            over: false,
            receiver_gone: false,
        }
    }

    pub(crate) fn close_info(&self) -> Option<&CloseInfo> {
        self.connection.close_info()
    }

    /// Whether nothing is left to wait for, the first time that is so.
    pub(crate) fn is_newly_over(&mut self) -> bool {
        self.is_over() && !std::mem::replace(&mut self.over, true)
    }

    fn is_over(&self) -> bool {
        self.connection.disposition() == Disposition::Close
    }

    /// How the message under way is delivered.
    pub(crate) fn delivery(&self) -> Delivery {
        if self.connection.is_in_chunks() { Delivery::Chunks } else { Delivery::Messages }
    }

    /// Begins the closing handshake, unless it has begun.
    pub(crate) fn begin_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.connection.close(code, reason, self.time()) {
            Ok(()) | Err(Misuse::Closed) => Ok(()),
            Err(misuse) => Err(misuse.into()),
        }
    }

    fn time(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// Notes the failure of the byte stream.
    fn fail(&mut self, error: io::Error) {
        if self.connection.close_info().is_none() {
            self.failure = Some(error);
        }
        self.connection.transport_failed();
    }

    /// The error that ended the connection, told once.
    fn verdict(&mut self) -> Result<(), Error> {
        if let Some(failure) = self.failure.take() {
            return Err(Error::Io(failure));
        }
        match self.connection.close_info().map(|info| info.cause) {
            Some(CloseCause::Timeout(timeout)) if !std::mem::replace(&mut self.reported, true) => {
                Err(Error::Timeout(timeout))
            }
            _ => Ok(()),
        }
    }

    /// Queues a message if that takes no waiting and no writing, and says whether it did.
    #[inline]
    pub(crate) fn try_queue(&mut self, message: Message<'_>) -> bool {
        let queued = self.connection.outgoing().len();
        if message.as_bytes().len() >= DIRECT_WRITE || queued >= EAGER_WRITE - DIRECT_WRITE {
            return false;
        }
        self.lend();
        self.connection.send(message).is_ok()
    }

    /// Gives the connection a buffer to queue in.
    #[inline]
    fn lend(&mut self) {
        if self.connection.wants_buffer() {
            self.connection.lend(pool::take_write());
        }
    }

    /// Queues a message, for which there is room.
    #[cfg(feature = "stream")]
    pub(crate) fn start_queue(&mut self, message: Message<'_>) -> Result<(), Error> {
        self.lend();
        Ok(self.connection.send(message)?)
    }

    /// The next event of what has been read already.
    pub(crate) fn buffered_event(
        &mut self,
        inbox: &mut Inbox,
        delivery: Delivery,
    ) -> Result<Option<Location>, Error> {
        if delivery == Delivery::Messages && self.connection.is_in_chunks() {
            return Err(Misuse::MessageUnderWay.into());
        }
        if inbox.held.capacity() > 0 {
            self.connection.give_back(std::mem::take(&mut inbox.held));
        }
        if inbox.is_empty() {
            return Ok(None);
        }
        Ok(self.receive(inbox, delivery))
    }

    /// Takes what has been read, up to the first event.
    fn receive(&mut self, inbox: &mut Inbox, delivery: Delivery) -> Option<Location> {
        let buffer = inbox.buffer.as_mut()?;
        let input = buffer.as_mut().get_mut(inbox.start..inbox.end)?;
        let received = self.connection.receive(input, delivery, inbox.read_at);
        inbox.event_start = inbox.start;
        inbox.start += received.consumed;
        if received.event.as_ref().is_some_and(Location::is_held) {
            inbox.held = self.connection.take_delivered();
        }
        received.event
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// The next event of what is still to be read; `None` once the connection has ended and nothing
    /// is left to do.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
        delivery: Delivery,
    ) -> Poll<Result<Option<Location>, Error>> {
        loop {
            // No complete frame is left. What was queued while they were handled leaves at once; if
            // it has to wait, reading goes on all the same.
            let _ = self.poll_write(cx);
            if self.poll_end(cx).is_ready() {
                return Poll::Ready(self.verdict().map(|()| None));
            }
            match self.poll_read(cx, inbox, delivery) {
                Poll::Ready(Read::Event(location)) => return Poll::Ready(Ok(Some(location))),
                Poll::Ready(Read::More) => {
                    if let Some(location) = self.receive(inbox, delivery) {
                        return Poll::Ready(Ok(Some(location)));
                    }
                }
                Poll::Pending => {
                    // A connection that waits owns no buffer.
                    inbox.buffer = None;
                    self.connection.release();
                    ready!(self.poll_timer(cx));
                }
            }
        }
    }

    /// Waits until a message can be queued.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if !self.connection.is_open() {
                return Poll::Ready(self.verdict().and(Err(Error::Closed)));
            }
            if !self.connection.is_full() {
                return Poll::Ready(Ok(()));
            }
            if self.poll_write(cx).is_pending() {
                self.read_for_sender(cx);
                ready!(self.poll_timer(cx));
            }
        }
    }

    /// Queues a message, once there is room, or writes it if it is large. The connection owns what is
    /// left of it.
    pub(crate) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        message: Message<'_>,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        if message.as_bytes().len() < DIRECT_WRITE || self.connection.role() == Role::Client {
            self.lend();
            self.connection.send(message)?;
        } else {
            let mut failure = None;
            let mut sending = self.connection.send_direct(message)?;
            while !sending.is_done() {
                let slices = sending.slices().map(IoSlice::new);
                match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices) {
                    Poll::Ready(Ok(len)) if len > 0 => sending.advance(len),
                    Poll::Ready(Ok(_)) => failure = Some(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Poll::Ready(Err(error)) => failure = Some(error),
                    Poll::Pending => break,
                }
                if failure.is_some() {
                    break;
                }
            }
            drop(sending);
            self.unflushed = true;
            if let Some(failure) = failure {
                self.fail(failure);
            }
        }
        self.write_eagerly(cx);
        Poll::Ready(Ok(()))
    }

    /// Queues a part of a message as a fragment, once there is room.
    pub(crate) fn poll_queue_fragment(
        &mut self,
        cx: &mut Context<'_>,
        part: Message<'_>,
        fin: bool,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        self.lend();
        self.connection.send_fragment(part, fin)?;
        self.write_eagerly(cx);
        Poll::Ready(Ok(()))
    }

    /// Queues a ping, once there is room.
    pub(crate) fn poll_ping(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_ready(cx))?;
        Poll::Ready(Ok(self.connection.ping(payload)?))
    }

    /// Waits until all that is queued has been written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.poll_write(cx).is_ready() {
                return Poll::Ready(self.verdict());
            }
            self.read_for_sender(cx);
            ready!(self.poll_timer(cx));
        }
    }

    /// Waits, on the sending side, until the connection has ended. Reading is the receiver's, unless
    /// there is none.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let _ = self.poll_write(cx);
            self.read_for_sender(cx);
            if self.poll_end(cx).is_ready() {
                return Poll::Ready(self.verdict());
            }
            ready!(self.poll_timer(cx));
        }
    }

    /// Reads and discards, where no receiver does it: so that pings are answered, and the peer's
    /// close frame is seen.
    fn read_for_sender(&mut self, cx: &mut Context<'_>) {
        if !self.receiver_gone {
            return;
        }
        let mut inbox = Inbox::default();
        while let Poll::Ready(Read::More) = self.poll_read(cx, &mut inbox, Delivery::Chunks) {
            while !inbox.is_empty() {
                self.receive(&mut inbox, Delivery::Chunks);
            }
            if self.is_over() {
                return;
            }
            let _ = self.poll_write(cx);
        }
    }

    fn write_eagerly(&mut self, cx: &mut Context<'_>) {
        if self.connection.outgoing().len() >= EAGER_WRITE {
            let _ = self.poll_write(cx);
        }
    }

    /// Writes what is queued. Ready if nothing is left to write, be it because the stream has failed.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.connection.outgoing().is_empty() && !self.is_over() {
            let outgoing = self.connection.outgoing();
            match Pin::new(&mut self.stream).poll_write(cx, outgoing) {
                Poll::Ready(Ok(0)) => self.fail(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    self.connection.advance(len);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => self.fail(error),
                Poll::Pending => {
                    let now = self.time();
                    self.connection.blocked(now);
                    pool::put_write(self.connection.reclaim());
                    return Poll::Pending;
                }
            }
        }
        pool::put_write(self.connection.reclaim());
        while self.unflushed && !self.is_over() {
            match ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.fail(error),
            }
        }
        Poll::Ready(())
    }

    /// Ends the byte stream as the connection says. Ready when nothing is left to wait for.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let disposition = self.connection.disposition();
        if disposition != Disposition::KeepOpen && !self.shut_down {
            // Whether that works does not matter: the connection has ended, and the deadline holds.
            self.shut_down = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
        if disposition == Disposition::Close { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
        delivery: Delivery,
    ) -> Poll<Read> {
        if self.read_ended {
            return Poll::Pending;
        }
        let stream = Pin::new(&mut self.stream);
        if let Some(room) = self.connection.direct_read(delivery) {
            let mut room = ReadBuf::new(room);
            let result = ready!(stream.poll_read(cx, &mut room));
            let len = room.filled().len();
            if self.note_read(result, len) {
                let now = self.time();
                if let Some(location) = self.connection.direct_advance(len, now) {
                    inbox.held = self.connection.take_delivered();
                    return Poll::Ready(Read::Event(location));
                }
            }
        } else {
            let buffer = inbox.buffer.get_or_insert_with(ReadBuffer::take);
            let mut room = ReadBuf::new(buffer.as_mut());
            let result = ready!(stream.poll_read(cx, &mut room));
            let len = room.filled().len();
            (inbox.start, inbox.end, inbox.read_at) = (0, len, self.time());
            self.note_read(result, len);
        }
        Poll::Ready(Read::More)
    }

    /// Whether a read brought something; notes the end or the failure of the stream.
    fn note_read(&mut self, result: io::Result<()>, len: usize) -> bool {
        match result {
            Ok(()) if len > 0 => return true,
            Ok(()) => {
                self.read_ended = true;
                self.connection.receive_eof();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.fail(error),
        }
        false
    }

    /// Ready when a deadline has passed and the connection has been told.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.connection.poll_timeout() else { return Poll::Pending };
            // One beyond what the clock can tell never comes.
            let Some(at) = self.origin.checked_add(deadline.since_origin()) else {
                return Poll::Pending;
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            // A deadline that has moved away finds the timer set too early: it is set anew only once
            // it has fired, so that a message costs no more than the look at it.
            if timer.deadline() > at || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            ready!(timer.as_mut().poll(cx));
            let now = self.time();
            if deadline <= now {
                self.connection.handle_timeout(now);
                return Poll::Ready(());
            }
        }
    }
}

impl Inbox {
    /// With what was read behind the opening handshake: the bytes of `buffer` in this range.
    pub(crate) fn new(buffer: ReadBuffer, start: usize, end: usize) -> Self {
        if start == end {
            return Self::default();
        }
        Self { buffer: Some(buffer), start, end, ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The event at `location`, which was the last one received.
    pub(crate) fn event(&self, location: &Location) -> Event<'_> {
        let buffer = self.buffer.as_ref().map(ReadBuffer::as_ref).unwrap_or_default();
        location.event(buffer.get(self.event_start..).unwrap_or_default(), &self.held)
    }

    /// The message at `location`, to keep.
    #[cfg(feature = "stream")]
    pub(crate) fn take_message(&mut self, location: &Location) -> Option<wsconn::OwnedMessage> {
        use wsconn::{Kind, OwnedMessage};
        let Event::Message(message) = self.event(location) else { return None };
        if !location.is_held() {
            return Some(message.to_owned());
        }
        let kind = message.kind();
        let bytes = std::mem::take(&mut self.held);
        Some(match kind {
            Kind::Binary => OwnedMessage::Binary(bytes),
            Kind::Text => OwnedMessage::Text(String::from_utf8(bytes).unwrap_or_default()),
        })
    }
}
