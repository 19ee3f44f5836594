use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(feature = "deflate")]
use wsconn::deflate::Compress;
use wsconn::{
    Chunk, CloseCode, CloseInfo, Config, Connection, Delivery, Event, Location, Message, Misuse,
    PreparedMessage, Time,
    transport::{Counters, Driver, Error, Inbox, pool::ReadBuffer, random},
};

use crate::{
    MaybeTls, Remote,
    calls::{Feed, Recv},
    core::{Core, Polled},
    shared::Shared,
    wakers::Waiter,
};

/// A WebSocket connection over a byte stream.
///
/// Made by [`connect`](crate::connect) and [`accept`](crate::accept), or from a stream that has been
/// upgraded by other means with [`from_server_stream`](Self::from_server_stream) and
/// [`from_client_stream`](Self::from_client_stream).
///
/// # Who moves the bytes
///
/// There is no task behind it. Keepalive pings are sent, deadlines kept and queued messages written
/// while some call on it is awaited; the peer's pings are answered while one is that receives, or
/// [`close`](Self::close). So keep one going: normally [`recv`](Self::recv), in a loop.
///
/// # Cancel safety
///
/// Every method may be dropped at any await point: no message received is lost or delivered twice,
/// and what is on the wire stays whole. Each method says what becomes of the message it was sending.
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

/// The receiving half of a [`WebSocket`]; see [`WebSocket::split`].
pub struct Receiver<S = MaybeTls> {
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) inbox: Inbox,
    /// The chunk that [`recv_to`](Self::recv_to) is writing, and how much of it is written.
    pub(crate) unwritten: Option<(Location, usize)>,
    /// A part of a message has been received, and more is to come.
    pub(crate) begun: bool,
}

/// The sending half of a [`WebSocket`]; see [`WebSocket::split`].
pub struct Sender<S = MaybeTls> {
    pub(crate) shared: Arc<Shared<S>>,
    /// What has been read of the message under way and waits for more: the start of a character.
    pub(crate) held: Vec<u8>,
    /// The [`Sink`](futures_sink::Sink) has said that there is room for a message.
    #[cfg(feature = "stream")]
    pub(crate) promised: bool,
}

impl<S> WebSocket<S> {
    /// The server's side over a stream whose opening handshake is over. `read` is what was read
    /// behind the request.
    pub fn from_server_stream(stream: S, read: Vec<u8>, config: Arc<Config>) -> Self {
        let connection = Connection::server(config, Time::ZERO);
        Self::new(Core::new(stream, connection), whole(read), None)
    }

    /// The client's side over a stream whose opening handshake is over. `read` is what was read
    /// behind the response.
    pub fn from_client_stream(stream: S, read: Vec<u8>, config: Arc<Config>) -> Self {
        let connection = Connection::client(config, random::masking_key, Time::ZERO);
        Self::new(Core::new(stream, connection), whole(read), None)
    }

    pub(crate) fn new(core: Core<S>, inbox: Inbox, subprotocol: Option<Box<str>>) -> Self {
        let shared = Arc::new(Shared::new(core, subprotocol));
        let receiver = Receiver { shared: shared.clone(), inbox, unwritten: None, begun: false };
        let sender = Sender {
            shared,
            held: Vec::new(),
            #[cfg(feature = "stream")]
            promised: false,
        };
        Self { receiver, sender }
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

    /// What has gone over the connection, and how long its last round trip took.
    pub fn counters(&self) -> Counters {
        self.sender.counters()
    }

    /// A handle for whoever is to close the connection, or send to it, without having the socket.
    pub fn remote(&self) -> Remote
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.sender.remote()
    }

    /// Two halves for two tasks. Keepalive, deadlines and what is queued go on whichever of them waits;
    /// the receiver reads, and so answers pings and closing. Either may be dropped: without its receiver
    /// a connection still answers pings while the sender waits, and what else comes is discarded.
    pub fn split(self) -> (Receiver<S>, Sender<S>) {
        (self.receiver, self.sender)
    }

