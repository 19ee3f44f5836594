use alloc::{boxed::Box, vec::Vec};
use core::mem;

use wsframe::{CloseBody, Header, HeaderBuf, MAX_CONTROL_PAYLOAD, Mask, OpCode, Role};

#[cfg(feature = "deflate")]
use crate::deflate::Compress;
use crate::{Connection, Message, Misuse, Time, control::ControlPayload};

/// A payload is masked this many bytes at a time, so that it stays in the nearest cache.
const MASK_BLOCK: usize = 16 << 10;

/// The sending half of a connection's state.
#[derive(Default)]
pub(crate) struct Output {
    /// What is to be written, of which the first `written` bytes have been.
    queue: Vec<u8>,
    written: usize,
    pong: Option<Box<LatePong>>,
    /// Since when the transport has been blocked without progress.
    pub(crate) stalled: Option<Time>,
}

/// The answer to pings that came while the transport was blocked.
struct LatePong {
    /// That of the newest.
    payload: ControlPayload,
    /// How many bytes are to be written before it is queued: those that were when the first of them came.
    /// So there are no more such pongs than there are queues written.
    after: usize,
}

impl Connection {
    /// Queues a message in one frame. If permessage-deflate is in use it may be compressed, and is
    /// then in as many frames as it takes.
    ///
    /// Fails with [`Misuse::Closed`], [`Misuse::QueueFull`] or [`Misuse::MessageUnderWay`].
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Misuse> {
        let message = message.into();
        let header = self.message_header(&message)?;
        #[cfg(feature = "deflate")]
        if self.compresses(message.as_bytes().len()) {
            self.queue_compressed(message, true, true);
            return Ok(());
        }
        self.queue(header, message.as_bytes());
        Ok(())
    }

