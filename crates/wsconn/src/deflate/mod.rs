//! permessage-deflate ([RFC 7692]): messages that are smaller on the wire.
//!
//! A side that *takes over* its context compresses each message with what it knows from those before,
//! which makes short messages that are alike very small, and costs memory for as long as the
//! connection lives. Without takeover, the default, a compressor and an inflater are borrowed for each
//! message from a pool of the thread, and a connection that waits holds none.
//!
//! # What it costs
//!
//! What a connection holds, in KiB, once it has sent (the compressor) and received (the inflater) with
//! takeover:
//!
//! | `window_bits` | 9 | 10 | 11 | 12 | 13 | 14 | 15 |
//! |---|---|---|---|---|---|---|---|
//! | compressor, `mem_level` 1 | 134 | 136 | 140 | 148 | 164 | 196 | 260 |
//! | compressor, `mem_level` 5 | 147 | 149 | 153 | 161 | 177 | 209 | 273 |
//! | compressor, `mem_level` 8 | 245 | 247 | 251 | 259 | 275 | 307 | 371 |
//! | compressor, `mem_level` 9 | 357 | 359 | 363 | 371 | 387 | 419 | 483 |
//! | inflater | 47 | 47 | 47 | 47 | 47 | 47 | 47 |
//!
//! (128 KiB of each compressor are a table of `zlib-rs` whose size cannot be chosen, nor can that of
//! the inflater's window.)
//!
//! Each direction counts by itself: a server whose clients send without takeover has the compressor
//! alone. Without takeover it is only in the middle of a message, of which a part has come or gone,
//! that a connection holds them. A thread keeps four of each kind.
//!
//! # What is compressed
//!
//! A message of [`DeflateOptions::min_size`] bytes or more, unless [`Compress`] says otherwise. Do not
//! compress secrets together with what an attacker chooses: how long the result is tells about both
//! (RFC 7692 §8, "CRIME"). Send those with [`Compress::No`].
//!
//! [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692

mod codec;
mod pool;
mod receive;
mod send;

use alloc::{boxed::Box, vec::Vec};
use std::sync::Mutex;

use codec::{Compressor, Inflater};
pub(crate) use receive::room;
pub use send::Compress;
pub(crate) use send::compress_once;

use crate::Connection;

/// What a flush ends with, and a message does without (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How a side compresses, and what it wants of the other: the wish in an opening handshake, and then
/// what was agreed.
///
/// ```
/// # #[cfg(feature = "handshake")] {
/// use wsconn::{deflate::DeflateOptions, opening::ServerOptions};
///
/// let mut deflate = DeflateOptions::default();
/// deflate.context_takeover = true;
/// deflate.window_bits = 12;
/// let mut options = ServerOptions::default();
/// options.deflate = Some(deflate);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateOptions {
    /// Whether this side takes over its context from one message to the next. Default: `false`.
    pub context_takeover: bool,
    /// Whether the peer may. Default: `false`.
    pub peer_context_takeover: bool,
    /// The base-2 logarithm of the window that this side compresses with, 9 to 15. zlib cannot do
    /// with 8: a side that was told to sends everything uncompressed. Default: 15.
    pub window_bits: u8,
    /// The same of the peer, 8 to 15. A server can ask it of clients that say they can be asked. An
    /// inflater has 32 KiB in any case; this spares the peer. Default: 15.
    pub peer_window_bits: u8,
    /// How much work to compress is worth, 1 to 9. From 1 to 6 a message becomes a few per cent
    /// smaller, and takes three to ten times as long. Default: 1.
    pub level: u8,
    /// How much memory to compress with beside the window, 1 to 9. More than the default pays for long
    /// messages only, at a higher level. Default: 5.
    pub mem_level: u8,
    /// Messages of fewer bytes are sent as they are. Default: 128: fewer fit a packet in any case,
    /// and what is saved is not worth the time of both sides.
    pub min_size: usize,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self {
            context_takeover: false,
            peer_context_takeover: false,
            window_bits: 15,
            peer_window_bits: 15,
            level: 1,
            mem_level: 5,
            min_size: 128,
        }
    }
}

/// What a connection with permessage-deflate has beside.
pub(crate) struct State {
    pub(crate) options: DeflateOptions,
    /// Present from the first message with takeover, and else during a message. The lock is never
    /// taken; it makes the connection `Sync`, which the codec is not, though nothing but `&mut` is
    /// ever used on it.
    codecs: Mutex<Codecs>,
    /// How much of the message under way has been inflated, in bytes.
    inflated: u64,
    /// How much work was done since others had their turn.
    spent: u64,
    /// Whether the message that is being sent in fragments is compressed.
    fragments: bool,
}

#[derive(Default)]
struct Codecs {
    compressor: Option<Box<Compressor>>,
    inflater: Option<Box<Inflater>>,
}

impl State {
    /// Before a wait: others have their turn, and the buffer of a message that was assembled is kept for
    /// another one on this thread.
    pub(crate) fn release(&mut self, buffer: Vec<u8>) {
        self.spent = 0;
        pool::put_buffer(buffer);
    }

    /// Frees all there is: nothing more will be sent or received.
    pub(crate) fn discard(&mut self) {
        *self.codecs() = Codecs::default();
    }

    fn codecs(&mut self) -> &mut Codecs {
        self.codecs.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Connection {
    /// Turns on permessage-deflate as it was agreed in the opening handshake, for those who do that
    /// by themselves. Call it before anything is sent or received.
    pub fn enable_deflate(&mut self, agreed: DeflateOptions) {
        self.deflate = Some(Box::new(State {
            options: agreed,
            codecs: Mutex::default(),
            inflated: 0,
            spent: 0,
            fragments: false,
        }));
    }

    /// What was agreed about permessage-deflate, if it is in use.
    pub fn deflate(&self) -> Option<&DeflateOptions> {
        self.deflate.as_ref().map(|state| &state.options)
    }
}
