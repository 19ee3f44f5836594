use std::{io, os::fd::RawFd, sync::Arc, time::Instant};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

/// Waits for one byte stream, a waker and a moment at once.
///
/// Whoever waits tries again, whatever woke it. The stream is registered for both directions,
/// edge-triggered, so that an edge that came before the wait ends it at once.
pub(crate) struct Wait {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    /// See [`Self::has_ended`].
    ended: bool,
}

impl Wait {
    pub(crate) fn new(socket: RawFd) -> io::Result<Self> {
        let poll = Poll::new()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut SourceFd(&socket), SOCKET, both)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self { poll, events: Events::with_capacity(2), waker, ended: false })
    }

    /// Ends the wait from another thread.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Whether the end of the stream, or its failure, has been told, which is told once.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Waits until something happens, at most until `until`. Says whether there may be something to
    /// read.
    pub(crate) fn wait(&mut self, until: Option<Instant>) -> io::Result<bool> {
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()));
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => self.events.clear(),
            Ok(()) => {}
        }
        let mut readable = false;
        for event in self.events.iter().filter(|event| event.token() == SOCKET) {
            readable |= event.is_readable();
            self.ended |= event.is_read_closed() || event.is_error();
        }
        Ok(readable)
    }
}
