mod input;
mod location;
mod whole;

pub(crate) use input::{Frame, Input, Step};
pub use location::Location;

use alloc::{boxed::Box, vec::Vec};
use core::mem;

use wsframe::{CloseBody, Decoded, FrameError, Header, OpCode, Rsv, Rules};

use self::{input::Delivered, location::What};
use crate::{Connection, Event, Time, Violation, control::ControlPayload};

/// The rest of a frame is read straight into the message if it is at least this long, in bytes.
const DIRECT_MIN: u64 = 16 << 10;

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
    ///
    /// Fewer without an event mean that the call has done as much work as one may: few compressed
    /// bytes can make many. Give others their turn, and call again with the rest. Of an input of 4 GiB and
    /// more the first 4 GiB, less one byte, are looked at.
    pub consumed: usize,
    /// Where the first event is; see [`Connection::event`].
    pub event: Option<Location>,
}

impl Connection {
    /// Takes bytes that have arrived, up to the first event. Call it again with what was not
    /// consumed.
    ///
    /// Payloads are unmasked in place; after the call the consumed bytes are what
    /// [`event`](Self::event) wants to see again. Once [`close_info`](Self::close_info) is there, all
    /// input is consumed and ignored.
    #[inline]
    pub fn receive(&mut self, input: &mut [u8], delivery: Delivery, now: Time) -> Received {
        self.input.let_go();
        let looked_at = input.len().min(Location::MAX_INPUT);
        let (input, _) = input.split_at_mut(looked_at);
        match self.whole(input, delivery, now) {
            Some(received) => received,
            None => self.receive_in_steps(input, delivery, now),
        }
    }

    /// Takes whatever comes, step by step.
    fn receive_in_steps(&mut self, input: &mut [u8], delivery: Delivery, now: Time) -> Received {
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
                    self.data(frame, rest, at, delivery)
                }
            };
            match step {
                Ok(Step { took, event: None, paused: false }) => at += took,
                Ok(Step { took, event, .. }) => return Received { consumed: at + took, event },
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

    /// Lets go of the memory kept for messages, unless one is under way. Call it before a wait.
    pub fn release(&mut self) {
        self.take_kept();
    }

    /// As [`release`](Self::release), and gives it away.
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        let kept = self.input.release();
        #[cfg(feature = "deflate")]
        if let Some(state) = &mut self.deflate {
            state.release(kept);
            return Vec::new();
        }
        kept
    }

    /// Whether there is no memory for messages.
    #[cfg(feature = "transport")]
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.input.message.capacity() == 0
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
        if !worth_it || delivery == Delivery::Chunks || self.input.chunked || self.input.compressed
        {
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

    /// Takes payload of a data frame.
    #[inline]
    fn data(
        &mut self,
        frame: Frame,
        bytes: &mut [u8],
        at: usize,
        delivery: Delivery,
    ) -> Result<Step, Violation> {
        #[cfg(feature = "deflate")]
        if self.input.compressed {
            return self.inflate(frame, bytes, delivery);
        }
        self.input.data(frame, bytes, at, delivery, self.config.max_message_size)
    }

    /// The reserved bits that a frame may have which starts with this byte, and whether it is of a
    /// compressed message.
    #[inline]
    fn extension_bits(&self, first: u8) -> (Rsv, bool) {
        #[cfg(feature = "deflate")]
        if self.deflate.is_some() {
            // RFC 7692 §6.1: only the first frame of a data message may have RSV1.
            let begins = matches!(first & 0x0f, 1 | 2);
            let rsv = if begins { Rsv::RSV1 } else { Rsv::NONE };
            let compressed = if begins { first & 0x40 != 0 } else { self.input.compressed };
            return (rsv, compressed);
        }
        let _ = first;
        (Rsv::NONE, false)
    }

    /// Decodes a header, or keeps the part of it that has come.
    #[inline]
    fn header(&mut self, bytes: &[u8], now: Time) -> Result<Step, Violation> {
        let config = &self.config;
        let kept = self.input.header.first().filter(|_| self.input.header_len > 0);
        let (rsv, compressed) =
            self.extension_bits(kept.or(bytes.first()).copied().unwrap_or_default());
        // Of a compressed message what counts is its size once it is inflated.
        let left = match compressed {
            true => u64::MAX,
            false => config.max_message_size.saturating_sub(self.input.declared),
        };
        let max_payload = config.max_frame_size.min(left);
        let rules = Rules { max_payload, rsv, ..Rules::new(self.role()) };
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
                Ok(Step::of(bytes.len()))
            }
            Decoded::Header { header, len } => {
                input.header_len = 0;
                input.begin(&header, config.max_fragments)?;
                if header.opcode != OpCode::Pong {
                    self.alive(now);
                }
                Ok(Step::of(len - had))
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
                None => self.input.control = Some(Box::new(ControlPayload::new(piece))),
            }
            self.input.frame = Some(frame);
            return Ok(Step::of(took));
        }
        self.input.frame = None;
        let mut cut = self.input.control.take();
        let payload = match &mut cut {
            None => &*piece,
            Some(cut) => {
                cut.extend(piece);
                cut.as_slice()
            }
        };
        let what = match frame.opcode {
            OpCode::Close => {
                let body = CloseBody::parse(payload).map_err(Violation::CloseBody)?;
                self.peer_closed(body, now);
                return Ok(Step::of(took));
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
        let event = if cut.is_some() {
            self.input.control = cut;
            self.input.delivered = Delivered::Control;
            Location::held(what)
        } else {
            Location::in_input(what, at..at + took)
        };
        Ok(Step { event: Some(event), ..Step::of(took) })
    }
}
