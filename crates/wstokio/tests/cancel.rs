//! Contract *Cancel safety*: every future is dropped after every number of polls.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use support::{
    Pending, Polled, ROLES, Script, Scripted, close, finish, from_peer_of, poll_n_then_drop,
    read_by_peer, runtime, socket,
};
use wsconn::{OwnedMessage, Role};
use wstest::reference::{self, Event, Frame};
use wstokio::{CloseCode, Config, Error, Event as Seen, Kind, WebSocket};

/// What a peer sends in a session: messages of every shape, with control frames between and inside.
fn frames(large: usize) -> Vec<Frame> {
    vec![
        Frame::new(1, "one"),
        Frame::new(9, "ping 1"),
        Frame::new(1, "tw").unfinished(),
        Frame::new(9, "ping 2"),
        Frame::new(0, "o"),
        Frame::new(10, "pong"),
        Frame::new(2, vec![3; large]),
        Frame::new(1, ""),
        Frame::new(2, vec![4; large / 2]).unfinished(),
        Frame::new(0, vec![5; large]),
        Frame::new(9, "ping 3"),
        Frame::new(1, "grüße"),
        close(1000, "bye"),
    ]
}

#[derive(Clone, Copy, Debug)]
enum By {
    Recv,
    RecvEvent,
    RecvChunk,
    #[cfg(feature = "stream")]
    Stream,
}

const ALL: &[By] = &[
    By::Recv,
    By::RecvEvent,
    By::RecvChunk,
    #[cfg(feature = "stream")]
    By::Stream,
];

/// What was received, put together.
#[derive(Default)]
struct Inbox {
    events: Vec<Event>,
    bytes: Vec<u8>,
}

impl Inbox {
    /// Receives one thing; `false` at the end.
    async fn receive(&mut self, ws: &mut WebSocket<Scripted>, by: By) -> bool {
        match by {
            By::Recv => {
                let message = ws.recv().await.unwrap();
                self.events.extend(message.map(|message| Event::Message(message.to_owned())));
                message.is_some()
            }
            By::RecvEvent => {
                let event = ws.recv_event().await.unwrap();
                self.events.extend(event.map(|event| match event {
                    Seen::Message(message) => Event::Message(message.to_owned()),
                    Seen::Ping(payload) => Event::Ping(payload.to_vec()),
                    Seen::Pong(payload) => Event::Pong(payload.to_vec()),
                    other => panic!("{other:?}"),
                }));
                event.is_some()
            }
            By::RecvChunk => {
                let Some(chunk) = ws.recv_chunk().await.unwrap() else { return false };
                self.bytes.extend(chunk.data);
                if chunk.last {
                    let bytes = std::mem::take(&mut self.bytes);
                    self.events.push(Event::Message(match chunk.kind {
                        Kind::Text => OwnedMessage::Text(String::from_utf8(bytes).unwrap()),
                        Kind::Binary => OwnedMessage::Binary(bytes),
                    }));
                }
                true
            }
            #[cfg(feature = "stream")]
            By::Stream => {
                let message = futures_util::StreamExt::next(ws).await;
                let more = message.is_some();
                self.events.extend(message.map(|message| Event::Message(message.unwrap())));
                more
            }
        }
    }
}

