//! The words of HTTP's grammar that the rest is made of.

/// RFC 9110 §5.6.2: `1*tchar`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

pub(crate) const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// RFC 9110 §5.5: no control characters but the tab. What is not ASCII is opaque.
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

/// Without the optional whitespace around it (RFC 9110 §5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list. Empty ones are passed over, as RFC 9110 §5.6.1 has it.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// The path of a request target, from its `/`, and the query behind its `?`.
///
/// More lenient than RFC 3986, for browsers are; and no more so than `http::Uri`.
pub(crate) fn is_path_and_query(target: &str) -> bool {
    let (path, query) = split_query(target);
    path.starts_with('/')
        && path.bytes().all(|byte| is_query_byte(byte) && byte != b'`')
        && query.unwrap_or_default().bytes().all(is_query_byte)
}

/// The same of a whole URL, whose path may be empty.
pub(crate) fn is_path_and_query_of_url(target: &str) -> bool {
    match target.strip_prefix('?') {
        Some(query) => query.bytes().all(is_query_byte),
        None => target.is_empty() || is_path_and_query(target),
    }
}

const fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>')
}

/// What stands before the first `?`, and behind it.
pub(crate) fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_characters_are_those_of_the_rfc() {
        let tchars = (0..=255).filter(|&byte| is_tchar(byte));
        let expected =
            b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";
        assert!(tchars.eq(expected.iter().copied()));
    }

    #[test]
    fn empty_members_of_a_list_are_passed_over() {
        assert!(list(b" a ,,\tb\t, ,c d,").eq([&b"a"[..], b"b", b"c d"]));
        assert_eq!(list(b" , ,").count(), 0);
        assert_eq!(trim(b" \t "), b"");
    }
}
