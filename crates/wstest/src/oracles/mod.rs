//! What fuzzing holds connections against. Each oracle takes any bytes, which say what happens in a
//! session, and panics where it comes to something else than it should. The fuzz targets call them,
//! and so do the tests that replay their corpora.

mod connection;
mod pair;

use arbitrary::Arbitrary;
use wsconn::{Config, Message};

pub use connection::check_connection;
pub use pair::check_pair;

/// A payload.
#[derive(Arbitrary, Clone, Debug)]
enum Body {
    Text(String),
    Bytes(Vec<u8>),
    /// One byte again and again.
    Run(u8, u16),
}

impl Body {
    /// At most `max` bytes of it.
    fn bytes(&self, max: usize) -> Vec<u8> {
        let mut bytes = match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Run(byte, len) => vec![*byte; usize::from(*len) % (max + 1)],
        };
        bytes.truncate(max);
        bytes
    }
}

/// Bytes as a message: text if they are.
fn message(text: bool, bytes: &[u8]) -> Message<'_> {
    match std::str::from_utf8(bytes) {
        Ok(valid) if text => Message::Text(valid),
        _ => Message::Binary(bytes),
    }
}

/// Without waits: the sessions have no clock.
fn config(frame: u64, message: u64, fragments: u32, outgoing: usize) -> Config {
    let mut config = Config::default();
    config.max_frame_size = frame;
    config.max_message_size = message;
    config.max_fragments = fragments;
    config.max_outgoing = outgoing;
    config.keepalive = None;
    config
}
