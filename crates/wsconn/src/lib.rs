//! The WebSocket connection without I/O: messages, control frames, closing, timers and limits of
//! [RFC 6455], for whoever moves the bytes.
//!
//! A [`Connection`] starts after the opening handshake. Bytes that arrive go in, bytes to write come
//! out; it does no I/O, reads no clock and draws no randomness. The transports `wstokio` and `wsmio`
//! are loops around it, and so is a program of your own:
//!
//! ```
//! use wsconn::{Config, Connection, Delivery, Event, Message, Time};
//!
//! let mut server = Connection::server(Config::default().into(), Time::ZERO);
//! let mut client = Connection::client(Config::default().into(), || [1, 2, 3, 4], Time::ZERO);
//!
//! client.send("hello")?;
//! let mut wire = client.outgoing().to_vec();
//! client.advance(wire.len());
//!
//! let received = server.receive(&mut wire, Delivery::Messages, Time::ZERO);
//! let event = server.event(&wire, received.event.unwrap());
//! assert_eq!(event, Event::Message(Message::Text("hello")));
//! assert_eq!(received.consumed, wire.len());
//! # Ok::<(), wsconn::Misuse>(())
//! ```
//!
#![cfg_attr(
    feature = "handshake",
    doc = "The opening handshake, for both sides, is in [`opening`]; it ends in a `Connection`."
)]
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod close;
mod config;
mod connection;
mod control;
#[cfg(feature = "deflate")]
pub mod deflate;
mod error;
mod message;
#[cfg(feature = "handshake")]
pub mod opening;
mod prepared;
mod receive;
mod send;
mod time;
#[cfg(feature = "transport")]
pub mod transport;

pub use close::{CloseCause, CloseInfo, Side};
pub use config::Config;
pub use connection::{Connection, Disposition, MaskKeys};
pub use error::{Misuse, Timeout, Violation};
pub use message::{Chunk, Event, Kind, Message, OwnedMessage};
pub use prepared::PreparedMessage;
pub use receive::{Delivery, Location, Received};
pub use send::Sending;
pub use time::Time;
pub use wsframe::{CloseCode, Role};

/// The example of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
