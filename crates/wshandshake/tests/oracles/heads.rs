//! Heads of HTTP/1.1, by lines.

use super::{SLOTS, is_token, naive_extensions, trim};

/// Where a head ends that has `begins` before it and at most `limit` bytes; `None` if it does not end,
/// or there is something in it that no head may have.
pub(crate) fn naive_end(input: &[u8], begins: &[u8], limit: usize) -> Option<usize> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = &input[..end];
    let first_is_tls = matches!(head[0], 0x15 | 0x16);
    let mut rest = head;
    let mut lines = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    let clean = |line: &&[u8]| !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    let folded = |line: &&[u8]| matches!(line.first(), Some(b' ' | b'\t'));
    let ok = end <= limit
        && !first_is_tls
        && head.starts_with(begins)
        && !lines[0].is_empty()
        && lines.iter().all(clean)
        && !lines[1..].iter().any(folded);
    ok.then_some(end)
}

/// A head taken apart.
pub(crate) struct Head<'a> {
    /// The three parts of its first line.
    pub(crate) words: [&'a [u8]; 3],
    /// Names as they stand, and values without the blanks around them.
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Head<'a> {
    pub(crate) fn read(head: &'a [u8]) -> Option<Self> {
        let mut lines = Vec::new();
        let mut rest = head;
        while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
            lines.push(&rest[..at]);
            rest = &rest[at + 2..];
        }
        let mut words = lines[0].splitn(3, |byte| *byte == b' ');
        let words = [words.next()?, words.next()?, words.next().unwrap_or_default()];
        let mut headers = Vec::new();
        for line in &lines[1..lines.len() - 1] {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            let control = |byte: &u8| *byte < 0x20 && *byte != b'\t' || *byte == 0x7f;
            if !is_token(name) || value.iter().any(control) {
                return None;
            }
            headers.push((name.to_vec(), value.to_vec()));
        }
        (headers.len() <= SLOTS).then_some(Self { words, headers })
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = |header: &&(Vec<u8>, Vec<u8>)| header.0.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(named).map(|(_, value)| &value[..]).collect()
    }

    /// The value of the one header of this name; nothing if there is not exactly one.
    pub(crate) fn only(&self, name: &str) -> &[u8] {
        match self.all(name)[..] {
            [one] => one,
            _ => &[],
        }
    }

    /// The members of the list that all headers of this name are.
    fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let values = self.all(name).join(&b","[..]);
        let members = values.split(|byte| *byte == b',').map(|member| trim(member).to_vec());
        members.filter(|member| !member.is_empty()).collect()
    }

    fn has(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// What RFC 6455 §4.2.1 says of a request, and that it has no body.
    fn is_upgrade(&self) -> Result<(), &'static str> {
        let subprotocols = self.list("sec-websocket-protocol");
        let twice = |at: usize| subprotocols[..at].contains(&subprotocols[at]);
        let body = self
            .all("content-length")
            .iter()
            .any(|len| len.is_empty() || len.iter().any(|digit| *digit != b'0'));
        let rules = [
            (self.words[0] == b"GET", "the method"),
            (self.words[2] == b"HTTP/1.1", "the version of HTTP"),
            (!self.words[1].is_empty(), "the target"),
            (self.all("host").len() == 1, "Host"),
            (self.has("upgrade", "websocket"), "Upgrade"),
            (self.all("upgrade").len() == 1, "Upgrade, more than once"),
            (self.has("connection", "upgrade"), "Connection"),
            (self.only("sec-websocket-version") == b"13", "the version"),
            (is_key(self.only("sec-websocket-key")), "the key"),
            (self.all("origin").len() <= 1, "Origin"),
            (self.all("origin").iter().all(|origin| origin.is_ascii()), "Origin's characters"),
            (subprotocols.iter().all(|one| is_token(one)), "a subprotocol"),
            (!(0..subprotocols.len()).any(twice), "a subprotocol twice"),
            (!body && self.all("transfer-encoding").is_empty(), "a body"),
            (self.extensions_are_well_formed(), "the extensions"),
        ];
        rules.iter().try_for_each(|(holds, what)| if *holds { Ok(()) } else { Err(*what) })
    }

    fn extensions_are_well_formed(&self) -> bool {
        self.all("sec-websocket-extensions").iter().all(|value| naive_extensions(value).is_some())
    }

    pub(crate) fn assert_is_upgrade(&self, target: &str) {
        assert_eq!(self.is_upgrade(), Ok(()));
        assert_eq!(target.as_bytes(), self.words[1]);
        assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{target:?}");
    }

    /// Whether it is an upgrade, and its target and host are of the simplest kind.
    pub(crate) fn is_plain_upgrade(&self) -> bool {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-');
        let target = self.words[1];
        let host = self.only("host");
        let word = |byte: &u8| byte.is_ascii_lowercase();
        let protocols = self.all("sec-websocket-protocol");
        let listed = |value: &&[u8]| value.iter().any(|byte| !matches!(byte, b',' | b' ' | b'\t'));
        self.is_upgrade().is_ok()
            && target.starts_with(b"/")
            && target.iter().all(plain)
            && !host.is_empty()
            && host.iter().all(word)
            && protocols.iter().all(listed)
    }

    /// What RFC 6455 §4.1 says of a response to the request that the oracle makes.
    fn is_agreement(&self) -> Result<(), &'static str> {
        let upgrade = self.list("upgrade");
        let body = self
            .all("content-length")
            .iter()
            .any(|len| len.is_empty() || len.iter().any(|digit| *digit != b'0'));
        let offered = |value: &&[u8]| matches!(*value, b"chat" | b"superchat");
        let protocols = self.all("sec-websocket-protocol");
        let extensions = self.all("sec-websocket-extensions");
        let extension = |value: &&[u8]| {
            naive_extensions(value)
                .is_some_and(|all| all.iter().all(|(name, _)| matches!(&name[..], b"a" | b"c")))
        };
        let only_websocket = !upgrade.is_empty()
            && upgrade.iter().all(|token| token.eq_ignore_ascii_case(b"websocket"));
        let rules = [
            (self.words[0] == b"HTTP/1.1", "the version of HTTP"),
            (self.words[1] == b"101", "the status"),
            (only_websocket, "Upgrade"),
            (self.has("connection", "upgrade"), "Connection"),
            (self.only("sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Accept"),
            (!body && self.all("transfer-encoding").is_empty(), "a body"),
            (protocols.len() <= 1 && protocols.iter().all(offered), "the subprotocol"),
            (extensions.iter().all(extension), "the extensions"),
        ];
        rules.iter().try_for_each(|(holds, what)| if *holds { Ok(()) } else { Err(*what) })
    }

    pub(crate) fn assert_is_agreement(&self) {
        assert_eq!(self.is_agreement(), Ok(()));
    }

    /// Whether it is an agreement, and the reason of its first line is of the simplest kind.
    pub(crate) fn is_plain_agreement(&self) -> bool {
        self.is_agreement().is_ok() && self.words[2].iter().all(u8::is_ascii_alphanumeric)
    }
}

/// Whether it is the base64 of 16 bytes: 22 characters and two `=`. The last character may have any
/// of its bits (erratum 3150).
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(digit) && key.ends_with(b"==")
}
