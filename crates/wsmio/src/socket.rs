use std::{fmt, io, sync::Arc, time::Duration};

#[cfg(feature = "deflate")]
use wsconn::deflate::Compress;
use wsconn::{
    Chunk, CloseCode, CloseInfo, Config, Connection, Event, Message, PreparedMessage, Time,
    transport::{Error, Inbox, pool::ReadBuffer, random},
};

use crate::{
    MaybeTls, Receiver, Sender, Stream,
    shared::{Core, Shared, Waiting},
};

/// A WebSocket connection whose calls block.
///
/// Made by [`connect`](crate::connect) and [`accept`](crate::accept), or from a stream that has been
/// upgraded by other means with [`from_server_stream`](Self::from_server_stream) and
/// [`from_client_stream`](Self::from_client_stream).
///
/// # Who moves the bytes
///
/// There is no thread behind it. Keepalive pings are sent, deadlines kept and queued messages written
/// while a thread is in some call on it; the peer's pings are answered while one is in a call that
/// receives, or in [`close`](Self::close). So keep one there: normally in [`recv`](Self::recv), in a loop.
///
/// # The end
///
/// [`recv`](Self::recv) gives `None` once the connection has ended, and
/// [`close_info`](Self::close_info) tells how. Dropping the socket ends the byte stream without a
/// closing handshake, which the peer sees as code 1006; call [`close`](Self::close) first.
pub struct WebSocket<S = MaybeTls> {
    receiver: Receiver<S>,
    sender: Sender<S>,
}

impl<S> WebSocket<S> {
    pub(crate) fn of(receiver: Receiver<S>, sender: Sender<S>) -> Self {
        Self { receiver, sender }
    }

    /// `read` is what was read behind the opening handshake.
    pub(crate) fn new(core: Core<S>, read: Vec<u8>, subprotocol: Option<Box<str>>) -> Self {
        let shared = Arc::new(Shared::new(core, subprotocol));
        let len = read.len();
        let inbox = Inbox::new(ReadBuffer::from(read), 0, len);
        let receiver = Receiver { shared: shared.clone(), inbox, waiting: Waiting::default() };
        Self::of(receiver, Sender { shared, waiting: Waiting::default() })
    }

    /// How the connection ended: who closed it, with which code and reason, and whether it was clean.
    /// `None` while that is not known.
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.sender.close_info()
    }

    /// The subprotocol that was agreed in the opening handshake.
    pub fn subprotocol(&self) -> Option<&str> {
        self.sender.shared.subprotocol()
    }

    /// Two halves for two threads, each of which blocks on its own. Keepalive, deadlines and what is
    /// queued go on whichever of them is blocked; the receiver reads, and so answers pings and closing.
    /// Either may be dropped: without its receiver a connection still answers pings while the sender is
    /// blocked, and what else comes is discarded.
    pub fn split(self) -> (Receiver<S>, Sender<S>) {
        (self.receiver, self.sender)
    }

    /// The two halves, borrowed: to send while a received message is still at hand.
    pub fn halves(&mut self) -> (&mut Receiver<S>, &mut Sender<S>) {
        (&mut self.receiver, &mut self.sender)
    }

    /// How long a receiving call may block; see [`Receiver::set_read_timeout`].
    pub fn set_read_timeout(&mut self, limit: Option<Duration>) {
        self.receiver.set_read_timeout(limit);
    }

    /// How long a sending call may block; see [`Sender::set_write_timeout`].
    pub fn set_write_timeout(&mut self, limit: Option<Duration>) {
        self.sender.set_write_timeout(limit);
    }
}

impl<S: Stream> WebSocket<S> {
    /// The server's side over a stream whose opening handshake is over. `read` is what was read
    /// behind the request. Fails if the stream cannot be made non-blocking.
    pub fn from_server_stream(stream: S, read: Vec<u8>, config: Arc<Config>) -> io::Result<Self> {
        Self::from_stream(stream, read, Connection::server(config, Time::ZERO))
    }

    /// The client's side over a stream whose opening handshake is over. `read` is what was read
    /// behind the response. Fails if the stream cannot be made non-blocking.
    pub fn from_client_stream(stream: S, read: Vec<u8>, config: Arc<Config>) -> io::Result<Self> {
        let connection = Connection::client(config, random::masking_key, Time::ZERO);
        Self::from_stream(stream, read, connection)
    }

    fn from_stream(stream: S, read: Vec<u8>, connection: Connection) -> io::Result<Self> {
        stream.set_nonblocking()?;
        Ok(Self::new(Core::new(stream, connection), read, None))
    }

    /// The next message; see [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<Option<Message<'_>>, Error> {
        self.receiver.recv()
    }

    /// The next message, ping or pong; see [`Receiver::recv_event`].
    pub fn recv_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.receiver.recv_event()
    }

    /// The next part of a message; see [`Receiver::recv_chunk`].
    pub fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        self.receiver.recv_chunk()
    }

    /// Sends a message; see [`Sender::send`].
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.send(message)
    }

    /// Queues a message; see [`Sender::feed`].
    pub fn feed<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.feed(message)
    }

    /// Sends a message, saying whether to compress it; see [`Sender::send_as`].
    #[cfg(feature = "deflate")]
    pub fn send_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        self.sender.send_as(message, compress)
    }

    /// Queues a message, saying whether to compress it; see [`Sender::feed_as`].
    #[cfg(feature = "deflate")]
    pub fn feed_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        self.sender.feed_as(message, compress)
    }

    /// Sends a message that was prepared; see [`Sender::send_prepared`].
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.send_prepared(message)
    }

    /// Queues a message that was prepared; see [`Sender::feed_prepared`].
    pub fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.feed_prepared(message)
    }

    /// Queues a part of a message; see [`Sender::feed_fragment`].
    pub fn feed_fragment<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
    ) -> Result<(), Error> {
        self.sender.feed_fragment(part, fin)
    }

    /// Queues a part of a message, saying whether to compress it; see [`Sender::feed_fragment_as`].
    #[cfg(feature = "deflate")]
    pub fn feed_fragment_as<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Error> {
        self.sender.feed_fragment_as(part, fin, compress)
    }

    /// Writes what is queued; see [`Sender::flush`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.sender.flush()
    }

    /// Sends a ping; see [`Sender::ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.sender.ping(payload)
    }

    /// Closes the connection: sends what is queued and a close frame, waits for the peer's, and ends
    /// the byte stream. What the peer still sends before its close frame is discarded.
    ///
    /// [`CloseCode::NO_STATUS`] sends a close frame without a body; the reason may have 123 bytes. If
    /// closing has begun already, by either side, it is only waited for. It takes at most
    /// [`Config::close_timeout`](crate::Config::close_timeout) and
    /// [`Config::fin_timeout`](crate::Config::fin_timeout) together, whatever the read and the write
    /// timeout: to give a slow peer longer for what is queued, [`flush`](Self::flush) first.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.sender.shared.now(|core| core.begin_close(code, reason))?;
        let limit = self.receiver.waiting.limit.take();
        let closed = self.receiver.discard_rest();
        self.receiver.waiting.limit = limit;
        closed
    }
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("subprotocol", &self.subprotocol())
            .field("close_info", &self.close_info())
            .finish_non_exhaustive()
    }
}
