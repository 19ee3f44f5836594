//! The codec: `zlib-rs` itself, and not `flate2` on it, which cannot set the memory level.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

use super::{DeflateOptions, TAIL};

/// Raw DEFLATE.
const NO_HEADER: bool = false;

/// The window of every inflater: `zlib-rs` allocates it for the largest there is in any case.
const INFLATE_BITS: u8 = 15;

pub(crate) struct Compressor {
    deflate: Deflate,
    shape: Shape,
}

/// What two compressors must have in common for one to stand in for the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    window_bits: u8,
    level: u8,
    mem_level: u8,
}

impl Shape {
    /// `None` if there is no such compressor.
    pub(crate) fn of(options: &DeflateOptions) -> Option<Self> {
        let possible = options.window_bits >= 9;
        possible.then(|| Self {
            window_bits: options.window_bits.min(15),
            level: options.level.clamp(1, 9),
            mem_level: options.mem_level.clamp(1, 9),
        })
    }
}

impl Compressor {
    pub(crate) fn new(shape: Shape) -> Self {
        let config = DeflateConfig {
            level: shape.level.into(),
            window_bits: -i32::from(shape.window_bits),
            mem_level: shape.mem_level.into(),
            ..DeflateConfig::default()
        };
        Self { deflate: Deflate::new_with_config(config), shape }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Forgets its context.
    pub(crate) fn reset(&mut self) {
        self.deflate.reset();
    }

    /// Compresses and flushes as much as there is room for, and says how much was read and written.
    /// All is out where room is left; then it ends with [`TAIL`], unless there was nothing to flush.
    pub(crate) fn compress(&mut self, input: &[u8], output: &mut [u8]) -> (usize, usize) {
        let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
        // It fails only where it was set up wrongly, or has been finished: that is never done.
        let result = self.deflate.compress(input, output, DeflateFlush::SyncFlush);
        debug_assert!(result.is_ok());
        (since(self.deflate.total_in(), read), since(self.deflate.total_out(), written))
    }
}

pub(crate) struct Inflater {
    inflate: Inflate,
    /// Whether nothing has been fed since it was new or reset.
    fresh: bool,
    /// Whether nothing has been fed of the message under way.
    idle: bool,
}

/// What a step came to.
pub(crate) struct Inflated {
    pub(crate) read: usize,
    pub(crate) written: usize,
    /// Whether what follows that is not DEFLATE.
    pub(crate) corrupt: bool,
}

/// The data is not DEFLATE.
#[derive(Debug)]
pub(crate) struct Corrupt;

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { inflate: Inflate::new(NO_HEADER, INFLATE_BITS), fresh: true, idle: true }
    }

    /// Forgets its context.
    pub(crate) fn reset(&mut self) {
        self.inflate.reset(NO_HEADER);
        self.fresh = true;
        self.idle = true;
    }

    /// Inflates as much as there is room for. Nothing more can be had of what was read where room is
    /// left.
    pub(crate) fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Inflated {
        self.idle &= input.is_empty();
        loop {
            self.fresh &= input.is_empty();
            let (result, inflated) = self.step(input, output, InflateFlush::NoFlush);
            if !matches!(result, Ok(Status::StreamEnd)) {
                return inflated;
            }
            // RFC 7692 §7.2.1 allows blocks with BFINAL, and further blocks behind. zlib takes it for
            // the end of the context, and so do those who send it: they must begin another stream.
            self.inflate.reset(NO_HEADER);
            self.fresh = true;
            if inflated.read > 0 || inflated.written > 0 || input.is_empty() {
                return inflated;
            }
            // That stream had ended, by the tail of the message before: all this is of another.
        }
    }

    /// Ends a message, of which all has been inflated: puts back the tail that is not sent, and makes
    /// sure that a block ends there.
    pub(crate) fn finish(&mut self) -> Result<(), Corrupt> {
        // Some send an empty message as nothing at all, or none of a block behind BFINAL.
        if !core::mem::replace(&mut self.idle, true) && !self.fresh {
            // Told to stop where a block ends, zlib reads the tail and nothing of what follows; if the
            // tail is in the middle of a block instead, it reads on.
            let mut probe = [0; 9];
            for (to, from) in probe.iter_mut().zip(TAIL.iter().chain(&[0; 5])) {
                *to = *from;
            }
            let mut output = [0; 16];
            let (_, inflated) = self.step(&probe, &mut output, InflateFlush::Block);
            if inflated.corrupt || inflated.read != TAIL.len() || inflated.written > 0 {
                return Err(Corrupt);
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        flush: InflateFlush,
    ) -> (Result<Status, InflateError>, Inflated) {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let result = self.inflate.decompress(input, output, flush);
        let read = since(self.inflate.total_in(), read);
        let written = since(self.inflate.total_out(), written);
        (result, Inflated { read, written, corrupt: result.is_err() })
    }
}

/// How much a counter has advanced; no slice is longer.
fn since(now: u64, before: u64) -> usize {
    usize::try_from(now.wrapping_sub(before)).unwrap_or(usize::MAX)
}
