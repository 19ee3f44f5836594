use core::fmt;

use crate::MAX_SUBPROTOCOLS;

/// Why a handshake fails. Always the peer's fault, or that of what stands between (a proxy).
///
/// Most variants can be met in either role: a server sees them in a request, a client in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The head has not ended within the limit.
    HeadTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not even the first line of the head has ended within the limit.
    TargetTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The head has more header lines than there are slots for.
    TooManyHeaders {
        /// The number of slots.
        limit: usize,
    },
    /// The head is not HTTP/1.1: a bare CR or LF, NUL, a folded line, a space before a colon, a
    /// name that is no token, …
    BadHead,
    /// The peer begins as TLS does, and was expected to speak plain HTTP.
    Tls,
    /// The first line does not say HTTP/1.1 where it should (RFC 6455 §4.1; 1.0 knows no Upgrade).
    HttpVersion,
    /// The method is not GET (§4.1).
    Method,
    /// The request target is neither a path nor an `http` or `https` URL, or it has a fragment,
    /// blanks or characters that a URL cannot have, or it contradicts the Host header.
    BadTarget,
    /// The request has no `Upgrade: websocket`: it is plain HTTP.
    NotAnUpgrade,
    /// The request has `Upgrade: websocket`, but `Connection` does not contain `Upgrade`.
    NoConnectionUpgrade,
    /// The request came over HTTP/2 and is no extended CONNECT (RFC 8441 §4).
    NotExtendedConnect,
    /// The `:protocol` of an extended CONNECT is another than `websocket` (RFC 8441 §5).
    OtherProtocol,
    /// A header that must be there is not.
    MissingHeader(&'static str),
    /// A header that must be there at most once is there again.
    RepeatedHeader(&'static str),
    /// The value of a header is malformed.
    BadHeader(&'static str),
    /// The client offers more than [`MAX_SUBPROTOCOLS`] subprotocols.
    TooManySubprotocols,
    /// `Sec-WebSocket-Version` is missing or not 13 (§4.2.2).
    Version,
    /// `Content-Length` or `Transfer-Encoding` announces a body. The handshake has none, and what
    /// follows the head would be read differently by us and by others.
    HasBody,
    /// The server answered with a status other than 101. The field is the status.
    UnexpectedStatus(u16),
    /// The 101 has no `Upgrade: websocket`, or upgrades to something else too.
    MissingUpgrade,
    /// The 101 has no `Connection: Upgrade`.
    MissingConnection,
    /// `Sec-WebSocket-Accept` does not answer our key (§4.1).
    BadAccept,
    /// The server chose a subprotocol that was not offered.
    SubprotocolNotOffered,
    /// The server chose an extension that was not offered.
    ExtensionNotOffered,
}

impl HandshakeError {
    /// The HTTP status with which a server refuses such a request.
    ///
    /// 502 for what only a client meets: what a gateway says whose upstream did it.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadHead
            | Self::Tls
            | Self::HttpVersion
            | Self::BadTarget
            | Self::NoConnectionUpgrade
            | Self::NotExtendedConnect
            | Self::MissingHeader(_)
            | Self::RepeatedHeader(_)
            | Self::BadHeader(_)
            | Self::TooManySubprotocols
            | Self::HasBody => 400,
            Self::Method => 405,
            Self::OtherProtocol => 501,
            Self::TargetTooLong { .. } => 414,
            Self::NotAnUpgrade | Self::Version => 426,
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => 431,
            Self::UnexpectedStatus(_)
            | Self::MissingUpgrade
            | Self::MissingConnection
            | Self::BadAccept
            | Self::SubprotocolNotOffered
            | Self::ExtensionNotOffered => 502,
        }
    }

    /// The header that has to go with [`status`](Self::status) and says what would have been
    /// accepted: for [`write_refusal`](crate::write_refusal).
    pub const fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Method => Some(("Allow", "GET")),
            Self::NotAnUpgrade => Some(("Upgrade", "websocket")),
            Self::Version => Some(("Sec-WebSocket-Version", "13")),
            _ => None,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::HeadTooLong { limit } => {
                return write!(f, "the peer's HTTP head exceeds the limit of {limit} bytes");
            }
            Self::TargetTooLong { limit } => {
                return write!(
                    f,
                    "the first line of the peer's HTTP head exceeds the limit of {limit} bytes"
                );
            }
            Self::TooManyHeaders { limit } => {
                return write!(f, "the peer's HTTP head has more than {limit} headers, the limit");
            }
            Self::MissingHeader(name) => {
                return write!(f, "the peer's handshake has no {name} header");
            }
            Self::RepeatedHeader(name) => {
                return write!(f, "the peer's handshake has more than one {name} header");
            }
            Self::BadHeader(name) => return write!(f, "the peer's {name} header is malformed"),
            Self::TooManySubprotocols => {
                return write!(
                    f,
                    "the client offers more than {MAX_SUBPROTOCOLS} subprotocols, the limit"
                );
            }
            Self::UnexpectedStatus(status) => {
                return write!(f, "the server refused the WebSocket with HTTP status {status}");
            }
            Self::BadHead => "the peer's HTTP head is malformed",
            Self::Tls => {
                "the peer speaks TLS on this port, and this side does not (ws:// or wss://?)"
            }
            Self::HttpVersion => "the peer does not speak HTTP/1.1",
            Self::Method => "the client asks for a WebSocket with a method other than GET",
            Self::BadTarget => "the client's request target is malformed or contradicts its Host",
            Self::NotAnUpgrade => {
                "the client's request has no `Upgrade: websocket` header, which this endpoint \
                 needs; if the client sent one, a proxy dropped it"
            }
            Self::NoConnectionUpgrade => {
                "the client's Connection header does not contain `Upgrade`; \
                 if the client sent it, a proxy dropped it"
            }
            Self::NotExtendedConnect => {
                "this endpoint is a WebSocket, which over HTTP/2 is opened by an extended CONNECT with \
                 `:protocol = websocket` (RFC 8441); if the client sent one, a proxy dropped it"
            }
            Self::OtherProtocol => {
                "the client's CONNECT asks for another `:protocol` than `websocket`, the only one \
                 spoken here"
            }
            Self::Version => "the client does not ask for WebSocket version 13",
            Self::HasBody => "the peer's handshake announces a body, and must have none",
            Self::MissingUpgrade => "the server's 101 is not an `Upgrade: websocket`",
            Self::MissingConnection => "the server's 101 has no `Connection: Upgrade` header",
            Self::BadAccept => {
                "the server's Sec-WebSocket-Accept header does not answer our key: it is no \
                 WebSocket server, or this is the response to another request"
            }
            Self::SubprotocolNotOffered => "the server chose a subprotocol we did not offer",
            Self::ExtensionNotOffered => "the server chose an extension we did not offer",
        })
    }
}

impl core::error::Error for HandshakeError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn an_exceeded_limit_is_named_with_its_value() {
        let errors = [
            (HandshakeError::HeadTooLong { limit: 16_384 }, "16384 bytes"),
            (HandshakeError::TargetTooLong { limit: 16_384 }, "16384 bytes"),
            (HandshakeError::TooManyHeaders { limit: 100 }, "100 headers"),
            (HandshakeError::TooManySubprotocols, "100 subprotocols"),
            (HandshakeError::UnexpectedStatus(503), "503"),
        ];
        for (error, part) in errors {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
