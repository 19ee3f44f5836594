//! The driver beside a peer that never stops sending.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{
    io::{self, IoSlice},
    task::Poll,
    time::Duration,
};

use wsconn::{
    CloseCode, Config, Connection, Delivery, Message, Time, Timeout,
    transport::{Driver, Error, Inbox, Io},
};
use wstest::{drive::KEY, reference::Frame};

/// A peer that sends the same again and again, whenever it is read, and takes nothing. A read takes a
/// millisecond.
struct Flood {
    bytes: Vec<u8>,
    /// How many at once.
    frames: usize,
    now: Duration,
    /// The bytes read before each pause.
    pauses: Vec<usize>,
    read: usize,
    /// How many bytes it takes all the same.
    window: usize,
}

impl Flood {
    fn of(frame: Frame) -> Self {
        let bytes = frame.masked(Some(KEY)).encode();
        Self { bytes, frames: 1, now: Duration::ZERO, pauses: Vec::new(), read: 0, window: 0 }
    }
}

impl Io for Flood {
    fn now(&self) -> Time {
        Time::from_origin(self.now)
    }

    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.now += Duration::from_millis(1);
        let frames = self.frames.min(buffer.len() / self.bytes.len());
        let len = frames * self.bytes.len();
        for frame in buffer[..len].chunks_exact_mut(self.bytes.len()) {
            frame.copy_from_slice(&self.bytes);
        }
        self.read += len;
        Poll::Ready(Ok(len))
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let len = bytes.len().min(self.window);
        self.window -= len;
        if len == 0 { Poll::Pending } else { Poll::Ready(Ok(len)) }
    }

    fn poll_write_vectored(&mut self, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, _: Time) -> Poll<()> {
        // Who always has something to read does not come to look at a timer.
        Poll::Pending
    }

    fn poll_pause(&mut self) -> Poll<()> {
        self.pauses.push(std::mem::take(&mut self.read));
        Poll::Pending
    }
}

fn driver() -> Driver {
    Driver::new(Connection::server(Config::default().into(), Time::ZERO))
}

/// Receives until the connection has ended.
fn receive(driver: &mut Driver, flood: &mut Flood) -> Result<(), Error> {
    let mut inbox = Inbox::default();
    loop {
        assert!(flood.now < Duration::from_secs(120), "it never ends");
        let mut received = driver.buffered_event(&mut inbox, Delivery::Messages);
        if received.is_none() {
            match driver.poll_event(flood, &mut inbox, Delivery::Messages) {
                Poll::Ready(event) => received = event?,
                Poll::Pending => continue,
            }
            if received.is_none() {
                return Ok(());
            }
        }
    }
}

#[test]
fn a_flood_of_pings_does_not_push_the_write_deadline_away() {
    let (mut driver, mut flood) = (driver(), Flood::of(Frame::new(9, "a")));
    let error = receive(&mut driver, &mut flood).unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Write)), "{error}");
    let timeout = Config::default().write_timeout;
    assert!(flood.now < timeout + Duration::from_millis(5), "{:?}", flood.now);
}

#[test]
fn a_flood_of_messages_does_not_push_the_close_deadline_away() {
    let (mut driver, mut flood) = (driver(), Flood::of(Frame::new(2, "a")));
    driver.begin_close(Time::ZERO, CloseCode::NORMAL, "").unwrap();
    let error = receive(&mut driver, &mut flood).unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Close)), "{error}");
    let timeout = Config::default().close_timeout;
    assert!(flood.now < timeout + Duration::from_millis(5), "{:?}", flood.now);
}

#[test]
fn beside_a_flood_others_have_their_turn() {
    let (mut driver, mut flood) = (driver(), Flood::of(Frame::new(9, "a")));
    flood.frames = usize::MAX;
    let mut inbox = Inbox::default();
    while driver.poll_event(&mut flood, &mut inbox, Delivery::Messages).is_ready() {}
    let turn = 256 << 10;
    assert!(flood.pauses.len() == 1 && flood.pauses[0] >= turn, "{:?}", flood.pauses);
    // Without a receiver the sender reads, and gives way as well.
    driver.receiver_gone(&mut inbox);
    driver.queue("a".into(), false).unwrap();
    assert!(driver.poll_flush(&mut flood).is_pending());
    assert!(flood.pauses.len() == 2 && flood.pauses[1] >= turn, "{:?}", flood.pauses);
    assert!(flood.pauses.iter().all(|read| *read < 2 * turn), "{:?}", flood.pauses);
}

#[test]
fn whoever_sends_does_not_wait_once_there_is_room_though_not_all_could_be_written() {
    let mut config = Config::default();
    config.max_outgoing = 100;
    let mut driver = Driver::new(Connection::server(config.into(), Time::ZERO));
    let mut flood = Flood::of(Frame::new(9, "a"));
    let message = Message::Binary(&[0; 148]);
    assert!(driver.poll_queue(&mut flood, message).is_ready());
    assert!(driver.poll_ready(&mut flood).is_pending());
    flood.window = 60;
    assert!(driver.poll_ready(&mut flood).is_ready(), "90 bytes are queued");
    assert_eq!(flood.window, 0);
}
