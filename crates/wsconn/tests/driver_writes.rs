//! The driver where writing fails.
#![allow(clippy::unwrap_used, clippy::panic)] // this is a test

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    task::Poll,
};

use wsconn::{
    CloseCause, CloseCode, Config, Connection, Delivery, Event, PreparedMessage, Side, Time,
    transport::{Driver, Error, Inbox, Io},
};
use wstest::{drive::KEY, reference::Frame};

/// What a byte stream does with what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    All,
    Nothing,
    Fails,
}

/// A byte stream, at the moment `now`.
struct Stream {
    /// What each read brings, an end where that is empty; then there is nothing to read.
    input: VecDeque<io::Result<Vec<u8>>>,
    write: Takes,
    flush: Takes,
    now: Time,
    deadline: Option<Time>,
}

impl Stream {
    fn new(input: impl IntoIterator<Item = io::Result<Vec<u8>>>) -> Self {
        let input = input.into_iter().collect();
        Self { input, write: Takes::All, flush: Takes::All, now: Time::ZERO, deadline: None }
    }
}

fn answer<T>(takes: Takes, all: T) -> Poll<io::Result<T>> {
    match takes {
        Takes::All => Poll::Ready(Ok(all)),
        Takes::Nothing => Poll::Pending,
        Takes::Fails => Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
    }
}

impl Io for Stream {
    fn now(&self) -> Time {
        self.now
    }

    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(read) = self.input.pop_front() else { return Poll::Pending };
        Poll::Ready(read.map(|bytes| {
            buffer.split_at_mut(bytes.len()).0.copy_from_slice(&bytes);
            bytes.len()
        }))
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        answer(self.write, bytes.len())
    }

    fn poll_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        answer(self.write, slices.iter().map(|slice| slice.len()).sum())
    }

    fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        answer(self.flush, ())
    }

    fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, deadline: Time) -> Poll<()> {
        self.deadline = Some(deadline);
        if deadline <= self.now { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_pause(&mut self) -> Poll<()> {
        Poll::Ready(())
    }
}

fn driver() -> Driver {
    Driver::new(Connection::server(Config::default().into(), Time::ZERO))
}

fn wire(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.clone().masked(Some(KEY)).encode()).collect()
}

/// What a receiver gets next: `Ok(None)` at the end.
fn receive(
    driver: &mut Driver,
    stream: &mut Stream,
    inbox: &mut Inbox,
) -> Poll<Result<Option<String>, Error>> {
    driver.poll_event(stream, inbox, Delivery::Messages).map_ok(|location| {
        let Event::Message(message) = inbox.event(&location?) else { panic!("no message") };
        Some(String::from_utf8(message.as_bytes().to_vec()).unwrap())
    })
}

fn is_broken<T>(polled: &Poll<Result<T, Error>>) -> bool {
    matches!(polled, Poll::Ready(Err(Error::Io(error))) if error.kind() == ErrorKind::BrokenPipe)
}

/// A message has come, what answers it cannot be written, and the sender is told if it asks.
fn cut(driver: &mut Driver, stream: &mut Stream, inbox: &mut Inbox, asks: bool) {
    let first = receive(driver, stream, inbox);
    assert!(matches!(first, Poll::Ready(Ok(Some(text))) if text == "one"));
    stream.write = Takes::Fails;
    assert!(driver.poll_queue(stream, (&*vec![7; 1 << 17]).into()).is_ready());
    if asks {
        assert!(is_broken(&driver.poll_flush(stream)));
        assert!(matches!(driver.poll_flush(stream), Poll::Ready(Err(Error::Closed))));
        assert!(matches!(driver.poll_ready(stream), Poll::Ready(Err(Error::Closed))));
    }
}

