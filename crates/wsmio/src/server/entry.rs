//! One connection of a loop, from its opening handshake to its end.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use wsconn::{
    CloseCode, Connection, Delivery, Disposition, Event, Location, Time,
    opening::{Refusal, ServerOpening, ServerOptions},
    transport::pool,
};

use super::{ConnectionId, Handler, Peer, remote::Mailbox};

/// How often one connection is read, or may send on, before the others have their turn.
const ROUNDS: usize = 16;

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

struct Open<T> {
    connection: Connection,
    /// Taken when the handler has been told of the end.
    state: Option<T>,
    /// The handler has been told that something is queued.
    backlogged: bool,
    /// The handler has panicked over this connection.
    silenced: bool,
    shut_down: bool,
    failed: bool,
}

/// A request that has been refused: the response is written, and what comes is discarded until the
/// peer has ended its side.
struct Refused {
    response: Vec<u8>,
    written: usize,
    shut_down: bool,
    eof: bool,
    deadline: Time,
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

/// What a read came to.
enum Got {
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
            Stage::Refused(refused) => Some(refused.deadline),
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
                self.settle(common, id)
            }
        }
    }

    /// Reads what has arrived and handles it, `to_the_end` if the end of the stream has been seen
    /// behind it. Says whether there is more to read.
    pub(super) fn readable<H>(
        &mut self,
        common: &mut Common<H>,
        id: ConnectionId,
        to_the_end: bool,
    ) -> bool
    where
        H: Handler<State = T>,
    {
        for _ in 0..ROUNDS {
            let more = match &mut self.stage {
                Stage::Opening(_) => self.read_request(common, id),
                Stage::Open(open) => open.read(&mut self.tcp, common, id),
                Stage::Refused(refused) => refused.read(&mut self.tcp, common),
            };
            // A read that does not fill the buffer has emptied the socket: what comes later is told.
            if !(more || to_the_end) || self.is_over() {
                return false;
            }
            if to_the_end && self.has_ended() {
                return false;
            }
        }
        true
    }

    fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Opening(_) => false,
            Stage::Open(open) => open.connection.disposition() == Disposition::Close,
            Stage::Refused(refused) => refused.eof,
        }
    }

    /// Whether the end of the stream has been read.
    fn has_ended(&self) -> bool {
        match &self.stage {
            Stage::Opening(_) => false,
            Stage::Open(open) => open.connection.close_info().is_some(),
            Stage::Refused(refused) => refused.eof,
        }
    }

    fn read_request<H>(&mut self, common: &mut Common<H>, id: ConnectionId) -> bool
    where
        H: Handler<State = T>,
    {
        let (len, more) = match read(&mut self.tcp, &mut common.input) {
            Got::Bytes(len, more) => (len, more),
            Got::Nothing => return false,
            Got::Ended | Got::Failed => {
                self.stage = Stage::Refused(Box::new(Refused::gone(common.now)));
                return false;
            }
        };
        let Stage::Opening(opening) = &mut self.stage else { return false };
        let progress = opening.receive(common.input.get(..len).unwrap_or_default());
        if !progress.complete {
            return more;
        }
        let refused = Stage::Refused(Box::new(Refused::gone(common.now)));
        let Stage::Opening(opening) = std::mem::replace(&mut self.stage, refused) else {
            return false;
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
                open.guard(&mut self.tcp, common, id, |handler, peer| handler.open(peer));
                open.handle(&mut self.tcp, common, id, progress.consumed, len);
                self.stage = Stage::Open(open);
            }
            Err(_) => {
                guarded(|| drop(state));
                let mut refused =
                    Refused::gone(common.now.after(common.options.config.fin_timeout));
                refused.response = answer.response.into_bytes();
                refused.eof = false;
                self.stage = Stage::Refused(Box::new(refused));
            }
        }
        more
    }

    /// Writes what is to be written, tells the handler what it has to know, and ends the byte stream
    /// as the connection says. Says whether the connection lives on.
    pub(super) fn settle<H>(&mut self, common: &mut Common<H>, id: ConnectionId) -> bool
    where
        H: Handler<State = T>,
    {
        match &mut self.stage {
            Stage::Opening(_) => true,
            Stage::Open(open) => open.settle(&mut self.tcp, common, id),
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

impl<T> Open<T> {
    fn new(connection: Connection, state: Option<T>) -> Self {
        Self {
            connection,
            state,
            backlogged: false,
            silenced: false,
            shut_down: false,
            failed: false,
        }
    }

    /// Reads once, and handles it. Says whether there may be more at once.
    fn read<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
    ) -> bool {
        if let Some(room) = self.connection.direct_read(Delivery::Messages) {
            return match read(tcp, room) {
                Got::Bytes(len, more) => {
                    if let Some(location) = self.connection.direct_advance(len, common.now) {
                        self.deliver(tcp, common, id, &location, 0..0);
                    }
                    more
                }
                other => self.no_bytes(&other),
            };
        }
        match read(tcp, &mut common.input) {
            Got::Bytes(len, more) => {
                self.handle(tcp, common, id, 0, len);
                more
            }
            other => self.no_bytes(&other),
        }
    }

    fn no_bytes(&mut self, read: &Got) -> bool {
        match read {
            Got::Ended => self.connection.receive_eof(),
            Got::Failed => self.connection.transport_failed(),
            _ => {}
        }
        false
    }

    /// Handles the bytes of the input from `at` to `end`.
    fn handle<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        mut at: usize,
        end: usize,
    ) {
        while at < end {
            let Some(input) = common.input.get_mut(at..end) else { return };
            let received = self.connection.receive(input, Delivery::Messages, common.now);
            if let Some(location) = received.event {
                self.deliver(tcp, common, id, &location, at..end);
            }
            at += received.consumed;
        }
    }

    /// Gives a message to the handler. `range` is where in the input it was received.
    fn deliver<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        location: &Location,
        range: std::ops::Range<usize>,
    ) {
        if location.is_control() {
            return;
        }
        let held = if location.is_held() { self.connection.take_delivered() } else { Vec::new() };
        let input = std::mem::take(&mut common.input);
        let received = input.get(range).unwrap_or_default();
        if let Event::Message(message) = location.event(received, &held) {
            self.guard(tcp, common, id, |handler, peer| handler.message(peer, message));
        }
        common.input = input;
        if held.capacity() > 0 {
            self.connection.give_back(held);
        }
    }

    /// Calls the handler. If it panics, its connection is closed.
    fn guard<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        call: impl FnOnce(&mut H, &mut Peer<'_, T>),
    ) {
        let Some(state) = self.state.as_mut().filter(|_| !self.silenced) else { return };
        let connection = &mut self.connection;
        let (failed, now) = (&mut self.failed, common.now);
        let handler = &mut common.handler;
        let done = guarded(|| {
            let mut peer = Peer { id, connection, tcp, state, now, failed };
            call(handler, &mut peer);
        });
        // Told that a message is queued or refused, the handler waits for `drain`, even if all is
        // written at once now.
        self.backlogged |= self.connection.is_blocked() || self.connection.is_full();
        if done.is_none() {
            self.silenced = true;
            // It may be closing already.
            let _ = self.connection.close(CloseCode::INTERNAL_ERROR, "internal error", now);
        }
    }

    fn settle<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
    ) -> bool {
        self.write(tcp, common.now);
        for _ in 0..ROUNDS {
            if !self.has_drained() {
                break;
            }
            self.backlogged = false;
            self.guard(tcp, common, id, |handler, peer| handler.drain(peer));
            self.write(tcp, common.now);
        }
        self.backlogged |= self.connection.is_blocked();
        self.connection.release();
        if self.connection.close_info().is_some() {
            self.tell_end(common, id);
        }
        match self.connection.disposition() {
            Disposition::KeepOpen => true,
            Disposition::ShutdownWrite => {
                if !std::mem::replace(&mut self.shut_down, true) {
                    // Whether that works does not matter: the deadline holds.
                    let _ = tcp.shutdown(Shutdown::Write);
                }
                true
            }
            Disposition::Close => false,
        }
    }

    /// Whether the handler is to be told that all has been written.
    fn has_drained(&self) -> bool {
        self.backlogged && self.connection.outgoing().is_empty() && self.connection.is_open()
    }

    fn write(&mut self, tcp: &mut TcpStream, now: Time) {
        while !self.failed && !self.connection.outgoing().is_empty() {
            match tcp.write(self.connection.outgoing()) {
                Ok(len) if len > 0 => self.connection.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.blocked(now);
                    break;
                }
                _ => self.failed = true,
            }
        }
        if self.failed {
            self.connection.transport_failed();
        }
        pool::put_write(self.connection.reclaim());
    }

    /// Tells the handler how the connection ended, once.
    fn tell_end<H: Handler<State = T>>(&mut self, common: &mut Common<H>, id: ConnectionId) {
        if let Some(info) = self.connection.close_info()
            && let Some(state) = self.state.take()
        {
            // Once the handler knows, nothing can be sent to it any more.
            common.mailbox.note(id.index, id.generation.wrapping_add(1));
            guarded(|| common.handler.close(id, state, info));
        }
    }
}

impl Refused {
    /// Nothing to say, and nothing to wait for.
    fn gone(deadline: Time) -> Self {
        Self { response: Vec::new(), written: 0, shut_down: false, eof: true, deadline }
    }

    fn read<H>(&mut self, tcp: &mut TcpStream, common: &mut Common<H>) -> bool {
        match read(tcp, &mut common.input) {
            Got::Bytes(_, more) => more,
            Got::Nothing => false,
            Got::Ended | Got::Failed => {
                self.eof = true;
                false
            }
        }
    }

    fn settle(&mut self, tcp: &mut TcpStream) -> bool {
        while let Some(rest) = self.response.get(self.written..).filter(|rest| !rest.is_empty()) {
            match tcp.write(rest) {
                Ok(len) if len > 0 => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                _ => return false,
            }
        }
        if !std::mem::replace(&mut self.shut_down, true) {
            let _ = tcp.shutdown(Shutdown::Write);
        }
        !self.eof
    }
}

fn read(tcp: &mut TcpStream, room: &mut [u8]) -> Got {
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
fn guarded<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
