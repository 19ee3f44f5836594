use core::fmt;

use crate::HandshakeError;
use crate::syntax::is_tchar;

const NAME: &str = "Sec-WebSocket-Extensions";

/// The extensions in one value of a `Sec-WebSocket-Extensions` header, in their order, which is
/// that of preference (RFC 6455 §9.1).
///
/// ```
/// use wshandshake::Extensions;
///
/// let value = b"permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\"";
/// let deflate = Extensions::parse(value)?.next().unwrap();
/// assert_eq!(deflate.name(), "permessage-deflate");
/// let mut params = deflate.params();
/// assert!(params.next().is_some_and(|param| param.value().is_none()));
/// assert!(params.next().is_some_and(|param| param.value().unwrap() == "10"));
/// # Ok::<(), wshandshake::HandshakeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Extensions<'b> {
    rest: &'b str,
}

impl<'b> Extensions<'b> {
    /// Checks a header's value as a whole, in one pass.
    ///
    /// # Errors
    ///
    /// [`BadHeader`](HandshakeError::BadHeader) if it does not follow the grammar, or has not one
    /// extension in it.
    pub fn parse(value: &'b [u8]) -> Result<Self, HandshakeError> {
        let malformed = HandshakeError::BadHeader(NAME);
        // Tokens are ASCII, and so is what is quoted.
        let rest = core::str::from_utf8(value).map_err(|_| malformed)?;
        let mut cursor = Cursor { rest };
        let mut some = false;
        while cursor.extension().ok_or(malformed)?.is_some() {
            some = true;
        }
        if some { Ok(Self { rest }) } else { Err(malformed) }
    }

    /// The extensions of a value that [`parse`](Self::parse) has found to be well-formed.
    pub(crate) fn checked(value: &'b [u8]) -> Self {
        Self { rest: core::str::from_utf8(value).unwrap_or_default() }
    }
}

impl<'b> Iterator for Extensions<'b> {
    type Item = Extension<'b>;

    fn next(&mut self) -> Option<Extension<'b>> {
        let mut cursor = Cursor { rest: self.rest };
        let extension = cursor.extension().flatten();
        self.rest = cursor.rest;
        extension
    }
}

/// One extension, offered by a client or accepted by a server.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'b> {
    name: &'b str,
    params: &'b str,
}

impl<'b> Extension<'b> {
    /// Its name, a token, whose case matters.
    pub const fn name(&self) -> &'b str {
        self.name
    }

    /// Its parameters, in their order.
    pub fn params(&self) -> impl Iterator<Item = Param<'b>> + Clone + use<'b> {
        let mut cursor = Cursor { rest: self.params };
        core::iter::repeat_with(move || cursor.param().flatten()).map_while(|param| param)
    }
}

/// One parameter of an [`Extension`].
#[derive(Clone, Copy, Debug)]
pub struct Param<'b> {
    name: &'b str,
    value: Option<ParamValue<'b>>,
}

impl<'b> Param<'b> {
    /// Its name, a token.
    pub const fn name(&self) -> &'b str {
        self.name
    }

    /// What stands behind its `=`, if it has one.
    pub const fn value(&self) -> Option<ParamValue<'b>> {
        self.value
    }
}

/// The value of a parameter: a token, whether it was quoted or not.
///
/// Within quotes any character may be escaped. The value is unescaped as it is read, not copied:
/// compare it (`value == "10"`), go through its [`bytes`](Self::bytes), or take it as a
/// [`number`](Self::number).
#[derive(Clone, Copy, Debug)]
pub struct ParamValue<'b> {
    /// A token, but that a backslash (which is no token character) escapes the one behind it.
    raw: &'b str,
}

impl<'b> ParamValue<'b> {
    /// The characters, unescaped. All are ASCII.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<'b> {
        self.raw.bytes().filter(|&byte| byte != b'\\')
    }

    /// The value as a string, if nothing in it is escaped.
    pub fn as_str(&self) -> Option<&'b str> {
        (!self.raw.contains('\\')).then_some(self.raw)
    }

    /// The value as a decimal number without sign or leading zeros; `None` if it is not one or
    /// is above 255.
    pub fn number(&self) -> Option<u8> {
        let mut bytes = self.bytes();
        let first = bytes.next().filter(u8::is_ascii_digit)? - b'0';
        if first == 0 {
            return bytes.next().is_none().then_some(0);
        }
        bytes.try_fold(first, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
            number.checked_mul(10)?.checked_add(digit)
        })
    }
}

impl PartialEq<str> for ParamValue<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl PartialEq<&str> for ParamValue<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialEq for ParamValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for ParamValue<'_> {}

impl fmt::Display for ParamValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.split('\\').try_for_each(|piece| f.write_str(piece))
    }
}

