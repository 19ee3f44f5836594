//! The race over loopback: what `cargo xtask bench wire` and `cargo xtask counts` run.
//!
//! - `server` is an echo server over any of the libraries, or raw TCP; [`servers`] has them.
//! - `load` starts a server, or a client, and puts a load on it from pre-encoded frames.
//! - `client` sends messages as fast as a library masks and writes them.
//! - `counted` echoes in memory, so that what it costs can be counted; [`memory`] has the stream.
//! - `deflate`, by the feature of that name, races those that compress, in memory.

#![deny(unsafe_code)]

pub mod alloc;
pub mod frames;
pub mod memory;
pub mod servers;

/// What the programs of the race fail with: whatever is wrong ends them.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
