//! A bare connection, fed with pieces of input as a transport would.

use std::sync::Arc;

use wsconn::{
    CloseCause, CloseInfo, Config, Connection, Delivery, Event, Kind, OwnedMessage, Role, Side,
    Time,
};

use crate::reference::{self, End, Outcome, encode_frame};

/// The masking key that every client of these tests uses: that of RFC 6455 §5.7.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How to drive a connection. Whatever it is, what comes out is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Whole messages or chunks, which are put together here.
    pub delivery: Delivery,
    /// Whether to read directly wherever the connection offers it.
    pub direct: bool,
    /// Whether to take the bytes of events out of the connection.
    pub take: bool,
    /// Whether to take back the buffers after each piece, as before a wait.
    pub reclaim: bool,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Trace {
    /// What was delivered, in order.
    pub events: Vec<reference::Event>,
    /// The kind and the bytes of chunks whose message has not ended.
    pub unfinished: Option<(Kind, Vec<u8>)>,
    /// What was written.
    pub written: Vec<u8>,
    /// How the connection ended.
    pub close: Option<CloseInfo>,
    /// Whether what is outgoing stays in the connection, for the caller to write.
    pub holds: bool,
}

impl Driver {
    /// Whole messages by `receive` alone.
    pub const PLAIN: Self =
        Self { delivery: Delivery::Messages, direct: false, take: false, reclaim: false };
    /// Every way there is.
    pub const ALL: [Self; 6] = [
        Self::PLAIN,
        Self { direct: true, ..Self::PLAIN },
        Self { delivery: Delivery::Chunks, ..Self::PLAIN },
        Self { delivery: Delivery::Chunks, direct: true, take: true, reclaim: true },
        Self { take: true, ..Self::PLAIN },
        Self { reclaim: true, direct: true, ..Self::PLAIN },
    ];

    /// Gives `connection` each piece, and then the end of the stream if `eof`, writing what is
    /// outgoing after each call.
    pub fn run(self, connection: &mut Connection, pieces: &[&[u8]], eof: bool) -> Trace {
        let mut trace = Trace::default();
        self.resume(connection, pieces, eof, &mut trace);
        trace
    }

    /// As [`run`](Self::run), after what `trace` tells.
    pub fn resume(
        self,
        connection: &mut Connection,
        pieces: &[&[u8]],
        eof: bool,
        trace: &mut Trace,
    ) {
        for piece in pieces {
            self.piece(connection, piece, trace);
            if self.reclaim {
                connection.release();
                let buffer = connection.reclaim();
                assert!(connection.outgoing().is_empty());
                connection.lend(buffer);
            }
        }
        if eof {
            connection.receive_eof();
            trace.write(connection);
        }
        trace.close = connection.close_info().cloned();
    }

    /// A new connection with [`KEY`] as its masking key, given `pieces`.
    pub fn run_new(self, role: Role, config: &Arc<Config>, pieces: &[&[u8]], eof: bool) -> Trace {
        self.run(&mut connection(role, config), pieces, eof)
    }

    fn piece(self, connection: &mut Connection, piece: &[u8], trace: &mut Trace) {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        loop {
            if self.direct
                && let Some(room) = connection.direct_read(self.delivery)
            {
                if rest.is_empty() {
                    return;
                }
                assert!(!room.is_empty(), "a direct read of nothing");
                let len = room.len().min(rest.len());
                let (head, tail) = rest.split_at_mut(len);
                room[..len].copy_from_slice(head);
                rest = tail;
                if let Some(location) = connection.direct_advance(len, Time::ZERO) {
                    assert!(location.is_held());
                    trace.push(connection.event(&[], location));
                }
                trace.write(connection);
                continue;
            }
            let received = connection.receive(rest, self.delivery, Time::ZERO);
            // Fewer without an event is a pause, in the midst of a compressed message.
            let done = received.event.is_none() && received.consumed == rest.len();
            if let Some(location) = received.event {
                if self.take {
                    let held = connection.take_delivered();
                    trace.push(location.event(rest, &held));
                    connection.give_back(held);
                } else {
                    trace.push(connection.event(rest, location));
                }
            }
            trace.write(connection);
            rest = rest.split_at_mut(received.consumed).1;
            if done {
                return;
            }
        }
    }
}

