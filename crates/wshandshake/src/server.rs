use core::fmt;

use crate::extension::Extensions;
use crate::head::{HeadScanner, Scan};
use crate::headers::{Header, HeaderSlots, Headers};
use crate::key::{AcceptKey, Key};
use crate::origin::{Authority, default_port};
use crate::{Extension, HandshakeError, syntax};

/// How many subprotocols a client may offer: each is compared with those before it.
pub const MAX_SUBPROTOCOLS: usize = 100;

/// A request for a WebSocket that has passed every check of RFC 6455 §4.2.1.
///
/// Whoever has one may answer it with a 101 (a 200 over HTTP/2): by [`write_accept`](Self::write_accept), or in another
/// HTTP library with [`accept_key`](Self::accept_key) and [`check_accept`](Self::check_accept).
/// One check is not made here, for it is a matter of policy: [`origin`](Self::origin), if there is
/// one, must be compared with [`Origin`](crate::Origin).
///
/// ```
/// use wshandshake::{Accept, HeaderSlots, Request};
///
/// let head = b"GET /chat HTTP/1.1\r\n\
///     Host: server.example.com\r\n\
///     Upgrade: websocket\r\n\
///     Connection: keep-alive, Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\n\r\n";
/// let mut slots = HeaderSlots::new();
/// let request = Request::parse(head, &mut slots)?;
/// assert_eq!(request.accept_key().unwrap().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), wshandshake::HandshakeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Request<'h, 'b> {
    target: &'b str,
    path_and_query: &'b str,
    host: &'b str,
    origin: Option<&'b str>,
    /// `None` over HTTP/2, which has none.
    key: Option<Key>,
    headers: Headers<'h, 'b>,
}

impl<'h, 'b> Request<'h, 'b> {
    /// Parses a head that ends where a [`HeadScanner`] says it does.
    ///
    /// # Errors
    ///
    /// What is wrong with the request. It must be refused, and the connection closed:
    /// [`HandshakeError::status`] says with which status.
    pub fn parse<const N: usize>(
        head: &'b [u8],
        slots: &'h mut HeaderSlots<'b, N>,
    ) -> Result<Self, HandshakeError> {
        check_head(head)?;
        let mut parsed = [httparse::EMPTY_HEADER; N];
        let mut request = httparse::Request::new(&mut parsed);
        match request.parse(head).map_err(|error| head_error(error, N))? {
            httparse::Status::Complete(len) if len == head.len() => {}
            _ => return Err(HandshakeError::BadHead),
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(HandshakeError::BadHead);
        };
        Self::check(method, target, version == 1, slots.fill(request.headers))
    }

    /// The same, for a request that another HTTP library has parsed.
    ///
    /// `target` is the request target as it was sent, or at least path and query; `http_1_1`
    /// whether the version is exactly that.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Self::parse).
    pub fn from_parts(
        method: &str,
        target: &'b str,
        http_1_1: bool,
        headers: &'h [Header<'b>],
    ) -> Result<Self, HandshakeError> {
        Self::check(method, target, http_1_1, Headers::new(headers)?)
    }

    fn check(
        method: &str,
        target: &'b str,
        http_1_1: bool,
        headers: Headers<'h, 'b>,
    ) -> Result<Self, HandshakeError> {
        // §4.2.1 item 1: GET, HTTP/1.1 (or higher: but 2 and 3 upgrade otherwise), a target.
        if !http_1_1 {
            return Err(HandshakeError::HttpVersion);
        }
        if method != "GET" {
            return Err(HandshakeError::Method);
        }
        let (authority, path_and_query) = split_target(target)?;
        // Item 2: Host. Where the target has an authority too, who is meant must not depend
        // on which of them is read.
        let host = headers.single("Host")?.ok_or(HandshakeError::MissingHeader("Host"))?;
        let host = core::str::from_utf8(host).unwrap_or_default();
        let parsed = Authority::parse(host).ok_or(HandshakeError::BadHeader("Host"))?;
        if authority.is_some_and(|(authority, port)| !authority.same(&parsed, port)) {
            return Err(HandshakeError::BadTarget);
        }
        if headers.announce_body() {
            return Err(HandshakeError::HasBody);
        }
        // Items 3 and 4. A list will do (RFC 9110 §7.8), but of two lines a proxy may have read the other.
        headers.single("Upgrade")?;
        if !headers.contains("Upgrade", "websocket") {
            return Err(HandshakeError::NotAnUpgrade);
        }
        if !headers.contains("Connection", "upgrade") {
            return Err(HandshakeError::NoConnectionUpgrade);
        }
        // Item 6 before item 5: another version may have another kind of key.
        if headers.single("Sec-WebSocket-Version")? != Some(b"13") {
            return Err(HandshakeError::Version);
        }
        let key = "Sec-WebSocket-Key";
        let value = headers.single(key)?.ok_or(HandshakeError::MissingHeader(key))?;
        let key = Key::parse(value).ok_or(HandshakeError::BadHeader(key))?;
        Self::negotiable(target, path_and_query, host, Some(key), headers)
    }

    /// The checks of what there is to negotiate: items 7 to 9.
    pub(crate) fn negotiable(
        target: &'b str,
        path_and_query: &'b str,
        host: &'b str,
        key: Option<Key>,
        headers: Headers<'h, 'b>,
    ) -> Result<Self, HandshakeError> {
        let origin = match headers.single("Origin")? {
            Some(value) if value.is_ascii() => core::str::from_utf8(value).ok(),
            Some(_) => return Err(HandshakeError::BadHeader("Origin")),
            None => None,
        };
        check_subprotocols(headers)?;
        for value in headers.all("Sec-WebSocket-Extensions") {
            Extensions::parse(value)?;
        }
        Ok(Self { target, path_and_query, host, origin, key, headers })
    }

    /// The request target, as it was sent: a path and query, or a whole URL (for a proxy).
    pub const fn target(&self) -> &'b str {
        self.target
    }

    /// The path of the target, from its `/` to before its `?`. Not percent-decoded.
    pub fn path(&self) -> &'b str {
        match syntax::split_query(self.path_and_query).0 {
            "" => "/",
            path => path,
        }
    }

    /// The query of the target, behind its `?`. Not percent-decoded.
    pub fn query(&self) -> Option<&'b str> {
        syntax::split_query(self.path_and_query).1
    }

    /// The `Host` header, or `:authority`: a name or address, and perhaps a port.
    pub const fn host(&self) -> &'b str {
        self.host
    }

    /// The `Origin` header, if there is one: for [`Origin::parse`](crate::Origin::parse). It is
    /// ASCII, but may be anything else but an origin.
    pub const fn origin(&self) -> Option<&'b str> {
        self.origin
    }

    /// The value of the first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.get(name)
    }

    /// All headers, in their order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'b>> + Clone + use<'h, 'b> {
        self.headers.iter()
    }

    /// The subprotocols that the client offers, the one it likes best first. Tokens; none twice.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + Clone + use<'h, 'b> {
        subprotocols(self.headers).map(|token| core::str::from_utf8(token).unwrap_or_default())
    }

    /// The extensions that the client offers, the one it likes best first. A name may come again,
    /// with other parameters: they are alternatives.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'b>> + Clone + use<'h, 'b> {
        self.headers.all("Sec-WebSocket-Extensions").flat_map(Extensions::checked)
    }

    /// The value of the `Sec-WebSocket-Accept` header that answers this request; `None` for an
    /// extended CONNECT, whose answer has none.
    pub fn accept_key(&self) -> Option<AcceptKey> {
        self.key.as_ref().map(Key::accept)
    }
}

