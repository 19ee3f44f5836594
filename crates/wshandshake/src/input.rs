use core::fmt;

use crate::syntax;

/// Why a handshake is not written. Always the caller's fault; not a byte of it has been written
/// (but for [`Output`](Self::Output)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidInput {
    /// The name of a header is not a token.
    HeaderName,
    /// The value of a header contains CR, LF, NUL or another control character.
    HeaderValue,
    /// The header is written by this crate or would change what the message means: `Host`,
    /// `Connection`, `Upgrade`, `Content-Length`, `Transfer-Encoding`, `Sec-WebSocket-*`, …
    ReservedHeader,
    /// A subprotocol is not a token.
    Subprotocol,
    /// A subprotocol is offered twice.
    RepeatedSubprotocol,
    /// More than [`MAX_SUBPROTOCOLS`](crate::MAX_SUBPROTOCOLS) subprotocols are offered.
    TooManySubprotocols,
    /// The subprotocol to answer with was not offered by the client.
    SubprotocolNotOffered,
    /// The value for `Sec-WebSocket-Extensions` does not follow RFC 6455 §9.1.
    Extensions,
    /// An extension to answer with was not offered by the client.
    ExtensionNotOffered,
    /// The request target does not start with `/`, has a fragment, or has characters that must
    /// be percent-encoded.
    Target,
    /// The host is not a name or address with an optional port.
    Host,
    /// The origin is empty, or has blanks or characters other than printable ASCII.
    Origin,
    /// The status is not that of a refusal: 200–599, but not 204, 205 or 304, which have no body.
    Status,
    /// The request is an extended CONNECT, which is not answered with a 101 but by the HTTP/2
    /// library.
    ExtendedConnect,
    /// Nothing wrong with the input: the writer given refused what was written to it.
    Output,
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderName => "the name of an extra header is not a token",
            Self::HeaderValue => "the value of an extra header contains a control character",
            Self::ReservedHeader => "an extra header is one that the handshake sets itself",
            Self::Subprotocol => "a subprotocol is not a token",
            Self::RepeatedSubprotocol => "a subprotocol is offered twice",
            Self::TooManySubprotocols => "too many subprotocols are offered",
            Self::SubprotocolNotOffered => "the subprotocol was not offered by the client",
            Self::Extensions => "the extensions are not a list as RFC 6455 §9.1 has it",
            Self::ExtensionNotOffered => "an extension was not offered by the client",
            Self::Target => {
                "the request target does not start with `/` or has characters to be percent-encoded"
            }
            Self::Host => "the host is not a name or address with an optional port",
            Self::Origin => "the origin is not printable ASCII",
            Self::Status => "the status cannot be that of a refusal",
            Self::ExtendedConnect => {
                "an extended CONNECT is answered by the HTTP/2 library, and not with a 101"
            }
            Self::Output => "the handshake could not be written to the output given",
        })
    }
}

impl core::error::Error for InvalidInput {}

impl From<fmt::Error> for InvalidInput {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

/// Refuses headers that would let a caller's string end its line (HAZARDS F), and those whose
/// name is reserved: in every message the ones that frame it, and `more`.
pub(crate) fn check_headers<T: AsRef<str>>(
    headers: &[(T, T)],
    more: impl Fn(&str) -> bool,
) -> Result<(), InvalidInput> {
    for (name, value) in headers {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !syntax::is_token(name.as_bytes()) {
            return Err(InvalidInput::HeaderName);
        }
        if !syntax::is_field_value(value.as_bytes()) {
            return Err(InvalidInput::HeaderValue);
        }
        let framing = ["Host", "Connection", "Content-Length", "Transfer-Encoding"];
        if framing.iter().any(|framing| framing.eq_ignore_ascii_case(name)) || more(name) {
            return Err(InvalidInput::ReservedHeader);
        }
    }
    Ok(())
}

/// Whether the handshake itself is spoken in this header.
pub(crate) fn is_handshake_header(name: &str) -> bool {
    let prefix = b"Sec-WebSocket-";
    name.eq_ignore_ascii_case("Upgrade")
        || name
            .as_bytes()
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Writes the lines of `headers`, which have been checked.
pub(crate) fn write_headers<T: AsRef<str>>(
    out: &mut impl fmt::Write,
    headers: &[(T, T)],
) -> fmt::Result {
    headers
        .iter()
        .try_for_each(|(name, value)| write!(out, "{}: {}\r\n", name.as_ref(), value.as_ref()))
}
