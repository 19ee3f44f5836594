use core::ops::Range;

#[cfg(doc)]
use crate::Connection;
use crate::{Chunk, Event, Kind, Message};

/// Where an event is: in the input that was received, or in the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(super) what: What,
    /// The range of the input, or `None` where the connection holds the bytes.
    pub(super) place: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Message(Kind),
    Chunk { kind: Kind, last: bool },
    Ping,
    Pong,
}

impl Location {
    /// Whether the event is a ping or a pong, and not data.
    pub fn is_control(&self) -> bool {
        matches!(self.what, What::Ping | What::Pong)
    }

    /// Whether the event is a pong.
    #[cfg(feature = "transport")]
    pub(crate) fn is_pong(&self) -> bool {
        self.what == What::Pong
    }

    /// Whether the event is a message or the last chunk of one.
    #[cfg(feature = "transport")]
    pub(crate) fn ends_message(&self) -> bool {
        matches!(self.what, What::Message(_) | What::Chunk { last: true, .. })
    }

    /// Whether the bytes are in the connection, and not in the input.
    pub fn is_held(&self) -> bool {
        self.place.is_none()
    }

    /// The event, where `input` is what was received and `held` what the connection held of it. As
    /// [`Connection::event`], for whoever has taken the bytes out with
    /// [`Connection::take_delivered`].
    pub fn event<'a>(&self, input: &'a [u8], held: &'a [u8]) -> Event<'a> {
        let data = match &self.place {
            Some(range) => input.get(range.clone()).unwrap_or_default(),
            None => held,
        };
        match self.what {
            What::Message(Kind::Binary) => Event::Message(Message::Binary(data)),
            // It has been validated; without `unsafe` there is no other way to tell the compiler.
            What::Message(Kind::Text) => {
                Event::Message(Message::Text(wsframe::from_utf8(data).unwrap_or_default()))
            }
            What::Chunk { kind, last } => Event::Chunk(Chunk { kind, data, last }),
            What::Ping => Event::Ping(data),
            What::Pong => Event::Pong(data),
        }
    }
}