/// Receives a session, dropping each future after `n` polls. Whether any was dropped.
fn receive_dropping(role: Role, by: By, large: usize, script: Script, n: usize) -> bool {
    let case = format!("{role:?}, {by:?}, dropped after {n} polls");
    let (stream, handle) = script.stream();
    let mut ws = socket(role, stream, Config::default());
    let mut inbox = Inbox::default();
    let mut dropped = false;
    loop {
        match poll_n_then_drop(inbox.receive(&mut ws, by), n) {
            Polled::Ready(true) => {}
            Polled::Ready(false) => break,
            Polled::Dropped => dropped = true,
            Polled::Waits => panic!("{case}: it waits, and nothing will wake it"),
        }
    }
    let sent = from_peer_of(role, &frames(large));
    let config = Config::default();
    let mut expected = reference::receive(role, &(&config).into(), &sent);
    let pings = expected.pongs();
    if !matches!(by, By::RecvEvent) {
        expected.events.retain(|event| matches!(event, Event::Message(_)));
    }
    assert!(inbox.events == expected.events, "{case}: another sequence of events");
    let info = ws.close_info().unwrap();
    assert!(info.clean && info.code == CloseCode::NORMAL && info.reason == "bye", "{case}: {info}");

    // While writes wait only the newest ping has to be answered: the pongs are some of the pings, in
    // order.
    let written = reference::decode(&handle.seen().written);
    let (end, pongs) = written.split_last().unwrap();
    assert_eq!((end.opcode, &end.payload[..]), (8, &1000_u16.to_be_bytes()[..]), "{case}");
    let mut unanswered = pings.iter();
    for pong in pongs {
        assert_eq!(pong.opcode, 10, "{case}");
        assert!(unanswered.any(|ping| *ping == pong.payload), "{case}: {pong:?} again");
    }
    let again = poll_n_then_drop(async { ws.recv().await.unwrap().is_none() }, 1);
    assert_eq!(again, Polled::Ready(true), "{case}: after the end");
    dropped
}

