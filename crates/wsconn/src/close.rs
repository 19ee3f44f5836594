use alloc::string::String;
use core::fmt;

use wsframe::CloseCode;

use crate::{Timeout, Violation};

/// How a connection ended: who closed it, with which code and reason, and whether it was clean.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The code of whoever closed first: [`CloseCode::NO_STATUS`] where its close frame had none, and
    /// [`CloseCode::ABNORMAL`] where the connection ended without a closing handshake.
    pub code: CloseCode,
    /// The code that the other side answered with: of its close frame, or of ours if the peer closed first.
    /// `None` where there was no answer.
    pub answer: Option<CloseCode>,
    /// The reason of whoever closed first; often empty.
    pub reason: String,
    /// Who closed, or failed, the connection.
    pub by: Side,
    /// Whether close frames went both ways (RFC 6455 §7.1.4). Ours may still have been queued when the
    /// peer was given up.
    pub clean: bool,
    /// What ended it.
    pub cause: CloseCause,
}

/// Which side of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This one.
    Local,
    /// The other one.
    Peer,
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// A closing handshake. Where writing had failed before the peer's close frame came, it got no answer
    /// and is not [`clean`](CloseInfo::clean).
    Handshake,
    /// The peer broke the protocol or a limit; the close frame sent to it has the code, unless closing had
    /// begun.
    Violation(Violation),
    /// The byte stream ended without a closing handshake.
    Eof,
    /// The byte stream failed, as the transport's error tells. The event loop of wsmio has no one to tell
    /// that to: there this is all.
    Transport,
    /// A wait was too long.
    Timeout(Timeout),
}

impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.by {
            Side::Local => "this side",
            Side::Peer => "the peer",
        };
        match self.cause {
            CloseCause::Handshake => {
                write!(f, "closed by {who}: {}", self.code)?;
                if !self.reason.is_empty() {
                    write!(f, " {:?}", self.reason)?;
                }
                Ok(())
            }
            CloseCause::Violation(violation) => {
                write!(f, "failed with {} because of the peer: {violation}", self.code)
            }
            CloseCause::Eof => {
                f.write_str("the peer ended the connection without a closing handshake")
            }
            CloseCause::Transport => f.write_str("the connection was lost"),
            CloseCause::Timeout(timeout) => timeout.fmt(f),
        }
    }
}
