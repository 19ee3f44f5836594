use wsframe::{Decoded, Header, Mask, OpCode, Rules, Utf8};

use super::{Delivery, Location, Received, input::unmask, location::What};
use crate::{Connection, Kind, Time};

impl Connection {
    /// The next frame, if it is a whole message and all of it lies in `bytes`, as nearly all do: it
    /// needs none of the state that is kept between calls. `None` leaves it to the steps that take
    /// everything, and comes to the same.
    #[inline]
    pub(super) fn whole(
        &mut self,
        bytes: &mut [u8],
        delivery: Delivery,
        now: Time,
    ) -> Option<Received> {
        if self.input.is_midway() || delivery != Delivery::Messages || self.close_info().is_some() {
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
        self.alive(now);
        let mut mask = header.masking_key.map(Mask::new);
        if let Err(violation) = unmask(payload, &mut mask, kind, &mut Utf8::new(), true) {
            self.fail(violation, now);
            return Some(Received { consumed: bytes.len(), event: None });
        }
        let event = Some(Location::in_input(What::message(kind), len..end));
        Some(Received { consumed: end, event })
    }
}
