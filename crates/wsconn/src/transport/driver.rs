mod send;

use alloc::boxed::Box;
use std::{
    io, mem,
    task::{Poll, ready},
};

use super::{Counters, Error, Inbox, Io, counters::Meter, pool};
use crate::{
    CloseCause, CloseCode, CloseInfo, Connection, Delivery, Disposition, Location, Misuse, Role,
    Time,
};

/// The loop that moves the bytes of a connection: between its byte stream, which is lent to each call,
/// and whoever receives and sends.
pub struct Driver {
    connection: Connection,
    /// Something that has been written may lie in the stream's own buffer.
    unflushed: bool,
    /// The writing direction has been shut down.
    shut_down: bool,
    /// Nothing can be written any more, and something may have been lost.
    write_failed: bool,
    /// The byte stream has nothing more to read.
    read_ended: bool,
    /// The error that ended the connection has been reported.
    reported: bool,
    /// [`Self::is_newly_over`] has been true.
    over: bool,
    /// There is no receiver: the sender reads, so that pings are answered and the closing handshake is
    /// seen through.
    receiver_gone: bool,
    /// Others are to have their turn before more of what has been read is looked at.
    pausing: bool,
    /// What the byte stream failed with, until it is reported.
    failure: Option<io::Error>,
    /// When to close the connection, and how.
    goodbye: Option<Box<Goodbye>>,
    /// The peer's silence is not too long before this moment: while that is all that is waited for,
    /// nothing is due.
    quiet_until: Time,
    meter: Meter,
}

struct Goodbye {
    at: Time,
    code: CloseCode,
    reason: Box<str>,
}

/// What a read came to.
enum Read {
    /// Bytes in the inbox, or the end: something to look at.
    More,
    /// An event, completed where the connection holds it.
    Event(Location),
}