    /// The two halves, borrowed: to send while a received message is still at hand.
    ///
    /// ```
    /// # async fn echo(mut ws: wstokio::WebSocket) -> Result<(), wstokio::Error> {
    /// let (rx, tx) = ws.halves();
    /// while let Some(message) = rx.recv().await? {
    ///     tx.feed(message).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn halves(&mut self) -> (&mut Receiver<S>, &mut Sender<S>) {
        (&mut self.receiver, &mut self.sender)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The next message; see [`Receiver::recv`].
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message<'_>>, Error>> {
        self.receiver.recv()
    }

    /// The next message, ping or pong; see [`Receiver::recv_event`].
    pub async fn recv_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.receiver.recv_event().await
    }

    /// The next part of a message; see [`Receiver::recv_chunk`].
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        self.receiver.recv_chunk().await
    }

    /// Sends a message; see [`Sender::send`].
    pub async fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Sends a message, saying whether to compress it; see [`Sender::send_as`].
    #[cfg(feature = "deflate")]
    pub async fn send_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        self.sender.send_as(message, compress).await
    }

    /// Sends a message that was prepared; see [`Sender::send_prepared`].
    pub async fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.send_prepared(message).await
    }

    /// Queues a message; see [`Sender::feed`].
    pub fn feed<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
    ) -> impl Future<Output = Result<(), Error>> {
        self.sender.feed(message)
    }

    /// Queues a message, saying whether to compress it; see [`Sender::feed_as`].
    #[cfg(feature = "deflate")]
    pub async fn feed_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        self.sender.feed_as(message, compress).await
    }

    /// Queues a message that was prepared; see [`Sender::feed_prepared`].
    pub async fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.feed_prepared(message).await
    }

    /// Queues a part of a message; see [`Sender::feed_fragment`].
    pub async fn feed_fragment<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
    ) -> Result<(), Error> {
        self.sender.feed_fragment(part, fin).await
    }

    /// Queues a part of a message, saying whether to compress it; see [`Sender::feed_fragment_as`].
    #[cfg(feature = "deflate")]
    pub async fn feed_fragment_as<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Error> {
        self.sender.feed_fragment_as(part, fin, compress).await
    }

    /// Writes what is queued; see [`Sender::flush`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.sender.flush().await
    }

    /// Sends a ping; see [`Sender::ping`].
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.sender.ping(payload).await
    }

    /// Closes the connection: sends what is queued and a close frame, waits for the peer's, and ends
    /// the byte stream. What the peer still sends before its close frame is discarded.
    ///
    /// [`CloseCode::NO_STATUS`] sends a close frame without a body; the reason may have 123 bytes. If
    /// closing has begun already, by either side, it is only waited for. It takes at most
    /// [`Config::close_timeout`] and [`Config::fin_timeout`] together: to give a slow peer longer for
    /// what is queued, [`flush`](Self::flush) first.
    ///
    /// *Cancel safety*: once polled, the close frame is queued; any later call goes on.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.sender.begin_close(code, reason)?;
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    /// Discards what comes until the connection has ended. It waits as the sender, so that a task that
    /// waits on the `Stream` of the same socket is still woken.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.receiver.unwritten = None;
        loop {
            // A message that was begun in chunks is finished in chunks.
            let delivery = self.receiver.shared.now(|core| core.driver.delivery());
            if ready!(self.receiver.poll_location(Waiter::Sender, cx, delivery, false))?.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S> Receiver<S> {
    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.shared.close_info()
    }

    /// As [`WebSocket::counters`].
    pub fn counters(&self) -> Counters {
        self.shared.now(|core| core.counters())
    }

    /// The socket again, if the halves are of one.
    ///
    /// # Errors
    ///
    /// Both halves, as they were, if they are not.
    #[expect(clippy::result_large_err, reason = "the halves go back to where they came from")]
    pub fn reunite(self, sender: Sender<S>) -> Result<WebSocket<S>, (Self, Sender<S>)> {
        if Arc::ptr_eq(&self.shared, &sender.shared) {
            Ok(WebSocket { receiver: self, sender })
        } else {
            Err((self, sender))
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// The next message, borrowed until the next call: `None` once the connection has ended, as
    /// [`close_info`](Self::close_info) then tells. That the peer closed, or broke the protocol, is no
    /// error.
    ///
    /// Before it waits, it writes what is queued.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Timeout`] once, if they ended the connection, on whichever half is
    /// called first; [`Error::Misuse`] in the middle of a message that [`recv_chunk`](Self::recv_chunk)
    /// has begun.
    ///
    /// *Cancel safety*: no message is lost.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message<'_>>, Error>> {
        Recv::new(self)
    }

    /// As [`recv`](Self::recv), but shows pings and pongs too. Pings have been answered already.
    pub async fn recv_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        let location =
            poll_fn(|cx| self.poll_location(Waiter::Receiver, cx, Delivery::Messages, true))
                .await?;
        Ok(location.map(|location| self.inbox.event(&location)))
    }

    pub(crate) fn poll_location(
        &mut self,
        who: Waiter,
        cx: &mut Context<'_>,
        delivery: Delivery,
        controls: bool,
    ) -> Poll<Result<Option<Location>, Error>> {
        let Self { shared, inbox, unwritten, .. } = self;
        if unwritten.is_some() {
            return Poll::Ready(Err(Misuse::MessageUnderWay.into()));
        }
        loop {
            let location = ready!(shared.poll_event(who, cx, inbox, delivery))?;
            if controls || !location.as_ref().is_some_and(Location::is_control) {
                return Poll::Ready(Ok(location));
            }
        }
    }

    #[cfg(feature = "stream")]
    pub(crate) fn inbox_mut(&mut self) -> &mut Inbox {
        &mut self.inbox
    }
}

