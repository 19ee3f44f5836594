use wsframe::{Decoded, Header, Mask, OpCode, Rules, Utf8};

use super::{Delivery, Location, Step, location::What};
use crate::{Connection, Kind, Time, Violation};

impl Connection {
    /// The next frame, if it is a whole message and all of it lies in `bytes`, as nearly all do: it
    /// needs none of the state that is kept between calls. `None` leaves it to the steps that take
    /// everything, and comes to the same.
    #[inline]
    pub(super) fn whole(
        &mut self,
        bytes: &mut [u8],
        at: usize,
        delivery: Delivery,
        now: Time,
    ) -> Option<Result<Step, Violation>> {
        if self.input.is_midway() || delivery != Delivery::Messages {
            return None;
        }
        let config = &self.config;
        let max_payload = config.max_frame_size.min(config.max_message_size);
        let rules = Rules { max_payload, ..Rules::new(self.role()) };
        let Ok(Decoded::Header { header, len }) = Header::decode(bytes, &rules) else {
            return None;
        };
        let kind = match header.opcode {
            OpCode::Text => Kind::Text,
            OpCode::Binary => Kind::Binary,
            _ => return None,
        };
        let end = usize::try_from(header.payload_len).ok()?.checked_add(len)?;
        if !header.fin || config.max_fragments == 0 {
            return None;
        }
        let payload = bytes.get_mut(len..end)?;
        if let Some(key) = header.masking_key {
            Mask::new(key).apply(payload);
        }
        self.alive(now);
        if kind == Kind::Text {
            // RFC 6455 §8.1: invalid UTF-8 fails the connection.
            let mut utf8 = Utf8::new();
            if utf8.push(payload).and_then(|()| utf8.finish()).is_err() {
                return Some(Err(Violation::InvalidUtf8));
            }
        }
        let place = Some(at + len..at + end);
        let event = Some(Location { what: What::Message(kind), place });
        Some(Ok(Step { event, ..Step::of(end) }))
    }
}
