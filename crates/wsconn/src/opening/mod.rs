//! The opening handshake (RFC 6455 §4) without I/O, for both sides: bytes in, bytes out, and at the
//! end a [`Connection`](crate::Connection).
//!
//! [`ServerOpening`] reads a request and answers it; [`ClientOpening`] makes a request and judges the
//! response. Both take bytes cut anywhere, hold at most a head, and tell how many bytes they used:
//! what follows belongs to the connection.
//!
//! A server that has its requests from an HTTP library judges them with [`negotiate`].

mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod http2;
mod options;
mod server;

pub use client::{ClientOpened, ClientOpening};
pub use http2::Http2Failure;
pub use options::{Accept, ClientOptions, OriginPolicy, Refusal, ServerOptions};
pub use server::{Agreement, Answer, ServerOpened, ServerOpening, negotiate};
pub use wshandshake::{ExtendedConnect, HandshakeError, Header, InvalidInput, Request};

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use wshandshake::{HeadScanner, HeaderSlots, Response, Scan};

/// Why an opening handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The peer's half of it breaks the rules or a limit.
    Peer(HandshakeError),
    /// The server, this side, refused the request.
    Refused(Refusal),
    /// The server, this side, lets no page of this origin connect ([`ServerOptions::origin`]).
    ForeignOrigin {
        /// The `Origin` header: anything that the client likes.
        origin: String,
        /// The `Host` header.
        host: String,
    },
    /// This entry of an [`OriginPolicy::List`] is no origin. The server, this side, lets no page connect.
    OriginEntry(String),
    /// The server, the other side, answered with something else than an upgrade.
    Status {
        /// The status code.
        status: u16,
        /// Its reason phrase; may be empty.
        reason: String,
        /// The `Location` header, if there is one. Redirects are not followed.
        location: Option<String>,
    },
    /// The server accepted permessage-deflate in a way that it must not (RFC 7692 §7.1).
    Deflate,
    /// HTTP/2, over which the handshake was to be, failed.
    Http2(Http2Failure),
    /// What this side was asked to send cannot be sent.
    Input(InvalidInput),
    /// The byte stream ended before the handshake was over.
    Eof,
}

impl HandshakeFailure {
    /// How a server answers the request, for those that write responses with an HTTP library:
    /// [`ServerOpening`] does it itself. What is the server's own fault is not told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Peer(error) => {
                let mut refusal = Refusal::new(error.status(), format!("{error}\n"));
                let header = error.header().map(|(name, value)| (name.into(), value.into()));
                refusal.headers.extend(header);
                refusal
            }
            Self::Refused(refusal) => refusal.clone(),
            Self::ForeignOrigin { .. } => {
                Refusal::new(403, "pages of this origin may not connect here\n")
            }
            _ => Refusal::new(500, "the server made a mistake\n"),
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(
                error @ (HandshakeError::HeadTooLong { .. } | HandshakeError::TargetTooLong { .. }),
            ) => write!(f, "{error} (max_head)"),
            Self::Peer(error) => error.fmt(f),
            Self::Refused(refusal) => {
                write!(f, "the request was refused with {}: {}", refusal.status, refusal.reason)
            }
            Self::ForeignOrigin { origin, host } => write!(
                f,
                "a page of {origin:?} may not connect to {host:?} (ServerOptions::origin)"
            ),
            Self::OriginEntry(entry) => write!(
                f,
                "{entry:?} in ServerOptions::origin is no origin, as in https://example.org: until that \
                 is mended no page may connect"
            ),
            Self::Status { status, reason, location } => {
                write!(f, "the server answered {status}")?;
                if !reason.is_empty() {
                    write!(f, " {reason}")?;
                }
                match (status, location) {
                    (300..=399, Some(location)) => {
                        write!(f, ": it wants you to connect to {location:?}")
                    }
                    (401, _) => {
                        f.write_str(": it wants to know who you are (an Authorization header)")
                    }
                    (407, _) => f.write_str(": a proxy wants to know who you are"),
                    (200..=299, _) => {
                        f.write_str(": there is an ordinary page at this address, and no WebSocket")
                    }
                    _ => f.write_str(" instead of opening a WebSocket"),
                }
            }
            Self::Deflate => f.write_str(
                "the server's answer to the offer of permessage-deflate breaks the rules \
                 (RFC 7692 section 7.1), or is not what was asked for",
            ),
            Self::Http2(failure) => failure.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Eof => f.write_str("the peer ended the connection during the opening handshake"),
        }
    }
}

