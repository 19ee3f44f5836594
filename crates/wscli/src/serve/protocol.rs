//! What the page and the server say to each other: JSON, one object to a message.

use serde::{Deserialize, Serialize};

/// The subprotocol's name.
pub(super) const SUBPROTOCOL: &str = "chat.v1";

/// The longest text of a message, in bytes.
pub(super) const MAX_TEXT: usize = 16 << 10;

/// The longest nickname, in characters.
const MAX_NICK: usize = 32;

/// From the page.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Request {
    Say { text: String },
    Typing { on: bool },
    Nick { nick: String },
}

/// To the page. Times are in milliseconds since 1970.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Notice<'a> {
    Welcome {
        you: u64,
        nick: &'a str,
        room: &'a str,
        members: Vec<Who<'a>>,
        history: Vec<&'a Said>,
    },
    Joined {
        id: u64,
        nick: &'a str,
        at: u64,
    },
    Left {
        id: u64,
        nick: &'a str,
        at: u64,
    },
    Said(&'a Said),
    Typing {
        id: u64,
        nick: &'a str,
        on: bool,
    },
    Renamed {
        id: u64,
        old: &'a str,
        nick: &'a str,
        at: u64,
    },
    Error {
        message: &'a str,
    },
}

/// A member of a room.
#[derive(Serialize)]
pub(super) struct Who<'a> {
    pub(super) id: u64,
    pub(super) nick: &'a str,
}

/// Something that was said.
#[derive(Serialize)]
pub(super) struct Said {
    pub(super) id: u64,
    pub(super) nick: String,
    pub(super) text: String,
    pub(super) at: u64,
}

impl Notice<'_> {
    pub(super) fn to_json(&self) -> String {
        // Strings and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether this can be a room's name.
pub(super) fn is_room(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A nickname as it will be shown: without control characters and spaces around it, at most
/// [`MAX_NICK`] characters. `None` if nothing is left.
pub(super) fn nick(text: &str) -> Option<String> {
    let shown: String = text.chars().filter(|c| !c.is_control()).collect();
    let shown: String = shown.trim().chars().take(MAX_NICK).collect();
    let shown = shown.trim_end();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// The nickname in a query, as in `nick=Ada%20L.`, or one for who has none.
pub(super) fn nick_in(query: &str) -> String {
    let given = query.split('&').find_map(|pair| pair.strip_prefix("nick="));
    given.and_then(|encoded| nick(&decode(encoded))).unwrap_or_else(|| "guest".to_owned())
}

/// Undoes percent-encoding. What is wrong with it stays as it is.
fn decode(encoded: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_is_cleaned_and_cut_and_never_empty() {
        assert_eq!(nick_in("nick=Ada%20L.&x=1"), "Ada L.");
        assert_eq!(nick_in("x=1&nick=%C3%A9+%e2%82%ac"), "é €");
        assert_eq!(nick_in("nick=%"), "%");
        for none in ["", "nick=", "nick=%20%0A", "other=1"] {
            assert_eq!(nick_in(none), "guest", "{none}");
        }
        assert_eq!(nick(&"x".repeat(40)).unwrap().len(), MAX_NICK);
        assert_eq!(nick("<b>\u{7}").as_deref(), Some("<b>"));
    }

    #[test]
    fn a_room_is_named_with_letters_digits_dash_and_underscore() {
        assert!(is_room("lobby") && is_room("A-1_b"));
        for bad in ["", "a/b", "ä", "a b", &"x".repeat(65)] {
            assert!(!is_room(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_said_is_flat_json_with_its_type() {
        let said = Said { id: 1, nick: "a".into(), text: "<b>".into(), at: 2 };
        assert_eq!(
            Notice::Said(&said).to_json(),
            r#"{"type":"said","id":1,"nick":"a","text":"<b>","at":2}"#
        );
    }
}
