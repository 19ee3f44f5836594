//! The grammar of RFC 6455 §9.1, by splitting.

use super::{Understood, is_token, trim, understood};

/// A value is understood if it follows the grammar, as what it says, and else refused.
pub(crate) fn check_extensions(input: &[u8]) {
    assert_eq!(understood(input), naive_extensions(input), "{:?}", String::from_utf8_lossy(input));
}

pub(crate) fn naive_extensions(value: &[u8]) -> Option<Understood> {
    let mut extensions = Vec::new();
    for member in split(value, b',')? {
        let parts = split(member, b';')?;
        if parts.len() == 1 && trim(member).is_empty() {
            continue;
        }
        let name = trim(parts[0]);
        if !is_token(name) {
            return None;
        }
        let params: Option<Vec<_>> = parts[1..].iter().map(|part| param(part)).collect();
        extensions.push((name.to_vec(), params?));
    }
    (!extensions.is_empty()).then_some(extensions)
}

fn param(part: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let Some(at) = part.iter().position(|byte| *byte == b'=') else {
        let name = trim(part);
        return is_token(name).then(|| (name.to_vec(), None));
    };
    let (name, value) = (trim(&part[..at]), trim(&part[at + 1..]));
    let value = match value {
        [b'"', inner @ .., b'"'] => unescaped(inner)?,
        _ => value.to_vec(),
    };
    (is_token(name) && is_token(&value)).then(|| (name.to_vec(), Some(value)))
}

/// What an escaped string means. `None` where a quote stands unescaped.
fn unescaped(inner: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = inner.iter();
    let mut meant = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => meant.push(*bytes.next()?),
            _ => meant.push(*byte),
        }
    }
    Some(meant)
}

/// Splits at each `separator` that is not in quotes. `None` where a quote is not closed.
fn split(value: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if *byte == separator && !quoted => {
                parts.push(&value[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[from..]);
    (!quoted).then_some(parts)
}
