use alloc::{boxed::Box, vec::Vec};

use wsframe::{Header, Mask, OpCode, Rsv};

use super::{
    DeflateOptions, State, TAIL,
    codec::{Compressor, Shape},
    pool,
};
use crate::{Connection, Message, Misuse, Sending};

/// The longest payload of a frame of a compressed message, in bytes: what its header can say in four
/// bytes. A message of more goes out in fragments while it is compressed, so that neither its length
/// has to be known before, nor the peer to have all of it to begin.
const FRAGMENT: usize = 0xffff;

/// Whether to compress a message, if permessage-deflate is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compress {
    /// If it has [`DeflateOptions::min_size`](super::DeflateOptions::min_size) bytes or more, or is
    /// begun in parts, so that nobody knows.
    #[default]
    Auto,
    /// Whatever its size.
    Yes,
    /// Not at all: what is compressed already, or is secret.
    No,
}

impl Connection {
    /// As [`send`](Self::send), saying whether to compress the message.
    pub fn send_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<(), Misuse> {
        let message = message.into();
        let header = self.message_header(&message)?;
        if self.chooses(compress, message.as_bytes().len()) {
            self.queue_compressed(message, true, true);
        } else {
            self.queue(header, message.as_bytes());
        }
        Ok(())
    }

    /// As [`send_direct`](Self::send_direct), saying whether to compress the message.
    pub fn send_direct_as<'m>(
        &mut self,
        message: impl Into<Message<'m>>,
        compress: Compress,
    ) -> Result<Sending<'_, 'm>, Misuse> {
        let message = message.into();
        let header = self.message_header(&message)?;
        let payload = message.as_bytes();
        if self.chooses(compress, payload.len()) {
            self.queue_compressed(message, true, true);
            return Ok(Sending::queued(self));
        }
        Ok(self.sending(header, payload))
    }

    /// As [`send_fragment`](Self::send_fragment), saying whether to compress the message. It counts in
    /// its first part.
    pub fn send_fragment_as<'m>(
        &mut self,
        part: impl Into<Message<'m>>,
        fin: bool,
        compress: Compress,
    ) -> Result<(), Misuse> {
        self.check_sendable()?;
        let part = part.into();
        let opcode = self.begin_part(&part, fin)?;
        if self.compresses_part(opcode, part.as_bytes().len(), fin, compress) {
            self.queue_compressed(part, opcode != OpCode::Continuation, fin);
        } else {
            self.queue_part(part, opcode, fin);
        }
        Ok(())
    }

    /// Whether a message of so many bytes is compressed.
    #[inline]
    pub(crate) fn compresses(&self, len: usize) -> bool {
        self.deflate.is_some() && self.chooses(Compress::Auto, len)
    }

    fn chooses(&self, compress: Compress, len: usize) -> bool {
        let Some(state) = &self.deflate else { return false };
        let wanted = match compress {
            Compress::Auto => len >= state.options.min_size,
            Compress::Yes => true,
            Compress::No => false,
        };
        wanted && Shape::of(&state.options).is_some()
    }

    /// Whether a part of a message is compressed. The first one decides for all.
    pub(crate) fn compresses_part(
        &mut self,
        opcode: OpCode,
        len: usize,
        fin: bool,
        compress: Compress,
    ) -> bool {
        let Some(state) = &self.deflate else { return false };
        if opcode == OpCode::Continuation {
            return state.fragments;
        }
        let choice = match compress {
            Compress::Auto if !fin => Compress::Yes,
            choice => choice,
        };
        let compressed = self.chooses(choice, len);
        if let Some(state) = &mut self.deflate {
            state.fragments = compressed;
        }
        compressed
    }

    /// Queues a message, or a part of one, compressed: in one frame if it is short.
    pub(crate) fn queue_compressed(&mut self, part: Message<'_>, first: bool, fin: bool) {
        let Some(mut compressor) = self.deflate.as_deref_mut().and_then(State::take_compressor)
        else {
            return; // never: it was asked for
        };
        let whole = first && fin;
        // Without context nothing is lost by sending a message as it is.
        let may_be_plain = whole && !self.compresses_with_context();
        let kind = part.kind();
        let mut rest = part.as_bytes();
        let mut opcode = if first { kind.opcode() } else { OpCode::Continuation };
        let mut kept = None;
        loop {
            let fragment = self.queue_fragment(&mut compressor, opcode, rest, fin, kept);
            let is_all = opcode != OpCode::Continuation && fragment.kept.is_none();
            if may_be_plain && is_all && fragment.len >= fragment.read {
                self.output.truncate(fragment.start);
                self.queue(Header::new(kind.opcode(), rest.len() as u64), rest);
                break;
            }
            rest = rest.get(fragment.read..).unwrap_or_default();
            opcode = OpCode::Continuation;
            kept = fragment.kept;
            if kept.is_none() {
                break;
            }
        }
        if let Some(state) = &mut self.deflate {
            state.put_compressor(compressor, fin);
        }
    }

    fn compresses_with_context(&self) -> bool {
        self.deflate.as_ref().is_some_and(|state| state.options.context_takeover)
    }

    /// Queues a frame of compressed data: `kept`, which is of the last one, and as much of `rest` as
    /// there is room for.
    fn queue_fragment(
        &mut self,
        compressor: &mut Compressor,
        opcode: OpCode,
        rest: &[u8],
        fin: bool,
        kept: Option<[u8; 4]>,
    ) -> Fragment {
        let masking_key = self.masking_key();
        let kept = kept.as_ref().map(<[u8; 4]>::as_slice).unwrap_or_default();
        // More than what is left may have been read already.
        let room = if kept.is_empty() { bound(rest.len()) } else { FRAGMENT };
        let room = room.min(FRAGMENT - TAIL.len());
        let queue = self.output.reserve(kept.len() + room);
        let start = queue.len();
        // The payload, where it will be if its length takes two bytes more.
        let head = if masking_key.is_some() { 8 } else { 4 };
        let payload = start + head;
        queue.resize(payload, 0);
        queue.extend_from_slice(kept);
        let from = queue.len();
        queue.resize(from + room, 0);
        let output = queue.get_mut(from..).unwrap_or_default();
        let (read, written) = compressor.compress(rest, output);
        queue.truncate(from + written);

        let done = written < room;
        let mut kept = None;
        if !done {
            // They may be those that a message does without: who knows.
            kept = queue.last_chunk::<4>().copied();
            queue.truncate(queue.len().saturating_sub(4));
        } else if fin {
            if queue.get(payload..).is_some_and(|payload| payload.ends_with(&TAIL)) {
                queue.truncate(queue.len() - TAIL.len());
            } else if queue.len() == payload {
                queue.push(0); // RFC 7692 §7.2.3.6: nothing was left to flush
            }
        }
        let len = queue.len().saturating_sub(payload);
        let rsv = if opcode == OpCode::Continuation { Rsv::NONE } else { Rsv::RSV1 };
        let header =
            Header { fin: done && fin, rsv, opcode, masking_key, payload_len: len as u64 }.encode();
        let header = header.as_slice();
        queue.copy_within(payload.., start + header.len());
        queue.truncate(start + header.len() + len);
        for (to, from) in queue.iter_mut().skip(start).zip(header) {
            *to = *from;
        }
        if let Some(key) = masking_key {
            Mask::new(key).apply(queue.get_mut(start + header.len()..).unwrap_or_default());
        }
        Fragment { start, read, len, kept }
    }
}

