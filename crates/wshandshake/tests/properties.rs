//! What holds for any bytes, and for anything we can write.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use wshandshake::{
    Accept, Extensions, HandshakeError, HeadScanner, HeaderSlots, Key, Origin, Request, Response,
    Scan, Upgrade,
};

const GOOD: &str = "GET /chat?a HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://a\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: a; b=\"\\1\\0\", c\r\n\r\n";

const GOOD_ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: a; b=\"\\1\\0\", c\r\n\r\n";

/// Goes everywhere that the peer's bytes can lead.
fn exercise(bytes: &[u8]) {
    let mut slots = HeaderSlots::<8>::with_slots();
    if let Ok(request) = Request::parse(bytes, &mut slots) {
        let _ = (request.path(), request.query(), request.accept_key());
        let params = request.extensions().map(|extension| extension.params().count());
        let _ = params.sum::<usize>() + request.subprotocols().count() + request.headers().len();
        let mut out = String::new();
        request.write_accept(&mut out, &Accept::default()).unwrap();
        if let Some(origin) = request.origin().and_then(Origin::parse) {
            origin.same_host(request.host());
        }
    }
    let mut slots = HeaderSlots::<8>::with_slots();
    if let Ok(response) = Response::parse(bytes, &mut slots) {
        let upgrade = Upgrade {
            subprotocols: &["chat"],
            extensions: Some("a, c"),
            ..Upgrade::new("a", "/", Key::new(*b"the sample nonce"))
        };
        if let Ok(accepted) = response.verify(&upgrade) {
            let _ = (accepted.subprotocol(), accepted.extensions().count());
        }
    }
}

fn scan(pieces: &[&[u8]]) -> Result<Option<usize>, HandshakeError> {
    let mut scanner = HeadScanner::new(64);
    let mut before = 0;
    for piece in pieces {
        match scanner.scan(piece)? {
            Scan::Complete(len) => return Ok(Some(before + len)),
            Scan::Partial => before += piece.len(),
        }
    }
    Ok(None)
}

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}"
}

fn tokens() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::btree_set(token(), 0..5).prop_map(|set| set.into_iter().collect())
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((token().prop_map(|name| format!("x-{name}")), "([!-~\u{e9}]([ \t!-~]*[!-~])?)?"), 0..5)
}

/// Extensions as they are and as they are spelt: with blanks, quotes and escapes.
fn extensions() -> impl Strategy<Value = (Vec<String>, String)> {
    let spell = |(value, quoted, escaped): (String, bool, Vec<Index>)| {
        let escaped: Vec<_> = escaped.iter().map(|index| index.index(value.len())).collect();
        let spell = |(at, char)| match escaped.contains(&at) {
            true => format!("\\{char}"),
            false => format!("{char}"),
        };
        let spelt = if quoted {
            format!("\"{}\"", value.chars().enumerate().map(spell).collect::<String>())
        } else {
            value.clone()
        };
        (value, spelt)
    };
    let value = (token(), any::<bool>(), vec(any::<Index>(), 0..3)).prop_map(spell);
    let param =
        (token(), option::of(value), "[ \t]{0,2}").prop_map(|(name, value, blank)| match value {
            Some((value, spelt)) => {
                (format!(";{name}={value}"), format!("{blank};{blank}{name}{blank}={blank}{spelt}"))
            }
            None => (format!(";{name}"), format!("{blank};{blank}{name}{blank}")),
        });
    let extension = (token(), vec(param, 0..4)).prop_map(|(name, params)| {
        let (plain, spelt): (String, String) = params.into_iter().unzip();
        (format!("{name}{plain}"), format!("{name}{spelt}"))
    });
    (vec(extension, 1..4), "[ \t]?,[ \t,]{0,2}").prop_map(|(extensions, comma)| {
        let (plain, spelt): (Vec<_>, Vec<_>) = extensions.into_iter().unzip();
        (plain, spelt.join(&comma))
    })
}

fn plain<'b>(extensions: impl Iterator<Item = wshandshake::Extension<'b>>) -> Vec<String> {
    let param = |param: wshandshake::Param<'_>| match param.value() {
        Some(value) => format!(";{}={value}", param.name()),
        None => format!(";{}", param.name()),
    };
    extensions
        .map(|one| format!("{}{}", one.name(), one.params().map(param).collect::<String>()))
        .collect()
}

