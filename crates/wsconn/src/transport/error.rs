use alloc::{boxed::Box, string::String};
use std::{fmt, io};

use super::ProxyFailure;
use crate::{Misuse, Timeout, opening::HandshakeFailure};

/// What went wrong. A connection that closes is not an error: see
/// [`CloseInfo`](crate::CloseInfo).
// Three words: each message that is received or sent makes room for one. What comes once, in an opening
// handshake, is in a box.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The byte stream failed: the connection was reset, or could not be made.
    Io(io::Error),
    /// The opening handshake failed.
    Handshake(Box<HandshakeFailure>),
    /// The proxy failed, or refused to connect.
    Proxy(Box<ProxyFailure>),
    /// TLS failed.
    #[cfg(feature = "tls")]
    Tls(Box<super::tls::TlsFailure>),
    /// A wait was too long, and the connection is lost.
    Timeout(Timeout),
    /// The URL cannot be connected to; the text says why.
    Url(String),
    /// What was to be sent could not be read, or what was received could not be written: it is the
    /// reader or the writer of a call that moves a whole message that failed, or what it gave was no
    /// text. The connection goes on.
    Transfer(io::Error),
    /// The connection is closed or closing, by either side: nothing more can be sent, or the message
    /// that was being received has been cut off.
    Closed,
    /// The call cannot be done as asked. The connection is as it was.
    Misuse(Misuse),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::Proxy(failure) => failure.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(failure) => failure.fmt(f),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Url(problem) => f.write_str(problem),
            Self::Transfer(error) => {
                write!(f, "the reader or writer of a message's bytes failed: {error}")
            }
            Self::Closed => f.write_str("the connection is closed or closing"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Transfer(error) => Some(error),
            Self::Proxy(failure) => failure.source(),
            #[cfg(feature = "tls")]
            Self::Tls(failure) => failure.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<HandshakeFailure> for Error {
    fn from(failure: HandshakeFailure) -> Self {
        Self::Handshake(failure.into())
    }
}

impl From<ProxyFailure> for Error {
    fn from(failure: ProxyFailure) -> Self {
        Self::Proxy(failure.into())
    }
}

#[cfg(feature = "tls")]
impl From<super::tls::TlsFailure> for Error {
    fn from(failure: super::tls::TlsFailure) -> Self {
        Self::Tls(failure.into())
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::Closed => Self::Closed,
            misuse => Self::Misuse(misuse),
        }
    }
}
