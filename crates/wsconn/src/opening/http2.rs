use core::fmt;

/// What went wrong with HTTP/2 below a WebSocket (RFC 8441), in the opening handshake or later. The codes
/// are those of RFC 9113 §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Http2Failure {
    /// In the TLS handshake the server did not choose HTTP/2 (ALPN).
    NotSpoken,
    /// The server's SETTINGS do not allow WebSockets (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441 §3).
    NotEnabled,
    /// The peer reset the stream (RST_STREAM).
    Reset {
        /// Its error code.
        code: u32,
    },
    /// The peer ends the whole connection (GOAWAY).
    GoAway {
        /// Its error code.
        code: u32,
    },
    /// The peer broke the rules of HTTP/2, and this side gave up the stream or the connection.
    Violation {
        /// What it was told.
        code: u32,
    },
    /// The connection has ended.
    Ended,
}

impl fmt::Display for Http2Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotSpoken => f.write_str(
                "the server does not speak HTTP/2 here: it did not choose h2 in the TLS handshake (ALPN)",
            ),
            Self::NotEnabled => f.write_str(
                "the server speaks HTTP/2 but does not open WebSockets over it: its SETTINGS are without \
                 SETTINGS_ENABLE_CONNECT_PROTOCOL; connect over HTTP/1.1",
            ),
            Self::Reset { code } => write!(f, "the peer reset the HTTP/2 stream: {}", Code(code)),
            Self::GoAway { code } => {
                write!(f, "the peer ends the HTTP/2 connection (GOAWAY): {}", Code(code))
            }
            Self::Violation { code } => {
                write!(f, "the peer broke the rules of HTTP/2, and was told: {}", Code(code))
            }
            Self::Ended => f.write_str("the HTTP/2 connection has ended"),
        }
    }
}

impl core::error::Error for Http2Failure {}

/// An error code by its name.
struct Code(u32);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        let name = usize::try_from(self.0).ok().and_then(|code| NAMES.get(code));
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "code {:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_code_is_named_if_it_has_a_name() {
        for (code, name) in [(0, "NO_ERROR"), (6, "FRAME_SIZE_ERROR"), (13, "HTTP_1_1_REQUIRED")] {
            assert!(Http2Failure::Reset { code }.to_string().ends_with(name));
        }
        assert!(Http2Failure::GoAway { code: u32::MAX }.to_string().ends_with("code 0xffffffff"));
    }
}
