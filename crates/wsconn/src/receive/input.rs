use alloc::{boxed::Box, vec::Vec};
use core::mem;

use wsframe::{Header, MAX_HEADER_LEN, Mask, OpCode, Rsv, Utf8, arrived};

use super::{Delivery, Location, location::What};
use crate::{Kind, Violation, control::ControlPayload};

/// The most that is offered for one direct read, in bytes.
const DIRECT_MAX: usize = 1 << 20;

/// Below this size, in bytes, a buffer may double; above it grows by a quarter where it is not known
/// how much is to come.
const SMALL: usize = 4 << 10;

/// The receiving half of a connection's state.
#[derive(Default)]
pub(crate) struct Input {
    /// The start of a header that was cut.
    pub(super) header: [u8; MAX_HEADER_LEN],
    pub(super) header_len: u8,
    /// The frame whose payload is under way.
    pub(super) frame: Option<Frame>,
    /// The kind of the message under way.
    pub(super) kind: Option<Kind>,
    /// Whether the message under way is compressed.
    pub(super) compressed: bool,
    /// Whether the message under way is delivered in chunks.
    pub(super) chunked: bool,
    pub(super) utf8: Utf8,
    /// The frames of the message under way.
    pub(super) fragments: u32,
    /// The payload declared by those frames, in bytes.
    pub(super) declared: u64,
    /// The message under way: the first `filled` bytes. What is beyond has been there before.
    pub(super) message: Vec<u8>,
    pub(super) filled: usize,
    /// The payload of a control frame that was cut.
    pub(super) control: Option<Box<ControlPayload>>,
    /// What has been delivered from here, and is let go at the next call.
    pub(super) delivered: Delivered,
    /// Whether the byte stream has ended.
    pub(crate) eof: bool,
}

/// A frame whose payload is under way.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) opcode: OpCode,
    pub(crate) fin: bool,
    pub(crate) mask: Option<Mask>,
    /// How many bytes of the payload have not arrived.
    pub(crate) remaining: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Delivered {
    #[default]
    Nothing,
    Message,
    Control,
}

/// What a part of the input came to.
pub(crate) struct Step {
    /// How many bytes it took.
    pub(crate) took: usize,
    pub(crate) event: Option<Location>,
    /// Whether that was work enough for one call.
    pub(crate) paused: bool,
}

impl Input {
    /// Whether a header, a frame or a message is under way.
    #[inline]
    pub(super) fn is_midway(&self) -> bool {
        self.frame.is_some() || self.kind.is_some() || self.header_len > 0
    }

