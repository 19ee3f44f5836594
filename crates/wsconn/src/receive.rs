use alloc::{boxed::Box, vec::Vec};
use core::{mem, ops::Range};

use wsframe::{CloseBody, Decoded, FrameError, Header, MAX_HEADER_LEN, Mask, OpCode, Rules, Utf8};

use crate::{Chunk, Connection, Event, Kind, Message, Time, Violation, control::ControlPayload};

/// The rest of a frame is read straight into the message if it is at least this long, in bytes.
const DIRECT_MIN: u64 = 16 << 10;

/// The most that is offered for one direct read, in bytes.
const DIRECT_MAX: usize = 512 << 10;

/// Below this size, in bytes, a buffer may double; above it grows by a quarter where it is not known
/// how much is to come.
const SMALL: usize = 4 << 10;

/// How messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Whole.
    Messages,
    /// In pieces as they arrive, so that none is ever held whole. The limits hold all the same: raise
    /// [`Config::max_message_size`](crate::Config::max_message_size) for messages too large to hold.
    Chunks,
}

/// What a call has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes of the input are done with. All of them, unless there is an event.
    pub consumed: usize,
    /// Where the first event is; see [`Connection::event`].
    pub event: Option<Location>,
}

/// Where an event is: in the input that was received, or in the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    what: What,
    /// The range of the input, or `None` where the connection holds the bytes.
    place: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Message(Kind),
    Chunk { kind: Kind, last: bool },
    Ping,
    Pong,
}

/// The receiving half of a connection's state.
#[derive(Default)]
pub(crate) struct Input {
    /// The start of a header that was cut.
    header: [u8; MAX_HEADER_LEN],
    header_len: u8,
    /// The frame whose payload is under way.
    frame: Option<Frame>,
    /// The kind of the message under way.
    kind: Option<Kind>,
    /// Whether the message under way is delivered in chunks.
    chunked: bool,
    utf8: Utf8,
    /// The frames of the message under way.
    fragments: u32,
    /// The payload declared by those frames, in bytes.
    declared: u64,
    /// The message under way: the first `filled` bytes. What is beyond has been there before.
    message: Vec<u8>,
    filled: usize,
    /// The payload of a control frame that was cut.
    control: Option<Box<ControlPayload>>,
    /// What has been delivered from here, and is let go at the next call.
    delivered: Delivered,
    /// Whether the byte stream has ended.
    pub(crate) eof: bool,
}

#[derive(Clone, Copy)]
struct Frame {
    opcode: OpCode,
    fin: bool,
    mask: Option<Mask>,
    /// How many bytes of the payload have not arrived.
    remaining: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Delivered {
    #[default]
    Nothing,
    Message,
    Control,
}

/// What a part of the input came to: how many bytes it took, and an event.
struct Step {
    took: usize,
    event: Option<Location>,
}

impl Connection {
    /// Takes bytes that have arrived, up to the first event. Call it again with what was not
    /// consumed.
    ///
    /// Payloads are unmasked in place; after the call the consumed bytes are what
    /// [`event`](Self::event) wants to see again. Once [`close_info`](Self::close_info) is there, all
    /// input is consumed and ignored.
    pub fn receive(&mut self, input: &mut [u8], delivery: Delivery, now: Time) -> Received {
        self.input.let_go();
        if delivery == Delivery::Chunks
            && let Some(event) = self.input.assembled_so_far()
        {
            return Received { consumed: 0, event: Some(event) };
        }
        let mut at = 0;
        while self.close_info().is_none() {
            let Some(rest) = input.get_mut(at..) else { break };
            let step = match self.input.frame {
                None if rest.is_empty() => break,
                None => self.header(rest, now),
                Some(frame) if frame.remaining > 0 && rest.is_empty() => break,
                Some(frame) if frame.opcode.is_control() => self.control(frame, rest, at, now),
                Some(frame) => {
                    if !rest.is_empty() {
                        self.alive(now);
                    }
                    let limit = self.config.max_message_size;
                    self.input.data(frame, rest, at, delivery, limit)
                }
            };
            match step {
                Ok(Step { took, event: None }) => at += took,
                Ok(Step { took, event }) => return Received { consumed: at + took, event },
                Err(violation) => self.fail(violation, now),
            }
        }
        Received { consumed: input.len(), event: None }
    }

    /// The event at `location`, where `input` is what [`receive`](Self::receive) was given: the same
    /// slice, changed only by it.
    pub fn event<'a>(&'a self, input: &'a [u8], location: Location) -> Event<'a> {
        let delivered = match self.input.delivered {
            Delivered::Nothing => &[],
            Delivered::Message => self.input.message.get(..self.input.filled).unwrap_or_default(),
            Delivered::Control => match &self.input.control {
                Some(cut) => cut.as_slice(),
                None => &[],
            },
        };
        location.event(input, delivered)
    }

