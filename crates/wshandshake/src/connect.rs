//! The opening handshake over HTTP/2 and HTTP/3: extended CONNECT (RFC 8441, RFC 9220).

use crate::headers::{Header, Headers};
use crate::origin::{Authority, default_port};
use crate::{Accepted, HandshakeError, Request, Response, Upgrade, syntax};

/// The pseudo-headers of a request over HTTP/2 or HTTP/3, as the HTTP library gives them.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedConnect<'a, 'b> {
    /// `:method`.
    pub method: &'a str,
    /// `:protocol`; `None` where there is none, which is an ordinary request.
    pub protocol: Option<&'a str>,
    /// `:scheme`.
    pub scheme: &'a str,
    /// `:authority`: a name or address, and perhaps a port.
    pub authority: &'b str,
    /// `:path`: path and query.
    pub path: &'b str,
}

/// What belongs to one connection of HTTP/1.1 and no message of HTTP/2 may have (RFC 9113 §8.2.2).
const OF_THE_CONNECTION: [&str; 5] =
    ["Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"];

impl<'h, 'b> Request<'h, 'b> {
    /// A request by extended CONNECT (RFC 8441 §5), which an HTTP library has parsed. `headers` are
    /// without the pseudo-headers.
    ///
    /// It is answered with a 200 by the HTTP library, and has no [`accept_key`](Self::accept_key).
    ///
    /// # Errors
    ///
    /// What is wrong with the request. It must be refused, and with it its stream alone:
    /// [`HandshakeError::status`] says with which status.
    pub fn from_connect(
        connect: &ExtendedConnect<'_, 'b>,
        headers: &'h [Header<'b>],
    ) -> Result<Self, HandshakeError> {
        let headers = Headers::new(headers)?;
        let Some(protocol) = connect.protocol.filter(|_| connect.method == "CONNECT") else {
            return Err(HandshakeError::NotExtendedConnect);
        };
        // A token of RFC 9110 §7.8, which is compared regardless of case.
        if !protocol.eq_ignore_ascii_case("websocket") {
            return Err(HandshakeError::OtherProtocol);
        }
        let is = |scheme: &str| connect.scheme.eq_ignore_ascii_case(scheme);
        if !(is("http") || is("https"))
            || !connect.path.starts_with('/')
            || !syntax::is_path_and_query(connect.path)
        {
            return Err(HandshakeError::BadTarget);
        }
        let authority = Authority::parse(connect.authority).ok_or(HandshakeError::BadTarget)?;
        // RFC 9113 §8.3.1: who is meant must not depend on which of the two is read.
        if let Some(host) = headers.single("Host")? {
            let host = core::str::from_utf8(host).ok().and_then(Authority::parse);
            let host = host.ok_or(HandshakeError::BadHeader("Host"))?;
            if !authority.same(&host, default_port(connect.scheme)) {
                return Err(HandshakeError::BadTarget);
            }
        }
        if let Some(name) = OF_THE_CONNECTION.into_iter().find(|name| headers.get(name).is_some()) {
            return Err(HandshakeError::BadHeader(name));
        }
        if headers.announce_body() {
            return Err(HandshakeError::HasBody);
        }
        // §5: the key is not looked at, all else is as in RFC 6455.
        if headers.single("Sec-WebSocket-Version")? != Some(b"13") {
            return Err(HandshakeError::Version);
        }
        Self::negotiable(connect.path, connect.path, connect.authority, None, headers)
    }
}

impl<'h, 'b> Response<'h, 'b> {
    /// As [`verify`](Self::verify), for the answer to an extended CONNECT (RFC 8441 §5): any 2xx, and
    /// no `Sec-WebSocket-Accept`.
    ///
    /// # Errors
    ///
    /// The server has not agreed, and the stream must be reset.
    pub fn verify_connect<T: AsRef<str>>(
        &self,
        upgrade: &Upgrade<'_, T>,
    ) -> Result<Accepted<'h, 'b>, HandshakeError> {
        // RFC 9110 §9.3.6: any 2xx is a tunnel.
        if !matches!(self.status(), 200..=299) {
            return Err(HandshakeError::UnexpectedStatus(self.status()));
        }
        self.agreed(upgrade)
    }
}
