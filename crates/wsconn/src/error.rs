use core::fmt;

use wsframe::{CloseBody, CloseBodyError, CloseCode, FrameError, MAX_CONTROL_PAYLOAD};

/// What the peer did that RFC 6455 or a limit forbids. It fails the connection (§7.1.7): the close
/// frame that names it is queued, and nothing more is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame header that breaks the rules, or a frame over
    /// [`Config::max_frame_size`](crate::Config::max_frame_size).
    Frame(FrameError),
    /// A continuation frame while no message is under way (§5.4).
    UnexpectedContinuation,
    /// A new message inside a fragmented one (§5.4).
    MessageInsideMessage,
    /// A message over [`Config::max_message_size`](crate::Config::max_message_size).
    MessageTooBig {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A message of more frames than [`Config::max_fragments`](crate::Config::max_fragments).
    TooManyFragments {
        /// The limit.
        limit: u32,
    },
    /// Text that is not UTF-8 (§8.1).
    InvalidUtf8,
    /// A compressed message that is not DEFLATE, or ends in the middle of it (RFC 7692 §7.2.2).
    CorruptDeflate,
    /// A close frame whose body breaks the rules (§5.5.1, §7.4).
    CloseBody(CloseBodyError),
}

impl Violation {
    /// The code of the close frame that answers it (§7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Frame(error) => error.close_code(),
            Self::UnexpectedContinuation | Self::MessageInsideMessage => CloseCode::PROTOCOL_ERROR,
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
            Self::InvalidUtf8 | Self::CorruptDeflate => CloseCode::INVALID_PAYLOAD,
            Self::CloseBody(error) => error.close_code(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error @ FrameError::TooLarge { .. }) => {
                write!(f, "{error} (max_frame_size)")
            }
            Self::Frame(error) => error.fmt(f),
            Self::UnexpectedContinuation => {
                f.write_str("a continuation frame came while no message was under way")
            }
            Self::MessageInsideMessage => {
                f.write_str("a new message began inside a fragmented one")
            }
            Self::MessageTooBig { limit } => {
                write!(f, "a message is over the limit of {limit} bytes (max_message_size)")
            }
            Self::TooManyFragments { limit } => {
                write!(f, "a message is of more than {limit} fragments (max_fragments)")
            }
            Self::InvalidUtf8 => f.write_str("a text message is not valid UTF-8"),
            Self::CorruptDeflate => f.write_str("a compressed message cannot be inflated"),
            Self::CloseBody(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Violation {}

/// What the caller asked for that cannot be done. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// The closing handshake has begun, or the connection has ended: nothing more can be sent.
    Closed,
    /// [`Config::max_outgoing`](crate::Config::max_outgoing) bytes or more wait to be written.
    QueueFull {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A whole message, or a fragment of the other kind, while a fragmented message is being sent; or
    /// a whole message asked for while one is received in chunks.
    MessageUnderWay,
    /// A ping or pong of more than 125 bytes. The field is its length.
    LongControl(usize),
    /// A reason for closing of more than 123 bytes. The field is its length.
    LongReason(usize),
    /// A code that must not stand in a close frame.
    CloseCode(CloseCode),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed or closing: nothing can be sent"),
            Self::QueueFull { limit } => write!(
                f,
                "the peer does not keep up: {limit} bytes or more wait to be written (max_outgoing)"
            ),
            Self::MessageUnderWay => {
                f.write_str("a message is under way in parts and must be finished first")
            }
            Self::LongControl(len) => {
                write!(f, "{len} bytes are too many for a ping: at most {MAX_CONTROL_PAYLOAD}")
            }
            Self::LongReason(len) => write!(
                f,
                "{len} bytes are too many for a reason to close: at most {}",
                CloseBody::MAX_REASON
            ),
            Self::CloseCode(code) => write!(f, "the code {code} must not be sent"),
        }
    }
}

impl core::error::Error for Misuse {}

/// Which wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timeout {
    /// The look-up of the server's name and the connection to it, or to the proxy.
    Connect,
    /// The proxy, before it had connected to the server.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The opening handshake.
    Handshake,
    /// The answer to a keepalive ping ([`Config::keepalive_timeout`](crate::Config)).
    Keepalive,
    /// The peer's close frame ([`Config::close_timeout`](crate::Config)).
    Close,
    /// A write that makes no progress ([`Config::write_timeout`](crate::Config)).
    Write,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection could be made by the deadline (connect_timeout)",
            Self::Proxy => "the proxy had not connected by the deadline (connect_timeout)",
            Self::Tls => "the TLS handshake was not over by its deadline (handshake_timeout)",
            Self::Handshake => {
                "the opening handshake was not over by its deadline (handshake_timeout)"
            }
            Self::Keepalive => "the peer gave no sign of life after a ping (keepalive_timeout)",
            Self::Close => "the peer did not take what was queued and answer the close frame in time (close_timeout)",
            Self::Write => "the peer took no data for too long (write_timeout)",
        })
    }
}

impl core::error::Error for Timeout {}
