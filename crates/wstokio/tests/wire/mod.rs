//! A stream in memory that costs nothing, so that what is counted is what its user costs.
#![allow(dead_code)] // each test binary uses a part of it

use std::{
    cell::RefCell,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsconn::Role;
use wstokio::{Config, WebSocket};

/// A stream that allocates nothing: the input is there from the start, what is written is counted.
#[derive(Clone)]
pub(crate) struct Wire {
    state: Rc<RefCell<State>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Whether a task has been woken since it was polled.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct State {
    /// Bytes, and how often they come.
    input: Vec<(Vec<u8>, usize)>,
    /// Which of them, which repetition, which byte comes next.
    at: (usize, usize, usize),
    /// How many bytes reads give before they wait; all that is left, if it is less.
    left: usize,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Reads that gave something.
    pub(crate) reads: usize,
    /// Reads that had to wait.
    pub(crate) waits: usize,
    pub(crate) writes: usize,
    pub(crate) written: usize,
}

impl Wire {
    pub(crate) fn new(input: Vec<(Vec<u8>, usize)>) -> Self {
        let counts = Counts::default();
        let woken = Arc::<Woken>::default();
        let state = Rc::new(RefCell::new(State { input, at: (0, 0, 0), left: 0, counts }));
        Self { state, waker: woken.clone().into(), woken }
    }

    /// Lets `more` bytes come, and runs a task until it waits.
    pub(crate) fn run<F: Future>(&self, mut task: Pin<&mut F>, more: usize) -> Poll<F::Output> {
        let mut polled = self.turn(task.as_mut(), more);
        while polled.is_pending() && self.woken.0.swap(false, Ordering::Relaxed) {
            polled = self.turn(task.as_mut(), 0);
        }
        polled
    }

    /// Lets `more` bytes come, and polls a task once.
    pub(crate) fn turn<F: Future>(&self, task: Pin<&mut F>, more: usize) -> Poll<F::Output> {
        self.state.borrow_mut().left += more;
        task.poll(&mut Context::from_waker(&self.waker))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.borrow().counts
    }

    pub(crate) fn socket(&self, role: Role, config: &Arc<Config>) -> WebSocket<Self> {
        match role {
            Role::Server => WebSocket::from_server_stream(self.clone(), Vec::new(), config.clone()),
            Role::Client => WebSocket::from_client_stream(self.clone(), Vec::new(), config.clone()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        if state.left == 0 {
            state.counts.waits += 1;
            return Poll::Pending;
        }
        state.counts.reads += 1;
        let before = to.filled().len();
        while state.left > 0 && to.remaining() > 0 {
            let (entry, repetition, byte) = &mut state.at;
            let Some((bytes, times)) = state.input.get(*entry) else {
                state.left = 0;
                break;
            };
            let piece = &bytes[*byte..];
            let piece = &piece[..piece.len().min(to.remaining()).min(state.left)];
            to.put_slice(piece);
            state.left -= piece.len();
            *byte += piece.len();
            if *byte == bytes.len() {
                (*byte, *repetition) = (0, *repetition + 1);
            }
            if repetition == times {
                (*repetition, *entry) = (0, *entry + 1);
            }
        }
        assert!(to.filled().len() > before, "the input is used up");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let counts = &mut self.state.borrow_mut().counts;
        let len = from.iter().map(|slice| slice.len()).sum();
        counts.writes += 1;
        counts.written += len;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