#[test]
fn cancel_safety_of_receiving() {
    let runtime = runtime();
    let _guard = runtime.enter();
    // The large messages are such that they are read directly.
    for (large, pieces, write_max) in
        [(40, 1, 1), (40, 7, 3), (40_000, 9_000, 2), (40_000, 1 << 20, 1)]
    {
        for role in ROLES {
            for by in ALL {
                let input = from_peer_of(role, &frames(large));
                let script = Script::pieces(&input, pieces);
                let script = Script { pending: Pending::ALL, write_max, ..script };
                let n = (1..)
                    .find(|n| !receive_dropping(role, *by, large, script.clone(), *n))
                    .unwrap();
                assert!(n > 2, "nothing was dropped");
            }
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Send(usize),
    Feed(usize),
    FeedFragment(usize),
    Flush,
    Ping,
    #[cfg(feature = "stream")]
    Sink,
}

/// What is sent first, and last.
const BEFORE: &[u8; 6] = b"before";
const AFTER: &[u8; 5] = b"after";

impl Method {
    /// Sends payloads of 7s.
    async fn call(self, ws: &mut WebSocket<Scripted>) -> Result<(), Error> {
        match self {
            Self::Send(len) => ws.send(&vec![7; len]).await,
            Self::Feed(len) => ws.feed(&vec![7; len]).await,
            Self::FeedFragment(len) => ws.feed_fragment(&vec![7; len], true).await,
            Self::Flush => ws.flush().await,
            Self::Ping => ws.ping(b"7").await,
            #[cfg(feature = "stream")]
            Self::Sink => futures_util::SinkExt::send(ws, OwnedMessage::Binary(vec![7; 100])).await,
        }
    }

    fn event(self) -> Option<Event> {
        let message = |len| Some(Event::Message(OwnedMessage::Binary(vec![7; len])));
        match self {
            Self::Send(len) | Self::Feed(len) | Self::FeedFragment(len) => message(len),
            Self::Flush => None,
            Self::Ping => Some(Event::Ping(b"7".to_vec())),
            #[cfg(feature = "stream")]
            Self::Sink => message(100),
        }
    }
}

/// Sends "before", then `method` dropped after `n` polls, then "after". Whether it was dropped, and how
/// often the peer got what it sent.
fn send_dropping(
    role: Role,
    method: Method,
    script: &Script,
    config: &Config,
    n: usize,
) -> (bool, usize) {
    let case = format!("{role:?}, {method:?}, dropped after {n} polls");
    let (stream, handle) = script.clone().stream();
    let mut ws = socket(role, stream, config.clone());
    finish(ws.feed(BEFORE)).unwrap();
    let dropped = match poll_n_then_drop(method.call(&mut ws), n) {
        Polled::Ready(result) => {
            result.unwrap();
            false
        }
        Polled::Dropped => true,
        Polled::Waits => panic!("{case}: it waits, and nothing will wake it"),
    };
    finish(ws.send(AFTER)).unwrap();
    let mut events = read_by_peer(role, &handle.seen().written).events;
    let first = events.remove(0);
    assert_eq!(first, Event::Message(OwnedMessage::Binary(BEFORE.to_vec())), "{case}");
    let last = events.pop().unwrap();
    assert_eq!(last, Event::Message(OwnedMessage::Binary(AFTER.to_vec())), "{case}");
    assert!(events.iter().all(|event| Some(event) == method.event().as_ref()), "{case}");
    (dropped, events.len())
}

fn methods() -> Vec<Method> {
    vec![
        Method::Send(0),
        Method::Send(300),
        Method::Send(40_000),
        Method::Send(100_000),
        Method::Feed(300),
        Method::Feed(40_000),
        Method::Feed(100_000),
        Method::FeedFragment(300),
        Method::FeedFragment(100_000),
        Method::Flush,
        Method::Ping,
        #[cfg(feature = "stream")]
        Method::Sink,
    ]
}

#[test]
fn cancel_safety_of_sending() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for method in methods() {
            let large = matches!(method, Method::Send(len) | Method::Feed(len) | Method::FeedFragment(len) if len > 1000);
            for write_max in if large { [999, 30_000, usize::MAX] } else { [1, 5, usize::MAX] } {
                let script = Script { pending: Pending::ALL, write_max, ..Script::default() };
                for n in 1.. {
                    let config = Config::default();
                    let (dropped, sent) = send_dropping(role, method, &script, &config, n);
                    // There was room: from the first poll on the connection owned it.
                    let expected = usize::from(method.event().is_some());
                    assert_eq!(sent, expected, "{role:?} {method:?} after {n} polls");
                    if !dropped {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn cancel_safety_of_sending_at_the_high_water_mark() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let mut config = Config::default();
    config.max_outgoing = 5; // "before" is above it
    let script = Script { pending: Pending::ALL, write_max: 1, ..Script::default() };
    for role in ROLES {
        for method in methods() {
            if method == Method::Flush
                || matches!(method, Method::Send(len) | Method::Feed(len) | Method::FeedFragment(len) if len > 1000)
            {
                continue;
            }
            let (mut before, mut not_sent) = (0, 0);
            for n in 1.. {
                let (dropped, sent) = send_dropping(role, method, &script, &config, n);
                // Not accepted while it waits; accepted once, and for good, after that.
                assert!(sent == 0 || sent == 1 && before <= sent, "{role:?} {method:?} after {n}");
                assert!(dropped || sent == 1, "{role:?} {method:?} completed after {n}");
                (before, not_sent) = (sent, not_sent + usize::from(sent == 0));
                if !dropped {
                    break;
                }
            }
            assert!(not_sent > 2, "{role:?} {method:?} never waited");
        }
    }
}

#[test]
fn a_message_that_was_waiting_for_room_when_its_future_was_dropped_is_not_sent() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let mut config = Config::default();
    config.max_outgoing = 5;
    for role in ROLES {
        for method in methods().into_iter().filter(|method| *method != Method::Flush) {
            let script = Script { window: 0, ..Script::default() };
            let (stream, handle) = script.stream();
            let mut ws = socket(role, stream, config.clone());
            finish(ws.feed(BEFORE)).unwrap();
            for n in 1..4 {
                let waiting = poll_n_then_drop(method.call(&mut ws), n);
                assert!(matches!(waiting, Polled::Waits | Polled::Dropped), "{role:?} {method:?}");
            }
            handle.open_window();
            finish(ws.send(AFTER)).unwrap();
            let messages = read_by_peer(role, &handle.seen().written).messages();
            assert_eq!(messages, [BEFORE.to_vec().into(), OwnedMessage::Binary(AFTER.to_vec())]);
        }
    }
}
