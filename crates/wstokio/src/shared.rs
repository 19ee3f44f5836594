//! What the two halves of a socket share: the connection under its lock.

use std::{
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite};
use wsconn::{
    CloseInfo, Delivery, Location,
    transport::{Driver, Error, Inbox},
};

use crate::{
    core::{Core, Polled},
    sync::{Mutex, MutexGuard},
    trace::Span,
    wakers::{Waiter, Wakers},
};

pub(crate) struct Shared<S> {
    /// Never locked across an await.
    core: Mutex<Core<S>>,
    wakers: Arc<Wakers>,
    /// Wakes them all: what the stream and the timer are given.
    waker: Waker,
    closed: OnceLock<CloseInfo>,
    subprotocol: Option<Box<str>>,
    span: Span,
}

impl<S> Shared<S> {
    pub(crate) fn new(core: Core<S>, subprotocol: Option<Box<str>>) -> Self {
        let span = Span::opened(core.driver.role(), subprotocol.as_deref());
        let wakers = Arc::<Wakers>::default();
        Self {
            core: Mutex::new(core),
            waker: wakers.clone().into(),
            wakers,
            closed: OnceLock::new(),
            subprotocol,
            span,
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
        self.wakers.wake_all();
    }

    /// Does what need not wait.
    #[inline]
    pub(crate) fn now<T>(&self, step: impl FnOnce(&mut Core<S>) -> T) -> T {
        let mut core = self.lock();
        let result = step(&mut core);
        self.note_end(core);
        result
    }

    /// Publishes how the connection ended, and tells the other half, which may be waiting for it.
    #[inline]
    fn note_end(&self, core: MutexGuard<'_, Core<S>>) {
        if core.driver.close_info().is_some() {
            self.publish_end(core);
        }
    }

    #[cold]
    fn publish_end(&self, mut core: MutexGuard<'_, Core<S>>) {
        let Some(info) = core.driver.close_info() else { return };
        let news = self.closed.get().is_none();
        if news {
            let _ = self.closed.set(info.clone());
        }
        let over = core.driver.is_newly_over();
        drop(core);
        // Not while it is locked: a subscriber may send what it is told to a group of this connection.
        if news && let Some(info) = self.closed.get() {
            self.span.closed(info);
        }
        if news || over {
            self.wakers.wake_all();
        }
    }

    /// Has whoever waits look again.
    pub(crate) fn wake(&self) {
        self.wakers.wake_all();
    }

    fn lock(&self) -> MutexGuard<'_, Core<S>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shared<S> {
    /// Does what may have to wait, as `who`, whom `cx` wakes.
    pub(crate) fn poll<T>(
        &self,
        who: Waiter,
        cx: &Context<'_>,
        step: impl FnOnce(&mut Driver, &mut Polled<'_, '_, S>) -> Poll<T>,
    ) -> Poll<T> {
        self.poll_locked(self.lock(), who, cx, step)
    }

    /// The next event, as [`poll`](Self::poll).
    pub(crate) fn poll_event(
        &self,
        who: Waiter,
        cx: &Context<'_>,
        inbox: &mut Inbox,
        delivery: Delivery,
    ) -> Poll<Result<Option<Location>, Error>> {
        let mut core = self.lock();
        match core.driver.buffered_event(inbox, delivery) {
            None => {
                self.poll_locked(core, who, cx, |driver, io| driver.poll_event(io, inbox, delivery))
            }
            found => {
                self.note_end(core);
                Poll::Ready(Ok(found))
            }
        }
    }

    fn poll_locked<T>(
        &self,
        mut core: MutexGuard<'_, Core<S>>,
        who: Waiter,
        cx: &Context<'_>,
        step: impl FnOnce(&mut Driver, &mut Polled<'_, '_, S>) -> Poll<T>,
    ) -> Poll<T> {
        let wakes = self.wakers.wakes();
        let polled = core.poll(&mut Context::from_waker(&self.waker), step);
        if polled.is_pending() {
            self.wakers.register(who, cx.waker(), wakes);
        }
        if core.outbox.is_some() {
            self.drain_outbox(core);
        } else {
            self.note_end(core);
        }
        polled
    }

    /// Sends what others have sent meanwhile.
    fn drain_outbox(&self, mut core: MutexGuard<'_, Core<S>>) {
        let wake = core.drain_outbox(&mut Context::from_waker(&self.waker));
        self.note_end(core);
        wake.into_iter().for_each(Waker::wake);
    }
}
