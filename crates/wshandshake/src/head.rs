use crate::HandshakeError;

/// What [`HeadScanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The head ends after this many bytes of the chunk. What follows them is not HTTP: it already
    /// belongs to the WebSocket connection.
    Complete(usize),
    /// The whole chunk is part of the head, and the head goes on.
    Partial,
}

/// Finds the empty line that ends an HTTP head, in bytes that come in pieces of any size.
///
/// *Split-invariance:* each byte is looked at once, and any way of cutting the input gives the same
/// result. A CR or LF on its own, NUL and a folded line are refused at the byte that proves them:
/// parsers differ over what these mean, and that is what smuggling lives on.
///
/// ```
/// use wshandshake::{HeadScanner, Scan};
///
/// let mut scanner = HeadScanner::new(1024);
/// assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), Ok(Scan::Partial));
/// assert_eq!(scanner.scan(b"\n\x81\x85"), Ok(Scan::Complete(1)));
/// ```
#[derive(Clone, Debug)]
pub struct HeadScanner {
    limit: usize,
    /// What the head has to begin with.
    begins: &'static [u8],
    seen: usize,
    place: Place,
}

/// Where in the head the next byte stands.
///
/// ```text
///   FirstLine ──► FirstLineCr ──► LineStart ──► Line ──► LineCr
///                                  │     ▲                 │
///                                  ▼     └─────────────────┘
///                               LastCr ──► Complete            Failed: from anywhere
/// ```
#[derive(Clone, Copy, Debug)]
enum Place {
    FirstLine,
    FirstLineCr,
    LineStart,
    Line,
    LineCr,
    LastCr,
    Complete,
    Failed(HandshakeError),
}

impl HeadScanner {
    /// A scanner for one head of at most `limit` bytes, its empty line included.
    pub const fn new(limit: usize) -> Self {
        Self { limit, begins: b"", seen: 0, place: Place::FirstLine }
    }

    /// The same, for the head of a response: what does not begin as one is refused at the first byte
    /// that proves it. A server that speaks something else need not ever send a line.
    pub const fn for_response(limit: usize) -> Self {
        Self { begins: b"HTTP/1.", ..Self::new(limit) }
    }

    /// Looks at the bytes that follow those of the calls before.
    ///
    /// Once the head is complete every further call returns `Complete(0)`, and once it has
    /// failed, the same error.
    ///
    /// # Errors
    ///
    /// [`HeadTooLong`](HandshakeError::HeadTooLong) when `limit` bytes have come and the head has
    /// not ended, [`TargetTooLong`](HandshakeError::TargetTooLong) when not even its first line has;
    /// [`BadHead`](HandshakeError::BadHead) for a bare CR, a bare LF, NUL, a folded line or an
    /// empty first line; [`Tls`](HandshakeError::Tls) where the head begins as a record of TLS;
    /// [`HttpVersion`](HandshakeError::HttpVersion) for a response that does not begin as one.
    pub fn scan(&mut self, chunk: &[u8]) -> Result<Scan, HandshakeError> {
        match self.place {
            Place::Complete => return Ok(Scan::Complete(0)),
            Place::Failed(error) => return Err(error),
            _ => {}
        }
        for (at, &byte) in chunk.iter().enumerate() {
            self.place = match self.begins.get(self.seen) {
                // The records that begin a TLS connection, or refuse one: RFC 8446 §5.1.
                _ if self.seen == 0 && matches!(byte, 0x15 | 0x16) => {
                    Place::Failed(HandshakeError::Tls)
                }
                Some(&wanted) if byte != wanted => Place::Failed(HandshakeError::HttpVersion),
                _ => self.place.next(byte, self.seen == 0),
            };
            self.seen += 1;
            match self.place {
                Place::Complete => return Ok(Scan::Complete(at + 1)),
                Place::Failed(error) => return Err(error),
                _ if self.seen >= self.limit => return Err(self.too_long()),
                _ => {}
            }
        }
        Ok(Scan::Partial)
    }

    fn too_long(&mut self) -> HandshakeError {
        let limit = self.limit;
        let error = match self.place {
            Place::FirstLine | Place::FirstLineCr => HandshakeError::TargetTooLong { limit },
            _ => HandshakeError::HeadTooLong { limit },
        };
        self.place = Place::Failed(error);
        error
    }
}

