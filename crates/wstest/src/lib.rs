//! Test support for the workspace.
//!
//! - [`reference`](mod@reference): a naive codec and a model of a receiver, from RFC 6455 alone, as
//!   an oracle.
//! - [`conformance`]: byte-level vectors, written once, run over every transport.
//! - [`compression`]: abuses of permessage-deflate, likewise.
//! - [`handshake`]: requests that must be refused, and responses that open no WebSocket, likewise.
//! - [`drive`]: a bare `Connection` fed with pieces of input.
//! - [`pair`]: two connections joined by a simulated wire and a virtual clock.
//! - [`proxy`]: a proxy over loopback that splits, keeps, stalls and cuts what it passes on.
//! - [`proxied`](mod@proxied): sessions through it, written once, run over every transport.
//! - [`oracles`]: what fuzzing holds connections against.
//! - [`alloc`]: an allocator that counts.
//! - `certificates`, with the feature `tls`: an authority, and what it certifies.

#![deny(unsafe_code)]
// This crate is linked into tests only: what is wrong in a test panics.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc
)]

#[allow(unsafe_code)] // `GlobalAlloc` is an unsafe trait
pub mod alloc;
#[cfg(feature = "tls")]
pub mod certificates;
pub mod compression;
pub mod conformance;
pub mod drive;
pub mod handshake;
pub mod oracles;
pub mod pair;
pub mod proxied;
pub mod proxy;
pub mod reference;
pub mod reset;