impl Driver {
    /// Drives this connection.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            unflushed: false,
            shut_down: false,
            write_failed: false,
            read_ended: false,
            reported: false,
            over: false,
            receiver_gone: false,
            pausing: false,
            failure: None,
            goodbye: None,
            quiet_until: Time::ZERO,
            meter: Meter::default(),
        }
    }

    /// As [`Connection::role`].
    pub fn role(&self) -> Role {
        self.connection.role()
    }

    /// As [`Connection::close_info`].
    #[inline]
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.connection.close_info()
    }

    /// Whether messages can still be sent: neither side has begun to close.
    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// As [`Connection::is_blocked`].
    pub fn is_blocked(&self) -> bool {
        self.connection.is_blocked()
    }

    /// What has gone over the connection.
    pub fn counters(&self) -> Counters {
        Counters { bytes_queued: self.connection.outgoing().len(), ..self.meter.counted }
    }

    /// Whether nothing is left to wait for, the first time that is so.
    pub fn is_newly_over(&mut self) -> bool {
        self.is_over() && !mem::replace(&mut self.over, true)
    }

    /// There is no receiver any more: from now on the sender reads. What the receiver has read and not
    /// used is seen through first.
    pub fn receiver_gone(&mut self, inbox: &mut Inbox) {
        self.receiver_gone = true;
        inbox.room();
        // The last thing, behind all input, is what has come of a message that was to be whole.
        while inbox.receive(&mut self.connection, Delivery::Chunks).is_some() || !inbox.is_empty() {
        }
        inbox.give_back(&mut self.connection);
        inbox.release();
        pool::put_message(self.connection.take_kept());
    }

    /// How the message under way is delivered.
    pub fn delivery(&self) -> Delivery {
        if self.connection.is_in_chunks() { Delivery::Chunks } else { Delivery::Messages }
    }

    /// Begins the closing handshake, unless it has begun.
    pub fn begin_close(&mut self, now: Time, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.connection.close(code, reason, now) {
            Ok(()) | Err(Misuse::Closed) => Ok(()),
            Err(misuse) => Err(misuse.into()),
        }
    }

    /// Has the closing handshake begin at this moment, unless it has by then. An earlier moment that was
    /// given before stays.
    ///
    /// Fails as [`begin_close`](Self::begin_close).
    pub fn close_at(&mut self, at: Time, code: CloseCode, reason: &str) -> Result<(), Error> {
        Connection::check_close(code, reason)?;
        if self.goodbye.as_ref().is_none_or(|goodbye| at < goodbye.at) {
            self.goodbye = Some(Box::new(Goodbye { at, code, reason: reason.into() }));
        }
        Ok(())
    }

    /// The next event of what has been read already, if there is one: what
    /// [`poll_event`](Self::poll_event) would give, for less.
    #[inline]
    pub fn buffered_event(&mut self, inbox: &mut Inbox, delivery: Delivery) -> Option<Location> {
        if inbox.is_empty() || self.is_misused(delivery) {
            return None;
        }
        inbox.give_back(&mut self.connection);
        let location = self.receive(inbox, delivery);
        self.pausing = location.is_none() && !inbox.is_empty();
        location
    }

    /// Whether whole messages are asked for in the middle of one that is delivered in chunks.
    #[inline]
    fn is_misused(&self, delivery: Delivery) -> bool {
        delivery == Delivery::Messages && self.connection.is_in_chunks()
    }

    /// The next event; `None` once the connection has ended and nothing is left to do.
    pub fn poll_event(
        &mut self,
        io: &mut impl Io,
        inbox: &mut Inbox,
        delivery: Delivery,
    ) -> Poll<Result<Option<Location>, Error>> {
        if self.is_misused(delivery) {
            return Poll::Ready(Err(Misuse::MessageUnderWay.into()));
        }
        inbox.give_back(&mut self.connection);
        loop {
            if mem::take(&mut self.pausing) {
                ready!(io.poll_pause());
            }
            if !inbox.is_empty() {
                if let Some(location) = self.receive(inbox, delivery) {
                    return Poll::Ready(Ok(Some(location)));
                }
                self.pausing = !inbox.is_empty();
                continue;
            }
            // Where there is always more to read nobody waits for a timer. What was due when the last
            // bytes came is done now that they have been looked at.
            self.handle_timeouts(inbox.read_at());
            // No complete frame is left. What was queued while they were handled leaves at once; if
            // it has to wait, reading goes on all the same.
            let _ = self.poll_write(io);
            if self.poll_end(io).is_ready() {
                return Poll::Ready(self.verdict().map(|()| None));
            }
            match self.poll_read(io, inbox, delivery) {
                Poll::Ready(Read::Event(location)) => return Poll::Ready(Ok(Some(location))),
                Poll::Ready(Read::More) => {}
                Poll::Pending => {
                    // A connection that waits owns no buffer.
                    inbox.release();
                    pool::put_message(self.connection.take_kept());
                    ready!(self.poll_timer(io));
                }
            }
        }
    }

    #[inline]
    fn receive(&mut self, inbox: &mut Inbox, delivery: Delivery) -> Option<Location> {
        let location = inbox.receive(&mut self.connection, delivery)?;
        self.meter.received(&location, inbox.read_at());
        Some(location)
    }

    /// Waits until all that is queued has been written.
    pub fn poll_flush(&mut self, io: &mut impl Io) -> Poll<Result<(), Error>> {
        loop {
            if self.poll_write(io).is_ready() {
                self.verdict()?;
                // The connection may have been lost, and the other half told why; TLS may have kept
                // what it was given.
                let written = self.connection.outgoing().is_empty() && !self.write_failed;
                let left =
                    written && (!self.unflushed || matches!(io.poll_flush(), Poll::Ready(Ok(()))));
                return Poll::Ready(if left { Ok(()) } else { Err(Error::Closed) });
            }
            self.read_for_sender(io);
            ready!(self.poll_timer(io));
        }
    }

    /// Waits, on the sending side, until the connection has ended. Reading is the receiver's, unless
    /// there is none.
    pub fn poll_closed(&mut self, io: &mut impl Io) -> Poll<Result<(), Error>> {
        loop {
            let _ = self.poll_write(io);
            self.read_for_sender(io);
            if self.poll_end(io).is_ready() {
                return Poll::Ready(self.verdict());
            }
            ready!(self.poll_timer(io));
        }
    }

    #[inline]
    fn is_over(&self) -> bool {
        self.connection.disposition() == Disposition::Close
    }

    /// Notes that reading failed, and with it the byte stream.
    fn read_fails(&mut self, error: io::Error) {
        // Where writing failed before, that is what is told.
        if self.connection.close_info().is_none() && !self.write_failed {
            self.failure = Some(error);
        }
        self.connection.transport_failed();
    }

    /// Notes that writing failed. The peer may have said why it closes, so reading goes on.
    #[cold]
    fn write_fails(&mut self, io: &mut impl Io, error: io::Error) {
        if self.connection.close_info().is_none() {
            self.failure = Some(error);
        }
        self.write_failed = true;
        self.unflushed = false;
        self.connection.write_failed(io.now());
        self.wake_at_deadline(io);
    }

    /// The error that ended the connection, told once.
    fn verdict(&mut self) -> Result<(), Error> {
        if let Some(failure) = self.failure.take()
            // Where writing failed first, the peer may still have said why it closed.
            && self.close_info().is_none_or(|info| info.cause == CloseCause::Transport)
        {
            return Err(Error::Io(failure));
        }
        match self.connection.close_info().map(|info| info.cause) {
            Some(CloseCause::Timeout(timeout)) if !mem::replace(&mut self.reported, true) => {
                Err(Error::Timeout(timeout))
            }
            _ => Ok(()),
        }
    }

    /// Reads and discards, where no receiver does it.
    fn read_for_sender(&mut self, io: &mut impl Io) {
        if !self.receiver_gone {
            return;
        }
        let mut inbox = Inbox::default();
        while let Poll::Ready(Read::More) = self.poll_read(io, &mut inbox, Delivery::Chunks) {
            while !inbox.is_empty() {
                let event = inbox.receive(&mut self.connection, Delivery::Chunks);
                // That was as much work as one call may do.
                self.pausing |= event.is_none() && !inbox.is_empty();
            }
            self.handle_timeouts(inbox.read_at());
            if self.is_over() {
                return;
            }
            let _ = self.poll_write(io);
        }
    }

    /// Writes what the stream takes, without waiting for the rest.
    fn write_now(&mut self, io: &mut impl Io) {
        if self.poll_write(io).is_pending() {
            self.wake_at_deadline(io);
        }
    }

    /// This call is over, but the other half may be waiting: it is to be woken when the peer has taken
    /// nothing, or ended nothing, for too long.
    fn wake_at_deadline(&mut self, io: &mut impl Io) {
        while self.poll_timer(io).is_ready() {}
    }

    /// Writes what is queued. Ready if nothing is left to write, be it because the stream has failed.
    #[inline]
    fn poll_write(&mut self, io: &mut impl Io) -> Poll<()> {
        if self.connection.wants_buffer() && !self.unflushed {
            return Poll::Ready(());
        }
        self.poll_write_queued(io)
    }

    fn poll_write_queued(&mut self, io: &mut impl Io) -> Poll<()> {
        loop {
            while !self.connection.outgoing().is_empty() && !self.is_over() {
                match io.poll_write(self.connection.outgoing()) {
                    Poll::Ready(Ok(0)) => self.write_fails(io, io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(len)) => {
                        self.connection.advance(len);
                        self.meter.counted.bytes_sent += len as u64;
                        self.unflushed = true;
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Poll::Ready(Err(error)) => self.write_fails(io, error),
                    Poll::Pending => return self.wait_to_write(io),
                }
            }
            if !self.unflushed || self.is_over() {
                pool::put_write(self.connection.reclaim());
                return Poll::Ready(());
            }
            match io.poll_flush() {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    if self.connection.is_blocked() {
                        self.connection.advance(0);
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => self.write_fails(io, error),
                Poll::Pending => return self.wait_to_write(io),
            }
        }
    }

    /// The stream takes no more, or keeps what it has been given in a buffer of its own, as TLS does.
    fn wait_to_write(&mut self, io: &mut impl Io) -> Poll<()> {
        self.connection.blocked(io.now());
        pool::put_write(self.connection.reclaim());
        Poll::Pending
    }

    /// Ends the byte stream as the connection says. Ready when nothing is left to wait for.
    #[inline]
    fn poll_end(&mut self, io: &mut impl Io) -> Poll<()> {
        if self.connection.close_info().is_none() {
            return Poll::Pending;
        }
        self.poll_end_of_stream(io)
    }

    #[cold]
    fn poll_end_of_stream(&mut self, io: &mut impl Io) -> Poll<()> {
        let disposition = self.connection.disposition();
        if disposition != Disposition::KeepOpen && !self.shut_down {
            // Whether that works does not matter: the connection has ended, and the deadline holds.
            self.shut_down = loop {
                match io.poll_shutdown() {
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    shut_down => break shut_down.is_ready(),
                }
            };
        }
        if disposition == Disposition::Close { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_read(&mut self, io: &mut impl Io, inbox: &mut Inbox, delivery: Delivery) -> Poll<Read> {
        if self.read_ended {
            return Poll::Pending;
        }
        if inbox.wants_pause() || mem::take(&mut self.pausing) {
            inbox.waited();
            ready!(io.poll_pause());
        }
        let direct = self.connection.direct_read(delivery);
        let is_direct = direct.is_some();
        let Poll::Ready(result) = io.poll_read(direct.unwrap_or_else(|| inbox.room())) else {
            inbox.waited();
            return Poll::Pending;
        };
        let len = self.note_read(result).unwrap_or(0);
        let now = io.now();
        if !is_direct {
            inbox.filled(len, now);
            // Where a buffer was not enough, much more may follow.
            if len == pool::BUFFER && self.connection.keeps_nothing() {
                self.connection.give_back(pool::take_message());
            }
            return Poll::Ready(Read::More);
        }
        inbox.noted(len, now);
        if len > 0
            && let Some(location) = self.connection.direct_advance(len, now)
        {
            inbox.hold(&mut self.connection);
            self.meter.received(&location, now);
            return Poll::Ready(Read::Event(location));
        }
        Poll::Ready(Read::More)
    }

    /// How many bytes a read brought; notes the end or the failure of the stream.
    fn note_read(&mut self, result: io::Result<usize>) -> Option<usize> {
        match result {
            Ok(0) => self.note_end(),
            // TLS without a close_notify. The closing handshake tells whether anything was cut off.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.note_end(),
            Ok(len) => {
                self.meter.counted.bytes_received += len as u64;
                return Some(len);
            }
            // It is tried again. A stream says so too that has done much without a byte for us, as TLS may:
            // so others have their turn first.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.pausing = true,
            Err(error) => self.read_fails(error),
        }
        None
    }

    fn note_end(&mut self) {
        self.read_ended = true;
        self.connection.receive_eof();
    }

    /// Ready when a deadline has passed and the connection has been told.
    fn poll_timer(&mut self, io: &mut impl Io) -> Poll<()> {
        let goodbye = self.goodbye.as_ref().filter(|_| self.connection.is_open());
        let goodbye = goodbye.map(|goodbye| goodbye.at);
        let timeout = if self.connection.waits_for_silence() {
            if self.quiet_until == Time::ZERO {
                self.look_ahead();
            }
            Some(self.quiet_until).filter(|at| *at != Time::NEVER)
        } else {
            self.connection.poll_timeout()
        };
        let deadline = match (timeout, goodbye) {
            (Some(a), Some(b)) => a.min(b),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Poll::Pending,
        };
        ready!(io.poll_deadline(deadline));
        self.handle_timeouts(io.now());
        Poll::Ready(())
    }

    /// Does what is due.
    #[inline]
    fn handle_timeouts(&mut self, now: Time) {
        let quiet = self.connection.waits_for_silence() && now < self.quiet_until;
        if !quiet || self.goodbye.is_some() {
            self.handle_due(now);
        }
    }

    /// Whatever comes moves the end of a silence away, so this need not be done for each message.
    fn look_ahead(&mut self) {
        if self.connection.waits_for_silence() {
            self.quiet_until = self.connection.poll_timeout().unwrap_or(Time::NEVER);
        }
    }

    fn handle_due(&mut self, now: Time) {
        if let Some(goodbye) = self.goodbye.take_if(|goodbye| goodbye.at <= now) {
            // It may be closing already, and what it is closed with has been checked.
            let _ = self.connection.close(goodbye.code, &goodbye.reason, now);
        }
        self.connection.handle_timeout(now);
        if let Some(at) = self.connection.pinged() {
            self.meter.pinged(at);
        }
        self.look_ahead();
    }
}
