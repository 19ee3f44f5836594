use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop::{has_budget_remaining, unconstrained},
    time::{Instant, Sleep, sleep_until},
};
use wsconn::{
    CloseCode, Connection, Time,
    transport::{Driver, Error, Io},
};

use crate::{outbox::Outbox, tracker::Tracked};

/// A connection, its byte stream and its clock.
pub(crate) struct Core<S> {
    pub(crate) driver: Driver,
    /// Made once something is sent from outside.
    pub(crate) outbox: Option<Box<Outbox>>,
    /// Let go with the connection.
    pub(crate) tracked: Vec<Tracked>,
    stream: S,
    clock: Clock,
}

struct Clock {
    /// When the connection's time began.
    origin: Instant,
    /// Set for the connection's next deadline or before it, so that it need not be moved each time.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The byte stream and the clock as a task polls them.
pub(crate) struct Polled<'a, 'c, S> {
    stream: Pin<&'a mut S>,
    clock: &'a mut Clock,
    cx: &'a mut Context<'c>,
    /// What the stream has was looked at, which a task without budget cannot do.
    looked: bool,
}

impl<S> Core<S> {
    /// The connection's time begins now.
    pub(crate) fn new(stream: S, connection: Connection) -> Self {
        Self {
            driver: Driver::new(connection),
            outbox: None,
            tracked: Vec::new(),
            stream,
            clock: Clock { origin: Instant::now(), timer: None },
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Begins the closing handshake, unless it has begun. What others have sent before goes out before.
    pub(crate) fn begin_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        if let Some(outbox) = &mut self.outbox {
            self.driver.queue_waiting(&mut outbox.waiting);
        }
        self.driver.begin_close(self.clock.now(), code, reason)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// Has a step done.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Driver, &mut Polled<'_, '_, S>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { driver, outbox, stream, clock, .. } = self;
        let mut io = Polled { stream: Pin::new(stream), clock, cx, looked: false };
        if let Some(outbox) = outbox {
            driver.queue_before_close(&io, &mut outbox.waiting);
        }
        step(driver, &mut io)
    }

    /// Sends what others have sent meanwhile. Gives whom that made room for.
    pub(crate) fn drain_outbox(&mut self, cx: &mut Context<'_>) -> Vec<Waker> {
        let Self { driver, outbox, stream, clock, .. } = self;
        let mut io = Polled { stream: Pin::new(stream), clock, cx, looked: false };
        outbox.as_mut().map(|outbox| outbox.drain(driver, &mut io)).unwrap_or_default()
    }
}

impl Clock {
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    fn has_fired(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
    }

    /// Ready once the moment has come. `looked` is as in [`Polled`].
    fn poll_deadline(&mut self, deadline: Time, looked: bool, cx: &mut Context<'_>) -> Poll<()> {
        // One beyond what the clock can tell never comes.
        let Some(at) = self.origin.checked_add(deadline.since_origin()) else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            // A deadline that has moved away finds the timer set too early: it is set anew only once
            // it has fired, so that a message costs no more than the look at it.
            if timer.deadline() > at || timer.is_elapsed() && timer.deadline() < at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                // A read that used up what a task may do in a turn must not hold every deadline off, as a peer
                // within TLS can have it.
                if !looked || has_budget_remaining() {
                    return Poll::Pending;
                }
                ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
            }
            if timer.deadline() == at {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite> Io for Polled<'_, '_, S> {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // It only matters where a deadline may be due.
        self.looked = !self.clock.has_fired() || has_budget_remaining();
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.stream.as_mut().poll_read(self.cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(self.cx, bytes)
    }

    fn poll_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(self.cx, slices)
    }

    fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(self.cx)
    }

    fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(self.cx)
    }

    fn poll_deadline(&mut self, deadline: Time) -> Poll<()> {
        self.clock.poll_deadline(deadline, self.looked, self.cx)
    }

    fn poll_pause(&mut self) -> Poll<()> {
        self.cx.waker().wake_by_ref();
        Poll::Pending
    }
}
