use alloc::string::String;
use std::net::IpAddr;

use super::{Error, Proxy, Url};

impl Proxy {
    /// The proxy that the environment names for `url`, if there is one.
    ///
    /// For `wss://` it is in `https_proxy` or `HTTPS_PROXY`, for `ws://` in `http_proxy` (in capitals,
    /// a request to a CGI program could set it), and else in `all_proxy` or `ALL_PROXY`. No proxy is
    /// used for the hosts in `no_proxy` or `NO_PROXY`: a list, with commas between, of names, which
    /// stand for all below them too, of addresses and networks as in `10.0.0.0/8`, each with a port if
    /// it is for that port only, or `*` for all hosts.
    ///
    /// Fails with [`Error::Url`] if what is there is not a proxy.
    pub fn from_env(url: &Url) -> Result<Option<Self>, Error> {
        Self::from_variables(url, |name| std::env::var(name).ok())
    }

    /// The same, from other variables than those of this process.
    pub fn from_variables(
        url: &Url,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Error> {
        let first = |names: &[&str]| {
            names.iter().filter_map(|name| variable(name)).find(|value| !value.is_empty())
        };
        let none = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        if is_excepted(&none, url.host(), url.port()) {
            return Ok(None);
        }
        let names: &[_] = match url.is_secure() {
            true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            false => &["http_proxy", "all_proxy", "ALL_PROXY"],
        };
        first(names).map(|proxy| Self::parse(&proxy)).transpose()
    }
}

fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let address = host.parse::<IpAddr>().ok();
    let mut entries = list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    entries.any(|entry| {
        // The colons of an IPv6 address stand before no port, unless it is in brackets.
        let (name, only) = match entry.rsplit_once(':') {
            Some((name, only)) if !name.contains(':') || name.ends_with(']') => (name, Some(only)),
            _ => (entry, None),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        only.is_none_or(|only| only.parse() == Ok(port))
            && match address {
                Some(address) => name == "*" || contains(name, address),
                None => name == "*" || is_below(host, name),
            }
    })
}

/// Whether `host` is this name or one below it.
fn is_below(host: &str, name: &str) -> bool {
    let name = name.trim_start_matches('*').trim_start_matches('.');
    let Some(at) = host.len().checked_sub(name.len()) else { return false };
    let same = host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(name));
    !name.is_empty() && same && (at == 0 || host.as_bytes().get(at - 1) == Some(&b'.'))
}

/// Whether `network`, an address or one with the length of its prefix, has this address.
fn contains(network: &str, address: IpAddr) -> bool {
    let (start, prefix) = network.split_once('/').unwrap_or((network, "128"));
    let (Ok(start), Ok(prefix)) = (start.parse::<IpAddr>(), prefix.parse::<u32>()) else {
        return false;
    };
    // The bits that differ, the first one on top.
    let differ = match (start, address) {
        (IpAddr::V4(start), IpAddr::V4(address)) => {
            u128::from(u32::from(start) ^ u32::from(address)) << 96
        }
        (IpAddr::V6(start), IpAddr::V6(address)) => u128::from(start) ^ u128::from(address),
        _ => return false,
    };
    differ.leading_zeros() >= prefix
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    fn found(url: &str, variables: &[(&str, &str)]) -> Option<u16> {
        let url = Url::parse(url).unwrap();
        let variable = |wanted: &str| {
            let mut variables = variables.iter();
            variables.find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        };
        Proxy::from_variables(&url, variable).unwrap().map(|proxy| proxy.port())
    }

    #[test]
    fn the_variable_for_the_scheme_comes_before_the_one_for_all() {
        let all = [("https_proxy", "a:1"), ("http_proxy", "a:2"), ("ALL_PROXY", "a:3")];
        assert_eq!(found("wss://x/", &all), Some(1));
        assert_eq!(found("ws://x/", &all), Some(2));
        assert_eq!(found("ws://x/", &[("HTTP_PROXY", "a:1")]), None);
        assert_eq!(found("wss://x/", &[("HTTPS_PROXY", "a:1")]), Some(1));
        assert_eq!(
            found("ws://x/", &[("http_proxy", ""), ("all_proxy", "socks5://a")]),
            Some(1080)
        );
        assert_eq!(found("ws://x/", &[]), None);
        let url = Url::parse("ws://x/").unwrap();
        let error = Proxy::from_variables(&url, |name| {
            (name == "http_proxy").then(|| "ftp://a".to_owned())
        });
        assert!(matches!(error, Err(Error::Url(_))));
    }

    #[test]
    fn no_proxy_excepts_names_and_what_is_below_addresses_and_networks() {
        for (list, host, excepted) in [
            ("*", "a.example", true),
            ("*", "127.0.0.1", true),
            ("example.org", "example.org", true),
            ("Example.ORG", "a.b.example.org", true),
            (".example.org", "example.org", true),
            ("*.example.org", "a.example.org", true),
            ("example.org", "badexample.org", false),
            ("a.example.org", "example.org", false),
            ("x, example.org", "example.org", true),
            ("example.org:80", "example.org", true),
            ("example.org:81", "example.org", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "11.0.0.1", true),
            ("10.0.0.0/33", "10.0.0.0", true),
            ("10.0.0.0/33", "10.0.0.1", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("::1", "[::1]", true),
            ("[::1]:80", "[::1]", true),
            ("[::1]:81", "[::1]", false),
            ("fe80::/10", "[fe81::1]", true),
            ("fe80::/10", "[fec0::1]", false),
            ("127.0.0.1", "[::1]", false),
            (".", "example.org", false),
            ("0.0.1", "127.0.0.1", false),
        ] {
            let url = alloc::format!("ws://{host}/");
            let variables = [("no_proxy", list), ("http_proxy", "a:1")];
            assert_eq!(found(&url, &variables).is_none(), excepted, "{list} {host}");
        }
    }
}
