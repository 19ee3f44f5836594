use alloc::vec::Vec;

use super::{
    State,
    codec::{Corrupt, Inflated},
    pool,
};
use crate::{
    Connection, Delivery, Violation,
    receive::{Frame, Input, Step},
};

/// So much is unmasked and inflated at a time, in bytes. What was unmasked and not inflated has to be
/// masked again.
const BLOCK: usize = 4 << 10;

/// The most that is inflated at a time, in bytes, and the size from which a chunk is delivered. A
/// chunk may be larger by what an inflater holds once it has read all: some 16 KiB.
const STEP: usize = 32 << 10;

/// The least, unless the limit is nearer: zlib is slow where it has little room.
const MIN_STEP: usize = 2 << 10;

/// The least that a buffer has, in bytes, unless the limit is less.
const SMALL: usize = 8 << 10;

/// After so much work others get their turn: a byte that comes out counts once, a byte that goes in
/// twice, for there are blocks of which nothing comes out. With 64 bombs at once on a thread this is
/// some 4 MiB between two turns of another connection; less makes more turns of what is no bomb.
const WORK: u64 = 32 << 10;

impl Connection {
    /// Takes payload of a compressed message.
    pub(crate) fn inflate(
        &mut self,
        mut frame: Frame,
        bytes: &mut [u8],
        delivery: Delivery,
    ) -> Result<Step, Violation> {
        let limit = self.config.max_message_size;
        let (Some(state), input) = (self.deflate.as_deref_mut(), &mut self.input) else {
            return Err(Violation::CorruptDeflate); // never: there is no RSV1 without
        };
        let in_chunks = input.is_in_chunks() || delivery == Delivery::Chunks;
        let until = match in_chunks {
            true => state.inflated.saturating_add(STEP as u64),
            false => state.inflated.saturating_add(WORK.saturating_sub(state.spent)),
        };
        let mut took = 0;
        let mut paused = false;
        while !paused && frame.remaining > 0 && took < bytes.len() {
            if state.spent >= WORK {
                state.spent = 0;
                paused = true;
                break;
            }
            let block = bytes.get_mut(took..).unwrap_or_default();
            let end = block.len().min(BLOCK);
            let block = block.get_mut(..end).unwrap_or_default();
            let before = frame;
            let piece = frame.take(block);
            let fed = state.feed(input, piece, until, limit)?;
            if fed < piece.len() {
                let (done, rest) = piece.split_at_mut(fed);
                frame = before;
                frame.take(done);
                if let Some(mut mask) = frame.mask {
                    mask.apply(rest);
                }
                state.spent = 0;
                paused = true;
            }
            took += fed;
        }
        input.frame_is(frame);
        let last = frame.fin && frame.remaining == 0;
        if last {
            state.finish()?;
        }
        let event = input.deliver_inflated(last, in_chunks)?;
        Ok(Step { took, event, paused })
    }
}

impl State {
    /// Inflates a piece, but not much more than until so much of the message has been, and says how
    /// much of the piece was read.
    fn feed(
        &mut self,
        input: &mut Input,
        piece: &[u8],
        until: u64,
        limit: u64,
    ) -> Result<usize, Violation> {
        let mut inflated = self.inflated;
        let inflater = self.codecs().inflater.get_or_insert_with(pool::inflater);
        let mut step = piece.len().saturating_mul(8).clamp(MIN_STEP, STEP);
        let mut fed = 0;
        let result = loop {
            // One byte over the limit is enough to know.
            let left = limit.saturating_sub(inflated).saturating_add(1);
            let wanted = until.saturating_sub(inflated);
            let most = if wanted > 0 { wanted.min(left) } else { left.min(MIN_STEP as u64) };
            let room = input.room(step.min(usize::try_from(most).unwrap_or(step)), limit);
            let rest = piece.get(fed..).unwrap_or_default();
            let len = room.len();
            let Inflated { read, written, corrupt } = inflater.inflate(rest, room);
            // In the order of the bytes, so that the verdict does not depend on how they are cut: up to
            // the limit text is judged, behind it nothing is.
            let within = usize::try_from(limit.saturating_sub(inflated)).unwrap_or(usize::MAX);
            if let Err(violation) = input.inflated(written.min(within)) {
                break Err(violation);
            }
            fed += read;
            inflated += written as u64;
            if inflated > limit {
                break Err(Violation::MessageTooBig { limit });
            }
            if corrupt {
                break Err(Violation::CorruptDeflate);
            }
            let drained = written < len;
            if fed == piece.len() {
                if drained {
                    break Ok(fed);
                }
            } else if read == 0 && written == 0 {
                break Err(Violation::CorruptDeflate); // never: it has all it can ask for
            } else if inflated >= until {
                break Ok(fed);
            }
            step = step.saturating_mul(2).min(STEP);
        };
        let work = (inflated - self.inflated).saturating_add(2 * fed as u64);
        self.spent = self.spent.saturating_add(work);
        self.inflated = inflated;
        result
    }

    /// Ends a message.
    fn finish(&mut self) -> Result<(), Violation> {
        self.inflated = 0;
        let takeover = self.options.peer_context_takeover;
        let codecs = self.codecs();
        if let Some(inflater) = &mut codecs.inflater {
            inflater.finish().map_err(|Corrupt| Violation::CorruptDeflate)?;
        }
        if !takeover && let Some(inflater) = codecs.inflater.take() {
            pool::put_inflater(inflater);
        }
        Ok(())
    }
}

/// Makes room for `step` more bytes behind the first `filled`, and gives it.
pub(crate) fn room(message: &mut Vec<u8>, filled: usize, step: usize, limit: u64) -> &mut [u8] {
    if message.capacity() == 0 {
        *message = pool::buffer();
    }
    let end = filled.saturating_add(step);
    let capacity = message.capacity();
    if capacity < end {
        // By doubling: what is copied is work too, and of a bomb it is most of it.
        let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let target = capacity.saturating_mul(2).max(SMALL).min(most).max(end);
        message.truncate(filled);
        message.reserve_exact(target - message.len());
    }
    if message.len() < end {
        message.resize(end, 0);
    }
    message.get_mut(filled..end).unwrap_or_default()
}
