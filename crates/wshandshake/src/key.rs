use core::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Erratum 3150: the last character of a key may have bits that decode to nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Key` of a client: sixteen random bytes, in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 24]);

impl Key {
    /// The key of sixteen bytes, which must be fresh and random for each connection (§4.1).
    pub fn new(nonce: [u8; 16]) -> Self {
        let mut key = [0; 24];
        let written = BASE64.encode_slice(nonce, &mut key);
        debug_assert_eq!(written, Ok(key.len()));
        Self(key)
    }

    /// A key as a client has sent it: 24 characters that decode to sixteen bytes.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let key: [u8; 24] = value.try_into().ok()?;
        // Three bytes for every four characters, before the padding is known.
        let mut nonce = [0; 18];
        match BASE64.decode_slice(key, &mut nonce) {
            Ok(16) => Some(Self(key)),
            _ => None,
        }
    }

    /// The 24 characters of the header.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What a server answers this key with.
    ///
    /// ```
    /// let key = wshandshake::Key::new(*b"the sample nonce");
    /// assert_eq!(key.as_str(), "dGhlIHNhbXBsZSBub25jZQ==");
    /// assert_eq!(key.accept().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    /// ```
    pub fn accept(&self) -> AcceptKey {
        let mut sha1 = sha1_smol::Sha1::new();
        sha1.update(&self.0);
        sha1.update(GUID);
        let mut accept = [0; 28];
        let written = BASE64.encode_slice(sha1.digest().bytes(), &mut accept);
        debug_assert_eq!(written, Ok(accept.len()));
        AcceptKey(accept)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.as_str()).finish()
    }
}

/// The `Sec-WebSocket-Accept` of a server: proof that it has seen a [`Key`] and speaks WebSocket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AcceptKey([u8; 28]);

impl AcceptKey {
    /// The 28 characters of the header.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for AcceptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcceptKey").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_whose_last_character_is_not_canonical_is_taken_as_it_stands() {
        // Erratum 3150: the last four bits of the last character decode to nothing.
        let key = Key::parse(b"AQIDBAUGBwgJCgsMDQ4PEC==").unwrap();
        assert_eq!(key.as_str(), "AQIDBAUGBwgJCgsMDQ4PEC==");
        // The accept answers the characters, not the bytes they decode to.
        assert_ne!(key.accept(), Key::parse(b"AQIDBAUGBwgJCgsMDQ4PEA==").unwrap().accept());
    }

    #[test]
    fn what_does_not_decode_to_sixteen_bytes_is_no_key() {
        let keys: [&[u8]; 8] = [
            b"",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQ===",
            b"dGhlIHNhbXBsZSBub25jZXh4",
            b"dGhlIHNhbXBsZSBub25jZXg=",
            b"dGhlIHNhbXBsZSBub25j\xc3\xa9==",
            b"dGhlIHNhbXBsZSBub25j ZQ=",
        ];
        for key in keys {
            assert_eq!(Key::parse(key), None, "{key:?}");
        }
    }
}
