use core::fmt;

use crate::MAX_CONTROL_PAYLOAD;

/// A status code of the closing handshake (RFC 6455 §7.4), with the later ones of IANA's registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a protocol error.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that the endpoint cannot accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the close frame had no code. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close frame. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data that does not fit the kind of message, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: against the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client expected an extension that the server did not agree to.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: an unexpected condition kept the endpoint from going on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid response from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never sent.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// A code that may stand in a close frame: 1000–1003, 1007–1014, 3000–4999 (§7.4). `None` for any
    /// other.
    #[inline]
    pub const fn new(code: u16) -> Option<Self> {
        let code = Self(code);
        if code.is_sendable() { Some(code) } else { None }
    }

    /// Whether the code may stand in a close frame. 1005, 1006 and 1015 only ever tell the
    /// application what happened.
    #[inline]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// What the code means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status",
            1006 => "abnormal closure",
            1007 => "invalid payload",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension missing",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake failed",
            3000 => "unauthorized",
            3003 => "forbidden",
            3008 => "timeout",
            4000..=4999 => "private use",
            code if code / 1000 == 3 => "registered by a library or framework",
            _ => "reserved",
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CloseCode {
    /// As in `1001 (going away)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.meaning())
    }
}

/// The body of a close frame (RFC 6455 §5.5.1): a code, and a reason that may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseBody<'a> {
    /// The status code.
    pub code: CloseCode,
    /// Why, for people who debug: at most 123 bytes.
    pub reason: &'a str,
}

/// What is wrong with the body of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseBodyError {
    /// One byte: neither empty nor a code.
    OneByte,
    /// A code that must not stand in a close frame.
    Code(u16),
    /// A reason that is not UTF-8.
    Reason,
}

impl<'a> CloseBody<'a> {
    /// The longest reason, in bytes: what a control frame leaves beside the code.
    pub const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

    /// Parses the unmasked payload of a close frame. `None` is an empty one, which stands for
    /// [`CloseCode::NO_STATUS`].
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, CloseBodyError> {
        match *payload {
            [] => Ok(None),
            [_] => Err(CloseBodyError::OneByte),
            [a, b, ref reason @ ..] => {
                let code = u16::from_be_bytes([a, b]);
                let code = CloseCode::new(code).ok_or(CloseBodyError::Code(code))?;
                let reason = core::str::from_utf8(reason).map_err(|_| CloseBodyError::Reason)?;
                Ok(Some(Self { code, reason }))
            }
        }
    }
}

impl CloseBodyError {
    /// The code of the close frame that answers it: 1007 for the reason, else 1002.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Reason => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for CloseBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneByte => f.write_str("a close frame has a body of one byte"),
            Self::Code(code) => {
                write!(f, "a close frame has the code {code}, which must not be sent")
            }
            Self::Reason => f.write_str("the reason in a close frame is not valid UTF-8"),
        }
    }
}

impl core::error::Error for CloseBodyError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    #[test]
    fn only_registered_and_private_codes_may_be_sent() {
        for code in 0..=u16::MAX {
            let valid = matches!(
                code,
                1000 | 1001 | 1002 | 1003 | 1007 | 1008 | 1009 | 1010 | 1011 | 1012 | 1013 | 1014
            ) || (3000..5000).contains(&code);
            assert_eq!(CloseCode::new(code).map(CloseCode::get), valid.then_some(code));
        }
    }

    #[test]
    fn a_code_is_shown_with_what_it_means() {
        let meanings = [
            (999, "reserved"),
            (1000, "normal closure"),
            (1001, "going away"),
            (1002, "protocol error"),
            (1003, "unsupported data"),
            (1004, "reserved"),
            (1005, "no status"),
            (1006, "abnormal closure"),
            (1007, "invalid payload"),
            (1008, "policy violation"),
            (1009, "message too big"),
            (1010, "mandatory extension missing"),
            (1011, "internal error"),
            (1012, "service restart"),
            (1013, "try again later"),
            (1014, "bad gateway"),
            (1015, "TLS handshake failed"),
            (1016, "reserved"),
            (2999, "reserved"),
            (3000, "unauthorized"),
            (3001, "registered by a library or framework"),
            (3003, "forbidden"),
            (3008, "timeout"),
            (3999, "registered by a library or framework"),
            (4000, "private use"),
            (4999, "private use"),
            (5000, "reserved"),
        ];
        for (code, meaning) in meanings {
            assert_eq!(format!("{}", CloseCode(code)), format!("{code} ({meaning})"));
            assert_eq!(format!("{:?}", CloseCode(code)), format!("{code} ({meaning})"));
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_in_a_sentence() {
        let sentences = [
            (CloseBodyError::OneByte, "a close frame has a body of one byte"),
            (CloseBodyError::Code(1005), "a close frame has the code 1005, which must not be sent"),
            (CloseBodyError::Reason, "the reason in a close frame is not valid UTF-8"),
        ];
        for (error, sentence) in sentences {
            assert_eq!(format!("{error}"), sentence);
        }
    }

    #[test]
    fn a_body_is_empty_or_a_code_and_a_reason() {
        assert_eq!(CloseBody::MAX_REASON, 123);
        assert_eq!(CloseBody::parse(b""), Ok(None));
        assert_eq!(CloseBody::parse(b"\x03"), Err(CloseBodyError::OneByte));
        assert_eq!(CloseBody::parse(b"\x03\xec"), Err(CloseBodyError::Code(1004)));
        assert_eq!(CloseBody::parse(b"\x03\xe8\xff"), Err(CloseBodyError::Reason));
        let body = CloseBody { code: CloseCode::NORMAL, reason: "bye" };
        assert_eq!(CloseBody::parse(b"\x03\xe8bye"), Ok(Some(body)));
        assert_eq!(CloseBodyError::Reason.close_code(), CloseCode::INVALID_PAYLOAD);
        assert_eq!(CloseBodyError::OneByte.close_code(), CloseCode::PROTOCOL_ERROR);
    }
}