    /// Takes the bytes of the event that was just received out of the connection, if that is where
    /// they are: for [`Location::event`], where the connection cannot stay borrowed.
    pub fn take_delivered(&mut self) -> Vec<u8> {
        let input = &mut self.input;
        match mem::take(&mut input.delivered) {
            Delivered::Nothing => Vec::new(),
            Delivered::Message => {
                input.message.truncate(mem::take(&mut input.filled));
                mem::take(&mut input.message)
            }
            Delivered::Control => {
                input.control.take().map(|cut| cut.as_slice().to_vec()).unwrap_or_default()
            }
        }
    }

    /// Gives back what [`take_delivered`](Self::take_delivered) took, for the next message to use.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > self.input.message.capacity() && self.input.filled == 0 {
            self.input.message = buffer;
        }
    }

    /// Frees the memory kept for messages, unless one is under way. Call it before a wait.
    pub fn release(&mut self) {
        self.input.release();
    }

    /// Whether a message is under way of which a chunk has been delivered: the rest of it comes in
    /// chunks too.
    pub fn is_in_chunks(&self) -> bool {
        self.input.chunked
    }

    /// Room for more of the payload under way, where so much of it is to come that it is worth
    /// reading it to where it will lie. Read into the start of it, then say how much with
    /// [`direct_advance`](Self::direct_advance). `None` is the normal case: use
    /// [`receive`](Self::receive).
    pub fn direct_read(&mut self, delivery: Delivery) -> Option<&mut [u8]> {
        self.input.let_go();
        let frame = self.input.frame?;
        let worth_it = frame.remaining >= DIRECT_MIN && !frame.opcode.is_control();
        if !worth_it || delivery == Delivery::Chunks || self.input.chunked {
            return None;
        }
        self.input.direct_read(frame.remaining)
    }

    /// Takes the `len` bytes that were read into [`direct_read`](Self::direct_read)'s room. The event
    /// is that of a message they completed.
    pub fn direct_advance(&mut self, len: usize, now: Time) -> Option<Location> {
        let frame = self.input.frame.filter(|_| self.close_info().is_none())?;
        if len > 0 {
            self.alive(now);
        }
        match self.input.direct_advance(frame, len) {
            Ok(event) => event,
            Err(violation) => {
                self.fail(violation, now);
                None
            }
        }
    }

    /// Decodes a header, or keeps the part of it that has come.
    #[inline]
    fn header(&mut self, bytes: &[u8], now: Time) -> Result<Step, Violation> {
        let config = &self.config;
        let left = config.max_message_size.saturating_sub(self.input.declared);
        let max_payload = config.max_frame_size.min(left);
        let rules = Rules { max_payload, ..Rules::new(self.role()) };
        let too_large = |error| match error {
            FrameError::TooLarge { len, .. } if len <= config.max_frame_size => {
                Violation::MessageTooBig { limit: config.max_message_size }
            }
            FrameError::TooLarge { len, .. } => {
                Violation::Frame(FrameError::TooLarge { len, limit: config.max_frame_size })
            }
            error => Violation::Frame(error),
        };

        let input = &mut self.input;
        let had = usize::from(input.header_len);
        let decoded = if had == 0 {
            Header::decode(bytes, &rules)
        } else {
            let mut whole = input.header;
            let mut len = had;
            for (to, from) in whole.iter_mut().skip(had).zip(bytes) {
                *to = *from;
                len += 1;
            }
            Header::decode(whole.get(..len).unwrap_or_default(), &rules)
        };
        match decoded.map_err(too_large)? {
            Decoded::Need(_) => {
                for (to, from) in input.header.iter_mut().skip(had).zip(bytes) {
                    *to = *from;
                    input.header_len += 1;
                }
                Ok(Step { took: bytes.len(), event: None })
            }
            Decoded::Header { header, len } => {
                input.header_len = 0;
                input.begin(&header, config.max_fragments)?;
                if header.opcode != OpCode::Pong {
                    self.alive(now);
                }
                Ok(Step { took: len - had, event: None })
            }
        }
    }

    /// Takes the payload of a control frame, and acts when it is all there.
    fn control(
        &mut self,
        mut frame: Frame,
        bytes: &mut [u8],
        at: usize,
        now: Time,
    ) -> Result<Step, Violation> {
        let piece = frame.take(bytes);
        let took = piece.len();
        if frame.remaining > 0 {
            match &mut self.input.control {
                Some(cut) => cut.extend(piece),
                None => self.input.control = Some(ControlPayload::boxed(piece)),
            }
            self.input.frame = Some(frame);
            return Ok(Step { took, event: None });
        }
        self.input.frame = None;
        let mut cut = self.input.control.take();
        let (payload, place) = match &mut cut {
            None => (&*piece, Some(at..at + took)),
            Some(cut) => {
                cut.extend(piece);
                (cut.as_slice(), None)
            }
        };
        let what = match frame.opcode {
            OpCode::Close => {
                let body = CloseBody::parse(payload).map_err(Violation::CloseBody)?;
                self.peer_closed(body, now);
                return Ok(Step { took, event: None });
            }
            OpCode::Ping => {
                self.queue_pong(payload);
                What::Ping
            }
            _ => {
                self.pong(payload, now);
                What::Pong
            }
        };
        if place.is_none() {
            self.input.control = cut;
            self.input.delivered = Delivered::Control;
        }
        Ok(Step { took, event: Some(Location { what, place }) })
    }
}

