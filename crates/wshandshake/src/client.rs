use core::fmt;

use crate::extension::Extensions;
use crate::headers::{Header, HeaderSlots, Headers};
use crate::server::{check_head, head_error};
use crate::{Extension, HandshakeError, Upgrade};

/// The head of what a server answered: well-formed HTTP, but not yet held against the request.
///
/// Where it is no 101 it may be a redirect, or ask for a login: [`status`](Self::status) and
/// [`header`](Self::header) tell, and what to do then is up to the caller.
#[derive(Clone, Copy)]
pub struct Response<'h, 'b> {
    status: u16,
    reason: &'b str,
    http_1_1: bool,
    headers: Headers<'h, 'b>,
}

impl<'h, 'b> Response<'h, 'b> {
    /// Parses a head that ends where a [`HeadScanner`](crate::HeadScanner) says it does.
    ///
    /// # Errors
    ///
    /// The head is malformed, or has more than `N` headers.
    pub fn parse<const N: usize>(
        head: &'b [u8],
        slots: &'h mut HeaderSlots<'b, N>,
    ) -> Result<Self, HandshakeError> {
        check_head(head)?;
        let mut parsed = [httparse::EMPTY_HEADER; N];
        let mut response = httparse::Response::new(&mut parsed);
        match response.parse(head).map_err(|error| head_error(error, N))? {
            httparse::Status::Complete(len) if len == head.len() => {}
            _ => return Err(HandshakeError::BadHead),
        }
        let (Some(status), Some(version)) = (response.code, response.version) else {
            return Err(HandshakeError::BadHead);
        };
        let reason = response.reason.unwrap_or_default();
        Ok(Self { status, reason, http_1_1: version == 1, headers: slots.fill(response.headers) })
    }

    /// The same, for a response that another HTTP library has parsed.
    ///
    /// # Errors
    ///
    /// A header is malformed.
    pub fn from_parts(
        status: u16,
        reason: &'b str,
        http_1_1: bool,
        headers: &'h [Header<'b>],
    ) -> Result<Self, HandshakeError> {
        Ok(Self { status, reason, http_1_1, headers: Headers::new(headers)? })
    }

    /// The status, which is 101 if the server agrees. Behind any other from 100 to 199 another head follows
    /// (RFC 9110 §15.2), and only the last one counts.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The words behind the status; perhaps none.
    pub const fn reason(&self) -> &'b str {
        self.reason
    }

    /// The value of the first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.get(name)
    }

    /// All headers, in their order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'b>> + Clone + use<'h, 'b> {
        self.headers.iter()
    }

    /// Whether the server has agreed, and to nothing but what `upgrade` asked for (RFC 6455 §4.1).
    ///
    /// # Errors
    ///
    /// It has not, and the connection must be closed.
    pub fn verify<T: AsRef<str>>(
        &self,
        upgrade: &Upgrade<'_, T>,
    ) -> Result<Accepted<'h, 'b>, HandshakeError> {
        let headers = self.headers;
        if self.status != 101 {
            return Err(HandshakeError::UnexpectedStatus(self.status));
        }
        if !self.http_1_1 {
            return Err(HandshakeError::HttpVersion);
        }
        // Items 2 and 3 of §4.1: Upgrade is this and no other, Connection contains its token.
        if !headers.contains_only("Upgrade", "websocket") {
            return Err(HandshakeError::MissingUpgrade);
        }
        if !headers.contains("Connection", "upgrade") {
            return Err(HandshakeError::MissingConnection);
        }
        let accept = "Sec-WebSocket-Accept";
        let value = headers.single(accept)?.ok_or(HandshakeError::MissingHeader(accept))?;
        if value != upgrade.key.accept().as_str().as_bytes() {
            return Err(HandshakeError::BadAccept);
        }
        // RFC 9110 §8.6, §15.2: a 1xx has no body. What follows is the WebSocket.
        if headers.announce_body() {
            return Err(HandshakeError::HasBody);
        }
        self.agreed(upgrade)
    }

    /// What has been agreed, which must have been offered.
    pub(crate) fn agreed<T: AsRef<str>>(
        &self,
        upgrade: &Upgrade<'_, T>,
    ) -> Result<Accepted<'h, 'b>, HandshakeError> {
        let headers = self.headers;
        let mut subprotocol = None;
        if let Some(value) = headers.single("Sec-WebSocket-Protocol")? {
            let offered = upgrade.subprotocols.iter().any(|one| one.as_ref().as_bytes() == value);
            subprotocol = core::str::from_utf8(value).ok().filter(|_| offered);
            if subprotocol.is_none() {
                return Err(HandshakeError::SubprotocolNotOffered);
            }
        }
        // Erratum 3433: several lines are one list.
        for value in headers.all("Sec-WebSocket-Extensions") {
            for extension in Extensions::parse(value)? {
                let offer = Extensions::checked(upgrade.extensions.unwrap_or_default().as_bytes());
                if !offer.into_iter().any(|offered| offered.name() == extension.name()) {
                    return Err(HandshakeError::ExtensionNotOffered);
                }
            }
        }
        Ok(Accepted { subprotocol, headers })
    }
}

impl fmt::Debug for Response<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// What a server has agreed to.
#[derive(Clone, Copy)]
pub struct Accepted<'h, 'b> {
    subprotocol: Option<&'b str>,
    headers: Headers<'h, 'b>,
}

impl<'h, 'b> Accepted<'h, 'b> {
    /// The subprotocol to speak: one of those offered, or none.
    pub const fn subprotocol(&self) -> Option<&'b str> {
        self.subprotocol
    }

    /// The extensions in use, in the order in which they apply. Each name was offered; whether
    /// its parameters answer the offer is for the extension to say.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'b>> + Clone + use<'h, 'b> {
        self.headers.all("Sec-WebSocket-Extensions").flat_map(Extensions::checked)
    }
}

impl fmt::Debug for Accepted<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}