    /// Begins a frame: what its header means to the message under way.
    #[inline]
    pub(super) fn begin(&mut self, header: &Header, max_fragments: u32) -> Result<(), Violation> {
        if !header.opcode.is_control() {
            match (header.opcode, self.kind) {
                (OpCode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
                (OpCode::Continuation, Some(_)) => {}
                (_, Some(_)) => return Err(Violation::MessageInsideMessage),
                (OpCode::Text, None) => self.kind = Some(Kind::Text),
                (_, None) => self.kind = Some(Kind::Binary),
            }
            self.compressed |= header.rsv.contains(Rsv::RSV1);
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
    pub(super) fn data(
        &mut self,
        mut frame: Frame,
        bytes: &mut [u8],
        at: usize,
        delivery: Delivery,
        limit: u64,
    ) -> Result<Step, Violation> {
        let piece = frame.cut(bytes);
        let took = piece.len();
        let place = at..at + took;
        let Some((kind, last)) = self.unmask(&mut frame, piece)? else {
            return Ok(Step::of(took));
        };
        let event = if self.chunked || delivery == Delivery::Chunks {
            let event = Location::in_input(What::chunk(kind, last), place);
            let event = (last || took > 0).then_some(event);
            self.chunked |= event.is_some();
            event
        } else if last && self.filled == 0 {
            Some(Location::in_input(What::message(kind), place))
        } else {
            self.append(piece, frame.remaining, frame.fin, limit);
            last.then(|| self.deliver(kind))
        };
        if last {
            self.end_message();
        }
        Ok(Step { event, ..Step::of(took) })
    }

    /// Unmasks a piece of payload, validates it if it is text, and notes how far its frame is. Gives the
    /// kind of its message, and whether that ends here.
    #[inline]
    fn unmask(
        &mut self,
        frame: &mut Frame,
        piece: &mut [u8],
    ) -> Result<Option<(Kind, bool)>, Violation> {
        self.frame = None;
        let Some(kind) = self.kind else { return Ok(None) };
        let last = frame.fin && frame.remaining == 0;
        unmask(piece, &mut frame.mask, kind, &mut self.utf8, last)?;
        self.frame = (frame.remaining > 0).then_some(*frame);
        Ok(Some((kind, last)))
    }

    /// A message that has been assembled here.
    pub(super) fn deliver(&mut self, kind: Kind) -> Location {
        self.delivered = Delivered::Message;
        Location::held(What::message(kind))
    }

    /// The start of a message that was assembled before chunks were asked for, as its first chunk.
    pub(super) fn assembled_so_far(&mut self) -> Option<Location> {
        let kind = self.kind.filter(|_| self.filled > 0)?;
        self.chunked = true;
        self.delivered = Delivered::Message;
        Some(Location::held(What::chunk(kind, false)))
    }

    pub(super) fn end_message(&mut self) {
        self.kind = None;
        self.compressed = false;
        self.chunked = false;
        self.fragments = 0;
        self.declared = 0;
    }

    /// Lets go of what was delivered from here.
    #[inline]
    pub(super) fn let_go(&mut self) {
        match mem::take(&mut self.delivered) {
            Delivered::Nothing => {}
            Delivered::Message => self.filled = 0,
            Delivered::Control => self.control = None,
        }
    }

    /// Gives away the buffer for messages, unless one is in it.
    pub(super) fn release(&mut self) -> Vec<u8> {
        self.let_go();
        if self.filled == 0 { mem::take(&mut self.message) } else { Vec::new() }
    }

    /// Frees all there is: nothing more will be delivered.
    pub(crate) fn discard(&mut self) {
        *self = Self::default();
    }

    fn append(&mut self, piece: &[u8], remaining: u64, fin: bool, limit: u64) {
        let end = self.filled.saturating_add(piece.len());
        if let Some(room) = self.message.get_mut(self.filled..end) {
            room.copy_from_slice(piece);
            self.filled = end;
            return;
        }
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

    pub(super) fn direct_read(&mut self, remaining: u64) -> Option<&mut [u8]> {
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

    pub(super) fn direct_advance(
        &mut self,
        mut frame: Frame,
        len: usize,
    ) -> Result<Option<Location>, Violation> {
        let mut message = mem::take(&mut self.message);
        let room = message.get_mut(self.filled..).unwrap_or_default();
        let len = len.min(room.len());
        let piece = frame.cut(room.split_at_mut(len).0);
        self.filled += piece.len();
        let checked = self.unmask(&mut frame, piece);
        self.message = message;
        let Some((kind, true)) = checked? else { return Ok(None) };
        self.end_message();
        Ok(Some(self.deliver(kind)))
    }
}

/// What a compressed message does to it.
#[cfg(feature = "deflate")]
impl Input {
    pub(crate) fn is_in_chunks(&self) -> bool {
        self.chunked
    }

    /// How far the frame under way is.
    pub(crate) fn frame_is(&mut self, frame: Frame) {
        self.frame = (frame.remaining > 0).then_some(frame);
    }

    /// Room for some more bytes of the message.
    pub(crate) fn room(&mut self, len: usize, limit: u64) -> &mut [u8] {
        crate::deflate::room(&mut self.message, self.filled, len, limit)
    }

    /// Takes the `len` bytes that were inflated into the room.
    pub(crate) fn inflated(&mut self, len: usize) -> Result<(), Violation> {
        let end = self.filled + len;
        if self.kind == Some(Kind::Text) {
            let piece = self.message.get(self.filled..end).unwrap_or_default();
            self.utf8.push(piece).map_err(|_| Violation::InvalidUtf8)?;
        }
        self.filled = end;
        Ok(())
    }

    /// What has been inflated as an event, if that is due.
    pub(crate) fn deliver_inflated(
        &mut self,
        last: bool,
        in_chunks: bool,
    ) -> Result<Option<Location>, Violation> {
        let Some(kind) = self.kind else { return Ok(None) };
        if last {
            if kind == Kind::Text {
                self.utf8.finish().map_err(|_| Violation::InvalidUtf8)?;
            }
            self.end_message();
        }
        let due = last || in_chunks && self.filled > 0;
        if !due {
            return Ok(None);
        }
        self.chunked = in_chunks && !last;
        self.delivered = Delivered::Message;
        let what = if in_chunks { What::chunk(kind, last) } else { What::message(kind) };
        Ok(Some(Location::held(what)))
    }
}

impl Step {
    /// Some bytes, and nothing else.
    #[inline]
    pub(crate) const fn of(took: usize) -> Self {
        Self { took, event: None, paused: false }
    }
}

impl Frame {
    /// As much of `bytes` as belongs to the frame, unmasked.
    #[inline]
    pub(crate) fn take<'a>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let piece = self.cut(bytes);
        if let Some(mask) = &mut self.mask {
            mask.apply(piece);
        }
        piece
    }

    /// As much of `bytes` as belongs to the frame, as it came.
    #[inline]
    fn cut<'a>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let len = arrived(self.remaining, bytes.len());
        self.remaining -= len as u64;
        bytes.split_at_mut(len).0
    }
}

/// Unmasks a piece of payload, and validates it if it is text: in the same pass where both are to be done.
#[inline]
pub(super) fn unmask(
    piece: &mut [u8],
    mask: &mut Option<Mask>,
    kind: Kind,
    utf8: &mut Utf8,
    last: bool,
) -> Result<(), Violation> {
    let valid = match (kind, mask) {
        (Kind::Binary, None) => Ok(()),
        (Kind::Binary, Some(mask)) => {
            mask.apply(piece);
            Ok(())
        }
        (Kind::Text, None) => utf8.push(piece),
        (Kind::Text, Some(mask)) => mask.apply_text(piece, utf8),
    };
    // RFC 6455 §8.1: invalid UTF-8 fails the connection.
    let valid = if last && kind == Kind::Text { valid.and_then(|()| utf8.finish()) } else { valid };
    valid.map_err(|_| Violation::InvalidUtf8)
}
