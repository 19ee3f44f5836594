use core::net::Ipv6Addr;

/// The value of an `Origin` header: the site whose script asks for the WebSocket (RFC 6454 §6.2,
/// RFC 6455 §10.2).
///
/// Browsers send it with every WebSocket, with the user's cookies, from any site: a server that does
/// not compare it lets every site speak in the user's name. It is compared whole (scheme, host and
/// port), never as a prefix or suffix of text. Whether a request without one is let in is the
/// caller's decision: it comes from no browser.
///
/// ```
/// use wshandshake::Origin;
///
/// let origin = Origin::parse("https://Chat.example.com:443").unwrap();
/// assert!(origin.same_host("chat.example.com"));
/// assert!(!origin.same_host("chat.example.com:8443"));
/// assert!(origin.same_origin(&Origin::parse("https://chat.example.com").unwrap()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `None`: opaque.
    tuple: Option<(&'a str, Authority<'a>)>,
}

impl<'a> Origin<'a> {
    /// `null`, or `scheme://host` and perhaps `:port`; `None` for anything else, a path or a
    /// trailing slash included. What does not parse must be treated as a foreign origin.
    pub fn parse(value: &'a str) -> Option<Self> {
        if value == "null" {
            return Some(Self { tuple: None });
        }
        let (scheme, authority) = value.split_once("://")?;
        let mut bytes = scheme.bytes();
        let is_scheme = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        let authority = Authority::parse(authority).filter(|_| is_scheme)?;
        Some(Self { tuple: Some((scheme, authority)) })
    }

    /// Whether it is `null`: a sandboxed frame, a local file, a redirect between sites. It is not
    /// even the same as itself.
    pub const fn is_opaque(&self) -> bool {
        self.tuple.is_none()
    }

    /// Whether host and port are those of a request's `Host` header. Where either leaves the
    /// port out it is that of the origin's scheme, which must be `http`, `https`, `ws` or `wss`.
    pub fn same_host(&self, host: &str) -> bool {
        let (Some((scheme, authority)), Some(host)) = (self.tuple, Authority::parse(host)) else {
            return false;
        };
        default_port(scheme).is_some_and(|port| authority.same(&host, Some(port)))
    }

    /// Whether scheme, host and port are the same. For a list of allowed origins.
    pub fn same_origin(&self, other: &Origin<'_>) -> bool {
        let (Some((scheme, authority)), Some((other_scheme, other))) = (self.tuple, other.tuple)
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case(other_scheme) && authority.same(&other, default_port(scheme))
    }
}

pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("http") || is("ws") {
        Some(80)
    } else if is("https") || is("wss") {
        Some(443)
    } else {
        None
    }
}

/// A host and perhaps a port, as in a URL or a `Host` header. Never with a user's name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority<'a> {
    host: Host<'a>,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
enum Host<'a> {
    Name(&'a str),
    V6(Ipv6Addr),
}

impl<'a> Authority<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            (Host::V6(address.parse().ok()?), port)
        } else {
            let (name, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            // No comma, though RFC 3986 has it: two Host headers made one would have it too.
            let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            if name.is_empty() || !name.bytes().all(plausible) {
                return None;
            }
            (Host::Name(name), port)
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both are the same place, given the port of those that name none.
    pub(crate) fn same(&self, other: &Authority<'_>, default_port: Option<u16>) -> bool {
        let same_host = match (self.host, other.host) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        };
        same_host && self.port.or(default_port) == other.port.or(default_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_of_the_same_host_and_port_is_the_same_host() {
        let cases = [
            ("http://good.com", "good.com", true),
            ("https://good.com", "good.com", true),
            ("http://good.com:80", "good.com", true),
            ("http://good.com", "good.com:80", true),
            ("https://good.com", "good.com:443", true),
            ("https://good.com:443", "good.com", true),
            ("http://good.com:", "good.com", true),
            ("http://good.com:8080", "good.com:8080", true),
            ("HTTP://GOOD.com", "Good.COM", true),
            ("http://127.0.0.1:9001", "127.0.0.1:9001", true),
            ("http://[::1]:9001", "[::1]:9001", true),
            ("http://[::1]", "[0:0:0:0:0:0:0:1]:80", true),
            ("http://[2001:DB8::1]", "[2001:db8::1]", true),
            ("null", "good.com", false),
            ("null", "null", false),
            ("http://evil-good.com", "good.com", false),
            ("http://good.com.evil", "good.com", false),
            ("http://good.com.", "good.com", false),
            ("http://sub.good.com", "good.com", false),
            ("http://good.com:81", "good.com", false),
            ("http://good.com", "good.com:81", false),
            ("http://good.com:443", "good.com", false),
            ("https://good.com", "good.com:80", false),
            ("https://good.com:80", "good.com", false),
            ("http://[::1]", "[::2]", false),
            ("http://[::1]:1", "[::1]:2", false),
            ("app://good.com", "good.com", false),
            ("app://good.com:80", "good.com:80", false),
        ];
        for (origin, host, same) in cases {
            let parsed = Origin::parse(origin).unwrap();
            assert_eq!(parsed.same_host(host), same, "{origin} with Host: {host}");
        }
    }

    #[test]
    fn what_is_not_an_origin_does_not_parse() {
        let values = [
            "",
            "NULL",
            "null ",
            "good.com",
            "//good.com",
            "://good.com",
            "1http://good.com",
            "http:good.com",
            "http://",
            "http://:80",
            "http://good.com/",
            "http://good.com/path",
            "http://good.com?",
            "http://good.com#",
            "http://good.com@evil.com",
            "http://good.com:80@evil.com",
            "http://good.com:65536",
            "http://good.com:+80",
            "http://good.com:8o",
            "http://good.com http://evil.com",
            "http://good.com,http://evil.com",
            "http://good.com\\evil",
            "http://[::1",
            "http://::1",
            "http://[::1]evil",
            "http://[good.com]",
            "http://g\u{f6}\u{f6}d.com",
            "file://",
        ];
        for value in values {
            assert!(Origin::parse(value).is_none(), "{value}");
        }
    }

    #[test]
    fn a_host_header_that_does_not_parse_is_nobodys_host() {
        let origin = Origin::parse("http://good.com").unwrap();
        for host in
            ["", "good.com/", "http://good.com", "good.com,good.com", "u@good.com", "good.com:x"]
        {
            assert!(!origin.same_host(host), "{host}");
        }
    }

    #[test]
    fn the_same_origin_has_the_same_scheme_host_and_port() {
        let cases = [
            ("https://good.com", "https://good.com:443", true),
            ("HTTPS://Good.com", "https://good.com", true),
            ("http://[::1]:1", "http://[0::1]:1", true),
            ("app://good", "app://good", true),
            ("http://good.com", "https://good.com", false),
            ("http://good.com:443", "https://good.com:443", false),
            ("http://good.com", "ws://good.com", false),
            ("http://good.com", "http://good.com:81", false),
            ("http://good.com", "http://evil-good.com", false),
            ("app://good", "app://good:80", false),
            ("null", "null", false),
        ];
        for (a, b, same) in cases {
            let (left, right) = (Origin::parse(a).unwrap(), Origin::parse(b).unwrap());
            assert_eq!(left.same_origin(&right), same, "{a} and {b}");
            assert_eq!(right.same_origin(&left), same, "{b} and {a}");
        }
    }
}