/// What went into a frame.
struct Fragment {
    /// Where in the queue it starts.
    start: usize,
    /// How much was read.
    read: usize,
    /// The length of the payload.
    len: usize,
    /// The start of the next frame's payload; `None` if all is out.
    kept: Option<[u8; 4]>,
}

impl State {
    /// A compressor for the message to be sent, or the one under way.
    fn take_compressor(&mut self) -> Option<Box<Compressor>> {
        let shape = Shape::of(&self.options)?;
        Some(self.codecs().compressor.take().unwrap_or_else(|| pool::compressor(shape)))
    }

    /// Keeps it for what follows, or gives it back.
    fn put_compressor(&mut self, compressor: Box<Compressor>, fin: bool) {
        if self.options.context_takeover || !fin {
            self.codecs().compressor = Some(compressor);
        } else {
            pool::put_compressor(compressor);
        }
    }
}

/// The most that `len` bytes can become.
fn bound(len: usize) -> usize {
    len.saturating_add(len / 8).saturating_add(len / 64).saturating_add(64)
}

/// A message compressed without context, for many connections; `None` where it would not be smaller.
pub(crate) fn compress_once(payload: &[u8], options: &DeflateOptions) -> Option<Vec<u8>> {
    let mut compressor = pool::compressor(Shape::of(options)?);
    let mut compressed = Vec::new();
    let mut rest = payload;
    loop {
        let from = compressed.len();
        let room = bound(rest.len()).min(FRAGMENT);
        compressed.resize(from + room, 0);
        let output = compressed.get_mut(from..).unwrap_or_default();
        let (read, written) = compressor.compress(rest, output);
        compressed.truncate(from + written);
        rest = rest.get(read..).unwrap_or_default();
        if written < room {
            break;
        }
    }
    pool::put_compressor(compressor);
    let len = compressed.strip_suffix(&TAIL)?.len();
    compressed.truncate(len);
    compressed.shrink_to_fit();
    (len < payload.len()).then_some(compressed)
}
