use alloc::{format, string::String, vec, vec::Vec};
use core::mem;
use std::net::IpAddr;

use wshandshake::{HeaderSlots, Response};

use super::{Protocol, Proxy, ProxyFailure, Url};
use crate::opening::Head;

/// The longest head of an HTTP proxy's answer, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// What is said to a proxy before the byte stream is one to the server, without I/O: write what is
/// [outgoing](Self::take_outgoing), [receive](Self::receive) what comes, and so on until it
/// [is open](Self::is_open).
///
/// *Split-invariance*: how the answer is cut does not matter.
pub struct Tunnel<'p> {
    proxy: &'p Proxy,
    state: State,
    outgoing: Vec<u8>,
    /// What has come of a SOCKS message that is not complete.
    incoming: Vec<u8>,
    /// The request to a SOCKS proxy, until it can be sent.
    request: Vec<u8>,
}

enum State {
    /// The response to CONNECT.
    Head(Head),
    /// The method that a SOCKS proxy chooses (RFC 1928 §3).
    Method,
    /// Whether it accepts the user and password (RFC 1929 §2).
    Credentials,
    /// Whether it has connected (RFC 1928 §6).
    Reply,
    Open,
}

impl<'p> Tunnel<'p> {
    /// Through `proxy` to the server of `url`.
    pub fn new(proxy: &'p Proxy, url: &Url) -> Result<Self, ProxyFailure> {
        let (state, outgoing, request) = match proxy.protocol {
            Protocol::Http => {
                let head = State::Head(Head::of_response(MAX_HEAD));
                (head, connect(proxy, url).into_bytes(), Vec::new())
            }
            Protocol::Socks5 => {
                // With a user and password, or without: what we offer.
                let greeting =
                    if proxy.user().is_some() { vec![5, 2, 0, 2] } else { vec![5, 1, 0] };
                (State::Method, greeting, socks_request(url)?)
            }
        };
        Ok(Self { proxy, state, outgoing, incoming: Vec::new(), request })
    }

    /// What is to be written now.
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        mem::take(&mut self.outgoing)
    }

    /// Whether the byte stream is one to the server now.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Takes bytes that have arrived.
    pub fn receive(&mut self, input: &[u8]) -> Result<(), ProxyFailure> {
        if let State::Head(head) = &mut self.state {
            let progress = head.receive(input);
            if progress.complete {
                judge(head)?;
                self.state = State::Open;
                // The server cannot have sent anything yet.
                if progress.consumed < input.len() {
                    return Err(ProxyFailure::Surplus);
                }
            }
            return Ok(());
        }
        self.incoming.extend_from_slice(input);
        while let Some(used) = self.step()? {
            self.incoming.drain(..used);
        }
        if self.is_open() && !self.incoming.is_empty() {
            return Err(ProxyFailure::Surplus);
        }
        Ok(())
    }

    /// Takes one message of a SOCKS proxy, if it is complete, and says how long it was.
    fn step(&mut self) -> Result<Option<usize>, ProxyFailure> {
        match (&self.state, self.incoming.as_slice()) {
            (State::Method, [5, 0, ..]) => self.send_request(),
            (State::Method, [5, 2, ..]) => match self.proxy.user() {
                Some(user) => {
                    let [name, password] = [&user.name, &user.password].map(|text| counted(text));
                    self.outgoing = [&[1][..], &name?, &password?].concat();
                    self.state = State::Credentials;
                }
                None => return Err(ProxyFailure::Credentials),
            },
            (State::Method, [5, 0xff, ..]) => return Err(ProxyFailure::Credentials),
            (State::Credentials, [_, 0, ..]) => self.send_request(),
            (State::Credentials, [_, _, ..]) => return Err(ProxyFailure::Credentials),
            (State::Reply, [5, 0, _, kind, first, ..]) => {
                let address = match kind {
                    1 => 4,
                    3 => usize::from(*first) + 1,
                    4 => 16,
                    _ => return Err(ProxyFailure::Socks),
                };
                let len = 4 + address + 2;
                if self.incoming.len() < len {
                    return Ok(None);
                }
                self.state = State::Open;
                return Ok(Some(len));
            }
            (State::Reply, [5, code, ..]) if *code != 0 => {
                return Err(ProxyFailure::Reply(*code));
            }
            (State::Method, [5]) | (State::Credentials, [_]) | (State::Reply, [5, ..]) => {
                return Ok(None);
            }
            (State::Open | State::Head(_), _) | (_, []) => return Ok(None),
            _ => return Err(ProxyFailure::Socks),
        }
        Ok(Some(2))
    }

    fn send_request(&mut self) {
        self.outgoing = mem::take(&mut self.request);
        self.state = State::Reply;
    }
}

