use alloc::{string::String, vec::Vec};
use core::mem;

use super::pool::ReadBuffer;
use crate::{Connection, Delivery, Event, Kind, Location, OwnedMessage, Time};

/// After so many bytes without a wait others have their turn, so that a peer that sends faster than it is
/// read does not keep a thread to itself.
const TURN: usize = 4 * super::pool::BUFFER;

/// What a receiver has read and not used yet, and where the event is that it lends out.
#[derive(Default)]
pub struct Inbox {
    buffer: Option<ReadBuffer>,
    /// The bytes of `buffer` that have not been used.
    start: usize,
    end: usize,
    /// Where in `buffer` the last event's input began.
    event_start: usize,
    /// When the last read was.
    read_at: Time,
    /// How many bytes were read since the last wait.
    unbroken: usize,
    /// The bytes of the last event, where the connection held them.
    held: Vec<u8>,
}

impl Inbox {
    /// With what was read behind the opening handshake, with whose end the connection's time begins: the
    /// bytes of `buffer` in this range.
    pub fn new(buffer: ReadBuffer, start: usize, end: usize) -> Self {
        if start == end {
            return Self::default();
        }
        Self { buffer: Some(buffer), start, end, ..Self::default() }
    }

    /// The event at `location`, which was the last one received.
    pub fn event(&self, location: &Location) -> Event<'_> {
        let buffer = self.buffer.as_ref().map(ReadBuffer::bytes).unwrap_or_default();
        location.event(buffer.get(self.event_start..).unwrap_or_default(), &self.held)
    }

    /// The message at `location`, which was the last one received, to keep.
    pub fn take_message(&mut self, location: &Location) -> Option<OwnedMessage> {
        let Event::Message(message) = self.event(location) else { return None };
        if !location.is_held() {
            return Some(message.to_owned());
        }
        let kind = message.kind();
        let bytes = mem::take(&mut self.held);
        Some(match kind {
            Kind::Binary => OwnedMessage::Binary(bytes),
            Kind::Text => OwnedMessage::Text(String::from_utf8(bytes).unwrap_or_default()),
        })
    }

    /// Whether nothing is left of what has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to read into.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.get_or_insert_with(ReadBuffer::take).room()
    }

    /// Notes that the first `len` bytes of the room have been read.
    pub(super) fn filled(&mut self, len: usize, now: Time) {
        (self.start, self.end) = (0, len);
        self.noted(len, now);
    }

    /// Notes a read, into the room or past it.
    pub(super) fn noted(&mut self, len: usize, now: Time) {
        self.read_at = now;
        self.unbroken = self.unbroken.saturating_add(len);
    }

    /// When the last read was.
    pub(super) fn read_at(&self) -> Time {
        self.read_at
    }

    /// Whether so much has been read without a wait that one is due.
    pub(super) fn wants_pause(&self) -> bool {
        self.unbroken >= TURN
    }

    /// Notes a wait.
    pub(super) fn waited(&mut self) {
        self.unbroken = 0;
    }

    /// Takes what has been read, up to the first event.
    pub(super) fn receive(
        &mut self,
        connection: &mut Connection,
        delivery: Delivery,
    ) -> Option<Location> {
        let input = self.buffer.as_mut()?.room().get_mut(self.start..self.end)?;
        let received = connection.receive(input, delivery, self.read_at);
        self.event_start = self.start;
        self.start += received.consumed;
        if received.event.as_ref().is_some_and(Location::is_held) {
            self.hold(connection);
        }
        received.event
    }

    /// Takes over the bytes of an event that the connection holds.
    pub(super) fn hold(&mut self, connection: &mut Connection) {
        self.held = connection.take_delivered();
    }

    /// Gives back the bytes of the last event.
    pub(super) fn give_back(&mut self, connection: &mut Connection) {
        if self.held.capacity() > 0 {
            connection.give_back(mem::take(&mut self.held));
        }
    }

    /// Gives back the buffer, in which nothing is left.
    pub(super) fn release(&mut self) {
        self.buffer = None;
    }
}