impl core::error::Error for HandshakeFailure {}

impl From<HandshakeError> for HandshakeFailure {
    fn from(error: HandshakeError) -> Self {
        Self::Peer(error)
    }
}

impl From<InvalidInput> for HandshakeFailure {
    fn from(error: InvalidInput) -> Self {
        Self::Input(error)
    }
}

impl From<Http2Failure> for HandshakeFailure {
    fn from(failure: Http2Failure) -> Self {
        Self::Http2(failure)
    }
}

/// How far an opening handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the input are part of the handshake.
    pub consumed: usize,
    /// Whether that is all of it: what follows belongs to the connection.
    pub complete: bool,
}

/// A head that is being received. Interim responses before it are dropped.
pub(crate) struct Head {
    scanner: HeadScanner,
    is_response: bool,
    /// The most bytes that it may have, with those that were dropped.
    max: usize,
    dropped: usize,
    bytes: Vec<u8>,
    error: Option<HandshakeError>,
}

impl Head {
    fn of_request(max: usize) -> Self {
        Self::new(HeadScanner::new(max), false, max)
    }

    pub(crate) fn of_response(max: usize) -> Self {
        Self::new(HeadScanner::for_response(max), true, max)
    }

    fn new(scanner: HeadScanner, is_response: bool, max: usize) -> Self {
        Self { scanner, is_response, max, dropped: 0, bytes: Vec::new(), error: None }
    }

    pub(crate) fn receive(&mut self, input: &[u8]) -> Progress {
        let mut used = 0;
        loop {
            let Progress { consumed, complete } = self.scan(input.get(used..).unwrap_or_default());
            used += consumed;
            if !complete || !self.is_interim() {
                return Progress { consumed: used, complete };
            }
            self.dropped += self.bytes.len();
            self.bytes.clear();
            self.scanner = HeadScanner::for_response(self.max.saturating_sub(self.dropped));
        }
    }

    /// Whether it is a head that another follows (RFC 9110 §15.2).
    fn is_interim(&self) -> bool {
        if !self.is_response {
            return false;
        }
        let mut slots = HeaderSlots::new();
        let response = self.bytes().and_then(|head| Response::parse(head, &mut slots));
        response.is_ok_and(|response| matches!(response.status(), 100 | 102..=199))
    }

    fn scan(&mut self, input: &[u8]) -> Progress {
        let (consumed, complete) = match self.scanner.scan(input) {
            Ok(Scan::Complete(len)) => (len, true),
            Ok(Scan::Partial) => (input.len(), false),
            Err(mut error) => {
                if let HandshakeError::HeadTooLong { limit }
                | HandshakeError::TargetTooLong { limit } = &mut error
                {
                    *limit = self.max;
                }
                self.error = Some(error);
                (input.len(), true)
            }
        };
        if self.error.is_none() {
            let piece = input.get(..consumed).unwrap_or_default();
            let (len, needed) = (self.bytes.len(), self.bytes.len().saturating_add(piece.len()));
            if needed > self.bytes.capacity() {
                // Twice as much, but no more than a head may have.
                let room = len.saturating_mul(2).min(self.max).max(needed);
                self.bytes.reserve_exact(room.saturating_sub(len));
            }
            self.bytes.extend_from_slice(piece);
        }
        Progress { consumed, complete }
    }

    pub(crate) fn bytes(&self) -> Result<&[u8], HandshakeError> {
        self.error.map_or(Ok(&self.bytes), Err)
    }
}
