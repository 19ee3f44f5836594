//! Polling by hand.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::MAX_CALLS;

/// A waker that counts.
#[derive(Default)]
pub(crate) struct CountingWaker(AtomicUsize);

impl CountingWaker {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (counter.clone(), counter.into())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What came of polling a future that was then dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled<T> {
    Ready(T),
    /// It was dropped, and would have gone on.
    Dropped,
    /// It was `Pending` and nothing has woken it.
    Waits,
}

impl<T> Polled<T> {
    pub(crate) fn ready(self) -> Option<T> {
        match self {
            Self::Ready(value) => Some(value),
            _ => None,
        }
    }
}

/// Polls a future up to `n` times, as long as it is woken, and drops it.
pub(crate) fn poll_n_then_drop<F: Future>(future: F, n: usize) -> Polled<F::Output> {
    let mut future = pin!(future);
    let (counter, waker) = CountingWaker::new();
    for _ in 0..n {
        let before = counter.count();
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return Polled::Ready(value),
            Poll::Pending if counter.count() == before => return Polled::Waits,
            Poll::Pending => {}
        }
    }
    Polled::Dropped
}

/// Polls a future to its end. Panics if it waits for what does not come.
pub(crate) fn finish<F: Future>(future: F) -> F::Output {
    match poll_n_then_drop(future, MAX_CALLS) {
        Polled::Ready(value) => value,
        _ => panic!("it waits, and nothing will wake it"),
    }
}
