use core::fmt;

use crate::extension::Extensions;
use crate::input::{check_headers, is_handshake_header, write_headers};
use crate::origin::Authority;
use crate::{InvalidInput, Key, MAX_SUBPROTOCOLS, syntax};

/// A client's request for a WebSocket (RFC 6455 §4.1).
///
/// `T` is `&str`, `String` or whatever strings the caller has at hand.
///
/// ```
/// use wshandshake::{Key, Upgrade};
///
/// let upgrade = Upgrade::new("server.example.com:8080", "/chat", Key::new(*b"the sample nonce"));
/// let mut out = String::new();
/// upgrade.write(&mut out)?;
/// assert_eq!(
///     out,
///     "GET /chat HTTP/1.1\r\n\
///      Host: server.example.com:8080\r\n\
///      Upgrade: websocket\r\n\
///      Connection: Upgrade\r\n\
///      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///      Sec-WebSocket-Version: 13\r\n\r\n"
/// );
/// # Ok::<(), wshandshake::InvalidInput>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a, T = &'a str> {
    /// The server's name or address, and its port where it is not the default one.
    pub host: &'a str,
    /// Path and query, percent-encoded: `/chat?room=1`.
    pub target: &'a str,
    /// The key, of bytes that are random and fresh.
    pub key: Key,
    /// The `Origin` header; a client that is no browser needs none.
    pub origin: Option<&'a str>,
    /// The subprotocols to offer, the one liked best first.
    pub subprotocols: &'a [T],
    /// The whole value of the `Sec-WebSocket-Extensions` header, to offer extensions.
    pub extensions: Option<&'a str>,
    /// More headers: none that the handshake sets itself.
    pub headers: &'a [(T, T)],
}

impl<'a> Upgrade<'a> {
    /// A request that offers nothing and has no more headers than it must.
    pub const fn new(host: &'a str, target: &'a str, key: Key) -> Self {
        Self { host, target, key, origin: None, subprotocols: &[], extensions: None, headers: &[] }
    }
}

impl<T: AsRef<str>> Upgrade<'_, T> {
    /// Whether the request can be written.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), InvalidInput> {
        if !syntax::is_path_and_query(self.target) {
            return Err(InvalidInput::Target);
        }
        if Authority::parse(self.host).is_none() {
            return Err(InvalidInput::Host);
        }
        let printable =
            |origin: &str| !origin.is_empty() && origin.bytes().all(|b| b.is_ascii_graphic());
        if !self.origin.is_none_or(printable) {
            return Err(InvalidInput::Origin);
        }
        if self.subprotocols.len() > MAX_SUBPROTOCOLS {
            return Err(InvalidInput::TooManySubprotocols);
        }
        for (at, token) in self.subprotocols.iter().enumerate() {
            let token = token.as_ref();
            if !syntax::is_token(token.as_bytes()) {
                return Err(InvalidInput::Subprotocol);
            }
            if self.subprotocols.iter().take(at).any(|other| other.as_ref() == token) {
                return Err(InvalidInput::RepeatedSubprotocol);
            }
        }
        if self.extensions.is_some_and(|value| Extensions::parse(value.as_bytes()).is_err()) {
            return Err(InvalidInput::Extensions);
        }
        check_headers(self.headers, |name| {
            is_handshake_header(name) || name.eq_ignore_ascii_case("Origin")
        })
    }

    /// Writes the request.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check), and then nothing is written; or [`InvalidInput::Output`].
    pub fn write(&self, out: &mut impl fmt::Write) -> Result<(), InvalidInput> {
        self.check()?;
        write!(out, "GET {} HTTP/1.1\r\nHost: {}\r\n", self.target, self.host)?;
        out.write_str("Upgrade: websocket\r\nConnection: Upgrade\r\n")?;
        write!(out, "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n", self.key.as_str())?;
        if let Some(origin) = self.origin {
            write!(out, "Origin: {origin}\r\n")?;
        }
        for (at, subprotocol) in self.subprotocols.iter().enumerate() {
            out.write_str(if at == 0 { "Sec-WebSocket-Protocol: " } else { ", " })?;
            out.write_str(subprotocol.as_ref())?;
        }
        if !self.subprotocols.is_empty() {
            out.write_str("\r\n")?;
        }
        if let Some(extensions) = self.extensions {
            write!(out, "Sec-WebSocket-Extensions: {extensions}\r\n")?;
        }
        write_headers(out, self.headers)?;
        Ok(out.write_str("\r\n")?)
    }
}
