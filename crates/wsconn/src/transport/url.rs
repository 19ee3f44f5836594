use alloc::{borrow::ToOwned, format, string::String};

use http::Uri;

use super::Error;

/// A URL to connect to (RFC 6455 §3).
#[derive(Clone, Debug)]
pub struct Url {
    uri: Uri,
}

impl Url {
    /// Parses a URL, as in `ws://example.org:8080/chat?room=1`.
    ///
    /// Fails with [`Error::Url`], which says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Url(format!("{url:?} is not a URL to connect to: {why}"));
        if url.contains('#') {
            // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs
            // and MUST NOT be used on these URIs."
            return Err(bad("it has a fragment (#…)"));
        }
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if scheme.eq_ignore_ascii_case("wss") {
            return Err(bad("wss:// needs TLS, which this build does not have; use ws://"));
        }
        if !scheme.eq_ignore_ascii_case("ws") {
            return Err(bad("it does not start with ws://"));
        }
        if rest.is_empty() || rest.starts_with(['/', '?', ':']) {
            return Err(bad("it has no host"));
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(
                "blanks and what is not ASCII are to be percent-encoded, as in %20, and host names \
                 written in ASCII, as in xn--…",
            ));
        }
        let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
        let Some(authority) = uri.authority() else { return Err(bad("it has no host")) };
        if authority.as_str().contains('@') {
            return Err(bad("a name and password belong into an Authorization header"));
        }
        let port = authority.as_str().get(authority.host().len()..).unwrap_or_default();
        if !matches!(port, "" | ":") && matches!(authority.port_u16(), None | Some(0)) {
            return Err(bad("the port is not a number from 1 to 65535"));
        }
        Ok(Self { uri })
    }

    /// The name or address to connect to, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(80)
    }

    /// The host and the port, if it is not the default one: the `Host` header (RFC 6455 §4.1).
    pub fn authority(&self) -> String {
        match self.uri.authority() {
            Some(authority) if self.port() != 80 => authority.as_str().to_owned(),
            _ => self.uri.host().unwrap_or_default().to_owned(),
        }
    }

    /// The path and the query.
    pub fn target(&self) -> String {
        match self.uri.path_and_query().map(|target| target.as_str()) {
            None | Some("") => "/".to_owned(),
            Some(target) if target.starts_with('?') => format!("/{target}"),
            Some(target) => target.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_where_to_connect_and_what_to_ask_for() {
        for (url, host, port, authority, target) in [
            ("ws://example.org", "example.org", 80, "example.org", "/"),
            ("WS://example.org:80/", "example.org", 80, "example.org", "/"),
            ("ws://example.org:", "example.org", 80, "example.org", "/"),
            ("ws://example.org:8080?a=b", "example.org", 8080, "example.org:8080", "/?a=b"),
            ("ws://[::1]:9001/x/y?z", "::1", 9001, "[::1]:9001", "/x/y?z"),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(parsed.host(), host);
            assert_eq!(parsed.port(), port);
            assert_eq!(parsed.authority(), authority);
            assert_eq!(parsed.target(), target);
        }
    }

    #[test]
    fn what_is_no_websocket_url_is_refused_with_a_reason() {
        for (url, why) in [
            ("", "does not start with ws://"),
            ("/path", "does not start with ws://"),
            ("example.org", "does not start with ws://"),
            ("http://example.org", "does not start with ws://"),
            ("wss://example.org", "TLS"),
            ("ws://example.org/#x", "fragment"),
            ("ws://ada:secret@example.org", "Authorization"),
            ("ws://", "no host"),
            ("ws:///path", "no host"),
            ("ws://example.org:99999/", "the port is not a number"),
            ("ws://example.org:0/", "the port is not a number"),
            ("ws://exa mple.org", "not a URL"),
            ("ws://exämple.org", "ASCII"),
            ("ws://example.org/\r\nX: y", "not a URL"),
        ] {
            let error = Url::parse(url).unwrap_err();
            assert!(alloc::string::ToString::to_string(&error).contains(why), "{url}: {error}");
        }
    }
}
