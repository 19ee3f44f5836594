//! What a peer sends, and what it makes of what it gets.

use std::sync::Arc;

use wsconn::{Config, Role};
use wstest::{
    drive::{Driver, KEY, Trace},
    reference::{self, Frame},
};

/// The bytes of `frames` as the peer of whoever is in `role` sends them.
pub(crate) fn from_peer_of(role: Role, frames: &[Frame]) -> Vec<u8> {
    let key = (role == Role::Server).then_some(KEY);
    frames.iter().flat_map(|frame| frame.clone().masked(key).encode()).collect()
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &str) -> Frame {
    Frame::new(8, [&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What the peer makes of all that somebody in `role` has written: panics unless these are whole
/// frames, and none breaks the protocol.
pub(crate) fn read_by_peer(role: Role, written: &[u8]) -> Trace {
    reference::decode(written);
    let peer = match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    };
    let config = Arc::new(Config::default());
    let trace = Driver::PLAIN.run_new(peer, &config, &[written], false);
    if let Some(info) = &trace.close {
        assert!(info.clean, "the peer says: {info}");
    }
    trace
}
