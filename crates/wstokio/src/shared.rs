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
        let waker = Waker::from(self.wakers.clone());
        let (polled, wake) = self.now(|core| core.poll(&mut Context::from_waker(&waker), step));
        wake.into_iter().for_each(Waker::wake);
        polled
    }
}
