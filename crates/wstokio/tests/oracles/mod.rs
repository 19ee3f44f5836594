//! What fuzzing holds the async operations against. The fuzz target includes this file, and so does the
//! test that replays its corpus.

use std::{io::ErrorKind, iter, sync::Arc};

use arbitrary::{Arbitrary, Unstructured};
use wsconn::{OwnedMessage, Role};
use wstest::{
    drive::Driver,
    reference::{self, Event, Frame},
};
use wstokio::{CloseCode, Config, Error, Kind, WebSocket};

use crate::support::{
    MAX_CALLS, Pending, Piece, Polled, Script, Scripted, Slow, from_peer_of, poll_n_then_drop,
    runtime, socket,
};

#[derive(Arbitrary, Debug)]
struct Session {
    client: bool,
    pending: [bool; 3],
    read_max: u8,
    write_max: u16,
    /// The operation that fails, and whether only for once.
    fail: Option<(u8, bool)>,
    outgoing: u16,
    /// What the peer sends.
    frames: Vec<Incoming>,
    piece: u8,
    /// What is called, and after how many polls its future is dropped.
    calls: Vec<(Call, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Incoming {
    Message { text: bool, size: u16, fragments: u8 },
    Ping(u8),
    Pong(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Call {
    Recv,
    Send(u16),
    Feed(u16),
    Ping(u8),
    Flush,
    /// Goes on with the message under way, or begins one, from a reader that gives so many bytes at a time.
    SendFrom {
        text: bool,
        len: u16,
        size: u8,
    },
    /// Into a writer that takes so many bytes at a time.
    RecvTo(u8),
}

/// How long a message is: mostly short, so that there are many runs, and at times up to 30,000 bytes.
fn size(chosen: u16) -> usize {
    (usize::from(chosen) % 30_000) >> (2 * (chosen & 7))
}

/// Async operations over a stream that is slow, cuts and may fail, each dropped after some polls and
/// the last ones not: the peer parses all that was written as whole frames that break no rule, in
/// which each accepted message is once and in order, and so is one whose reader has ended; and what was received is what the naive
/// receiver makes of what the peer sent, once and in order. Where nothing failed all of it arrives
/// and the connection ends cleanly.
pub(crate) fn check_async(input: &[u8]) {
    let Ok(session) = Session::arbitrary(&mut Unstructured::new(input)) else { return };
    let runtime = runtime();
    let _guard = runtime.enter();
    let role = if session.client { Role::Client } else { Role::Server };

    let mut frames: Vec<Frame> =
        session.frames.iter().take(20).flat_map(Incoming::frames).collect();
    frames.push(Frame::new(8, 1000_u16.to_be_bytes()));
    let incoming = from_peer_of(role, &frames);
    let size = usize::from(session.piece).max(1) * (1 + incoming.len() / 500);
    let pieces = incoming.chunks(size).map(|piece| Piece::Bytes(piece.to_vec()));
    let [reads, writes, flushes] = session.pending;
    let script = Script {
        input: pieces.collect(),
        ends: true,
        pending: Pending { reads, writes, flushes },
        read_max: usize::from(session.read_max) * 16 + 1,
        write_max: usize::from(session.write_max) + 1,
        fail: session.fail.map(|(at, once)| {
            (at.into(), if once { ErrorKind::Interrupted } else { ErrorKind::ConnectionReset })
        }),
        ..Script::default()
    };
    let fails = script.fail.is_some_and(|(_, kind)| kind != ErrorKind::Interrupted);
    let (stream, handle) = script.stream();
    let mut config = Config::default();
    config.max_outgoing = usize::from(session.outgoing).max(1);
    let mut ws = socket(role, stream, config);

    let mut seen = Seen::default();
    let mut broken = None;
    let calls = session.calls.iter().take(40).map(|(call, polls)| (*call, usize::from(*polls % 8)));
    // The message that is under way then is sent to its end.
    let rest = (Call::SendFrom { text: false, len: 0, size: 1 }, MAX_CALLS);
    for (number, (call, polls)) in calls.chain([rest]).enumerate() {
        let polled = poll_n_then_drop(seen.call(&mut ws, call, number), polls);
        seen.must.extend(seen.sending.take_if(|(reader, _)| reader.ended).map(|(_, it)| it));
        match polled {
            Polled::Ready(Ok(())) => seen.must.extend(call.message(number)),
            Polled::Ready(Err(Error::Misuse(_) | Error::Closed)) => {}
            Polled::Ready(Err(error)) => {
                broken = Some(error);
                seen.may.extend(call.message(number));
            }
            // It may have been accepted, or not.
            Polled::Dropped | Polled::Waits => seen.may.extend(call.message(number)),
        }
    }
    // What is left, to the end. The message under way may be one that is received into a writer.
    for call in iter::once(Call::RecvTo(9)).chain(iter::repeat(Call::Recv)) {
        match poll_n_then_drop(seen.call(&mut ws, call, 0), MAX_CALLS) {
            Polled::Ready(Ok(())) if ws.close_info().is_some() && seen.ended => break,
            Polled::Ready(Ok(())) => {}
            Polled::Ready(Err(error)) => broken = Some(error),
            other => panic!("{other:?}: it waits for what has come"),
        }
    }
    let info = ws.close_info().expect("it has ended").clone();
    let written = handle.seen().written;

    let model = reference::receive(role, &(&Config::default()).into(), &incoming);
    let sent = model.messages();
    assert!(broken.is_none() || fails, "nothing failed, and yet: {broken:?}, {info}");
    if fails && !info.clean {
        assert!(sent.starts_with(&seen.received), "other messages than were sent");
    } else {
        assert_eq!(seen.received, sent);
        assert!(info.clean && info.code == CloseCode::NORMAL, "{info}");
    }
    seen.check_written(role, &written, fails);
}

#[derive(Default)]
struct Seen {
    received: Vec<OwnedMessage>,
    ended: bool,
    /// Where the message under way is written to.
    writer: Option<Slow>,
    /// What the message under way is read from.
    sending: Option<(Slow, OwnedMessage)>,
    /// The messages that were sent, by number.
    must: Vec<OwnedMessage>,
    /// Those whose future was dropped.
    may: Vec<OwnedMessage>,
}

impl Seen {
    async fn call(
        &mut self,
        ws: &mut WebSocket<Scripted>,
        call: Call,
        number: usize,
    ) -> Result<(), Error> {
        match call {
            Call::Recv => {
                let message = ws.recv().await?;
                self.ended = message.is_none();
                self.received.extend(message.map(|message| message.to_owned()));
                Ok(())
            }
            Call::Send(_) => ws.send(&call.bytes(number)).await,
            Call::Feed(_) => ws.feed(&call.bytes(number)).await,
            Call::Ping(len) => ws.ping(&vec![7; usize::from(len % 126)]).await,
            Call::Flush => ws.flush().await,
            Call::SendFrom { size, .. } => {
                // Others may have been sent before one of which nothing has been read.
                self.sending.take_if(|(reader, _)| reader.at == 0);
                let (reader, message) = self.sending.get_or_insert_with(|| {
                    (Slow::new(&call.bytes(number), usize::from(size) + 1), call.whole(number))
                });
                ws.send_from(message.as_message().kind(), reader).await.map(drop)
            }
            Call::RecvTo(size) => {
                let new = || Slow::new(&[], usize::from(size) + 1);
                let end = ws.recv_to(self.writer.get_or_insert_with(new)).await?;
                self.ended = end.is_none();
                if let (Some((kind, _)), Some(writer)) = (end, self.writer.take()) {
                    self.received.push(owned(kind, writer.bytes));
                }
                Ok(())
            }
        }
    }

    /// What the peer reads: whole frames that break no rule, unless the stream broke in the midst of
    /// one; every message that was sent, in order, among which may be those that were dropped; none
    /// twice.
    fn check_written(&self, role: Role, written: &[u8], fails: bool) {
        if !fails {
            reference::decode(written);
        }
        let peer = wstest::pair::opposite(role);
        let config = Config::default();
        let model = reference::receive(peer, &(&config).into(), written);
        assert!(!matches!(model.end, reference::End::Failed(_)), "{:?}", model.end);
        let trace = Driver::PLAIN.run_new(peer, &Arc::new(config), &[written], false);
        assert_eq!(trace.events, model.events, "two readings of what was written");

        let mut must = self.must.iter().peekable();
        let mut last = None;
        for event in &model.events {
            let Event::Message(message) = event else { continue };
            let number = number(message);
            assert!(last < Some(number), "message {number} after {last:?}");
            last = Some(number);
            if must.peek() == Some(&message) {
                must.next();
            } else {
                assert!(self.may.contains(message), "message {number} was not sent");
            }
        }
        assert!(fails || must.peek().is_none(), "message {:?} is lost", must.map(number).next());
    }
}

impl Call {
    /// A message of its own for each call: its number and then as many bytes as asked for.
    fn bytes(self, number: usize) -> Vec<u8> {
        let len = match self {
            Self::Send(len) | Self::Feed(len) | Self::SendFrom { len, .. } => size(len),
            _ => 0,
        };
        let mut bytes = vec![number as u8];
        match self {
            Self::SendFrom { text: true, .. } => bytes.extend("ß".repeat(len / 2).as_bytes()),
            _ => bytes.resize(len + 1, 7),
        }
        bytes
    }

    fn whole(self, number: usize) -> OwnedMessage {
        let text = matches!(self, Self::SendFrom { text: true, .. });
        owned(if text { Kind::Text } else { Kind::Binary }, self.bytes(number))
    }

    fn message(self, number: usize) -> Option<OwnedMessage> {
        let sends = matches!(self, Self::Send(_) | Self::Feed(_));
        sends.then(|| self.whole(number))
    }
}

fn owned(kind: Kind, bytes: Vec<u8>) -> OwnedMessage {
    match kind {
        Kind::Text => OwnedMessage::Text(String::from_utf8(bytes).unwrap()),
        Kind::Binary => OwnedMessage::Binary(bytes),
    }
}

fn number(message: &OwnedMessage) -> u8 {
    message.as_message().as_bytes()[0]
}

impl Incoming {
    fn frames(&self) -> Vec<Frame> {
        match self {
            Self::Message { text, size, fragments } => {
                let body = vec![b'a'; self::size(*size)];
                let part = body.len() / (usize::from(*fragments % 4) + 1) + 1;
                let mut parts: Vec<&[u8]> = body.chunks(part).collect();
                if parts.is_empty() {
                    parts.push(&[]);
                }
                let last = parts.len() - 1;
                let first = if *text { 1 } else { 2 };
                let frame = |(at, part): (usize, &&[u8])| Frame {
                    fin: at == last,
                    ..Frame::new(if at == 0 { first } else { 0 }, *part)
                };
                parts.iter().enumerate().map(frame).collect()
            }
            Self::Ping(len) => vec![Frame::new(9, vec![1; usize::from(len % 126)])],
            Self::Pong(len) => vec![Frame::new(10, vec![1; usize::from(len % 126)])],
        }
    }
}
