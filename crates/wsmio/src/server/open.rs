use std::{
    io::{self, Write},
    mem,
    net::{Shutdown, TcpStream},
    ops::Range,
};

use wsconn::{
    CloseCode, Connection, Delivery, Disposition, Event, Location, Time, transport::pool,
};

use super::{
    ConnectionId, Handler, Peer,
    entry::{Common, Got, ROUNDS, Rest, Turn, guarded, read},
    handler::Outlet,
};

/// A connection after its opening handshake.
pub(super) struct Open<T> {
    pub(super) connection: Connection,
    /// Taken when the handler has been told of the end.
    state: Option<T>,
    /// The handler has been told that something is queued.
    backlogged: bool,
    /// The handler has panicked over this connection.
    silenced: bool,
    shut_down: bool,
}

impl<T> Open<T> {
    pub(super) fn new(connection: Connection, state: Option<T>) -> Self {
        Self { connection, state, backlogged: false, silenced: false, shut_down: false }
    }

    /// Reads once, and handles it.
    pub(super) fn read<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
    ) -> Turn {
        if let Some(room) = self.connection.direct_read(Delivery::Messages) {
            return match read(tcp, room) {
                Got::Bytes(len, more) => {
                    if let Some(location) = self.connection.direct_advance(len, common.now) {
                        self.deliver_held(tcp, &mut common.handler, common.now, id, &location);
                    }
                    Turn::read(more)
                }
                other => self.no_bytes(&other),
            };
        }
        match read(tcp, &mut common.input) {
            Got::Bytes(len, more) => self.handle(tcp, common, id, 0..len, more),
            other => self.no_bytes(&other),
        }
    }

    fn no_bytes(&mut self, read: &Got) -> Turn {
        match read {
            Got::Ended => self.connection.receive_eof(),
            Got::Failed => self.connection.transport_failed(),
            _ => {}
        }
        Turn::Done
    }

    /// Handles this range of the input, behind which there may be `more` to read.
    pub(super) fn handle<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        range: Range<usize>,
        more: bool,
    ) -> Turn {
        let end = range.end;
        let at = self.receive(tcp, common, id, range);
        match common.input.get(at..end) {
            // What the loop reads next would overwrite it.
            Some(rest) if !rest.is_empty() => Turn::Paused(Rest { bytes: rest.into(), at: 0 }),
            _ => Turn::read(more),
        }
    }

    /// Handles what was left of the input, as far as one turn goes.
    pub(super) fn handle_rest<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        rest: &mut Rest,
    ) {
        mem::swap(&mut common.input, &mut rest.bytes);
        let end = common.input.len();
        rest.at = self.receive(tcp, common, id, rest.at..end);
        mem::swap(&mut common.input, &mut rest.bytes);
    }

    /// Handles this range of the input until that was work enough for one turn, and says where it
    /// stopped.
    fn receive<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        range: Range<usize>,
    ) -> usize {
        let Common { handler, input, now, .. } = common;
        let (now, Range { start: mut at, end }) = (*now, range);
        while at < end {
            let Some(rest) = input.get_mut(at..end) else { break };
            let received = self.connection.receive(rest, Delivery::Messages, now);
            at += received.consumed;
            let Some(location) = received.event else { break };
            if location.is_held() {
                self.deliver_held(tcp, handler, now, id, &location);
            } else if let Event::Message(message) = location.event(rest, &[]) {
                self.guard(tcp, handler, now, id, |handler, peer| handler.message(peer, message));
            }
        }
        at
    }

    /// Gives a message that the connection holds to the handler.
    fn deliver_held<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        handler: &mut H,
        now: Time,
        id: ConnectionId,
        location: &Location,
    ) {
        if location.is_control() {
            return;
        }
        let held = self.connection.take_delivered();
        if let Event::Message(message) = location.event(&[], &held) {
            self.guard(tcp, handler, now, id, |handler, peer| handler.message(peer, message));
        }
        self.connection.give_back(held);
    }

    /// Calls the handler. If it panics, its connection is closed.
    pub(super) fn guard<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        handler: &mut H,
        now: Time,
        id: ConnectionId,
        call: impl FnOnce(&mut H, &mut Peer<'_, T>),
    ) {
        let Some(state) = self.state.as_mut().filter(|_| !self.silenced) else { return };
        let outlet = Outlet { connection: &mut self.connection, tcp, now };
        let done = guarded(|| call(handler, &mut Peer { id, outlet, state }));
        // Told that a message is queued or refused, the handler waits for `drain`, even if all is
        // written at once now.
        self.backlogged |= self.connection.is_blocked() || self.connection.is_full();
        if done.is_none() {
            self.silenced = true;
            // It may be closing already.
            let _ = self.connection.close(CloseCode::INTERNAL_ERROR, "internal error", now);
        }
    }

    pub(super) fn settle<H: Handler<State = T>>(
        &mut self,
        tcp: &mut TcpStream,
        common: &mut Common<H>,
        id: ConnectionId,
        writable: bool,
    ) -> bool {
        self.write(tcp, common.now, writable);
        for _ in 0..ROUNDS {
            if !self.has_drained() {
                break;
            }
            self.backlogged = false;
            let (handler, now) = (&mut common.handler, common.now);
            self.guard(tcp, handler, now, id, |handler, peer| handler.drain(peer));
            self.write(tcp, common.now, false);
        }
        self.backlogged |= self.connection.is_blocked();
        self.connection.release();
        if self.connection.close_info().is_some() {
            self.tell_end(common, id);
        }
        match self.connection.disposition() {
            Disposition::KeepOpen => true,
            Disposition::ShutdownWrite => {
                if !mem::replace(&mut self.shut_down, true) {
                    // Whether that works does not matter: the deadline holds.
                    let _ = tcp.shutdown(Shutdown::Write);
                }
                true
            }
            Disposition::Close => false,
        }
    }

    /// The way out.
    pub(super) fn outlet<'a>(&'a mut self, tcp: &'a mut TcpStream, now: Time) -> Outlet<'a> {
        Outlet { connection: &mut self.connection, tcp, now }
    }

    /// Whether the handler is to be told that all has been written.
    pub(super) fn has_drained(&self) -> bool {
        self.backlogged && self.connection.outgoing().is_empty() && self.connection.is_open()
    }

    /// Writes what is queued, also what was before the peer ended its side. A stream that took no more
    /// is left alone until it is said to be `writable` again.
    fn write(&mut self, tcp: &mut TcpStream, now: Time, mut writable: bool) {
        writable |= !self.connection.is_blocked();
        while writable && !self.connection.outgoing().is_empty() {
            match tcp.write(self.connection.outgoing()) {
                Ok(len) if len > 0 => self.connection.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connection.blocked(now);
                    break;
                }
                _ => {
                    self.connection.write_failed(now);
                    break;
                }
            }
        }
        pool::put_write(self.connection.reclaim());
    }

    /// Tells the handler how the connection ended, once.
    pub(super) fn tell_end<H: Handler<State = T>>(
        &mut self,
        common: &mut Common<H>,
        id: ConnectionId,
    ) {
        if let Some(info) = self.connection.close_info()
            && let Some(state) = self.state.take()
        {
            // Once the handler knows, nothing can be sent to it any more.
            common.mailbox.note(id.index, id.generation.wrapping_add(1));
            guarded(|| common.handler.close(id, state, info));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // this is a test

    use std::{io::Read, net::TcpListener};

    use super::*;

    #[test]
    fn a_stream_that_took_no_more_is_left_alone_until_it_is_writable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut peer = listener.accept().unwrap().0;
        tcp.set_nonblocking(true).unwrap();
        let mut open = Open::<()>::new(Connection::server(Default::default(), Time::ZERO), None);
        open.connection.send(&vec![7; 12 << 20]).unwrap();
        open.write(&mut tcp, Time::ZERO, false);
        assert!(open.connection.is_blocked());
        // There is room again, of which nobody has told yet.
        let queued = open.connection.outgoing().len();
        peer.read_exact(&mut vec![0; (12 << 20) - queued]).unwrap();
        open.write(&mut tcp, Time::ZERO, false);
        assert_eq!(open.connection.outgoing().len(), queued);
        open.write(&mut tcp, Time::ZERO, true);
        assert!(open.connection.outgoing().len() < queued);
    }
}
