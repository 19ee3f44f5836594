//! What the two halves of a socket share: the connection under its lock.

use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use mio::Waker;
use wsconn::{
    CloseCode, CloseInfo, Connection, Time,
    transport::{Driver, Error, Inbox, Io},
};

use crate::{Stream, wait::Wait};

/// After so many turns of a call that has not had to wait its limit holds all the same. Even of a message that is
/// inflated, which takes the shortest turns, that is 2 MiB.
const PAUSES: usize = 64;

pub(crate) struct Shared<S> {
    /// Locked while bytes are moved, never while a thread waits.
    core: Mutex<Core<S>>,
    /// What ends the wait of each half, once it has waited.
    wakers: [OnceLock<Arc<Waker>>; 2],
    closed: OnceLock<CloseInfo>,
    subprotocol: Option<Box<str>>,
}

pub(crate) struct Core<S> {
    pub(crate) driver: Driver,
    stream: S,
    /// When the connection's time began.
    origin: Instant,
}

/// Which half.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    Receiver = 0,
    Sender = 1,
}

/// How one half waits.
#[derive(Default)]
pub(crate) struct Waiting {
    wait: Option<Wait>,
    /// How long a call may wait.
    pub(crate) limit: Option<Duration>,
    /// When the call under way, if it has a limit, has waited for so long.
    give_up: Option<Instant>,
    /// There is nothing to read before the stream becomes readable again.
    emptied: bool,
}

/// A byte stream and a clock that do not block, and note what there is to wait for.
pub(crate) struct NonBlocking<'a, S> {
    stream: &'a mut S,
    origin: Instant,
    deadline: Option<Time>,
    emptied: bool,
    /// Behind what is read may be the end, of which nothing more is told.
    ended: bool,
    /// There is more to do, once others have had their turn.
    paused: bool,
}

impl Waiting {
    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.give_up = None;
    }

    /// Fails with [`io::ErrorKind::TimedOut`] once the call's limit is over, which runs from the first
    /// time that this is asked.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let Some(limit) = self.limit else { return Ok(()) };
        let now = Instant::now();
        match self.give_up {
            None => self.give_up = now.checked_add(limit),
            Some(give_up) if give_up <= now => {
                return Err(Error::Io(io::ErrorKind::TimedOut.into()));
            }
            Some(_) => {}
        }
        Ok(())
    }
}

impl<S: Stream> Core<S> {
    /// The connection's time begins now.
    pub(crate) fn new(stream: S, connection: Connection) -> Self {
        Self { driver: Driver::new(connection), stream, origin: Instant::now() }
    }

    /// Begins the closing handshake, unless it has begun.
    pub(crate) fn begin_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.driver.begin_close(Time::from_origin(self.origin.elapsed()), code, reason)
    }
}

impl<S> Shared<S> {
    pub(crate) fn new(core: Core<S>, subprotocol: Option<Box<str>>) -> Self {
        Self {
            core: Mutex::new(core),
            wakers: [OnceLock::new(), OnceLock::new()],
            closed: OnceLock::new(),
            subprotocol,
        }
    }

