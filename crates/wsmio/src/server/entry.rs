//! One connection of a loop, from its opening handshake to its end.

use std::{
    io::{self, Read},
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use wsconn::{
    Connection, Delivery, Disposition, PreparedMessage, Time,
    opening::{Refusal, ServerOpening, ServerOptions},
};

use super::{ConnectionId, Handler, mailbox::Mailbox, open::Open, refused::Refused};

/// How often one connection may send on, or read more of a large message, before the others have their
/// turn. Such a message is not left half read for long, as many of them would not fit the caches.
pub(super) const ROUNDS: usize = 16;

/// How many reads one connection has in a turn that may fill the buffer that all share.
const READS: usize = 2;

pub(super) struct Entry<T> {
    tcp: TcpStream,
    stage: Stage<T>,
    /// The turn in the wheel that counts; see [`super::wheel`].
    pub(super) tick: u32,
}

#[expect(clippy::large_enum_variant, reason = "nearly all are open, and an entry is boxed")]
enum Stage<T> {
    Opening(Box<ServerOpening>),
    Open(Open<T>),
    Refused(Box<Refused>),
}

/// What the connections of a loop share.
pub(super) struct Common<H> {
    pub(super) handler: H,
    pub(super) options: Arc<ServerOptions>,
    pub(super) mailbox: Arc<Mailbox>,
    /// What is read lies here while it is handled.
    pub(super) input: Box<[u8]>,
    pub(super) now: Time,
}

/// How a connection leaves its turn.
pub(super) enum Turn {
    /// All that has arrived is handled.
    Done,
    /// There may be more to read at once.
    More,
    /// It has read more than it may handle before others have their turn.
    Paused(Rest),
}

/// Input that has been read and not handled: at most what one read brings.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) bytes: Box<[u8]>,
    /// Where it begins.
    pub(super) at: usize,
}

/// What a read came to.
pub(super) enum Got {
    /// So many bytes, and whether there may be more at once.
    Bytes(usize, bool),
    Nothing,
    Ended,
    Failed,
}

impl<T: Default> Entry<T> {
    pub(super) fn new(tcp: TcpStream, options: &Arc<ServerOptions>, now: Time) -> Self {
        let opening = ServerOpening::new(options.clone(), now);
        Self { tcp, stage: Stage::Opening(Box::new(opening)), tick: u32::MAX }
    }

    /// When it has to be looked at.
    pub(super) fn deadline(&self) -> Option<Time> {
        match &self.stage {
            Stage::Opening(opening) => Some(opening.deadline()),
            Stage::Open(open) => open.connection.poll_timeout(),
            Stage::Refused(refused) => Some(refused.deadline()),
        }
    }

