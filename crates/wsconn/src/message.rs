use alloc::{borrow::ToOwned, string::String, vec::Vec};

use wsframe::OpCode;

/// A message, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// Text, valid UTF-8.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A message that owns its bytes: the borrowed one and a copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OwnedMessage {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text, valid UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// A part of a message that is received piece by piece.
///
/// Where it is cut says nothing about the peer's fragments. Text is validated as it comes, but a
/// chunk may end inside a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chunk<'a> {
    /// What the message is made of.
    pub kind: Kind,
    /// The bytes; empty only in a last chunk.
    pub data: &'a [u8],
    /// Whether the message ends here.
    pub last: bool,
}

/// What a connection has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A part of a message, where [`Delivery::Chunks`](crate::Delivery::Chunks) was asked for.
    Chunk(Chunk<'a>),
    /// A ping with its payload. The pong is queued already.
    Ping(&'a [u8]),
    /// A pong with its payload.
    Pong(&'a [u8]),
}

impl<'a> Message<'a> {
    /// What it is made of.
    #[inline]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// The bytes of either kind.
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text, unless it is binary.
    #[inline]
    pub const fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// A copy that owns its bytes.
    pub fn to_owned(&self) -> OwnedMessage {
        match *self {
            Self::Text(text) => OwnedMessage::Text(text.to_owned()),
            Self::Binary(bytes) => OwnedMessage::Binary(bytes.to_owned()),
        }
    }
}

impl OwnedMessage {
    /// The same message, borrowed.
    pub fn as_message(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(text),
            Self::Binary(bytes) => Message::Binary(bytes),
        }
    }
}

impl Kind {
    /// The opcode of a message's first frame.
    pub(crate) const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a> From<&'a OwnedMessage> for Message<'a> {
    fn from(message: &'a OwnedMessage) -> Self {
        message.as_message()
    }
}

impl From<&str> for OwnedMessage {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for OwnedMessage {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for OwnedMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}
