use wsframe::MAX_CONTROL_PAYLOAD;

/// The payload of a control frame, kept for later. To be boxed, for a connection rarely has one.
pub(crate) struct ControlPayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD],
    len: u8,
}

impl ControlPayload {
    /// A copy of `payload`.
    pub(crate) fn new(payload: &[u8]) -> Self {
        let mut copy = Self { bytes: [0; MAX_CONTROL_PAYLOAD], len: 0 };
        copy.extend(payload);
        copy
    }

    /// Adds what has come since; a control frame's header has been judged, so that it fits.
    pub(crate) fn extend(&mut self, piece: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(usize::from(self.len)).zip(piece) {
            *to = *from;
            self.len += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
