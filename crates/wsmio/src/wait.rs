use std::{
    io,
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

/// Waits for one byte stream, a waker and a moment at once.
///
/// What woke it does not matter: whoever waits tries again. The stream is registered for both
/// directions, edge-triggered, so that an edge that came before the wait ends it at once.
pub(crate) struct Wait {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
}

impl Wait {
    pub(crate) fn new(socket: RawFd) -> io::Result<Self> {
        let poll = Poll::new()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut SourceFd(&socket), SOCKET, both)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self { poll, events: Events::with_capacity(2), waker })
    }

    /// Ends the wait from another thread.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Waits until something happens, at most until `until`.
    pub(crate) fn wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Rounded up to what the system can wait for, so that the moment has come when it ends.
        let wait = wait.map(|wait| wait.saturating_add(Duration::from_micros(999)));
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}