impl Input {
    /// Begins a frame: what its header means to the message under way.
    #[inline]
    fn begin(&mut self, header: &Header, max_fragments: u32) -> Result<(), Violation> {
        if !header.opcode.is_control() {
            match (header.opcode, self.kind) {
                (OpCode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
                (OpCode::Continuation, Some(_)) => {}
                (_, Some(_)) => return Err(Violation::MessageInsideMessage),
                (OpCode::Text, None) => self.kind = Some(Kind::Text),
                (_, None) => self.kind = Some(Kind::Binary),
            }
            self.fragments = self.fragments.saturating_add(1);
            if self.fragments > max_fragments {
                return Err(Violation::TooManyFragments { limit: max_fragments });
            }
            self.declared = self.declared.saturating_add(header.payload_len);
        }
        self.frame = Some(Frame {
            opcode: header.opcode,
            fin: header.fin,
            mask: header.masking_key.map(Mask::new),
            remaining: header.payload_len,
        });
        Ok(())
    }

    /// Takes payload of a data frame.
    #[inline]
    fn data(
        &mut self,
        mut frame: Frame,
        bytes: &mut [u8],
        at: usize,
        delivery: Delivery,
        limit: u64,
    ) -> Result<Step, Violation> {
        let piece = frame.take(bytes);
        let took = piece.len();
        let place = Some(at..at + took);
        let Some((kind, last)) = self.check(frame, piece)? else {
            return Ok(Step { took, event: None });
        };
        let event = if self.chunked || delivery == Delivery::Chunks {
            let event = Location { what: What::Chunk { kind, last }, place };
            let event = (last || took > 0).then_some(event);
            self.chunked |= event.is_some();
            event
        } else if last && self.filled == 0 {
            Some(Location { what: What::Message(kind), place })
        } else {
            self.append(piece, frame.remaining, frame.fin, limit);
            last.then(|| self.deliver(kind))
        };
        if last {
            self.end_message();
        }
        Ok(Step { took, event })
    }

    /// Validates a piece of payload that has been unmasked, and notes how far its frame is. Gives the
    /// kind of its message, and whether that ends here.
    #[inline]
    fn check(&mut self, frame: Frame, piece: &[u8]) -> Result<Option<(Kind, bool)>, Violation> {
        self.frame = (frame.remaining > 0).then_some(frame);
        let Some(kind) = self.kind else { return Ok(None) };
        let last = frame.fin && frame.remaining == 0;
        if kind == Kind::Text {
            // RFC 6455 §8.1: invalid UTF-8 fails the connection.
            self.utf8.push(piece).map_err(|_| Violation::InvalidUtf8)?;
            if last {
                self.utf8.finish().map_err(|_| Violation::InvalidUtf8)?;
            }
        }
        Ok(Some((kind, last)))
    }

    /// A message that has been assembled here.
    fn deliver(&mut self, kind: Kind) -> Location {
        self.delivered = Delivered::Message;
        Location { what: What::Message(kind), place: None }
    }

    /// The start of a message that was assembled before chunks were asked for, as its first chunk.
    fn assembled_so_far(&mut self) -> Option<Location> {
        let kind = self.kind.filter(|_| self.filled > 0)?;
        self.chunked = true;
        self.delivered = Delivered::Message;
        Some(Location { what: What::Chunk { kind, last: false }, place: None })
    }

    fn end_message(&mut self) {
        self.kind = None;
        self.chunked = false;
        self.fragments = 0;
        self.declared = 0;
    }

    /// Lets go of what was delivered from here.
    #[inline]
    fn let_go(&mut self) {
        match mem::take(&mut self.delivered) {
            Delivered::Nothing => {}
            Delivered::Message => self.filled = 0,
            Delivered::Control => self.control = None,
        }
    }

    /// Frees what holds nothing.
    fn release(&mut self) {
        self.let_go();
        if self.filled == 0 {
            self.message = Vec::new();
        }
    }

    /// Frees all there is: nothing more will be delivered.
    pub(crate) fn discard(&mut self) {
        *self = Self { eof: self.eof, ..Self::default() };
    }

    fn append(&mut self, piece: &[u8], remaining: u64, fin: bool, limit: u64) {
        self.message.truncate(self.filled);
        self.reserve(piece.len(), remaining, fin, limit);
        self.message.extend_from_slice(piece);
        self.filled = self.message.len();
    }

    /// Makes room for `more` bytes, where the frame under way has `remaining` bytes after them.
    ///
    /// Exactly as much as the message will have, if this frame is its last and that is at most twice
    /// what has arrived; else a quarter more than there was, which keeps the cost of copying linear
    /// and what is held within 1.25 times what has arrived.
    fn reserve(&mut self, more: usize, remaining: u64, fin: bool, limit: u64) {
        let need = self.filled.saturating_add(more);
        let capacity = self.message.capacity();
        if need <= capacity {
            return;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let spare = if capacity < SMALL { capacity } else { capacity / 4 };
        let known = need.saturating_add(usize::try_from(remaining).unwrap_or(usize::MAX));
        let target = capacity.saturating_add(spare).min(limit).max(need);
        // What this frame has still to bring is as good as known, but not believed: at most as much
        // again as has arrived.
        let target = target.max(known.min(need.saturating_mul(2)));
        let target = if fin { target.min(known) } else { target };
        self.message.reserve_exact(target.saturating_sub(self.message.len()));
    }

    fn direct_read(&mut self, remaining: u64) -> Option<&mut [u8]> {
        let remaining = usize::try_from(remaining).unwrap_or(usize::MAX);
        let room = self.message.capacity().saturating_sub(self.filled);
        if room < remaining.min(SMALL) {
            // As much again as has arrived, at most: what is to come is not believed.
            self.message.truncate(self.filled);
            self.message.reserve_exact(remaining.min(self.filled.max(SMALL)));
        }
        let room = self.message.capacity().saturating_sub(self.filled);
        let end = self.filled + room.min(remaining).min(DIRECT_MAX);
        if self.message.len() < end {
            self.message.resize(end, 0);
        }
        self.message.get_mut(self.filled..end)
    }

    fn direct_advance(
        &mut self,
        mut frame: Frame,
        len: usize,
    ) -> Result<Option<Location>, Violation> {
        let mut message = mem::take(&mut self.message);
        let piece =
            frame.take(message.get_mut(self.filled..).unwrap_or_default().split_at_mut(len).0);
        self.filled += piece.len();
        let checked = self.check(frame, piece);
        self.message = message;
        let Some((kind, true)) = checked? else { return Ok(None) };
        self.end_message();
        Ok(Some(self.deliver(kind)))
    }
}

impl Frame {
    /// As much of `bytes` as belongs to the frame, unmasked.
    #[inline]
    fn take<'a>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len());
        let (piece, _) = bytes.split_at_mut(len);
        self.remaining -= len as u64;
        if let Some(mask) = &mut self.mask {
            mask.apply(piece);
        }
        piece
    }
}

impl Location {
    /// Whether the event is a ping or a pong, and not data.
    pub fn is_control(&self) -> bool {
        matches!(self.what, What::Ping | What::Pong)
    }

    /// Whether the bytes are in the connection, and not in the input.
    pub fn is_held(&self) -> bool {
        self.place.is_none()
    }

    /// The event, where `input` is what was received and `held` what the connection held of it. As
    /// [`Connection::event`], for whoever has taken the bytes out with
    /// [`Connection::take_delivered`].
    pub fn event<'a>(&self, input: &'a [u8], held: &'a [u8]) -> Event<'a> {
        let data = match &self.place {
            Some(range) => input.get(range.clone()).unwrap_or_default(),
            None => held,
        };
        match self.what {
            What::Message(Kind::Binary) => Event::Message(Message::Binary(data)),
            // It has been validated; without `unsafe` there is no other way to tell the compiler.
            What::Message(Kind::Text) => {
                Event::Message(Message::Text(core::str::from_utf8(data).unwrap_or_default()))
            }
            What::Chunk { kind, last } => Event::Chunk(Chunk { kind, data, last }),
            What::Ping => Event::Ping(data),
            What::Pong => Event::Pong(data),
        }
    }
}