/// A connection with [`KEY`] as its masking key.
pub fn connection(role: Role, config: &Arc<Config>) -> Connection {
    match role {
        Role::Client => Connection::client(config.clone(), || KEY, Time::ZERO),
        Role::Server => Connection::server(config.clone(), Time::ZERO),
    }
}

/// `input` cut at `cuts`, which ascend.
pub fn pieces<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut from = 0;
    let mut pieces = Vec::new();
    for &cut in cuts {
        pieces.push(&input[from..cut]);
        from = cut;
    }
    pieces.push(&input[from..]);
    pieces
}

impl Trace {
    /// The messages alone.
    pub fn messages(&self) -> Vec<OwnedMessage> {
        let end = End::Open;
        Outcome { events: self.events.clone(), end }.messages()
    }

    /// Panics unless this is what the model came to. `what` names the case.
    pub fn assert_is(&self, model: &Outcome, role: Role, what: impl Fn() -> String) {
        assert_eq!(self.events, model.events, "{}", what());
        let key = (role == Role::Client).then_some(KEY);
        let mut written = Vec::new();
        for pong in model.pongs() {
            written.extend(encode_frame(true, 0, 10, key, &pong));
        }
        let (code, fits) = match (&model.end, &self.close) {
            (End::Open, None) => (None, true),
            (End::Closed { code, reason }, Some(info)) => {
                let body = code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default();
                written.extend(encode_frame(true, 0, 8, key, &body));
                let same = info.reason == *reason && info.cause == CloseCause::Handshake;
                (Some(code.unwrap_or(1005)), info.clean && info.by == Side::Peer && same)
            }
            (End::Failed(code), Some(info)) => {
                let body = [&code.to_be_bytes(), info.reason.as_bytes()].concat();
                written.extend(encode_frame(true, 0, 8, key, &body));
                let violation = matches!(info.cause, CloseCause::Violation(_));
                (Some(*code), !info.clean && info.by == Side::Local && violation)
            }
            _ => (None, false),
        };
        let found = self.close.as_ref().map(|info| info.code.get());
        assert!(fits && found == code, "{:?}, not {model:?}: {}", self.close, what());
        assert_eq!(self.written, written, "{}", what());
    }

    fn write(&mut self, connection: &mut Connection) {
        if self.holds {
            return;
        }
        let outgoing = connection.outgoing();
        self.written.extend(outgoing);
        let len = outgoing.len();
        connection.advance(len);
    }

    pub(crate) fn push(&mut self, event: Event<'_>) {
        let event = match event {
            Event::Message(message) => reference::Event::Message(message.to_owned()),
            Event::Ping(payload) => reference::Event::Ping(payload.to_vec()),
            Event::Pong(payload) => reference::Event::Pong(payload.to_vec()),
            Event::Chunk(chunk) => {
                assert!(
                    chunk.last || !chunk.data.is_empty(),
                    "an empty chunk that is not the last"
                );
                let (kind, mut bytes) = self.unfinished.take().unwrap_or((chunk.kind, Vec::new()));
                assert_eq!(kind, chunk.kind);
                bytes.extend(chunk.data);
                if !chunk.last {
                    self.unfinished = Some((kind, bytes));
                    return;
                }
                reference::Event::Message(match kind {
                    Kind::Text => OwnedMessage::Text(String::from_utf8(bytes).unwrap()),
                    Kind::Binary => OwnedMessage::Binary(bytes),
                })
            }
            event => panic!("an event that this does not know: {event:?}"),
        };
        self.events.push(event);
    }
}
