//! What the two halves of a socket share: the connection under its lock.

use std::{
    sync::{Arc, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite};
use wsconn::{
    CloseInfo,
    transport::{Driver, Inbox},
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
            self.span.closed(info);
            let _ = self.closed.set(info.clone());
        }
        let over = core.driver.is_newly_over();
        drop(core);
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
        // Before the step, so that no wake-up falls between the two.
        self.wakers.register(who, cx.waker());
        let mut cx = Context::from_waker(&self.waker);
        let (polled, wake) = self.now(|core| core.poll(&mut cx, step));
        wake.into_iter().for_each(Waker::wake);
        polled
    }
}
