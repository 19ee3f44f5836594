use alloc::{borrow::ToOwned, format, string::String};
use core::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Uri;
use percent_encoding::percent_decode_str;

use super::{Error, random};
use crate::{
    Time,
    opening::{ClientOpening, ClientOptions, HandshakeFailure},
};

/// A URL to connect to (RFC 6455 §3).
#[derive(Clone)]
pub struct Url {
    /// Without the user and password.
    uri: Uri,
    secure: bool,
    pub(super) user: Option<User>,
}

/// A user and a password.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

impl Url {
    /// Parses a URL, as in `ws://example.org:8080/chat?room=1` or `wss://ada:secret@example.org`.
    ///
    /// Fails with [`Error::Url`], which says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let bad = |why: &str| {
            Error::Url(format!("{:?} is not a URL to connect to: {why}", without_user(url)))
        };
        let secure = scheme.eq_ignore_ascii_case("wss");
        if !secure && !scheme.eq_ignore_ascii_case("ws") {
            return Err(bad("it does not start with ws:// or wss://"));
        }
        Self::behind_scheme(rest, secure).map_err(|why| bad(&why))
    }

    /// Parses what stands behind the scheme, or says what is wrong with it.
    pub(super) fn behind_scheme(rest: &str, secure: bool) -> Result<Self, String> {
        let bad = |why: &str| Err(why.to_owned());
        if rest.contains('#') {
            // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs
            // and MUST NOT be used on these URIs." To drop it would cut a password that has a #.
            return bad("it has a fragment (#…)");
        }
        let user = user_info(rest);
        let rest = user.and_then(|user| rest.get(user.len() + 1..)).unwrap_or(rest);
        if rest.is_empty() || rest.starts_with(['/', '?', ':']) {
            return bad("it has no host");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return bad(
                "blanks and what is not ASCII are to be percent-encoded, as in %20, and host names \
                 written in ASCII, as in xn--…",
            );
        }
        let uri: Uri = format!("ws://{rest}").parse().map_err(|error| format!("{error}"))?;
        let Some(authority) = uri.authority() else { return bad("it has no host") };
        let port = authority.as_str().get(authority.host().len()..).unwrap_or_default();
        let is_port = match port.as_bytes() {
            [] | b":" => true,
            [b':', digits @ ..] => {
                digits.iter().all(u8::is_ascii_digit) && authority.port_u16() > Some(0)
            }
            _ => false,
        };
        if !is_port {
            return bad("the port is not a number from 1 to 65535");
        }
        let user = user.map(User::parse).transpose()?;
        Ok(Self { uri, secure, user })
    }

    /// Refuses `wss://`, for a transport that is built without TLS.
    pub fn without_tls(self) -> Result<Self, Error> {
        if self.secure {
            return Err(Error::Url(format!(
                "{self:?} needs TLS, which this program is built without (feature tls)"
            )));
        }
        Ok(self)
    }

    /// Whether it is `wss://`: TLS comes first.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The name or address to connect to, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(self.default_port())
    }

    /// The host and the port, if it is not the default one: the `Host` header (RFC 6455 §4.1).
    pub fn authority(&self) -> String {
        match self.uri.authority() {
            Some(authority) if self.port() != self.default_port() => authority.as_str().to_owned(),
            _ => self.uri.host().unwrap_or_default().to_owned(),
        }
    }

    /// The host, with the brackets of an IPv6 address, and the port.
    pub(super) fn host_and_port(&self) -> String {
        format!("{}:{}", self.uri.host().unwrap_or_default(), self.port())
    }

    /// The port that is written out.
    pub(super) fn explicit_port(&self) -> Option<u16> {
        self.uri.port_u16()
    }

    /// The path and the query.
    pub fn target(&self) -> String {
        match self.uri.path_and_query().map(|target| target.as_str()) {
            None | Some("") => "/".to_owned(),
            Some(target) if target.starts_with('?') => format!("/{target}"),
            Some(target) => target.to_owned(),
        }
    }

    /// Begins the opening handshake that asks for this URL. Its user and password go into an
    /// `Authorization` header (RFC 7617), unless `options` have one.
    ///
    /// Fails if the options have something that must not be sent.
    pub fn opening(&self, options: &ClientOptions) -> Result<ClientOpening, Error> {
        let mut options = options.clone();
        if let Some(user) = &self.user {
            let name = "Authorization";
            if !options.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                options.headers.push((name.to_owned(), user.basic()));
            }
        }
        let (host, target) = (self.authority(), self.target());
        ClientOpening::new(options, host, target, random::bytes(), Time::ZERO)
            .map_err(|error| HandshakeFailure::from(error).into())
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

impl fmt::Debug for Url {
    /// Without the user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        let user = if self.user.is_some() { "…@" } else { "" };
        write!(f, "\"{scheme}://{user}{}{}\"", self.authority(), self.target())
    }
}

impl User {
    /// Parses the part before the `@`, or says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String> {
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        let [name, password] = [name, password].map(|part| {
            let decoded = percent_decode_str(part).decode_utf8().ok();
            decoded.filter(|part| !part.chars().any(char::is_control))
        });
        let (Some(name), Some(password)) = (name, password) else {
            return Err("its user or password is not text".to_owned());
        };
        // RFC 7617 §2: "a user-id containing a colon character is invalid".
        if name.contains(':') {
            return Err("its user has a colon".to_owned());
        }
        Ok(Self { name: name.into_owned(), password: password.into_owned() })
    }

    /// The credentials of HTTP's Basic scheme (RFC 7617).
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", self.name, self.password)))
    }
}

/// What stands before the `@`.
fn user_info(rest: &str) -> Option<&str> {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').map(|(user, _)| user)
}

