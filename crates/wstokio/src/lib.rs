//! WebSocket client and server over [tokio].
//!
//! Cancel safe, bounded in all it holds, and frugal: a connection that waits owns no buffer. The
//! protocol is that of [`wsconn`]; this crate moves the bytes.
//!
//! # A client
//!
//! ```no_run
//! # async fn client() -> Result<(), wstokio::Error> {
//! let mut ws = wstokio::connect("ws://127.0.0.1:8080/chat").await?;
//! ws.send("hello").await?;
//! while let Some(message) = ws.recv().await? {
//!     println!("{message:?}");
//! }
//! println!("{}", ws.close_info().unwrap());
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/", listener.local_addr()?);
//! # let client = tokio::spawn(async move {
//! #     let mut ws = wstokio::connect(&url).await.unwrap();
//! #     ws.send("hello").await.unwrap();
//! #     assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
//! #     ws.close(wstokio::CloseCode::NORMAL, "").await.unwrap();
//! # });
//! // Once for each connection, in a task of its own:
//! let (tcp, _) = listener.accept().await?;
//! tcp.set_nodelay(true)?; // a small message leaves at once
//! let mut ws = wstokio::accept(tcp).await?;
//! let (rx, tx) = ws.halves();
//! while let Some(message) = rx.recv().await? {
//!     tx.feed(message).await?; // leaves when nothing more has arrived
//! }
//! # client.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Options
//!
//! [`Connector`] and [`Acceptor`] take options: [limits and waits](Config), subprotocols, headers,
//! [which pages may connect](opening::OriginPolicy). All have defaults that are safe on the open
//! internet.
//!
//! # Ways to a server
//!
//! [`Connector::connect`] tries each address of a host, over TLS for `wss://` with the feature `tls`,
//! through a [`Proxy`] if it has one or is to look for one. [`Connector::connect_stream`] takes any stream
//! that is connected already, such as a Unix socket:
//!
//! ```no_run
//! # #[cfg(unix)]
//! # async fn connect() -> Result<(), wstokio::Error> {
//! let stream = tokio::net::UnixStream::connect("/run/chat.sock").await?;
//! let ws = wstokio::Connector::default().connect_stream(stream, "ws://localhost/").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Examples
//!
//! In the directory `examples`, each run by `cargo run -p wstokio --example NAME`; its first lines say how:
//! `echo_server` and `axum` serve, `tls_server` and `tls_client` do so over TLS, `http2_client` opens many
//! sockets on one connection, `proxy` goes through one, `split` uses both halves in tasks of their own,
//! `ticker` sends to a group and stops in order, `send_file` streams, and `observe` has spans and counters.
//!
//! # Features
//!
//! - `deflate`: permessage-deflate, by the option `deflate` of the opening handshake; see `deflate`.
//! - `stream`: [`WebSocket`] and its halves are `Stream` and `Sink`.
//! - `tls`: `wss://` URLs, and TLS for servers, by rustls; see `tls`.
//! - `webpki-roots`: with it, the authorities that Mozilla trusts, for systems that have none.
//! - `tracing`: a span for each connection, with an event for its opening, at `DEBUG`, and one for its
//!   end: at `DEBUG` with the codes of both sides if it was closed, at `WARN` if a limit or the protocol was
//!   broken or a wait was too long, at `INFO` if it was lost. A handshake that fails is told at `INFO`. What
//!   the peer sent is not told but for its reason to close.
//! - `hyper`: accepts upgrades inside a hyper 1 server; see `hyper`.
//! - `axum`: an extractor for axum 0.8; see `axum`.
//! - `http2`: WebSockets over HTTP/2 (RFC 8441), many on one connection. A client, see `http2`; and with
//!   `hyper` or `axum` a server.
//!
//! [tokio]: https://tokio.rs

#![forbid(unsafe_code)]

mod accept;
#[cfg(feature = "axum")]
pub mod axum;
mod calls;
mod connect;
mod core;
mod dial;
mod group;
mod handshake;
#[cfg(feature = "http2")]
pub mod http2;
#[cfg(feature = "hyper")]
pub mod hyper;
mod maybe_tls;
mod outbox;
mod remote;
mod shared;
mod socket;
#[cfg(feature = "stream")]
mod stream;
mod sync;
#[cfg(feature = "tls")]
pub mod tls;
mod trace;
mod tracker;
mod transfer;
mod wakers;

pub use accept::{Acceptor, accept};
pub use connect::{Connector, connect};
pub use group::{Group, Member, Sent, SlowPolicy};
pub use maybe_tls::MaybeTls;
pub use remote::Remote;
pub use socket::{Receiver, Sender, WebSocket};
pub use tracker::{Stop, Tracker};
#[cfg(feature = "deflate")]
pub use wsconn::deflate;
pub use wsconn::{
    Chunk, CloseCause, CloseCode, CloseInfo, Config, Event, Kind, Message, Misuse, OwnedMessage,
    PreparedMessage, Side, Timeout, Violation, opening,
    transport::{Counters, Error, Proxy, ProxyFailure},
};

/// The examples of the migration page compile, as far as they are ours.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration.md")]
struct Migration;

/// The examples of README.md compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// And that of the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct CrateReadme;
