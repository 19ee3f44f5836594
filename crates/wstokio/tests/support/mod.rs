//! A byte stream in memory that does what a script says, and polling by hand.
#![allow(dead_code)] // each test binary uses a part of it

mod peer;
mod poll;
mod slow;

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

#[allow(unused_imports)] // each test binary uses a part of it
pub(crate) use peer::{close, from_peer_of, read_by_peer};
#[allow(unused_imports)]
pub(crate) use poll::{CountingWaker, Polled, finish, poll_n_then_drop};
#[allow(unused_imports)]
pub(crate) use slow::Slow;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsconn::Role;
use wstest::handshake::upgrade;
use wstokio::{Config, WebSocket};

/// No session of these tests needs so many calls: more are an endless loop.
pub(crate) const MAX_CALLS: usize = 3_000_000;

/// What a [`Scripted`] stream does.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What reads give. One read gives bytes of one piece at most.
    pub(crate) input: Vec<Piece>,
    /// Whether the stream ends after it. Else reads wait.
    pub(crate) ends: bool,
    /// Whether each operation is `Pending` once before it is done, and wakes at once.
    pub(crate) pending: Pending,
    /// The most bytes that a read gives.
    pub(crate) read_max: usize,
    /// The most bytes that a write takes.
    pub(crate) write_max: usize,
    /// The operation, counted from 0, that fails, and how. `Interrupted` fails just this one, any
    /// other kind all after it too.
    pub(crate) fail: Option<(usize, ErrorKind)>,
    /// How many bytes are taken in all before writes wait; see [`Handle::open_window`].
    pub(crate) window: usize,
}

/// A part of the input.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// What follows comes once so many bytes have been written.
    AfterWritten(usize),
    /// What follows comes once a close frame with a code and no reason has been written.
    AfterClose,
    /// A 101 once a request has been written, and these bytes behind it.
    Upgrade(Vec<u8>),
}

/// Which operations are `Pending` before they are done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// Flushes and the shutdown.
    pub(crate) flushes: bool,
}

impl Pending {
    pub(crate) const ALL: Self = Self { reads: true, writes: true, flushes: true };
}

impl Default for Script {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            ends: false,
            pending: Pending::default(),
            read_max: usize::MAX,
            write_max: usize::MAX,
            fail: None,
            window: usize::MAX,
        }
    }
}

impl Script {
    /// All of `input` in pieces of `size`, and then the end.
    pub(crate) fn pieces(input: &[u8], size: usize) -> Self {
        let input = input.chunks(size).map(|piece| Piece::Bytes(piece.to_vec())).collect();
        Self { input, ends: true, ..Self::default() }
    }

    /// The stream, and a handle to look at it.
    pub(crate) fn stream(self) -> (Scripted, Handle) {
        let state = State {
            input: self.input.iter().cloned().collect(),
            ends: self.ends,
            window: self.window,
            script: self,
            ready: [false; 4],
            failed: false,
            reader: None,
            writer: None,
            seen: Seen::default(),
        };
        let state = Arc::new(Mutex::new(state));
        (Scripted(state.clone()), Handle(state))
    }
}

/// The stream.
pub(crate) struct Scripted(Arc<Mutex<State>>);

/// Looks at a stream from outside.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Mutex<State>>);

/// What has been seen of the user of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// All that was written.
    pub(crate) written: Vec<u8>,
    /// The operations that were done, or failed.
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    pub(crate) shutdowns: usize,
    /// All calls, those that were `Pending` too.
    pub(crate) calls: usize,
    pub(crate) shut: bool,
    pub(crate) dropped: bool,
}

struct State {
    script: Script,
    input: VecDeque<Piece>,
    ends: bool,
    window: usize,
    /// Per kind of operation: it has been `Pending`, the next time it is done.
    ready: [bool; 4],
    failed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    seen: Seen,
}

const READ: usize = 0;
const WRITE: usize = 1;
const FLUSH: usize = 2;
const SHUTDOWN: usize = 3;

