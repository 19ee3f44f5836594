use std::{
    sync::{
        Arc, PoisonError,
        atomic::Ordering::{Acquire, Release},
    },
    task::{Wake, Waker},
};

use crate::sync::{AtomicUsize, Mutex, MutexGuard};

/// Who waits on one connection.
///
/// The byte stream remembers one waker per direction, but two tasks may wait on it: the one that
/// receives writes pongs, the one that sends writes messages. So the stream and the timer are always
/// given this one waker, which wakes whoever waits: none is ever lost, at the cost of a wake-up too
/// many now and then.
#[derive(Default)]
pub(crate) struct Wakers {
    waiting: Mutex<[Option<Waker>; 2]>,
    /// How often they were woken.
    wakes: AtomicUsize,
}

/// Who waits.
#[derive(Clone, Copy)]
pub(crate) enum Waiter {
    Receiver = 0,
    Sender = 1,
}

impl Wakers {
    /// How often they were woken: to be asked before it is found out that there is something to wait for.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Acquire)
    }

    /// Notes that `who` is to be woken by `waker`. If they were woken since there were so many
    /// [`wakes`](Self::wakes), that was for `who` too, who is woken at once.
    pub(crate) fn register(&self, who: Waiter, waker: &Waker, wakes: usize) {
        let mut waiting = self.lock();
        if self.wakes() != wakes {
            drop(waiting);
            return waker.wake_by_ref();
        }
        let [receiver, sender] = &mut *waiting;
        let slot = match who {
            Waiter::Receiver => receiver,
            Waiter::Sender => sender,
        };
        match slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    /// Wakes whoever waits.
    pub(crate) fn wake_all(&self) {
        let mut waiting = self.lock();
        self.wakes.fetch_add(1, Release);
        let [receiver, sender] = std::mem::take(&mut *waiting);
        drop(waiting);
        if let (Some(a), Some(b)) = (&receiver, &sender)
            && a.will_wake(b)
        {
            return a.wake_by_ref();
        }
        for waker in [receiver, sender].into_iter().flatten() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
