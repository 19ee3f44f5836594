//! WebSocket without an async runtime, over [mio]: blocking connections for threads, and an event loop
//! for servers.
//!
//! The protocol is that of [`wsconn`]; this crate moves the bytes. Unix only: Linux, macOS, the BSDs.
//!
//! # A client
//!
//! ```no_run
//! # fn main() -> Result<(), wsmio::Error> {
//! let mut ws = wsmio::connect("ws://127.0.0.1:8080/chat")?;
//! ws.send("hello")?;
//! while let Some(message) = ws.recv()? {
//!     println!("{message:?}");
//! }
//! println!("{}", ws.close_info().unwrap());
//! # Ok(())
//! # }
//! ```
//!
//! `wss://` URLs need the feature `tls`, which is off by default.
#![cfg_attr(
    feature = "tls",
    doc = "See [`tls`] for other roots, and for a server that accepts TLS."
)]
//!
//! # Two threads
//!
//! Each half blocks on its own; the receiver answers pings and closing while it is blocked.
//!
//! ```
//! # use std::{net::TcpListener, thread};
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("ws://{}/", listener.local_addr()?);
//! # let server = thread::spawn(move || {
//! #     let mut ws = wsmio::accept(listener.accept().unwrap().0).unwrap();
//! #     let (rx, tx) = ws.halves();
//! #     while let Some(message) = rx.recv().unwrap() { tx.feed(message).unwrap(); }
//! # });
//! let (mut rx, mut tx) = wsmio::connect(&url)?.split();
//! let printing = thread::spawn(move || {
//!     let mut count = 0;
//!     while let Ok(Some(message)) = rx.recv() {
//!         println!("{message:?}");
//!         count += 1;
//!     }
//!     count
//! });
//! tx.send("one")?;
//! tx.send("two")?;
//! # // The echoes come before the peer's close frame.
//! tx.close(wsmio::CloseCode::NORMAL, "")?;
//! assert_eq!(printing.join().unwrap(), 2);
//! # server.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A server
//!
//! For a few clients, [`accept`] each of them and give it a thread, or two. For many, an event loop in
//! each thread calls a [`Handler`]. What it sends while it handles what one read brought leaves in one
//! write. The loop speaks no TLS: put what does in front of it, such as a proxy.
//!
//! ```
//! use wsmio::{CloseCode, Handler, Message, Peer, PreparedMessage, Sent, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type State = ();
//!
//!     fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
//!         if peer.send(message) == Sent::Refused {
//!             // It sends without reading.
//!             let _ = peer.close(CloseCode::TRY_AGAIN_LATER, "you read too slowly");
//!         }
//!     }
//! }
//!
//! let server = Server::bind("127.0.0.1:0".parse()?)?;
//! let (addr, remote) = (server.local_addr(), server.remote());
//! let running = std::thread::spawn(move || server.run(|| Echo));
//!
//! let mut ws = wsmio::connect(&format!("ws://{addr}/"))?;
//! ws.send("hello")?;
//! assert_eq!(ws.recv()?, Some("hello".into()));
//!
//! // Other threads send too. What goes to many is encoded, and compressed, once.
//! remote.broadcast(&PreparedMessage::new("news"))?;
//! assert_eq!(ws.recv()?, Some("news".into()));
//!
//! remote.stop(std::time::Duration::from_secs(1)); // 1001 to all
//! assert_eq!(ws.recv()?, None);
//! running.join().unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The folder `examples` has these as programs, and a server that sends what is typed to all its
//! clients.
//!
//! # This crate or `wstokio`?
//!
//! Where there is an async runtime already, or much else to wait for, take `wstokio`. Take this one
//! for tools and devices that have none, for programs of a few threads that each wait for one
//! connection, and for servers that only move messages and want the last microsecond: the event loop
//! has one buffer for all its connections and needs no task, lock or waker for any of them. It serves
//! WebSockets over TCP and nothing else: for HTTP beside them, or TLS in the same process for many
//! clients, take `wstokio`.
//!
//! # Features
//!
//! - `tls`: `wss://` URLs, and TLS for blocking servers, by rustls; see `tls`.
//! - `webpki-roots`: with it, the authorities that Mozilla trusts, for systems that have none.
//! - `deflate`: permessage-deflate (RFC 7692), once the options ask for it; see `deflate`.
//!
//! [mio]: https://docs.rs/mio

#![cfg(unix)]
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations)]

mod accept;
mod connect;
mod halves;
mod handshake;
mod maybe_tls;
mod server;
mod shared;
mod socket;
mod stream;
#[cfg(feature = "tls")]
pub mod tls;
mod wait;

pub use accept::{Acceptor, accept};
pub use connect::{Connector, connect};
pub use halves::{Receiver, Sender};
pub use maybe_tls::MaybeTls;
pub use server::{ConnectionId, Handler, Peer, Remote, RemoteError, Sent, Server};
pub use socket::WebSocket;
pub use stream::Stream;
#[cfg(feature = "deflate")]
pub use wsconn::deflate;
pub use wsconn::{
    Chunk, CloseCause, CloseCode, CloseInfo, Config, Event, Kind, Message, Misuse, OwnedMessage,
    PreparedMessage, Side, Timeout, Violation, opening, transport::Error,
};

/// The example of README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
