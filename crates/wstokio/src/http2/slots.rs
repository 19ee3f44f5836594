use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, oneshot};

/// How many streams of a connection there are, for the server limits them.
#[derive(Debug)]
pub(super) struct Slots {
    taken: AtomicUsize,
    changed: Notify,
    /// Tells the connection when the last that opens streams, and the last stream, are gone.
    _alive: oneshot::Sender<Infallible>,
}

impl Slots {
    pub(super) fn new(alive: oneshot::Sender<Infallible>) -> Self {
        Self { taken: AtomicUsize::new(0), changed: Notify::new(), _alive: alive }
    }

    /// Takes one, if fewer than `max` are taken.
    pub(super) fn take(this: &Arc<Self>, max: usize) -> Option<Slot> {
        let one_more = |taken| (taken < max).then_some(taken + 1);
        this.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Slot(this.clone()))
    }

    /// Lets one of those that wait look again. If it goes on, it lets the next one.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.changed.notified().await;
    }
}

/// The place of a stream that is open or being opened.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.changed();
    }
}