impl State {
    /// Before an operation: ready if it is done now.
    fn enter(&mut self, kind: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.seen.calls += 1;
        assert!(self.seen.calls < MAX_CALLS, "an endless loop");
        let Pending { reads, writes, flushes } = self.script.pending;
        if [reads, writes, flushes, flushes][kind]
            && !std::mem::replace(&mut self.ready[kind], true)
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// An operation that is done, or fails.
    fn done(&mut self, kind: usize) -> io::Result<()> {
        self.ready[kind] = false;
        let at = self.seen.operations();
        match kind {
            READ => self.seen.reads += 1,
            WRITE => self.seen.writes += 1,
            FLUSH => self.seen.flushes += 1,
            _ => self.seen.shutdowns += 1,
        }
        match self.script.fail {
            _ if self.failed => Err(ErrorKind::BrokenPipe.into()),
            Some((n, kind)) if n == at => {
                self.failed = kind != ErrorKind::Interrupted;
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }

    fn read(&mut self, cx: &Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.enter(READ, cx))?;
        while let Some(piece) = self.input.front_mut() {
            match piece {
                Piece::AfterWritten(n) if self.seen.written.len() >= *n => {
                    self.input.pop_front();
                }
                Piece::AfterClose if ends_with_close(&self.seen.written) => {
                    self.input.pop_front();
                }
                Piece::Upgrade(behind) if self.seen.written.ends_with(b"\r\n\r\n") => {
                    let bytes = [&upgrade(&self.seen.written)[..], behind].concat();
                    *piece = Piece::Bytes(bytes);
                }
                _ => break,
            }
        }
        let waits = match self.input.front() {
            Some(Piece::Bytes(_)) => false,
            Some(_) => true,
            None => !self.ends,
        };
        if waits && !self.failed {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.done(READ)?;
        if let Some(Piece::Bytes(bytes)) = self.input.front_mut() {
            let len = bytes.len().min(to.remaining()).min(self.script.read_max);
            to.put_slice(&bytes[..len]);
            bytes.drain(..len);
            if bytes.is_empty() {
                self.input.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.enter(WRITE, cx))?;
        assert!(!self.seen.shut, "a write after the shutdown");
        let mut room = self.script.write_max.min(self.window - self.seen.written.len());
        if room == 0 && !self.failed {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.done(WRITE)?;
        let before = self.seen.written.len();
        for slice in from {
            let len = slice.len().min(room);
            self.seen.written.extend_from_slice(&slice[..len]);
            room -= len;
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(self.seen.written.len() - before))
    }
}

impl Seen {
    /// All operations that were done, or failed.
    pub(crate) fn operations(&self) -> usize {
        self.reads + self.writes + self.flushes + self.shutdowns
    }
}

impl Scripted {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.state().seen.dropped = true;
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.state().read(cx, to)
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.state().write(cx, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state().write(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        std::task::ready!(state.enter(FLUSH, cx))?;
        Poll::Ready(state.done(FLUSH))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        std::task::ready!(state.enter(SHUTDOWN, cx))?;
        state.done(SHUTDOWN)?;
        state.seen.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Handle {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What has been seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.state().seen.clone()
    }

    /// More input.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let waker = {
            let mut state = self.state();
            state.input.push_back(Piece::Bytes(bytes.to_vec()));
            state.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// The end of the input.
    pub(crate) fn end(&self) {
        let waker = {
            let mut state = self.state();
            state.ends = true;
            state.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// From now on all is taken.
    pub(crate) fn open_window(&self) {
        let waker = {
            let mut state = self.state();
            state.window = usize::MAX;
            state.writer.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

fn ends_with_close(written: &[u8]) -> bool {
    let frame = |len: usize| &written[written.len().saturating_sub(len)..];
    frame(4).starts_with(&[0x88, 2, 3]) || frame(8).starts_with(&[0x88, 0x82])
}

/// A socket over a stream that has been upgraded.
pub(crate) fn socket<S>(role: Role, stream: S, config: Config) -> WebSocket<S> {
    match role {
        Role::Server => WebSocket::from_server_stream(stream, Vec::new(), config.into()),
        Role::Client => WebSocket::from_client_stream(stream, Vec::new(), config.into()),
    }
}

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// A runtime whose clock stands still unless all wait.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}
