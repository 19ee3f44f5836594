use std::time::Duration;

use crate::{Location, Time};

/// What has gone over a connection since its opening handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages that were delivered whole, or to their last chunk.
    pub messages_received: u64,
    /// Messages that were queued, those in fragments once their last was. Not every one has to have
    /// left.
    pub messages_sent: u64,
    /// Bytes read from the stream, frame headers and control frames included. What the reads of the
    /// opening handshake brought is not.
    pub bytes_received: u64,
    /// Bytes that the stream has taken.
    pub bytes_sent: u64,
    /// Bytes that wait for the stream to take them.
    pub bytes_queued: usize,
    /// Messages to a group that wait behind those bytes.
    pub messages_waiting: usize,
    /// Messages to a group that were dropped because the peer did not keep up.
    pub messages_dropped: u64,
    /// How long the peer's last pong took, counted from the ping that went before it, be that one of
    /// keepalive or one of the caller's. `None` until there was one. It is only as true as the peer.
    pub round_trip: Option<Duration>,
}

/// Counts, and measures round trips.
#[derive(Default)]
pub(super) struct Meter {
    pub(super) counted: Counters,
    /// When the ping went out that has not been answered.
    pinged: Option<Time>,
}

impl Meter {
    /// Notes what was received from bytes that were read at this time.
    #[inline]
    pub(super) fn received(&mut self, location: &Location, at: Time) {
        if location.ends_message() {
            self.counted.messages_received += 1;
        } else if location.is_pong()
            && let Some(pinged) = self.pinged.take()
        {
            self.counted.round_trip = Some(at.since(pinged));
        }
    }

    /// Notes a ping. Of several under way the first one counts.
    pub(super) fn pinged(&mut self, at: Time) {
        self.pinged.get_or_insert(at);
    }
}
