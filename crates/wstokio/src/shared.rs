//! What the two halves of a socket share: the connection under its lock.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite};
use wsconn::CloseInfo;

use crate::{
    core::Core,
    wakers::{Waiter, Wakers},
};

pub(crate) struct Shared<S> {
    /// Never locked across an await.
    core: Mutex<Core<S>>,
    wakers: Arc<Wakers>,
    closed: OnceLock<CloseInfo>,
    subprotocol: Option<Box<str>>,
}

impl<S> Shared<S> {
    pub(crate) fn new(core: Core<S>, subprotocol: Option<Box<str>>) -> Self {
        Self {
            core: Mutex::new(core),
            wakers: Arc::default(),
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

    /// The receiving half is dropped: from now on the sending one reads.
    pub(crate) fn receiver_gone(&self) {
        self.lock().receiver_gone = true;
        self.wakers.wake_all();
    }

    fn lock(&self) -> MutexGuard<'_, Core<S>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shared<S> {
    /// Does what need not wait.
    pub(crate) fn now<T>(&self, step: impl FnOnce(&mut Core<S>) -> T) -> T {
        let mut core = self.lock();
        let result = step(&mut core);
        self.note_end(core);
        result
    }

    /// Does what may have to wait, as `who`, whom `cx` wakes.
    pub(crate) fn poll<T>(
        &self,
        who: Waiter,
        cx: &Context<'_>,
        step: impl FnOnce(&mut Core<S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Before the step, so that no wake-up falls between the two.
        self.wakers.register(who, cx.waker());
        let waker = Waker::from(self.wakers.clone());
        self.now(|core| step(core, &mut Context::from_waker(&waker)))
    }

    /// Publishes how the connection ended, and tells the other half, which may be waiting for it.
    fn note_end(&self, mut core: MutexGuard<'_, Core<S>>) {
        let Some(info) = core.close_info() else { return };
        if self.closed.get().is_none() {
            let _ = self.closed.set(info.clone());
        }
        let over = core.is_newly_over();
        drop(core);
        if over {
            self.wakers.wake_all();
        }
    }
}