/// Reads from left to right, and no byte twice. `None` is a violation of the grammar.
#[derive(Clone)]
struct Cursor<'b> {
    rest: &'b str,
}

impl<'b> Cursor<'b> {
    /// `extension-token *( ";" extension-param )` and its comma, or that no further one comes.
    fn extension(&mut self) -> Option<Option<Extension<'b>>> {
        self.rest = self.rest.trim_start_matches([',', ' ', '\t']);
        if self.rest.is_empty() {
            return Some(None);
        }
        let name = self.token()?;
        let params = self.rest;
        while self.param()?.is_some() {}
        let (params, _) = params.split_at_checked(params.len().checked_sub(self.rest.len())?)?;
        if self.rest.is_empty() || self.eat(',') {
            Some(Some(Extension { name, params }))
        } else {
            None
        }
    }

    /// `";" token [ "=" ( token / quoted-string ) ]`, or that none comes here.
    fn param(&mut self) -> Option<Option<Param<'b>>> {
        if !self.eat(';') {
            return Some(None);
        }
        self.blanks();
        let name = self.token()?;
        let mut value = None;
        if self.eat('=') {
            self.blanks();
            let raw = if self.rest.starts_with('"') { self.quoted()? } else { self.token()? };
            value = Some(ParamValue { raw });
        }
        Some(Some(Param { name, value }))
    }

    /// A token and the blanks behind it.
    fn token(&mut self) -> Option<&'b str> {
        let len = self.rest.bytes().take_while(|&byte| is_tchar(byte)).count();
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.blanks();
        (!token.is_empty()).then_some(token)
    }

    /// What stands between the quotes, which must be a token once unescaped; and the blanks behind.
    fn quoted(&mut self) -> Option<&'b str> {
        let inner = self.rest.strip_prefix('"')?;
        let mut bytes = inner.bytes();
        let mut len = 0;
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' if is_tchar(bytes.next()?) => len += 2,
                byte if is_tchar(byte) => len += 1,
                _ => return None,
            }
        }
        let (raw, rest) = inner.split_at_checked(len)?;
        self.rest = rest.strip_prefix('"')?;
        self.blanks();
        (!raw.is_empty()).then_some(raw)
    }

    fn eat(&mut self, what: char) -> bool {
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::{String, ToString};

    use super::*;

    /// What was understood, in one spelling.
    fn read(value: &[u8]) -> Result<String, HandshakeError> {
        let mut text = String::new();
        for extension in Extensions::parse(value)? {
            text += extension.name();
            for param in extension.params() {
                text += &format!(";{}", param.name());
                text += &param.value().map_or(String::new(), |value| format!("={value}"));
            }
            text.push('|');
        }
        Ok(text)
    }

    #[test]
    fn extensions_are_read_in_their_order_with_their_parameters() {
        let cases = [
            ("foo", "foo|"),
            ("foo,bar; baz=2", "foo|bar;baz=2|"),
            ("foo;  baz, bar", "foo;baz|bar|"),
            (" ,a ;b = c;d=\"e\"\t, ,a;b,", "a;b=c;d=e|a;b|"),
            (r#"a;b="\1\0";c"#, "a;b=10;c|"),
        ];
        for (value, expected) in cases {
            assert_eq!(read(value.as_bytes()).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_does_not_follow_the_grammar_is_refused() {
        let values = [
            "",
            " ",
            ",",
            ";",
            "a;",
            "a;;b",
            "a;,b",
            "a;=b",
            "a;b=",
            "a;b=,c",
            "a b",
            "a=b",
            "a;b=\"\"",
            "a;b=\"c",
            "a;b=\"c d\"",
            "a;b=\"c\"d",
            "a;b=\"\\\"\"",
            "a;b=\"\\",
            "a;b=c=d",
            "a;b=\u{e9}",
            "\u{e9}",
        ];
        for value in values {
            let error = Err(HandshakeError::BadHeader(NAME));
            assert_eq!(read(value.as_bytes()), error, "{value:?}");
        }
        assert_eq!(read(b"a;b=\xff"), Err(HandshakeError::BadHeader(NAME)));
    }

    #[test]
    fn a_value_is_compared_and_read_unescaped() {
        let value = |raw| ParamValue { raw };
        assert!(value(r"1\0") == "10" && value("10") == value(r"\1\0") && value("1") != "10");
        assert_eq!((value("10").as_str(), value(r"1\0").as_str()), (Some("10"), None));
        assert_eq!(value(r"1\0").to_string(), "10");
        let cases = [("0", Some(0)), (r"1\5", Some(15)), ("255", Some(255)), ("256", None)];
        for (raw, number) in cases {
            assert_eq!(value(raw).number(), number, "{raw}");
        }
        for raw in ["08", "00", "+8", "-1", "8.", "x", "99999999999999999999"] {
            assert_eq!(value(raw).number(), None, "{raw}");
        }
    }
}
