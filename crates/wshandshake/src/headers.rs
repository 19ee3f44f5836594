use core::fmt;

use crate::HandshakeError;
use crate::syntax;

/// How many headers a [`HeaderSlots`] holds unless told otherwise.
pub const MAX_HEADERS: usize = 100;

/// One header line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header<'b> {
    /// The name, as it was sent: compare it regardless of case.
    pub name: &'b str,
    /// The value, which need not be UTF-8.
    pub value: &'b [u8],
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the value: it may be a cookie or a password, and this may end in a log.
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Room for the headers of one head, so that parsing it allocates nothing.
///
/// [`HeaderSlots::new`] has room for [`MAX_HEADERS`], some 3 KiB, and
/// `HeaderSlots::<N>::with_slots()` for `N`. It can be used again for each head.
#[derive(Clone, Debug)]
pub struct HeaderSlots<'b, const N: usize = MAX_HEADERS> {
    slots: [Header<'b>; N],
}

impl HeaderSlots<'_> {
    /// Room for [`MAX_HEADERS`] headers.
    pub const fn new() -> Self {
        Self::with_slots()
    }
}

impl<const N: usize> HeaderSlots<'_, N> {
    /// Room for `N` headers.
    pub const fn with_slots() -> Self {
        Self { slots: [Header { name: "", value: &[] }; N] }
    }
}

impl<'b, const N: usize> HeaderSlots<'b, N> {
    /// Moves what httparse has found into the slots.
    pub(crate) fn fill(&mut self, parsed: &[httparse::Header<'b>]) -> Headers<'_, 'b> {
        let mut len = 0;
        for (slot, header) in self.slots.iter_mut().zip(parsed) {
            *slot = Header { name: header.name, value: header.value };
            len += 1;
        }
        Headers(self.slots.get(..len).unwrap_or_default())
    }
}

impl<const N: usize> Default for HeaderSlots<'_, N> {
    fn default() -> Self {
        Self::with_slots()
    }
}

/// The headers of a head, and the questions a handshake asks of them.
#[derive(Clone, Copy)]
pub(crate) struct Headers<'h, 'b>(&'h [Header<'b>]);

impl<'h, 'b> Headers<'h, 'b> {
    /// Refuses what is no header. httparse has done so already; others may have not.
    pub(crate) fn new(headers: &'h [Header<'b>]) -> Result<Self, HandshakeError> {
        let valid = |header: &Header<'_>| {
            syntax::is_token(header.name.as_bytes()) && syntax::is_field_value(header.value)
        };
        if headers.iter().all(valid) { Ok(Self(headers)) } else { Err(HandshakeError::BadHead) }
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Header<'b>> + Clone + use<'h, 'b> {
        self.0.iter().copied()
    }

    /// The value of the first line of this name, trimmed.
    pub(crate) fn get(self, name: &str) -> Option<&'b [u8]> {
        let mut headers = self.0.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(syntax::trim(header.value))
    }

    /// The values of all lines of this name, trimmed.
    pub(crate) fn all(
        self,
        name: &'static str,
    ) -> impl Iterator<Item = &'b [u8]> + Clone + use<'h, 'b> {
        let headers = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        headers.map(|header| syntax::trim(header.value))
    }

    /// The value of the only line of this name, trimmed.
    pub(crate) fn single(self, name: &'static str) -> Result<Option<&'b [u8]>, HandshakeError> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(HandshakeError::RepeatedHeader(name));
        }
        Ok(value)
    }

    /// Whether `token` is in the list that the lines of this name make together.
    pub(crate) fn contains(self, name: &'static str, token: &str) -> bool {
        let mut members = self.all(name).flat_map(syntax::list);
        members.any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether `token` is there, and nothing else.
    pub(crate) fn contains_only(self, name: &'static str, token: &str) -> bool {
        let mut members = self.all(name).flat_map(syntax::list);
        self.contains(name, token)
            && members.all(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether a body is announced, or it is not clear that none is.
    pub(crate) fn announce_body(self) -> bool {
        let none = |value: &[u8]| !value.is_empty() && value.iter().all(|&digit| digit == b'0');
        self.get("Transfer-Encoding").is_some() || !self.all("Content-Length").all(none)
    }
}