    /// Sends a message in one frame, from where it lies: as [`send`](Self::send), but lets the
    /// transport write it before any of it is copied. See [`Sending`].
    ///
    /// A client's message is masked, and so copied, all the same; and one that is compressed lies where
    /// it was compressed to.
    pub fn send_direct<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
    ) -> Result<Sending<'_, 'm>, Misuse> {
        let message = message.into();
        let header = self.message_header(&message)?;
        let payload = message.as_bytes();
        #[cfg(feature = "deflate")]
        if self.compresses(payload.len()) {
            self.queue_compressed(message, true, true);
            return Ok(Sending::queued(self));
        }
        Ok(self.sending(header, payload))
    }

    /// Queues a part of a message as a fragment (RFC 6455 §5.4), its last if `fin`. All parts of a
    /// message are of one kind; control frames may go out between them.
    ///
    /// If permessage-deflate is in use the message is compressed, unless the first part is its last
    /// and short. What is in a part can be inflated by whoever has it.
    ///
    /// Fails with [`Misuse::Closed`], [`Misuse::QueueFull`], or [`Misuse::MessageUnderWay`] if the
    /// kind is another than that of the message's first part.
    pub fn send_fragment<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
    ) -> Result<(), Misuse> {
        self.check_sendable()?;
        self.send_late_fragment(part.into(), fin)
    }

    /// As [`send`](Self::send), though the queue is full.
    #[cfg(feature = "transport")]
    pub(crate) fn send_late(&mut self, message: Message<'_>) -> Result<(), Misuse> {
        if self.is_open() && self.fragmented.is_some() {
            return Err(Misuse::MessageUnderWay);
        }
        self.send_late_fragment(message, true)
    }

    /// As [`send_fragment`](Self::send_fragment), though the queue is full.
    pub(crate) fn send_late_fragment(
        &mut self,
        part: Message<'_>,
        fin: bool,
    ) -> Result<(), Misuse> {
        let opcode = self.begin_part(&part, fin)?;
        #[cfg(feature = "deflate")]
        if self.compresses_part(opcode, part.as_bytes().len(), fin, Compress::Auto) {
            self.queue_compressed(part, opcode != OpCode::Continuation, fin);
            return Ok(());
        }
        self.queue_part(part, opcode, fin);
        Ok(())
    }

    /// Queues a ping. The payload may have 125 bytes; the peer's pong has the same.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Misuse> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(Misuse::LongControl(payload.len()));
        }
        self.check_sendable()?;
        self.queue(Header::new(OpCode::Ping, payload.len() as u64), payload);
        Ok(())
    }

    /// What is to be written to the transport, in order.
    #[inline]
    pub fn outgoing(&self) -> &[u8] {
        self.output.outgoing()
    }

    /// Tells that the first `len` bytes of what is [outgoing](Self::outgoing) have been written.
    #[inline]
    pub fn advance(&mut self, len: usize) {
        self.output.written(len);
        self.queue_late_pong(len);
    }

    /// Tells that the transport would have to wait to write what is outgoing, or to flush what it has
    /// written. From the first such call without progress in between, which
    /// [`advance`](Self::advance) tells, runs [`Config::write_timeout`](crate::Config::write_timeout).
    pub fn blocked(&mut self, now: Time) {
        self.output.stalled.get_or_insert(now);
        self.ping_waited = true;
    }

    /// Whether the transport is [blocked](Self::blocked): some of what is outgoing has to wait.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.output.stalled.is_some()
    }

    /// Whether [`Config::max_outgoing`](crate::Config::max_outgoing) bytes wait to be written, so
    /// that no message is accepted.
    #[inline]
    pub fn is_full(&self) -> bool {
        // Whoever waits for room waits for something to be written.
        self.outgoing().len() >= self.config.max_outgoing.max(1)
    }

    /// Gives the connection a buffer to queue what is outgoing in, if it has none. What is in it already,
    /// such as the response of an opening handshake, goes out first.
    #[inline]
    pub fn lend(&mut self, buffer: Vec<u8>) {
        if self.output.queue.capacity() == 0 {
            self.output.queue = buffer;
        }
    }

    /// Whether the connection has no buffer to queue in.
    #[inline]
    pub fn wants_buffer(&self) -> bool {
        self.output.queue.capacity() == 0
    }

    /// Takes back the buffer that was lent, so that a connection that waits holds only what has to be
    /// kept: what is still outgoing is moved to a buffer of its size, unless it fills more than half
    /// of this one. Gives a buffer of no capacity where there is none to take.
    #[inline]
    pub fn reclaim(&mut self) -> Vec<u8> {
        let output = &mut self.output;
        let rest = output.outgoing();
        if rest.len() > output.queue.capacity() / 2 {
            return Vec::new();
        }
        let rest = rest.to_vec();
        output.written = 0;
        let mut buffer = mem::replace(&mut output.queue, rest);
        buffer.clear();
        buffer
    }

    /// Whether a whole message can be sent.
    pub(crate) fn check_message(&self) -> Result<(), Misuse> {
        self.check_sendable()?;
        if self.fragmented.is_some() { Err(Misuse::MessageUnderWay) } else { Ok(()) }
    }

    pub(crate) fn message_header(&self, message: &Message<'_>) -> Result<Header, Misuse> {
        self.check_message()?;
        Ok(Header::new(message.kind().opcode(), message.as_bytes().len() as u64))
    }

    /// Sends a frame from where it lies.
    pub(crate) fn sending<'m>(&mut self, header: Header, payload: &'m [u8]) -> Sending<'_, 'm> {
        if self.role() == Role::Client {
            self.queue(header, payload);
            return Sending::queued(self);
        }
        Sending { connection: self, frame: Some((header.encode(), payload)), written: 0 }
    }

    /// Notes that a part of a message goes out, with this opcode.
    pub(crate) fn begin_part(&mut self, part: &Message<'_>, fin: bool) -> Result<OpCode, Misuse> {
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        let opcode = match self.fragmented {
            None => part.kind().opcode(),
            Some(kind) if kind == part.kind() => OpCode::Continuation,
            Some(_) => return Err(Misuse::MessageUnderWay),
        };
        self.fragmented = (!fin).then_some(part.kind());
        Ok(opcode)
    }

    /// Queues a part of a message as it is.
    pub(crate) fn queue_part(&mut self, part: Message<'_>, opcode: OpCode, fin: bool) {
        let payload = part.as_bytes();
        self.queue(Header { fin, ..Header::new(opcode, payload.len() as u64) }, payload);
    }

    #[inline]
    pub(crate) fn check_sendable(&self) -> Result<(), Misuse> {
        if !self.is_open() {
            Err(Misuse::Closed)
        } else if self.is_full() {
            Err(Misuse::QueueFull { limit: self.config.max_outgoing })
        } else {
            Ok(())
        }
    }

    /// Queues a frame, masked if this is a client.
    #[inline]
    pub(crate) fn queue(&mut self, mut header: Header, payload: &[u8]) {
        header.masking_key = self.masking_key();
        let queue = self.output.reserve(payload.len());
        let encoded = header.encode();
        let (padded, len) = encoded.padded();
        let end = queue.len() + len;
        queue.extend_from_slice(padded);
        queue.truncate(end);
        let Some(key) = header.masking_key else {
            queue.extend_from_slice(payload);
            return;
        };
        let mut mask = Mask::new(key);
        for block in payload.chunks(MASK_BLOCK) {
            let start = queue.len();
            queue.extend_from_slice(block);
            mask.apply(queue.get_mut(start..).unwrap_or_default());
        }
    }

    pub(crate) fn queue_close(&mut self, body: Option<CloseBody<'_>>) {
        self.output.pong = None;
        let mut payload = Vec::new();
        if let Some(CloseBody { code, reason }) = body {
            payload.extend_from_slice(&code.get().to_be_bytes());
            payload.extend_from_slice(reason.as_bytes());
        }
        self.queue(Header::new(OpCode::Close, payload.len() as u64), &payload);
    }

    /// Answers a ping, unless a close frame has been sent, after which nothing is (RFC 6455 §5.5.1).
    ///
    /// While the transport is blocked only the newest ping is kept: RFC 6455 §5.5.3 allows to answer
    /// just that one, and a peer that sends pings without reading would otherwise fill the memory.
    pub(crate) fn queue_pong(&mut self, payload: &[u8]) {
        if !self.is_open() {
            return;
        }
        // One that waits already is older: this one must not overtake it.
        if let Some(pong) = &mut self.output.pong {
            pong.payload = ControlPayload::new(payload);
        } else if self.is_blocked() || self.is_full() {
            let after = self.outgoing().len();
            let payload = ControlPayload::new(payload);
            self.output.pong = Some(Box::new(LatePong { payload, after }));
        } else {
            self.queue(Header::new(OpCode::Pong, payload.len() as u64), payload);
        }
    }

    /// `len` more bytes have been written.
    #[inline]
    fn queue_late_pong(&mut self, len: usize) {
        if self.output.pong.is_some() {
            self.note_late_pong(len);
        }
    }

    #[cold]
    fn note_late_pong(&mut self, len: usize) {
        let Some(pong) = &mut self.output.pong else { return };
        pong.after = pong.after.saturating_sub(len);
        if let Some(pong) = self.output.pong.take_if(|pong| pong.after == 0) {
            let payload = pong.payload.as_slice();
            self.queue(Header::new(OpCode::Pong, payload.len() as u64), payload);
        }
    }
}

