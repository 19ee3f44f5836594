use std::{
    fmt,
    io::{self, IoSlice, Write},
    net::{SocketAddr, TcpStream},
};

#[cfg(feature = "deflate")]
use wsconn::deflate::Compress;
use wsconn::{
    CloseCode, CloseInfo, Connection, Message, Misuse, PreparedMessage, Sending, Time,
    opening::{Accept, Refusal, Request},
    transport::pool,
};

use super::ConnectionId;

/// Once this many bytes would be queued they are written at once, the last message from where it lies:
/// up to here a copy costs less than a call to the system. The pool keeps buffers of this size.
const DIRECT_WRITE: usize = 2 * pool::BUFFER;

/// What a server does with its connections.
///
/// Each loop has a handler of its own and calls it from its own thread: no call blocks another, none
/// overlaps, and none should take long. What is sent in a call leaves when all that one read brought
/// has been handled, in one write.
///
/// A call that panics loses its connection, which is closed with 1011 (internal error), and no other.
pub trait Handler {
    /// What the application keeps for each connection.
    type State: Default;

    /// A client asks to connect. Accept it, with a subprotocol and headers if you like, or refuse it
    /// with a status. `state` will be that of the connection.
    ///
    /// The request has been judged by the server's options already.
    fn upgrade(
        &mut self,
        request: &Request<'_, '_>,
        state: &mut Self::State,
    ) -> Result<Accept, Refusal> {
        let _ = (request, state);
        Ok(Accept::default())
    }

    /// The connection is open.
    fn open(&mut self, peer: &mut Peer<'_, Self::State>) {
        let _ = peer;
    }

    /// A message has come. It is borrowed from the loop's buffer: copy what is to be kept.
    fn message(&mut self, peer: &mut Peer<'_, Self::State>, message: Message<'_>);

    /// What was [queued](Sent::Queued) for a slow peer, or stood in the way of what was
    /// [refused](Sent::Refused), has been written: there is room again.
    fn drain(&mut self, peer: &mut Peer<'_, Self::State>) {
        let _ = peer;
    }

    /// The connection has ended, as `info` tells. Called once for each that was opened.
    fn close(&mut self, id: ConnectionId, state: Self::State, info: &CloseInfo) {
        let _ = (id, state, info);
    }
}

/// A connection in the hands of a [`Handler`].
pub struct Peer<'a, T> {
    pub(super) id: ConnectionId,
    pub(super) outlet: Outlet<'a>,
    pub(super) state: &'a mut T,
}

/// The way out of a connection.
pub(super) struct Outlet<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) tcp: &'a mut TcpStream,
    pub(super) now: Time,
}

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a peer that does not keep up has to be told from one that does"]
pub enum Sent {
    /// It leaves at once, as far as is known.
    Sent,
    /// The peer does not keep up: so many bytes wait to be written, this message among them.
    /// [`Handler::drain`] will tell when they have been.
    Queued(usize),
    /// It will not be sent: [`Config::max_outgoing`](wsconn::Config::max_outgoing) bytes wait to be
    /// written, and [`Handler::drain`] will tell when they have been; or the connection is closing.
    Refused,
}

impl<T> Peer<'_, T> {
    /// Which connection this is, for [`Remote`](super::Remote).
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// What the application keeps for it.
    pub fn state(&mut self) -> &mut T {
        self.state
    }

    /// The address of the peer.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.outlet.tcp.peer_addr()
    }

    /// How many bytes wait to be written.
    pub fn queued(&self) -> usize {
        self.outlet.queued()
    }

    /// Sends a message: text from a string, binary from bytes.
    ///
    /// A large one is written at once, together with what was sent before it, from where it lies: only
    /// what the peer does not take is copied.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        self.outlet.send(message.into())
    }

    /// As [`send`](Self::send), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub fn send_as<'m>(&mut self, message: impl Into<Message<'m>>, compress: Compress) -> Sent {
        self.outlet.send_as(message.into(), compress)
    }

    /// Sends a message that was encoded, and perhaps compressed, once for many connections.
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Sent {
        self.outlet.send_prepared(message)
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`Misuse`] if it is longer, if the connection is closing, or if too much waits to be written.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Misuse> {
        self.outlet.connection.ping(payload)
    }

    /// Begins to close the connection. Messages that the peer sends until its own close frame are
    /// still handled.
    ///
    /// # Errors
    ///
    /// [`Misuse`] for a code that must not be sent, a reason of more than 123 bytes, or a connection
    /// that is closing already.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        self.outlet.connection.close(code, reason, self.outlet.now)
    }
}

impl<T> fmt::Debug for Peer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Outlet<'_> {
    fn queued(&self) -> usize {
        self.connection.outgoing().len()
    }

    #[inline]
    fn send(&mut self, message: Message<'_>) -> Sent {
        let sent = match self.is_copied(message.as_bytes().len()) {
            true => self.connection.send(message),
            false => self.write(|connection| connection.send_direct(message)),
        };
        self.answer(sent)
    }

    #[cfg(feature = "deflate")]
    fn send_as(&mut self, message: Message<'_>, compress: Compress) -> Sent {
        let sent = match self.is_copied(message.as_bytes().len()) {
            true => self.connection.send_as(message, compress),
            false => self.write(|connection| connection.send_direct_as(message, compress)),
        };
        self.answer(sent)
    }

    pub(super) fn send_prepared(&mut self, message: &PreparedMessage) -> Sent {
        let sent = match self.is_copied(message.as_bytes().len()) {
            true => self.connection.send_prepared(message),
            false => self.write(|connection| connection.send_prepared_direct(message)),
        };
        self.answer(sent)
    }

    /// Whether a message of so many bytes is to be copied behind what is queued; then there is a buffer
    /// for it.
    #[inline]
    fn is_copied(&mut self, len: usize) -> bool {
        let copied = self.queued() + len < DIRECT_WRITE;
        // One that is compressed is queued whatever its size.
        #[cfg(feature = "deflate")]
        let lent = copied || self.connection.deflate().is_some();
        #[cfg(not(feature = "deflate"))]
        let lent = copied;
        if lent && self.connection.wants_buffer() {
            self.connection.lend(pool::take_write());
        }
        copied
    }

    /// Writes what is queued and a message, as far as the peer takes it.
    fn write<'m>(
        &mut self,
        send: impl for<'c> FnOnce(&'c mut Connection) -> Result<Sending<'c, 'm>, Misuse>,
    ) -> Result<(), Misuse> {
        let (mut blocked, mut failed) = (self.connection.is_blocked(), false);
        let mut sending = send(self.connection)?;
        while !blocked && !failed && !sending.is_done() {
            match self.tcp.write_vectored(&sending.slices().map(IoSlice::new)) {
                Ok(len) if len > 0 => sending.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => blocked = true,
                _ => failed = true,
            }
        }
        drop(sending);
        if failed {
            self.connection.write_failed(self.now);
        } else if blocked {
            self.connection.blocked(self.now);
        }
        Ok(())
    }

    #[inline]
    fn answer(&self, sent: Result<(), Misuse>) -> Sent {
        match sent {
            Ok(()) if self.connection.is_blocked() => Sent::Queued(self.queued()),
            Ok(()) => Sent::Sent,
            Err(_) => Sent::Refused,
        }
    }
}
