//! The lock and the wakers of a split socket under loom: `core.rs`, `outbox.rs`, `shared.rs` and
//! `wakers.rs` as they are, but with loom's mutex, in every order in which two tasks, a stream and
//! somebody outside can meet. A wake-up that is lost is a deadlock, which loom reports.
#![allow(dead_code)] // it is a part of a crate
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

#[path = "../src/core.rs"]
mod core;
#[path = "../src/outbox.rs"]
mod outbox;
#[path = "../src/shared.rs"]
mod shared;
#[path = "../src/trace.rs"]
mod trace;
#[path = "../src/wakers.rs"]
mod wakers;

/// What those files have from here, and the crate from std.
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicUsize};
}

/// It is not modelled.
mod tracker {
    pub(crate) struct Tracked;
}

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use loom::{future::block_on, sync::Mutex, thread};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsconn::{CloseCode, Config, Connection, Delivery, PreparedMessage, Time, transport::Inbox};

use self::{core::Core, shared::Shared, wakers::Waiter};

/// A stream that remembers one waker per direction, as a socket does.
#[derive(Clone)]
struct Stream(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    input: Vec<u8>,
    ended: bool,
    /// What comes once something has been written.
    answer: Vec<u8>,
    /// Whether writes are taken.
    open: bool,
    written: Vec<u8>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Stream {
    fn new(open: bool, answer: &[u8]) -> Self {
        let answer = answer.to_vec();
        Self(Arc::new(Mutex::new(State { open, answer, ..State::default() })))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            change(&mut state);
            [state.reader.take(), state.writer.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.input.is_empty() && !state.ended {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        to.put_slice(&std::mem::take(&mut state.input));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if !state.open {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.written.extend_from_slice(bytes);
        let answer = std::mem::take(&mut state.answer);
        state.input.extend(answer);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Socket = Arc<Shared<Stream>>;

fn server(stream: &Stream) -> Socket {
    let mut config = Config::default();
    config.keepalive = None;
    let connection = Connection::server(Arc::new(config), Time::ZERO);
    Arc::new(Shared::new(Core::new(stream.clone(), connection), None))
}

/// Waits for an event, and says whether there was one.
fn receive(socket: &Socket) -> bool {
    let mut inbox = Inbox::default();
    let event = block_on(poll_fn(|cx| {
        socket.poll(Waiter::Receiver, cx, |driver, io| {
            driver.poll_event(io, &mut inbox, Delivery::Messages)
        })
    }));
    event.unwrap().is_some()
}

/// Runs it in every order of at most three preemptions.
fn check(scenario: impl Fn() + Sync + Send + 'static) {
    // The clock is not part of the model: no deadline comes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _guard = runtime.enter();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(scenario);
}

const MESSAGE: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'x'];
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

#[test]
fn each_half_is_woken_for_what_it_waits_for() {
    check(|| {
        let stream = Stream::new(false, &[]);
        let socket = server(&stream);
        let receiving = thread::spawn({
            let socket = socket.clone();
            move || assert!(receive(&socket))
        });
        let sending = thread::spawn(move || {
            socket.now(|core| core.driver.queue("hello".into(), false)).unwrap();
            let flushed = block_on(poll_fn(|cx| {
                socket.poll(Waiter::Sender, cx, |driver, io| driver.poll_flush(io))
            }));
            flushed.unwrap();
        });
        stream.change(|state| state.open = true);
        stream.change(|state| state.input.extend(MESSAGE));
        receiving.join().unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn a_message_from_outside_leaves_while_the_receiver_waits() {
    check(|| {
        let stream = Stream::new(true, &MESSAGE);
        let socket = server(&stream);
        let receiving = thread::spawn({
            let socket = socket.clone();
            move || assert!(receive(&socket))
        });
        let message = PreparedMessage::new("hello");
        socket.now(|core| core.outbox.get_or_insert_default().waiting.push_back(message));
        socket.wake();
        receiving.join().unwrap();
    });
}

#[test]
fn a_close_from_outside_ends_the_wait_of_both_halves() {
    check(|| {
        let stream = Stream::new(true, &CLOSE);
        stream.change(|state| state.ended = false);
        let socket = server(&stream);
        let receiving = thread::spawn({
            let (socket, stream) = (socket.clone(), stream.clone());
            move || {
                block_on(poll_fn(|cx| {
                    let mut inbox = Inbox::default();
                    let _ = socket.poll(Waiter::Receiver, cx, |driver, io| {
                        driver.poll_event(io, &mut inbox, Delivery::Messages)
                    });
                    if socket.close_info().is_some() { Poll::Ready(()) } else { Poll::Pending }
                }));
                stream.change(|state| state.ended = true);
            }
        });
        let sending = thread::spawn({
            let socket = socket.clone();
            move || {
                block_on(poll_fn(|cx| {
                    let _ = socket.poll(Waiter::Sender, cx, |driver, io| driver.poll_closed(io));
                    if socket.close_info().is_some() { Poll::Ready(()) } else { Poll::Pending }
                }));
            }
        });
        socket.now(|core| core.begin_close(CloseCode::GOING_AWAY, "")).unwrap();
        socket.wake();
        receiving.join().unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn when_the_receiver_goes_the_sender_reads() {
    check(|| {
        let stream = Stream::new(true, &CLOSE);
        let socket = server(&stream);
        let closing = thread::spawn({
            let (socket, stream) = (socket.clone(), stream.clone());
            move || {
                socket.now(|core| core.begin_close(CloseCode::NORMAL, "")).unwrap();
                let closed = block_on(poll_fn(|cx| {
                    let closed =
                        socket.poll(Waiter::Sender, cx, |driver, io| driver.poll_closed(io));
                    if socket.close_info().is_some() {
                        // The peer ends its side once it has our close frame.
                        stream.change(|state| state.ended = true);
                    }
                    closed
                }));
                closed.unwrap();
            }
        });
        socket.receiver_gone(&mut Inbox::default());
        closing.join().unwrap();
    });
}
