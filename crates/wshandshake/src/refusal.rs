use core::fmt;

use crate::input::{check_headers, is_handshake_header, write_headers};
use crate::{InvalidInput, Request};

/// Writes a whole response that refuses a request, after which the connection must be closed: what
/// has been pipelined behind the request is not answered.
///
/// It says `Connection: close` and has `body` as plain text. For what a
/// [`HandshakeError`](crate::HandshakeError) answers, pass its `status()` and its `header()`.
///
/// ```
/// use wshandshake::{HandshakeError, write_refusal};
///
/// let error = HandshakeError::Version;
/// let mut out = String::new();
/// write_refusal(&mut out, error.status(), "Only version 13.\n", error.header().as_slice())?;
/// assert_eq!(
///     out,
///     "HTTP/1.1 426 Upgrade Required\r\n\
///      Connection: close\r\n\
///      Content-Type: text/plain; charset=utf-8\r\n\
///      Content-Length: 17\r\n\
///      Sec-WebSocket-Version: 13\r\n\r\n\
///      Only version 13.\n"
/// );
/// # Ok::<(), wshandshake::InvalidInput>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput::Status`] for a status that is no refusal or has no body; for headers that are
/// malformed or that it sets itself what [`InvalidInput`] says of them (`Upgrade` and
/// `Sec-WebSocket-Version` may be given: they say what would have been accepted). Then nothing is
/// written.
pub fn write_refusal<T: AsRef<str>>(
    out: &mut impl fmt::Write,
    status: u16,
    body: &str,
    headers: &[(T, T)],
) -> Result<(), InvalidInput> {
    check_refusal(status, headers)?;
    // RFC 9110 §7.8: whoever sends Upgrade says so in Connection.
    let upgrade = headers.iter().any(|(name, _)| name.as_ref().eq_ignore_ascii_case("Upgrade"));
    let connection = if upgrade { "close, Upgrade" } else { "close" };
    write!(
        out,
        "HTTP/1.1 {status} {}\r\n\
         Connection: {connection}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n",
        reason(status),
        body.len()
    )?;
    write_headers(out, headers)?;
    Ok(write!(out, "\r\n{body}")?)
}

fn check_refusal<T: AsRef<str>>(status: u16, headers: &[(T, T)]) -> Result<(), InvalidInput> {
    if !matches!(status, 200..=599) || matches!(status, 204 | 205 | 304) {
        return Err(InvalidInput::Status);
    }
    check_headers(headers, |name| {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let advice = is("Upgrade") || is("Sec-WebSocket-Version");
        is("Content-Type") || is_handshake_header(name) && !advice
    })
}

impl Request<'_, '_> {
    /// Checks a refusal of this request that somebody else writes, by the rules of [`write_refusal`].
    /// A status of 200 to 299 would accept an extended CONNECT (RFC 8441 §5).
    ///
    /// # Errors
    ///
    /// As for [`write_refusal`].
    pub fn check_refusal<T: AsRef<str>>(
        &self,
        status: u16,
        headers: &[(T, T)],
    ) -> Result<(), InvalidInput> {
        if self.accept_key().is_none() && matches!(status, 200..=299) {
            return Err(InvalidInput::Status);
        }
        check_refusal(status, headers)
    }
}

/// The phrases of RFC 9110 for what is likely here; a reason may be empty.
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