fn same<T: PartialEq + Debug>(a: T, b: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(a, b);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..256)) {
        exercise(&bytes);
        let _ = Extensions::parse(&bytes).map(plain);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = Origin::parse(text);
        }
    }

    #[test]
    fn no_bytes_in_the_place_of_good_ones_panic(
        at in any::<Index>(),
        len in 0_usize..4,
        bytes in vec(prop_oneof![any::<u8>(), (0..16_usize).prop_map(|at| b" \t\r\n:;,=\"\\/?#[]0"[at])], 0..4),
    ) {
        for good in [GOOD, GOOD_ANSWER] {
            let mut head = good.as_bytes().to_vec();
            let at = at.index(head.len());
            let end = (at + len).min(head.len());
            head.splice(at..end, bytes.iter().copied());
            exercise(&head);
        }
    }

    #[test]
    fn any_cut_of_any_bytes_gives_the_same_verdict(
        bytes in vec((0..6_usize).prop_map(|at| b"a \r\n\r\n"[at]), 0..80),
        good in any::<bool>(),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        let mut bytes = bytes;
        if good {
            bytes.splice(0..0, *b"GET / HTTP/1.1\r\n");
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        same(scan(&pieces), scan(&[&bytes]))?;
        same(scan(&bytes.chunks(1).collect::<Vec<_>>()), scan(&[&bytes]))?;
    }

    #[test]
    fn extensions_are_read_as_they_were_meant((meant, spelt) in extensions()) {
        same(plain(Extensions::parse(spelt.as_bytes()).unwrap()), meant)?;
    }

    #[test]
    fn what_one_end_writes_the_other_reads(
        nonce in any::<[u8; 16]>(),
        host in r"[a-z0-9_.-]{1,20}(:[0-9]{1,4})?|\[::[0-9a-f]{1,4}\](:80)?",
        target in r"/[a-zA-Z0-9/._~%-]{0,20}(\?[!$-;=?-~]{0,10})?",
        origin in option::of("https?://[a-z0-9.-]{1,10}|null"),
        subprotocols in tokens(),
        offer in option::of(extensions()),
        more in (headers(), headers()),
        chosen in option::of(any::<Index>()),
    ) {
        let upgrade = Upgrade {
            host: &host,
            target: &target,
            key: Key::new(nonce),
            origin: origin.as_deref(),
            subprotocols: &subprotocols,
            extensions: offer.as_ref().map(|(_, spelt)| &**spelt),
            headers: &more.0,
        };
        let mut sent = String::new();
        upgrade.write(&mut sent).unwrap();
        same(HeadScanner::new(4096).scan(sent.as_bytes()), Ok(Scan::Complete(sent.len())))?;

        let mut slots = HeaderSlots::new();
        let request = Request::parse(sent.as_bytes(), &mut slots).unwrap();
        same((request.target(), request.host()), (&*target, &*host))?;
        same(request.origin(), origin.as_deref())?;
        same(request.subprotocols().collect::<Vec<_>>(), subprotocols.iter().map(String::as_str).collect())?;
        same(plain(request.extensions()), offer.clone().map_or(vec![], |(meant, _)| meant))?;
        same(request.accept_key(), Some(upgrade.key.accept()))?;
        let last = request.headers().skip(request.headers().len() - more.0.len());
        for (header, (name, value)) in last.zip(&more.0) {
            same((header.name, header.value), (name, value.as_bytes()))?;
        }

        let subprotocol = match chosen {
            Some(index) if !subprotocols.is_empty() => Some(&*subprotocols[index.index(subprotocols.len())]),
            _ => None,
        };
        let accept = Accept { subprotocol, extensions: upgrade.extensions, headers: &more.1 };
        let mut answer = String::new();
        request.write_accept(&mut answer, &accept).unwrap();
        same(HeadScanner::new(4096).scan(answer.as_bytes()), Ok(Scan::Complete(answer.len())))?;

        let mut slots = HeaderSlots::new();
        let response = Response::parse(answer.as_bytes(), &mut slots).unwrap();
        let accepted = response.verify(&upgrade).unwrap();
        same(accepted.subprotocol(), subprotocol)?;
        same(plain(accepted.extensions()), offer.map_or(vec![], |(meant, _)| meant))?;
    }
}