#[test]
fn what_the_peer_sent_before_it_closed_is_received_though_writing_fails() {
    let last = wire(&[Frame::new(1, "two"), Frame::new(8, b"\x03\xf0policy")]);
    let both = [wire(&[Frame::new(1, "one")]), last.clone()].concat();
    let reads = [vec![both], vec![wire(&[Frame::new(1, "one")]), last]];
    for (reads, asks) in reads.into_iter().flat_map(|reads| [(reads.clone(), false), (reads, true)])
    {
        let mut stream = Stream::new(reads.into_iter().map(Ok));
        let (mut driver, mut inbox) = (driver(), Inbox::default());
        cut(&mut driver, &mut stream, &mut inbox, asks);
        let second = receive(&mut driver, &mut stream, &mut inbox);
        assert!(matches!(&second, Poll::Ready(Ok(Some(text))) if text == "two"), "{second:?}");
        for _ in 0..2 {
            let end = receive(&mut driver, &mut stream, &mut inbox);
            assert!(matches!(end, Poll::Ready(Ok(None))), "{end:?}");
        }
        let info = driver.close_info().unwrap();
        assert_eq!((info.code, &*info.reason), (CloseCode::POLICY_VIOLATION, "policy"));
        assert_eq!((info.by, info.cause), (Side::Peer, CloseCause::Handshake));
        // What would have answered it has not left.
        assert_eq!((info.answer, info.clean), (None, false));
    }
}

#[test]
fn where_writing_fails_and_no_close_frame_comes_the_failure_is_told_once() {
    let reset = || Some(Err(ErrorKind::ConnectionReset.into()));
    let ends = [Some(Ok(vec![])), reset(), None, Some(Ok(vec![])), reset(), None];
    for (end, asks) in ends.into_iter().zip([false, false, false, true, true, true]) {
        let waits = end.is_none();
        let one = Ok(wire(&[Frame::new(1, "one")]));
        let mut stream = Stream::new([Some(one), end].into_iter().flatten());
        let (mut driver, mut inbox) = (driver(), Inbox::default());
        cut(&mut driver, &mut stream, &mut inbox, asks);
        let mut end = receive(&mut driver, &mut stream, &mut inbox);
        if waits {
            // A peer that neither sends nor ends anything is not waited for without end.
            assert!(end.is_pending());
            assert_eq!(stream.deadline, Some(Time::ZERO.after(Config::default().fin_timeout)));
            stream.now = stream.deadline.unwrap();
            end = receive(&mut driver, &mut stream, &mut inbox);
        }
        assert!(is_broken(&end) != asks, "{end:?}");
        assert!(!asks || matches!(end, Poll::Ready(Ok(None))), "{end:?}");
        let end = receive(&mut driver, &mut stream, &mut inbox);
        assert!(matches!(end, Poll::Ready(Ok(None))), "{end:?}");
        let info = driver.close_info().unwrap();
        assert_eq!((info.code, info.cause), (CloseCode::ABNORMAL, CloseCause::Transport));
        assert!(driver.is_newly_over());
    }
}

#[test]
fn a_failure_while_messages_for_many_are_sent_is_told_to_the_receiver() {
    for full in [false, true] {
        let mut stream = Stream::new([]);
        let (mut driver, mut inbox) = (driver(), Inbox::default());
        if full {
            driver.queue((&*vec![7; Config::default().max_outgoing]).into(), false).unwrap();
        } else {
            stream.write = Takes::Nothing;
            driver.queue("one".into(), false).unwrap();
            assert!(driver.poll_flush(&mut stream).is_pending());
            assert!(driver.is_blocked());
        }
        stream.write = Takes::Fails;
        let mut waiting = VecDeque::from([PreparedMessage::new("two")]);
        driver.send_waiting(&mut stream, &mut waiting);
        stream.input.push_back(Ok(vec![]));
        let end = receive(&mut driver, &mut stream, &mut inbox);
        assert!(is_broken(&end), "{end:?}");
    }
}

#[test]
fn a_flush_fails_where_the_stream_has_kept_something_when_the_connection_is_lost() {
    for (flush, left) in [(Takes::Nothing, false), (Takes::Fails, false), (Takes::All, true)] {
        let mut stream = Stream::new([]);
        stream.flush = Takes::Nothing;
        let (mut driver, mut inbox) = (driver(), Inbox::default());
        driver.queue("one".into(), false).unwrap();
        assert!(driver.poll_flush(&mut stream).is_pending());
        stream.input.push_back(Err(ErrorKind::BrokenPipe.into()));
        let end = receive(&mut driver, &mut stream, &mut inbox);
        assert!(is_broken(&end), "{end:?}");
        stream.flush = flush;
        let flushed = driver.poll_flush(&mut stream);
        assert!(matches!(flushed, Poll::Ready(Ok(()))) == left, "{flushed:?}");
        assert!(matches!(flushed, Poll::Ready(Err(Error::Closed))) != left, "{flushed:?}");
    }
}
