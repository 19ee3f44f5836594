//! The WebSocket opening handshake, [RFC 6455 §4], both roles: no I/O, no allocation.
//!
//! - [`HeadScanner`] finds where an HTTP head ends in bytes that come in pieces of any size.
//! - [`Request`] is a request for a WebSocket that has passed every check of §4.2.1, whether its
//!   head was parsed here or elsewhere; it writes the 101 that answers it. [`write_refusal`] writes
//!   what answers one that has not passed.
//! - [`Request::from_connect`] judges one that came over HTTP/2 instead (RFC 8441).
//! - [`Upgrade`] is the request of a client, [`Response`] what comes back; [`Response::verify`] holds
//!   the one against the other.
//! - [`Extensions`] and [`Extension`] are the grammar of §9.1, [`Origin`] that of RFC 6454.
//!
//! What the peer got wrong is a [`HandshakeError`]. What the caller got wrong is an
//! [`InvalidInput`], and then not a byte is written.
//!
//! # Both ends of a handshake
//!
//! ```
//! use wshandshake::{Accept, HeadScanner, HeaderSlots, Key, Request, Response, Scan, Upgrade};
//!
//! // The client. The sixteen bytes are fresh from the random generator of whoever calls.
//! let upgrade = Upgrade {
//!     subprotocols: &["chat", "superchat"],
//!     ..Upgrade::new("server.example.com", "/chat?room=1", Key::new(*b"the sample nonce"))
//! };
//! let mut sent = String::new();
//! upgrade.write(&mut sent)?;
//!
//! // The server. Where the head ends is found in whatever pieces it comes.
//! let Scan::Complete(len) = HeadScanner::new(16 * 1024).scan(sent.as_bytes())? else {
//!     panic!("the head is all there");
//! };
//! let mut slots = HeaderSlots::new();
//! let request = Request::parse(&sent.as_bytes()[..len], &mut slots)?;
//! assert_eq!(request.path(), "/chat");
//! assert_eq!(request.host(), "server.example.com");
//! assert!(request.subprotocols().eq(["chat", "superchat"]));
//! let mut answer = String::new();
//! request.write_accept(&mut answer, &Accept { subprotocol: Some("chat"), ..Accept::default() })?;
//!
//! // The client again.
//! let mut slots = HeaderSlots::new();
//! let accepted = Response::parse(answer.as_bytes(), &mut slots)?.verify(&upgrade)?;
//! assert_eq!(accepted.subprotocol(), Some("chat"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One invariant
//!
//! The cost of everything here is linear in the bytes the peer has sent. What is compared pairwise
//! is bounded by [`MAX_SUBPROTOCOLS`].
//!
//! [RFC 6455 §4]: https://www.rfc-editor.org/rfc/rfc6455#section-4

#![no_std]
#![forbid(unsafe_code)]

mod accept;
mod client;
mod connect;
mod error;
mod extension;
mod head;
mod headers;
mod input;
mod key;
mod origin;
mod refusal;
mod server;
mod syntax;
mod upgrade;

pub use accept::Accept;
pub use client::{Accepted, Response};
pub use connect::ExtendedConnect;
pub use error::HandshakeError;
pub use extension::{Extension, Extensions, Param, ParamValue};
pub use head::{HeadScanner, Scan};
pub use headers::{Header, HeaderSlots, MAX_HEADERS};
pub use input::InvalidInput;
pub use key::{AcceptKey, Key};
pub use origin::Origin;
pub use refusal::write_refusal;
pub use server::{MAX_SUBPROTOCOLS, Request};
pub use upgrade::Upgrade;

/// The example of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
