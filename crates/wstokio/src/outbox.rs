use std::{collections::VecDeque, mem, task::Waker};

use wsconn::{
    PreparedMessage,
    transport::{Driver, Io},
};

/// What has been sent to a connection from outside, and waits until it is polled and its stream takes
/// more.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) waiting: VecDeque<PreparedMessage>,
    pub(crate) dropped: u64,
    /// Who waits for room in it.
    pub(crate) on_room: Vec<Waker>,
}

impl Outbox {
    /// Whether so many wait. What waits only because no one has written it yet, be it that the task that
    /// does is the one that sends here, is queued with the connection if so, for as much as that takes.
    pub(crate) fn is_full(&mut self, limit: usize, driver: &mut Driver) -> bool {
        if self.waiting.len() >= limit && !driver.is_blocked() {
            driver.queue_waiting(&mut self.waiting);
        }
        self.waiting.len() >= limit
    }

    /// Sends what the stream takes. Gives those who are to be woken because there is room now.
    pub(crate) fn drain(&mut self, driver: &mut Driver, io: &mut impl Io) -> Vec<Waker> {
        let before = self.waiting.len();
        if before > 0 {
            driver.send_waiting(io, &mut self.waiting);
        }
        if !driver.is_open() {
            self.clear();
        } else if before > 0 && self.waiting.len() == before {
            return Vec::new();
        }
        mem::take(&mut self.on_room)
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.dropped += self.waiting.len() as u64;
        self.waiting.clear();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.on_room.drain(..).for_each(Waker::wake);
    }
}