/// A URL as it may be shown. All before the last `@` may be a password, if it is not written as it has to be.
pub(super) fn without_user(url: &str) -> String {
    let Some((user, rest)) = url.rsplit_once('@') else { return url.to_owned() };
    match user.split_once("://") {
        Some((scheme, _)) if !scheme.contains(':') => format!("{scheme}://…@{rest}"),
        _ => format!("…@{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, string::ToString};

    use super::*;

    #[test]
    fn a_url_tells_where_to_connect_and_what_to_ask_for() {
        for (url, host, port, authority, target) in [
            ("ws://example.org", "example.org", 80, "example.org", "/"),
            ("WS://example.org:80/", "example.org", 80, "example.org", "/"),
            ("ws://example.org:", "example.org", 80, "example.org", "/"),
            ("ws://example.org:443", "example.org", 443, "example.org:443", "/"),
            ("ws://example.org:8080?a=b", "example.org", 8080, "example.org:8080", "/?a=b"),
            ("ws://[::1]:9001/x/y?z", "::1", 9001, "[::1]:9001", "/x/y?z"),
            ("wss://example.org", "example.org", 443, "example.org", "/"),
            ("WSS://example.org:443/", "example.org", 443, "example.org", "/"),
            ("wss://example.org:80/", "example.org", 80, "example.org:80", "/"),
            ("wss://ada:secret@example.org/a@b", "example.org", 443, "example.org", "/a@b"),
            ("ws://a@b@[::1]:1?x@y", "::1", 1, "[::1]:1", "/?x@y"),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(parsed.host(), host, "{url}");
            assert_eq!(parsed.port(), port, "{url}");
            assert_eq!(parsed.authority(), authority, "{url}");
            assert_eq!(parsed.target(), target, "{url}");
            assert_eq!(parsed.is_secure(), url.to_lowercase().starts_with("wss"), "{url}");
        }
    }

    #[test]
    fn user_and_password_become_an_authorization_unless_the_caller_has_one() {
        for (user, decoded) in [
            ("ada:secret", "ada:secret"),
            ("ada", "ada:"),
            ("ada:", "ada:"),
            (":secret", ":secret"),
            ("a%40b:c%3Ad:e", "a@b:c:d:e"),
            ("gr%C3%BC%C3%9Fe:%25", "grüße:%"),
        ] {
            let url = Url::parse(&format!("ws://{user}@example.org/x")).unwrap();
            let opening = url.opening(&ClientOptions::default()).unwrap();
            let header =
                format!("\r\nAuthorization: Basic {}\r\n", BASE64_STANDARD.encode(decoded));
            assert!(opening.request().contains(&header), "{user}: {}", opening.request());
            assert!(opening.request().starts_with("GET /x HTTP/1.1\r\nHost: example.org\r\n"));

            let mut options = ClientOptions::default();
            options.headers.push(("authorization".to_owned(), "Bearer 1".to_owned()));
            let opening = url.opening(&options).unwrap();
            assert!(opening.request().contains("authorization: Bearer 1\r\n"));
            assert!(!opening.request().contains("Basic"));
        }
    }

    #[test]
    fn nothing_that_is_shown_has_the_user_or_the_password() {
        let url = Url::parse("wss://ada:secret@example.org:1/x?y").unwrap();
        assert_eq!(format!("{url:?}"), "\"wss://…@example.org:1/x?y\"");
        let no_tls = url.without_tls().unwrap_err().to_string();
        assert!(no_tls.contains("feature tls") && !no_tls.contains("secret"), "{no_tls}");
        for (url, shown) in [
            ("ws://ada:secret@x#y", "ws://…@x#y"),
            ("wsx://ada:secret@x", "wsx://…@x"),
            ("ws://ada:secret@x:0", "ws://…@x:0"),
            ("ws://ada:secret@", "ws://…@"),
            // As it is not to be written: these end the user and password, or begin them.
            ("ws://ada:se#cret@x", "ws://…@x"),
            ("ws://ada:se/cret@x", "ws://…@x"),
            ("ws://ada:se?cret@x", "ws://…@x"),
            ("ws://ada:se@cret@x#", "ws://…@x#"),
            ("ada:se://cret@x", "…@x"),
            ("ws://s@x#", "ws://…@x#"),
        ] {
            let error = Url::parse(url).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{shown:?} is not a URL")), "{error}");
        }
    }

    #[test]
    fn what_is_no_websocket_url_is_refused_with_a_reason() {
        for (url, why) in [
            ("", "does not start with ws://"),
            ("/path", "does not start with ws://"),
            ("example.org", "does not start with ws://"),
            ("http://example.org", "does not start with ws://"),
            ("ws://example.org/#x", "fragment"),
            ("ws://ada:se\u{1}cret@example.org", "is not text"),
            ("ws://ada:%FF@example.org", "is not text"),
            ("ws://ada:%0D%0A@example.org", "is not text"),
            ("ws://a%3Ab:c@example.org", "colon"),
            ("ws://", "no host"),
            ("ws:///path", "no host"),
            ("ws://ada:secret@", "no host"),
            ("ws://ada:secret@:1", "no host"),
            ("ws://example.org:99999/", "the port is not a number"),
            ("ws://example.org:0/", "the port is not a number"),
            ("ws://example.org:+80/", "the port is not a number"),
            ("ws://[::1]x/", "the port is not a number"),
            ("ws://[::1]x:80/", "the port is not a number"),
            ("ws://[::1]80", "the port is not a number"),
            ("ws://exa mple.org", "not a URL"),
            ("ws://exämple.org", "ASCII"),
            ("ws://example.org/\r\nX: y", "not a URL"),
        ] {
            let error = Url::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
