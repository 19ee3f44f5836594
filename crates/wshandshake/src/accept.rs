use core::fmt;

use crate::extension::Extensions;
use crate::input::{check_headers, is_handshake_header, write_headers};
use crate::{InvalidInput, Request, syntax};

/// What a server agrees to, for the 101 that answers a [`Request`].
///
/// `T` is `&str`, `String` or whatever strings the caller has at hand.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a, T = &'a str> {
    /// The subprotocol: one of those offered, or none.
    pub subprotocol: Option<&'a str>,
    /// The whole value of the `Sec-WebSocket-Extensions` header: extensions that were offered.
    pub extensions: Option<&'a str>,
    /// More headers: none that the handshake sets itself.
    pub headers: &'a [(T, T)],
}

impl Default for Accept<'_> {
    /// No subprotocol, no extensions, no more headers.
    fn default() -> Self {
        Self { subprotocol: None, extensions: None, headers: &[] }
    }
}

impl Request<'_, '_> {
    /// Whether `response` may answer this request. For a response written by another library:
    /// [`write_accept`](Self::write_accept) checks for itself.
    ///
    /// # Errors
    ///
    /// What is wrong with `response`: a subprotocol or extension that is malformed or was not offered,
    /// a header that is malformed, or one that the handshake sets itself.
    pub fn check_accept<T: AsRef<str>>(
        &self,
        response: &Accept<'_, T>,
    ) -> Result<(), InvalidInput> {
        if let Some(chosen) = response.subprotocol {
            if !syntax::is_token(chosen.as_bytes()) {
                return Err(InvalidInput::Subprotocol);
            }
            if self.subprotocols().all(|offered| offered != chosen) {
                return Err(InvalidInput::SubprotocolNotOffered);
            }
        }
        if let Some(value) = response.extensions {
            let accepted = Extensions::parse(value.as_bytes());
            for extension in accepted.map_err(|_| InvalidInput::Extensions)? {
                if self.extensions().all(|offered| offered.name() != extension.name()) {
                    return Err(InvalidInput::ExtensionNotOffered);
                }
            }
        }
        check_headers(response.headers, is_handshake_header)
    }

    /// Writes the head of the 101 that turns the connection into a WebSocket (RFC 6455 §4.2.2).
    ///
    /// # Errors
    ///
    /// As for [`check_accept`](Self::check_accept), and then nothing is written; or
    /// [`InvalidInput::Output`].
    pub fn write_accept<T: AsRef<str>>(
        &self,
        out: &mut impl fmt::Write,
        response: &Accept<'_, T>,
    ) -> Result<(), InvalidInput> {
        self.check_accept(response)?;
        let key = self.accept_key().ok_or(InvalidInput::ExtendedConnect)?;
        out.write_str("HTTP/1.1 101 Switching Protocols\r\n")?;
        out.write_str("Upgrade: websocket\r\nConnection: Upgrade\r\n")?;
        write!(out, "Sec-WebSocket-Accept: {}\r\n", key.as_str())?;
        if let Some(subprotocol) = response.subprotocol {
            write!(out, "Sec-WebSocket-Protocol: {subprotocol}\r\n")?;
        }
        if let Some(extensions) = response.extensions {
            write!(out, "Sec-WebSocket-Extensions: {extensions}\r\n")?;
        }
        write_headers(out, response.headers)?;
        Ok(out.write_str("\r\n")?)
    }
}