impl fmt::Debug for Request<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither query nor headers, which may hold secrets.
        f.debug_struct("Request")
            .field("path", &self.path())
            .field("host", &self.host)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// That the head is all there, nothing is behind it, and its lines end as they must.
pub(crate) fn check_head(head: &[u8]) -> Result<(), HandshakeError> {
    match HeadScanner::new(usize::MAX).scan(head)? {
        Scan::Complete(len) if len == head.len() => Ok(()),
        _ => Err(HandshakeError::BadHead),
    }
}

pub(crate) const fn head_error(error: httparse::Error, slots: usize) -> HandshakeError {
    match error {
        httparse::Error::TooManyHeaders => HandshakeError::TooManyHeaders { limit: slots },
        httparse::Error::Version => HandshakeError::HttpVersion,
        _ => HandshakeError::BadHead,
    }
}

/// The authority with its scheme's port, if the target is a whole URL, and path and query.
#[expect(clippy::type_complexity, reason = "named where it is taken apart")]
fn split_target(
    target: &str,
) -> Result<(Option<(Authority<'_>, Option<u16>)>, &str), HandshakeError> {
    if target.starts_with('/') {
        let valid = syntax::is_path_and_query(target);
        return valid.then_some((None, target)).ok_or(HandshakeError::BadTarget);
    }
    let url = || {
        let (scheme, rest) = target.split_once("://")?;
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at_checked(end)?;
        let authority = Authority::parse(authority)?;
        let valid = (is("http") || is("https")) && syntax::is_path_and_query_of_url(path_and_query);
        valid.then_some((Some((authority, default_port(scheme))), path_and_query))
    };
    url().ok_or(HandshakeError::BadTarget)
}

fn subprotocols<'h, 'b>(
    headers: Headers<'h, 'b>,
) -> impl Iterator<Item = &'b [u8]> + Clone + use<'h, 'b> {
    headers.all("Sec-WebSocket-Protocol").flat_map(syntax::list)
}

fn check_subprotocols(headers: Headers<'_, '_>) -> Result<(), HandshakeError> {
    let name = "Sec-WebSocket-Protocol";
    // §4.1: at least one, each a token, no two the same.
    let empty = |value: &[u8]| syntax::list(value).next().is_none();
    if headers.all(name).any(empty) {
        return Err(HandshakeError::BadHeader(name));
    }
    let mut seen = [&b""[..]; MAX_SUBPROTOCOLS];
    for (at, token) in subprotocols(headers).enumerate() {
        let Some((before, [slot, ..])) = seen.split_at_mut_checked(at) else {
            return Err(HandshakeError::TooManySubprotocols);
        };
        if !syntax::is_token(token) || before.contains(&token) {
            return Err(HandshakeError::BadHeader(name));
        }
        *slot = token;
    }
    Ok(())
}