    /// The connection, if it is open.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.stage {
            Stage::Open(open) => Some(&mut open.connection),
            _ => None,
        }
    }

    /// Does what is due. Says whether the connection lives on.
    pub(super) fn timeout<H>(&mut self, common: &mut Common<H>, id: ConnectionId) -> bool
    where
        H: Handler<State = T>,
    {
        if self.deadline().is_none_or(|deadline| deadline > common.now) {
            return true;
        }
        match &mut self.stage {
            Stage::Opening(_) | Stage::Refused(_) => false,
            Stage::Open(open) => {
                open.connection.handle_timeout(common.now);
                self.settle(common, id, false)
            }
        }
    }

    /// Handles the rest of what was read before, then reads what has arrived and handles it,
    /// `to_the_end` if the end of the stream has been seen behind it. Gives what is left to do, if
    /// that is to wait until others have had their turn; it may be no more than to read on.
    pub(super) fn readable<H>(
        &mut self,
        common: &mut Common<H>,
        id: ConnectionId,
        mut rest: Rest,
        to_the_end: bool,
    ) -> Option<Rest>
    where
        H: Handler<State = T>,
    {
        if let Stage::Open(open) = &mut self.stage {
            open.handle_rest(&mut self.tcp, common, id, &mut rest);
            if !rest.is_empty() {
                return Some(rest);
            }
        }
        let mut reads = 0;
        for _ in 0..ROUNDS {
            if !self.is_midway() {
                if reads == READS {
                    break;
                }
                reads += 1;
            }
            let turn = match &mut self.stage {
                Stage::Opening(_) => self.read_request(common, id),
                Stage::Open(open) => open.read(&mut self.tcp, common, id),
                Stage::Refused(refused) => refused.read(&mut self.tcp, common),
            };
            let more = match turn {
                Turn::Done => to_the_end,
                Turn::More => true,
                Turn::Paused(rest) => return Some(rest),
            };
            if !more || self.is_over() || (to_the_end && self.has_ended()) {
                return None;
            }
        }
        Some(Rest::default())
    }

    /// Whether the next read is of a large message only.
    fn is_midway(&mut self) -> bool {
        let connection = self.connection();
        connection.is_some_and(|open| open.direct_read(Delivery::Messages).is_some())
    }

    fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Opening(_) => false,
            Stage::Open(open) => open.connection.disposition() == Disposition::Close,
            Stage::Refused(refused) => refused.has_ended(),
        }
    }

    /// Whether the end of the stream has been read.
    fn has_ended(&self) -> bool {
        match &self.stage {
            Stage::Opening(_) => false,
            Stage::Open(open) => open.connection.close_info().is_some(),
            Stage::Refused(refused) => refused.has_ended(),
        }
    }

    fn read_request<H>(&mut self, common: &mut Common<H>, id: ConnectionId) -> Turn
    where
        H: Handler<State = T>,
    {
        let (len, more) = match read(&mut self.tcp, &mut common.input) {
            Got::Bytes(len, more) => (len, more),
            Got::Nothing => return Turn::Done,
            Got::Ended | Got::Failed => {
                self.stage = Stage::Refused(Box::new(Refused::gone(common.now)));
                return Turn::Done;
            }
        };
        let Stage::Opening(opening) = &mut self.stage else { return Turn::Done };
        let progress = opening.receive(common.input.get(..len).unwrap_or_default());
        if !progress.complete {
            return Turn::read(more);
        }
        let refused = Stage::Refused(Box::new(Refused::gone(common.now)));
        let Stage::Opening(opening) = std::mem::replace(&mut self.stage, refused) else {
            return Turn::Done;
        };
        let mut state = None;
        let handler = &mut common.handler;
        let answer = opening.respond(
            |request| {
                guarded(|| handler.upgrade(request, state.insert(T::default())))
                    .unwrap_or_else(|| Err(Refusal::new(500, "the server made a mistake\n")))
            },
            common.now,
        );
        match answer.result {
            Ok(opened) => {
                let mut connection = opened.connection;
                // The response leaves first, together with what the handler sends now.
                connection.lend(answer.response.into_bytes());
                let mut open = Open::new(connection, state);
                let (handler, now) = (&mut common.handler, common.now);
                open.guard(&mut self.tcp, handler, now, id, |handler, peer| handler.open(peer));
                let turn = open.handle(&mut self.tcp, common, id, progress.consumed..len, more);
                self.stage = Stage::Open(open);
                turn
            }
            Err(_) => {
                guarded(|| drop(state));
                let deadline = common.now.after(common.options.config.fin_timeout);
                let refused = Refused::new(answer.response.into_bytes(), deadline);
                self.stage = Stage::Refused(Box::new(refused));
                Turn::read(more)
            }
        }
    }

    /// Sends a message on an open connection, from where it lies if it is large.
    pub(super) fn send_prepared(&mut self, message: &PreparedMessage, now: Time) {
        if let Stage::Open(open) = &mut self.stage {
            // One that is closing, or does not keep up, goes without.
            let _ = open.outlet(&mut self.tcp, now).send_prepared(message);
        }
    }

    /// Writes what is to be written, tells the handler what it has to know, and ends the byte stream
    /// as the connection says; `writable` if a stream that took no more is said to take more again. Says
    /// whether the connection lives on.
    pub(super) fn settle<H>(
        &mut self,
        common: &mut Common<H>,
        id: ConnectionId,
        writable: bool,
    ) -> bool
    where
        H: Handler<State = T>,
    {
        match &mut self.stage {
            Stage::Opening(_) => true,
            Stage::Open(open) => open.settle(&mut self.tcp, common, id, writable),
            Stage::Refused(refused) => refused.settle(&mut self.tcp),
        }
    }

    /// Whether the handler is still to be told that all has been written.
    pub(super) fn has_drained(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.has_drained())
    }

    /// Ends at once, and tells the handler.
    pub(super) fn abort<H>(&mut self, common: &mut Common<H>, id: ConnectionId)
    where
        H: Handler<State = T>,
    {
        if let Stage::Open(open) = &mut self.stage {
            open.connection.transport_failed();
            open.tell_end(common, id);
        }
    }
}

impl Turn {
    /// After a read behind which there may be `more`.
    pub(super) fn read(more: bool) -> Self {
        if more { Self::More } else { Self::Done }
    }
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }
}

pub(super) fn read(tcp: &mut TcpStream, room: &mut [u8]) -> Got {
    loop {
        return match tcp.read(room) {
            Ok(0) => Got::Ended,
            Ok(len) => Got::Bytes(len, len == room.len()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Got::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => Got::Failed,
        };
    }
}

/// Calls the application, whose panics are its own.
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Option<R> {
    let payload = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => return Some(done),
        Err(payload) => payload,
    };
    // What it panicked with may do so again when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    None
}
