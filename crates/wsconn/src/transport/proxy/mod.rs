//! Proxies: which one to go through, and what to say to it.

mod env;
mod tunnel;

pub use tunnel::Tunnel;

use alloc::{format, string::String};
use std::{fmt, io};

use wshandshake::HandshakeError;

use super::{
    Error, Url,
    url::{User, without_user},
};

/// A proxy that opens connections for others: by HTTP's CONNECT (RFC 9110 §9.3.6) or by SOCKS 5
/// (RFC 1928). The proxy looks up the server's name.
#[derive(Clone)]
pub struct Proxy {
    protocol: Protocol,
    url: Url,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

impl Proxy {
    /// Parses the URL of a proxy, as in `http://proxy.example:3128` or
    /// `socks5://ada:secret@127.0.0.1:1080`. Without a scheme it is `http://`; `socks5h://` is the same as
    /// `socks5://`. The port is 80 or 1080 if none is given.
    ///
    /// Fails with [`Error::Url`], which says what is wrong with it.
    pub fn parse(proxy: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::Url(format!("{:?} is not a proxy to go through: {why}", without_user(proxy)))
        };
        let (scheme, rest) = proxy.split_once("://").unwrap_or(("http", proxy));
        let protocol = if scheme.eq_ignore_ascii_case("http") {
            Protocol::Http
        } else if ["socks5", "socks5h"].iter().any(|socks| scheme.eq_ignore_ascii_case(socks)) {
            Protocol::Socks5
        } else {
            return Err(bad("it does not start with http:// or socks5://, which are supported"));
        };
        let url = Url::behind_scheme(rest, false).map_err(|why| bad(&why))?;
        if url.target() != "/" {
            return Err(bad("it has a path"));
        }
        Ok(Self { protocol, url })
    }

    /// The name or address of the proxy.
    pub fn host(&self) -> &str {
        self.url.host()
    }

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.url.explicit_port().unwrap_or(match self.protocol {
            Protocol::Http => 80,
            Protocol::Socks5 => 1080,
        })
    }

    fn user(&self) -> Option<&User> {
        self.url.user.as_ref()
    }
}

impl fmt::Debug for Proxy {
    /// Without the user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} proxy at {}:{}", self.protocol, self.host(), self.port())
    }
}

/// Why there is no way through a proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// No connection to the proxy itself could be made, or it was lost.
    Io(io::Error),
    /// The HTTP proxy answered with a status that is no success.
    Status {
        /// The status code.
        status: u16,
        /// Its reason phrase; may be empty.
        reason: String,
    },
    /// What the proxy answers is not HTTP, or its head is over 16 KiB.
    Http(HandshakeError),
    /// The SOCKS proxy could not connect, or would not: the reply of RFC 1928 §6.
    Reply(u8),
    /// The SOCKS proxy wants a user and password, or does not accept those that it was given.
    Credentials,
    /// What the proxy answers is not SOCKS 5.
    Socks,
    /// The proxy sent more than its answer, before anything was sent through it.
    Surplus,
    /// The proxy ended the connection before it had answered.
    Eof,
    /// The host, user or password is longer than the 255 bytes that SOCKS 5 has room for.
    Length,
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection to the proxy failed: {error}"),
            Self::Status { status, reason } => {
                write!(f, "the proxy answered {status}")?;
                if !reason.is_empty() {
                    write!(f, " {reason}")?;
                }
                f.write_str(match status {
                    407 => ": it wants a user and a password, or others than it was given",
                    403 | 405 => ": it does not let you connect there",
                    502..=504 => ": it cannot reach the server",
                    _ => " instead of connecting",
                })
            }
            Self::Http(HandshakeError::HttpVersion | HandshakeError::Tls) => {
                f.write_str("what the proxy answers is not HTTP: is it an HTTP proxy?")
            }
            Self::Http(error) => write!(f, "the answer of the proxy is not valid: {error}"),
            Self::Reply(code) => {
                // RFC 1928 §6.
                let why = match code {
                    1 => "it has failed",
                    2 => "it does not allow that",
                    3 => "the network of the server cannot be reached",
                    4 => "the server cannot be reached",
                    5 => "the server refused the connection",
                    6 => "the server did not answer in time",
                    7 => "it does not know CONNECT",
                    8 => "it does not know this type of address",
                    _ => "for an unknown reason",
                };
                write!(f, "the SOCKS proxy did not connect: {why} (reply {code})")
            }
            Self::Credentials => f.write_str(
                "the SOCKS proxy wants a user and a password, or does not accept those it was given",
            ),
            Self::Socks => {
                f.write_str("what the proxy answers is not SOCKS 5: is it a SOCKS 5 proxy?")
            }
            Self::Surplus => f.write_str("the proxy sent more than the answer it was asked for"),
            Self::Eof => f.write_str("the proxy ended the connection before it had answered"),
            Self::Length => f.write_str(
                "the host, user or password is longer than the 255 bytes that SOCKS 5 has room for",
            ),
        }
    }
}

impl std::error::Error for ProxyFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Http(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_proxy_is_parsed_from_its_url() {
        for (text, protocol, host, port, user) in [
            ("proxy.example:3128", Protocol::Http, "proxy.example", 3128, None),
            ("http://proxy.example", Protocol::Http, "proxy.example", 80, None),
            ("HTTP://[::1]:81/", Protocol::Http, "::1", 81, None),
            ("socks5://127.0.0.1", Protocol::Socks5, "127.0.0.1", 1080, None),
            ("socks5://127.0.0.1:80", Protocol::Socks5, "127.0.0.1", 80, None),
            ("socks5h://ada:s%40e@a:1", Protocol::Socks5, "a", 1, Some(("ada", "s@e"))),
            ("ada:x@proxy", Protocol::Http, "proxy", 80, Some(("ada", "x"))),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.protocol, protocol, "{text}");
            assert_eq!((proxy.host(), proxy.port()), (host, port), "{text}");
            let parsed = proxy.user().map(|user| (&*user.name, &*user.password));
            assert_eq!(parsed, user, "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_nothing_shown_has_its_password() {
        for (text, why) in [
            ("https://ada:secret@proxy", "does not start with http:// or socks5://"),
            ("socks4://proxy", "does not start with"),
            ("", "no host"),
            ("http://", "no host"),
            ("http://ada:secret@proxy:0", "port"),
            ("http://ada:secret@proxy/path", "path"),
            ("http://ada:se/cret@proxy:3128", "port"),
            ("http://ada:80/secret@proxy", "path"),
            ("http://ada:se#cret@proxy:3128", "fragment"),
            ("ada:80#secret@proxy", "fragment"),
        ] {
            let error = Proxy::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("not a proxy"), "{text}: {error}");
            assert!(!error.contains("cret"), "{error}");
        }
        let proxy = Proxy::parse("socks5://ada:secret@a").unwrap();
        assert_eq!(format!("{proxy:?}"), "Socks5 proxy at a:1080");
    }
}
