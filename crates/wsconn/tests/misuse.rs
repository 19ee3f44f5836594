//! What a caller must not do: each is refused, and changes nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{CloseCode, Config, Connection, Delivery, Event, Message, Misuse, Role, Time};
use wstest::{
    drive::{KEY, connection},
    reference::{Frame, decode},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn new(role: Role) -> Connection {
    connection(role, &Arc::new(Config::default()))
}

fn receive(connection: &mut Connection, frame: Frame) {
    let key = (connection.role() == Role::Server).then_some(KEY);
    let mut bytes = frame.masked(key).encode();
    connection.receive(&mut bytes, Delivery::Messages, Time::ZERO);
}

/// What can be asked for, and what it is refused with.
type Asks = [(&'static str, fn(&mut Connection) -> Result<(), Misuse>)];

const SENDS: &Asks = &[
    ("send", |it| it.send("x")),
    ("send_direct", |it| it.send_direct("x").map(drop)),
    ("send_fragment", |it| it.send_fragment("x", false)),
    ("ping", |it| it.ping(b"x")),
];

/// Asserts that each is refused so, and that it changes nothing.
fn refused(make: impl Fn() -> Connection, asks: &Asks, misuse: Misuse) {
    for (name, ask) in asks {
        let mut connection = make();
        let state = |it: &Connection| {
            let outgoing = it.outgoing().to_vec();
            (
                outgoing,
                it.is_open(),
                it.is_full(),
                it.poll_timeout(),
                it.disposition(),
                it.close_info().cloned(),
            )
        };
        let before = state(&connection);
        assert_eq!(ask(&mut connection), Err(misuse), "{name}");
        assert_eq!(state(&connection), before, "{name} changes something");
        assert!(!misuse.to_string().is_empty());
    }
}

#[test]
fn nothing_is_sent_once_closing_has_begun() {
    let close: &Asks = &[("close", |it| it.close(CloseCode::NORMAL, "", Time::ZERO))];
    let ends: [fn(&mut Connection); 6] = [
        |it| it.close(CloseCode::NORMAL, "", Time::ZERO).unwrap(),
        |it| receive(it, Frame::new(8, "")),
        |it| receive(it, Frame::new(3, "")),
        |it| it.receive_eof(),
        |it| it.transport_failed(),
        |it| it.write_failed(Time::ZERO),
    ];
    for role in ROLES {
        for end in ends {
            let make = || {
                let mut connection = new(role);
                end(&mut connection);
                connection
            };
            refused(make, SENDS, Misuse::Closed);
            refused(make, close, Misuse::Closed);
        }
    }
}

#[test]
fn a_full_queue_takes_no_message_until_some_has_gone_out() {
    let mut config = Config::default();
    config.max_outgoing = 10;
    let config = Arc::new(config);
    for role in ROLES {
        let make = || {
            let mut connection = connection(role, &config);
            connection.send("one message may be longer").unwrap();
            connection
        };
        refused(make, SENDS, Misuse::QueueFull { limit: 10 });
        let mut connection = make();
        assert!(connection.is_full());
        connection.advance(connection.outgoing().len() - 9);
        assert!(!connection.is_full());
        connection.send("again").unwrap();
    }
}

#[test]
fn an_empty_queue_is_never_full() {
    let mut config = Config::default();
    config.max_outgoing = 0;
    for role in ROLES {
        let mut connection = connection(role, &Arc::new(config.clone()));
        assert!(!connection.is_full());
        connection.send("x").unwrap();
        assert!(connection.is_full());
    }
}

#[test]
fn a_message_in_fragments_must_be_finished_first() {
    for role in ROLES {
        let make = || {
            let mut connection = new(role);
            connection.send_fragment("text", false).unwrap();
            connection
        };
        let asks: &Asks = &[
            ("send", |it| it.send("x")),
            ("send_direct", |it| it.send_direct("x").map(drop)),
            ("a fragment of the other kind", |it| it.send_fragment(b"x", true)),
        ];
        refused(make, asks, Misuse::MessageUnderWay);
        let mut connection = make();
        connection.send_fragment("end", true).unwrap();
        connection.send("whole").unwrap();
        connection.send_fragment(b"other", false).unwrap();
    }
}

#[test]
fn control_frames_that_cannot_be_are_refused() {
    for role in ROLES {
        let make = || new(role);
        refused(make, &[("ping", |it| it.ping(&[0; 126]))], Misuse::LongControl(126));
        let close: &Asks =
            &[("close", |it| it.close(CloseCode::NORMAL, &"x".repeat(124), Time::ZERO))];
        refused(make, close, Misuse::LongReason(124));
        let code = CloseCode::ABNORMAL;
        let close: &Asks = &[("close", |it| it.close(CloseCode::ABNORMAL, "", Time::ZERO))];
        refused(make, close, Misuse::CloseCode(code));
        let mut connection = make();
        connection.ping(&[0; 125]).unwrap();
        connection.close(CloseCode::NORMAL, &"x".repeat(123), Time::ZERO).unwrap();
        let lengths: Vec<usize> =
            decode(connection.outgoing()).iter().map(|f| f.payload.len()).collect();
        assert_eq!(lengths, [125, 125]);
    }
}

#[test]
fn no_more_is_taken_from_a_direct_read_than_there_was_room_for() {
    let mut connection = new(Role::Client);
    let bytes = Frame::new(2, vec![7; 100_000]).encode();
    let (start, rest) = bytes.split_at(1000);
    connection.receive(&mut start.to_vec(), Delivery::Messages, Time::ZERO);
    let room = connection.direct_read(Delivery::Messages).unwrap();
    let len = room.len();
    room.copy_from_slice(&rest[..len]);
    assert!(connection.direct_advance(usize::MAX, Time::ZERO).is_none());
    let mut rest = rest[len..].to_vec();
    let received = connection.receive(&mut rest, Delivery::Messages, Time::ZERO);
    assert_eq!(received.consumed, rest.len());
    let event = connection.event(&rest, received.event.unwrap());
    assert_eq!(event, Event::Message(Message::Binary(&[7; 100_000])));
}