/// RFC 9110 §9.3.6.
fn connect(proxy: &Proxy, url: &Url) -> String {
    let server = url.host_and_port();
    let authorization = match proxy.user() {
        Some(user) => format!("Proxy-Authorization: {}\r\n", user.basic()),
        None => String::new(),
    };
    format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n{authorization}\r\n")
}

fn judge(head: &Head) -> Result<(), ProxyFailure> {
    let mut slots = HeaderSlots::new();
    let response = head.bytes().and_then(|head| Response::parse(head, &mut slots));
    let response = response.map_err(ProxyFailure::Http)?;
    match response.status() {
        200..=299 => Ok(()),
        status => Err(ProxyFailure::Status { status, reason: response.reason().into() }),
    }
}

/// CONNECT to the server, RFC 1928 §4.
fn socks_request(url: &Url) -> Result<Vec<u8>, ProxyFailure> {
    let mut request = vec![5, 1, 0];
    match url.host().parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(3);
            request.extend(counted(url.host())?);
        }
    }
    request.extend(url.port().to_be_bytes());
    Ok(request)
}

/// The text behind its length in one byte.
fn counted(text: &str) -> Result<Vec<u8>, ProxyFailure> {
    let len = u8::try_from(text.len()).map_err(|_| ProxyFailure::Length)?;
    Ok([&[len], text.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent through `proxy` in answer to each of these, however they are cut, and how it ends.
    fn talk(proxy: &str, url: &str, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Result<bool, String>) {
        let whole = talk_in_pieces(proxy, url, answers, usize::MAX);
        for size in [1, 2, 3] {
            assert_eq!(talk_in_pieces(proxy, url, answers, size), whole, "in pieces of {size}");
        }
        whole
    }

    fn talk_in_pieces(
        proxy: &str,
        url: &str,
        answers: &[&[u8]],
        size: usize,
    ) -> (Vec<Vec<u8>>, Result<bool, String>) {
        let (proxy, url) = (Proxy::parse(proxy).unwrap(), Url::parse(url).unwrap());
        let mut tunnel = Tunnel::new(&proxy, &url).unwrap();
        let mut sent = vec![tunnel.take_outgoing()];
        for answer in answers {
            for piece in answer.chunks(size) {
                if let Err(failure) = tunnel.receive(piece) {
                    return (sent, Err(format!("{failure:?}")));
                }
            }
            sent.push(tunnel.take_outgoing());
        }
        (sent, Ok(tunnel.is_open()))
    }

    #[test]
    fn an_http_proxy_is_asked_to_connect() {
        let ok = &b"HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n"[..];
        let (sent, open) = talk("ada:s@proxy", "wss://example.org/x", &[ok]);
        assert_eq!(
            String::from_utf8_lossy(&sent[0]),
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\
             Proxy-Authorization: Basic YWRhOnM=\r\n\r\n"
        );
        assert_eq!(open, Ok(true));
        let (sent, open) = talk("proxy", "ws://[::1]/", &[&b"HTTP/1.0 299 \r\n\r\n"[..]]);
        assert_eq!(sent[0], b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
        assert_eq!(open, Ok(true));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        let (_, open) = talk("proxy", "ws://a/", &[interim]);
        assert_eq!(open, Ok(true));
    }

    #[test]
    fn an_http_proxy_that_does_not_connect_says_why() {
        for (answer, failure) in [
            (&b"HTTP/1.1 407 Who\r\n\r\n"[..], "Status { status: 407, reason: \"Who\" }"),
            (b"HTTP/1.1 502 \r\n\r\n", "Status { status: 502, reason: \"\" }"),
            (b"HTTP/1.1 101 x\r\n\r\n", "Status { status: 101, reason: \"x\" }"),
            (b"SSH", "Http(HttpVersion)"),
            (b"\x05\x00", "Http(HttpVersion)"),
            (b"\x15\x03\x01", "Http(Tls)"),
            (b"HTTP/1.1 200 OK\n\n", "Http(BadHead)"),
        ] {
            let (_, ended) = talk("proxy", "ws://a/", &[answer]);
            assert_eq!(ended, Err(failure.into()));
        }
        let endless = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'x'; MAX_HEAD]].concat();
        let (_, ended) = talk("proxy", "ws://a/", &[&endless]);
        assert_eq!(ended, Err(format!("Http(HeadTooLong {{ limit: {MAX_HEAD} }})")));
        let (_, ended) = talk_in_pieces("p", "ws://a/", &[b"HTTP/1.1 200 \r\n\r\nx"], 99);
        assert_eq!(ended, Err("Surplus".into()));
    }

    #[test]
    fn a_socks_proxy_is_asked_by_name_or_address_with_or_without_a_password() {
        let replies: [&[u8]; 3] = [
            &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 3, 2, b'a', b'b', 0, 0],
            &[5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for reply in replies {
            let (sent, open) = talk("socks5://p", "ws://ab:258/", &[&[5, 0], reply]);
            assert_eq!(sent, [&[5, 1, 0][..], &[5, 1, 0, 3, 2, b'a', b'b', 1, 2], &[]]);
            assert_eq!(open, Ok(true));
        }
        let (sent, _) = talk("socks5://p", "ws://1.2.3.4:1/", &[&[5, 0]]);
        assert_eq!(sent[1], [5, 1, 0, 1, 1, 2, 3, 4, 0, 1]);
        let (sent, _) = talk("socks5://p", "ws://[::1]:1/", &[&[5, 0]]);
        assert_eq!(sent[1], [&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 1]].concat());

        let with_user = "socks5://ada:pw@p";
        let (sent, open) = talk(with_user, "ws://a/", &[&[5, 2], &[1, 0], replies[0]]);
        assert_eq!(sent[..2], [&[5, 2, 0, 2][..], &[1, 3, b'a', b'd', b'a', 2, b'p', b'w']]);
        assert_eq!(sent[2], [5, 1, 0, 3, 1, b'a', 0, 80]);
        assert_eq!(open, Ok(true));
        // It may not want them.
        let (sent, open) = talk(with_user, "ws://a/", &[&[5, 0], replies[0]]);
        assert_eq!((&sent[1], open), (&vec![5, 1, 0, 3, 1, b'a', 0, 80], Ok(true)));
    }

    #[test]
    fn a_socks_proxy_that_does_not_connect_says_why() {
        for (proxy, answers, failure) in [
            ("p", &[&[5, 0xff][..]][..], "Credentials"),
            ("p", &[&[5, 2]], "Credentials"),
            ("u:p@p", &[&[5, 2], &[1, 1]], "Credentials"),
            ("p", &[&[5, 1]], "Socks"),
            ("p", &[b"HTTP/1.1 400"], "Socks"),
            ("p", &[&[4, 0]], "Socks"),
            ("p", &[&[5, 0], &[5, 5]], "Reply(5)"),
            ("p", &[&[5, 0], &[5, 200]], "Reply(200)"),
            ("p", &[&[5, 0], &[0]], "Socks"),
            ("p", &[&[5, 0], &[5, 0, 0, 2, 0]], "Socks"),
        ] {
            let (_, ended) = talk(&format!("socks5://{proxy}"), "ws://a/", answers);
            assert_eq!(ended, Err(failure.into()), "{answers:?}");
        }
        let reply = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9];
        let (_, ended) = talk_in_pieces("socks5://p", "ws://a/", &[&[5, 0], reply], 99);
        assert_eq!(ended, Err("Surplus".into()));
        let (_, ended) = talk("socks5://p", "ws://a/", &[&[5, 0], &reply[..9]]);
        assert_eq!(ended, Ok(false));
    }

    #[test]
    fn a_name_that_socks_has_no_room_for_is_refused() {
        let proxy = Proxy::parse("socks5://p").unwrap();
        let url = Url::parse(&format!("ws://{}/", "a".repeat(256))).unwrap();
        assert!(matches!(Tunnel::new(&proxy, &url), Err(ProxyFailure::Length)));
    }
}
