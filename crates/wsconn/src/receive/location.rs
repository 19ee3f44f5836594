use core::ops::Range;

#[cfg(doc)]
use crate::Connection;
use crate::{Chunk, Event, Kind, Message};

/// Where an event is: in the input that was received, or in the connection.
// Two scalars, so that it goes from function to function in registers. Copied through memory, part by part
// in and as a whole out, it would make small messages wait for a tenth of their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    what: What,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Text,
    Binary,
    TextChunk,
    BinaryChunk,
    LastTextChunk,
    LastBinaryChunk,
    Ping,
    Pong,
}

/// A range of the input: where it begins in the upper half, its length in the lower one. Or
/// [`HELD`](Self::HELD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u64);

impl What {
    pub(super) fn message(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }

    pub(super) fn chunk(kind: Kind, last: bool) -> Self {
        match (kind, last) {
            (Kind::Text, false) => Self::TextChunk,
            (Kind::Binary, false) => Self::BinaryChunk,
            (Kind::Text, true) => Self::LastTextChunk,
            (Kind::Binary, true) => Self::LastBinaryChunk,
        }
    }
}

impl Place {
    /// The connection holds the bytes.
    const HELD: Self = Self(u64::MAX);

    /// Of at most [`Location::MAX_INPUT`] bytes.
    fn new(range: Range<usize>) -> Self {
        Self((range.start as u64) << 32 | range.len() as u64)
    }

    fn start(self) -> usize {
        (self.0 >> 32) as usize
    }

    fn len(self) -> usize {
        self.0 as u32 as usize
    }

    fn of(self, input: &[u8]) -> Option<&[u8]> {
        input.get(self.start()..)?.get(..self.len())
    }
}

impl Location {
    /// How much of the input one call looks at, in bytes. No place in it is [`Place::HELD`], which would end
    /// far behind it.
    pub(super) const MAX_INPUT: usize = u32::MAX as usize;

    /// In this range of the input.
    pub(super) fn in_input(what: What, range: Range<usize>) -> Self {
        Self { what, place: Place::new(range) }
    }

    /// In the connection.
    pub(super) fn held(what: What) -> Self {
        Self { what, place: Place::HELD }
    }

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
        !matches!(self.what, What::TextChunk | What::BinaryChunk | What::Ping | What::Pong)
    }

    /// Whether the bytes are in the connection, and not in the input.
    pub fn is_held(&self) -> bool {
        self.place == Place::HELD
    }

    /// The event, where `input` is what was received and `held` what the connection held of it. As
    /// [`Connection::event`], for whoever has taken the bytes out with
    /// [`Connection::take_delivered`].
    pub fn event<'a>(&self, input: &'a [u8], held: &'a [u8]) -> Event<'a> {
        let data = if self.is_held() { held } else { self.place.of(input).unwrap_or_default() };
        let chunk = |kind, last| Event::Chunk(Chunk { kind, data, last });
        match self.what {
            // It has been validated; without `unsafe` there is no other way to tell the compiler.
            What::Text => {
                Event::Message(Message::Text(wsframe::from_utf8(data).unwrap_or_default()))
            }
            What::Binary => Event::Message(Message::Binary(data)),
            What::TextChunk => chunk(Kind::Text, false),
            What::BinaryChunk => chunk(Kind::Binary, false),
            What::LastTextChunk => chunk(Kind::Text, true),
            What::LastBinaryChunk => chunk(Kind::Binary, true),
            What::Ping => Event::Ping(data),
            What::Pong => Event::Pong(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_anywhere_in_the_input_is_told_from_held() {
        let most = Location::MAX_INPUT;
        for range in [0..0, 0..most, most - 1..most, most..most] {
            let place = Place::new(range.clone());
            assert_ne!(place, Place::HELD);
            assert_eq!((place.start(), place.len()), (range.start, range.len()));
        }
        assert_eq!(Place::new(1..3).of(b"abcd"), Some(&b"bc"[..]));
        assert_eq!(Place::new(1..3).of(b"ab"), None);
    }

    #[test]
    fn a_location_fits_into_two_registers() {
        assert_eq!(size_of::<Option<Location>>(), 16);
    }
}