impl Output {
    #[inline]
    fn outgoing(&self) -> &[u8] {
        self.queue.get(self.written..).unwrap_or_default()
    }

    /// Takes back what was queued since it was so long.
    #[cfg(feature = "deflate")]
    pub(crate) fn truncate(&mut self, len: usize) {
        self.queue.truncate(len);
    }

    /// Notes that `len` bytes have been written.
    #[inline]
    fn written(&mut self, len: usize) {
        self.written = self.written.saturating_add(len).min(self.queue.len());
        if self.written == self.queue.len() {
            self.queue.clear();
            self.written = 0;
            self.stalled = None;
        } else if len > 0 {
            self.stalled = None;
        }
    }

    /// The queue with room for a frame of `payload` bytes.
    #[inline]
    pub(crate) fn reserve(&mut self, payload: usize) -> &mut Vec<u8> {
        let need = payload.saturating_add(size_of::<HeaderBuf>());
        // What has been written makes way once it is more than half: each byte moves at most once.
        if self.written > self.queue.len() / 2 {
            self.queue.drain(..self.written);
            self.written = 0;
        }
        self.queue.reserve(need);
        &mut self.queue
    }
}

/// A message on its way out from where it lies, so that a large one can be written without being
/// copied.
///
/// Write [`slices`](Self::slices), in one vectored write if there is one, and say how much went out
/// with [`advance`](Self::advance), as often as you like. When this is dropped, what has not been
/// written is copied to the connection's queue: the message is whole on the wire whatever happens.
#[must_use = "dropping it at once copies the message, as `Connection::send` does"]
pub struct Sending<'c, 'm> {
    connection: &'c mut Connection,
    /// `None` where the message has been masked, and so copied, already.
    frame: Option<(HeaderBuf, &'m [u8])>,
    /// How much of the slices has been written.
    written: usize,
}

impl<'c, 'm> Sending<'c, 'm> {
    /// What has been queued already.
    pub(crate) fn queued(connection: &'c mut Connection) -> Self {
        Self { connection, frame: None, written: 0 }
    }
}

impl Sending<'_, '_> {
    /// What is to be written, in order: what was queued before, the header, the payload.
    pub fn slices(&self) -> [&[u8]; 3] {
        let (header, payload) = match &self.frame {
            Some((header, payload)) => (header.as_slice(), *payload),
            None => (&[][..], &[][..]),
        };
        let mut slices = [self.connection.outgoing(), header, payload];
        let mut skip = self.written;
        for slice in &mut slices {
            let (skipped, rest) = slice.split_at(skip.min(slice.len()));
            skip -= skipped.len();
            *slice = rest;
        }
        slices
    }

    /// Whether all is written.
    pub fn is_done(&self) -> bool {
        self.slices().iter().all(|slice| slice.is_empty())
    }

    /// Tells that the first `len` bytes of the slices have been written.
    pub fn advance(&mut self, len: usize) {
        self.written = self.written.saturating_add(len);
    }
}

impl Drop for Sending<'_, '_> {
    fn drop(&mut self) {
        let queued = self.written.min(self.connection.outgoing().len());
        let [_, header, payload] = self.slices();
        let header_left = header.len();
        let payload_left = payload.len();
        let output = &mut self.connection.output;
        output.written(queued);
        if let Some((header, payload)) = &self.frame
            && header_left + payload_left > 0
        {
            let header = header.as_slice();
            let queue = output.reserve(payload_left);
            queue.extend_from_slice(header.split_at(header.len() - header_left).1);
            queue.extend_from_slice(payload.split_at(payload.len() - payload_left).1);
        }
        self.connection.queue_late_pong(queued);
    }
}