impl Place {
    fn next(self, byte: u8, first: bool) -> Self {
        match (self, byte) {
            (Self::FirstLineCr | Self::LineCr, b'\n') => Self::LineStart,
            (Self::LastCr, b'\n') => Self::Complete,
            (Self::FirstLine, b'\r') if !first => Self::FirstLineCr,
            (Self::LineStart, b'\r') => Self::LastCr,
            (Self::Line, b'\r') => Self::LineCr,
            (Self::FirstLine | Self::LineStart | Self::Line, b'\r' | b'\n' | 0)
            | (Self::LineStart, b' ' | b'\t')
            | (Self::FirstLineCr | Self::LineCr | Self::LastCr, _) => {
                Self::Failed(HandshakeError::BadHead)
            }
            (Self::LineStart, _) => Self::Line,
            (place, _) => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: b\r\n\r\n";

    /// The result of scanning `pieces`, with the total number of bytes consumed.
    fn scan<'a>(
        limit: usize,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<usize>, HandshakeError> {
        let mut scanner = HeadScanner::new(limit);
        let mut before = 0;
        for piece in pieces {
            match scanner.scan(piece)? {
                Scan::Complete(len) => return Ok(Some(before + len)),
                Scan::Partial => before += piece.len(),
            }
        }
        Ok(None)
    }

    fn every_cut(limit: usize, input: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let whole = scan(limit, [input]);
        assert_eq!(scan(limit, input.chunks(1)), whole, "one byte at a time");
        for cut in 0..=input.len() {
            assert_eq!(scan(limit, [&input[..cut], &input[cut..]]), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn every_cut_of_a_head_gives_the_same_end() {
        let mut input = [0; 64];
        input[..HEAD.len()].copy_from_slice(HEAD);
        assert_eq!(every_cut(1024, &input), Ok(Some(HEAD.len())));
        assert_eq!(every_cut(1024, &HEAD[..HEAD.len() - 1]), Ok(None));
    }

    #[test]
    fn bad_line_ends_and_folded_lines_are_refused_at_every_cut() {
        let inputs: [&[u8]; 11] = [
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nHost: a\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\rX",
            b"GET / HTTP/1.1\r\nHost: a\rb",
            b"GET / HTTP/1.1\r\n\r\r",
            b"GET / HTTP/1.1\r\n Host: a",
            b"GET / HTTP/1.1\r\nHost: a\r\n\tb",
            b"GET /\0",
            b"\r\nGET / HTTP/1.1\r\n\r\n",
            b"\n",
        ];
        for input in inputs {
            assert_eq!(every_cut(1024, input), Err(HandshakeError::BadHead), "{input:?}");
        }
    }

    #[test]
    fn a_head_of_exactly_the_limit_passes_and_a_longer_one_fails_without_waiting_for_more() {
        let limit = HEAD.len();
        assert_eq!(every_cut(limit, HEAD), Ok(Some(limit)));
        let limit = limit - 1;
        assert_eq!(every_cut(limit, HEAD), Err(HandshakeError::HeadTooLong { limit }));
        assert_eq!(every_cut(limit, &HEAD[..limit]), Err(HandshakeError::HeadTooLong { limit }));
        assert_eq!(every_cut(5, HEAD), Err(HandshakeError::TargetTooLong { limit: 5 }));
    }

    #[test]
    fn what_cannot_become_a_response_is_refused_at_the_byte_that_proves_it() {
        for (input, len) in [(&b"SSH-2.0"[..], 1), (b"HTTP/2.0 101", 6), (b"HTTQ", 4), (b"\r\n", 1)]
        {
            let mut scanner = HeadScanner::for_response(1024);
            assert_eq!(scanner.scan(&input[..len - 1]), Ok(Scan::Partial), "{input:?}");
            assert_eq!(scanner.scan(&input[len - 1..]), Err(HandshakeError::HttpVersion));
        }
        for tls in [b"\x16\x03", b"\x15\x03"] {
            for mut scanner in [HeadScanner::new(1024), HeadScanner::for_response(1024)] {
                assert_eq!(scanner.scan(tls), Err(HandshakeError::Tls));
            }
        }
        let mut scanner = HeadScanner::for_response(1024);
        let head = b"HTTP/1.1 101 x\r\n\r\n";
        assert_eq!(scanner.scan(head), Ok(Scan::Complete(head.len())));
    }

    #[test]
    fn a_verdict_is_final() {
        let mut scanner = HeadScanner::new(1024);
        assert_eq!(scanner.scan(HEAD), Ok(Scan::Complete(HEAD.len())));
        assert_eq!(scanner.scan(b"\n"), Ok(Scan::Complete(0)));
        let mut scanner = HeadScanner::new(1024);
        assert_eq!(scanner.scan(b"\n"), Err(HandshakeError::BadHead));
        assert_eq!(scanner.scan(HEAD), Err(HandshakeError::BadHead));
    }
}