impl<S> Drop for Receiver<S> {
    fn drop(&mut self) {
        self.shared.receiver_gone(&mut self.inbox);
    }
}

impl<S> Sender<S> {
    /// As [`WebSocket::close_info`].
    pub fn close_info(&self) -> Option<&CloseInfo> {
        self.shared.close_info()
    }

    /// As [`WebSocket::counters`].
    pub fn counters(&self) -> Counters {
        self.shared.now(|core| core.counters())
    }

    /// As [`WebSocket::remote`].
    pub fn remote(&self) -> Remote
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Remote::new(&self.shared)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    /// Sends a message: text from a string, binary from bytes. Returns when it, and all that was
    /// queued before, has been written.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] once closing has begun, by either side; [`Error::Io`] and
    /// [`Error::Timeout`] as for [`Receiver::recv`]; [`Error::Misuse`] while a message is being sent
    /// in fragments.
    ///
    /// *Cancel safety*: if dropped while [`Config::max_outgoing`] bytes are queued before it, the
    /// message has not been accepted and is not sent. After that the connection owns it: it goes out
    /// whole with what is written next.
    pub async fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// As [`send`](Self::send), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub async fn send_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        self.feed_as(message, compress).await?;
        self.flush().await
    }

    /// As [`send`](Self::send), of a message that was encoded, and perhaps compressed, once for many
    /// connections.
    pub async fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.feed_prepared(message).await?;
        self.flush().await
    }

    /// Queues a message. It leaves with the next [`flush`](Self::flush), or [`send`](Self::send), or
    /// [`recv`](Receiver::recv) that has to wait, or when 64 KiB are queued: so the answers to many
    /// messages that arrived together leave together.
    ///
    /// It waits only while [`Config::max_outgoing`] bytes are queued. Errors as for
    /// [`send`](Self::send).
    ///
    /// *Cancel safety*: if dropped while it waits, the message has not been accepted and is not sent.
    pub fn feed<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
    ) -> impl Future<Output = Result<(), Error>> {
        Feed::new(self, message.into())
    }

    /// As [`feed`](Self::feed), saying whether to compress the message.
    #[cfg(feature = "deflate")]
    pub async fn feed_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Error> {
        let message = message.into();
        poll_fn(|cx| self.poll_step(cx, |driver, io| driver.poll_queue_as(io, message, compress)))
            .await
    }

    /// As [`feed`](Self::feed), of a message that was encoded, and perhaps compressed, once for many
    /// connections.
    pub async fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        poll_fn(|cx| self.poll_step(cx, |driver, io| driver.poll_queue_prepared(io, message))).await
    }

    /// Queues a part of a message as a fragment (RFC 6455 §5.4), the last one if `fin`: for messages
    /// too large to hold, or not known in full yet. All parts are of one kind.
    ///
    /// Waits, fails and is cancelled as [`feed`](Self::feed).
    pub async fn feed_fragment<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
    ) -> Result<(), Error> {
        let part = part.into();
        poll_fn(|cx| self.poll_step(cx, |driver, io| driver.poll_queue_fragment(io, part, fin)))
            .await?;
        self.held.clear();
        Ok(())
    }

    /// As [`feed_fragment`](Self::feed_fragment), saying whether to compress the message. It counts in
    /// its first part.
    #[cfg(feature = "deflate")]
    pub async fn feed_fragment_as<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Error> {
        let part = part.into();
        poll_fn(|cx| {
            self.poll_step(cx, |driver, io| driver.poll_queue_fragment_as(io, part, fin, compress))
        })
        .await?;
        self.held.clear();
        Ok(())
    }

    /// Writes all that is queued, and waits until the stream has taken it.
    ///
    /// *Cancel safety*: what is left is written by the next call that writes.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_step(cx, |driver, io| driver.poll_flush(io))).await
    }

    /// Sends a ping of at most 125 bytes. The peer's pong is seen by [`Receiver::recv_event`].
    ///
    /// *Cancel safety*: as [`send`](Self::send).
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        poll_fn(|cx| self.poll_step(cx, |driver, io| driver.poll_ping(io, payload))).await?;
        self.flush().await
    }

    /// Closes the connection, as [`WebSocket::close`]. The receiving half has to be kept receiving, or
    /// dropped, for the peer's close frame to be seen before [`Config::close_timeout`].
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason)?;
        poll_fn(|cx| self.poll_step(cx, |driver, io| driver.poll_closed(io))).await
    }

    pub(crate) fn begin_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.shared.now(|core| core.begin_close(code, reason))
    }

    pub(crate) fn poll_step<T>(
        &self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Driver, &mut Polled<'_, '_, S>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.poll(Waiter::Sender, cx, step)
    }
}

fn whole(read: Vec<u8>) -> Inbox {
    let end = read.len();
    Inbox::new(ReadBuffer::from(read), 0, end)
}