    pub(crate) fn close_info(&self) -> Option<&CloseInfo> {
        self.closed.get()
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The receiving half is dropped, with what it has read and not used: from now on the sending one
    /// reads.
    pub(crate) fn receiver_gone(&self, inbox: &mut Inbox) {
        self.now(|core| core.driver.receiver_gone(inbox));
        self.wake();
    }

    /// Does what need not wait.
    pub(crate) fn now<T>(&self, step: impl FnOnce(&mut Core<S>) -> T) -> T {
        let mut core = self.lock();
        let result = step(&mut core);
        self.note_end(core);
        result
    }

    /// Publishes how the connection ended, and tells the other half, which may be waiting for it.
    fn note_end(&self, mut core: MutexGuard<'_, Core<S>>) {
        let Some(info) = core.driver.close_info() else { return };
        let news = self.closed.get().is_none();
        if news {
            let _ = self.closed.set(info.clone());
        }
        let over = core.driver.is_newly_over();
        drop(core);
        if news || over {
            self.wake();
        }
    }

    /// Ends the waits of both halves: they look again.
    pub(crate) fn wake(&self) {
        for waker in self.wakers.iter().filter_map(OnceLock::get) {
            // It can only fail where the system is out of memory; the deadlines hold all the same.
            let _ = waker.wake();
        }
    }

    /// Ends the wait of the other half, for which what it waits for has changed.
    fn wake_other(&self, half: Half) {
        let other = match half {
            Half::Receiver => Half::Sender,
            Half::Sender => Half::Receiver,
        };
        if let Some(waker) = self.waker(other).get() {
            let _ = waker.wake();
        }
    }

    fn waker(&self, half: Half) -> &OnceLock<Arc<Waker>> {
        let [receiver, sender] = &self.wakers;
        match half {
            Half::Receiver => receiver,
            Half::Sender => sender,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Core<S>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Stream> Shared<S> {
    /// Does what may have to wait, as `half`, and waits, at most until the limit of the call is over.
    pub(crate) fn block<T>(
        &self,
        half: Half,
        waiting: &mut Waiting,
        mut step: impl FnMut(&mut Driver, &mut NonBlocking<'_, S>) -> Poll<Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut pauses = 0;
        loop {
            let (polled, paused, deadline, fd) = self.now(|core| {
                let Core { driver, stream, origin } = core;
                let fd = stream.as_raw_fd();
                let ended = waiting.wait.as_ref().is_some_and(Wait::has_ended);
                let emptied = waiting.emptied && !ended;
                let (origin, deadline, paused) = (*origin, None, false);
                let mut io = NonBlocking { stream, origin, deadline, emptied, ended, paused };
                let polled = step(driver, &mut io);
                waiting.emptied = io.emptied;
                // One beyond what the clock can tell never comes.
                let deadline = io.deadline.and_then(|at| origin.checked_add(at.since_origin()));
                (polled, io.paused, deadline, fd)
            });
            if let Poll::Ready(result) = polled {
                if deadline.is_some() {
                    // This call is over, and the deadline holds: the other half has to know it.
                    self.wake_other(half);
                }
                return result;
            }
            pauses += usize::from(paused);
            // What has come is done first, even by a call that is not to wait at all, but not without end.
            if !paused || pauses > PAUSES {
                waiting.check().inspect_err(|_| self.wake_other(half))?;
            }
            if paused {
                thread::yield_now();
                continue;
            }
            let wait = match &mut waiting.wait {
                Some(wait) => wait,
                None => {
                    let wait = waiting.wait.insert(Wait::new(fd)?);
                    let _ = self.waker(half).set(wait.waker());
                    // What the other half has done meanwhile has woken nobody: look again.
                    continue;
                }
            };
            if wait.wait([deadline, waiting.give_up].into_iter().flatten().min())? {
                waiting.emptied = false;
            }
        }
    }
}

impl<S: Stream> Io for NonBlocking<'_, S> {
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.emptied {
            return Poll::Pending;
        }
        let read = self.stream.read(buffer);
        self.emptied = match &read {
            Ok(len) => {
                let short = (1..buffer.len()).contains(len);
                short && !self.ended && self.stream.empties_when_short()
            }
            Err(_) => false,
        };
        pending(read)
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pending(self.stream.write(bytes))
    }

    fn poll_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        pending(self.stream.write_vectored(slices))
    }

    fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        pending(self.stream.flush())
    }

    fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        pending(self.stream.shutdown_write())
    }

    fn poll_deadline(&mut self, deadline: Time) -> Poll<()> {
        if deadline <= self.now() {
            return Poll::Ready(());
        }
        self.deadline = Some(deadline);
        Poll::Pending
    }

    fn poll_pause(&mut self) -> Poll<()> {
        self.paused = true;
        Poll::Pending
    }
}

/// What would block is pending.
pub(crate) fn pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}
