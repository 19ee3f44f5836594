//! The closing handshake (RFC 6455 §7), and what the transport is told to do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{sync::Arc, time::Duration};

use wsconn::{
    CloseCause, CloseCode, Config, Connection, Delivery, Disposition, Misuse, Role, Side, Time,
    Violation,
};
use wstest::{
    drive::{Driver, KEY, connection},
    pair::{Pair, opposite},
    reference::{Event, Frame, decode},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn new(role: Role) -> Connection {
    connection(role, &Arc::new(Config::default()))
}

fn pair() -> Pair {
    Pair::new(Config::default(), Config::default())
}

/// The bytes of `frame` as an end in `role` receives them.
fn wire(role: Role, frame: Frame) -> Vec<u8> {
    frame.masked((role == Role::Server).then_some(KEY)).encode()
}

fn receive(connection: &mut Connection, frame: Frame) {
    let mut bytes = wire(connection.role(), frame);
    let received = connection.receive(&mut bytes, Delivery::Messages, Time::ZERO);
    assert_eq!(received.consumed, bytes.len());
}

/// Writes what is outgoing, and gives its frames.
fn write(connection: &mut Connection) -> Vec<Frame> {
    let frames = decode(connection.outgoing());
    connection.advance(connection.outgoing().len());
    frames
}

fn payloads(frames: &[Frame]) -> Vec<(u8, &[u8])> {
    frames.iter().map(|frame| (frame.opcode, frame.payload.as_slice())).collect()
}

#[test]
fn whoever_closes_first_both_know_the_code_the_reason_and_who_it_was() {
    for role in ROLES {
        for latency in [0, 100] {
            let mut pair = pair();
            pair.latency = Duration::from_millis(latency);
            pair.close(role, CloseCode::GOING_AWAY, "bye").unwrap();
            assert!(!pair.end(role).connection.is_open());
            assert_eq!(pair.end(role).connection.close_info(), None, "not before the answer");
            pair.run();
            for (end, by) in [(role, Side::Local), (opposite(role), Side::Peer)] {
                let info = pair.end(end).close_info();
                assert_eq!((info.code, info.reason.as_str()), (CloseCode::GOING_AWAY, "bye"));
                assert_eq!((info.by, info.clean, info.cause), (by, true, CloseCause::Handshake));
                assert_eq!(info.answer, Some(CloseCode::GOING_AWAY), "the code is echoed");
                assert!(pair.end(end).closed.is_some(), "closed without a timer");
            }
            // The code is echoed, the reason is not.
            assert_eq!(payloads(&pair.end(role).frames()), [(8, &b"\x03\xe9bye"[..])]);
            assert_eq!(payloads(&pair.other(role).frames()), [(8, &b"\x03\xe9"[..])]);
        }
    }
}

#[test]
fn the_code_of_the_answer_is_told_beside_our_own() {
    for role in ROLES {
        let mut connection = new(role);
        connection.close(CloseCode::GOING_AWAY, "bye", Time::ZERO).unwrap();
        receive(&mut connection, Frame::new(8, b"\x03\xe8"));
        let info = connection.close_info().unwrap();
        assert_eq!((info.code, info.answer), (CloseCode::GOING_AWAY, Some(CloseCode::NORMAL)));
    }
}

#[test]
fn a_close_frame_without_a_body_is_answered_by_one() {
    for role in ROLES {
        let mut pair = pair();
        pair.close(role, CloseCode::NO_STATUS, "").unwrap();
        pair.run();
        for end in ROLES {
            assert_eq!(pair.end(end).close_info().code, CloseCode::NO_STATUS);
            assert!(pair.end(end).close_info().clean);
            assert_eq!(payloads(&pair.end(end).frames()), [(8, &b""[..])]);
        }
    }
}

#[test]
fn when_both_close_at_once_each_has_closed_and_neither_answers() {
    let mut pair = pair();
    pair.latency = Duration::from_millis(50);
    pair.close(Role::Client, CloseCode::NORMAL, "done").unwrap();
    pair.close(Role::Server, CloseCode::GOING_AWAY, "restart").unwrap();
    pair.run();
    let codes = [
        (Role::Client, CloseCode::NORMAL, "done"),
        (Role::Server, CloseCode::GOING_AWAY, "restart"),
    ];
    for (role, code, reason) in codes {
        let info = pair.end(role).close_info();
        assert_eq!((info.code, info.reason.as_str(), info.by), (code, reason, Side::Local));
        assert!(info.clean);
        assert_eq!(pair.end(role).frames().len(), 1);
        assert!(pair.end(role).closed.is_some());
    }
}

#[test]
fn messages_are_delivered_until_the_peer_has_closed_too() {
    for role in ROLES {
        let mut pair = pair();
        pair.close(role, CloseCode::NORMAL, "").unwrap();
        pair.other(role).connection.send("one").unwrap();
        pair.other(role).connection.ping(b"?").unwrap();
        pair.other(role).connection.send_fragment("tw", false).unwrap();
        pair.other(role).connection.send_fragment("o", true).unwrap();
        pair.run();
        let expected = [
            Event::Message("one".into()),
            Event::Ping(b"?".to_vec()),
            Event::Message("two".into()),
        ];
        assert_eq!(pair.end(role).events, expected);
        assert_eq!(pair.end(role).frames().len(), 1, "no pong after the close frame");
    }
}

#[test]
fn data_after_the_close_frame_is_ignored() {
    for role in ROLES {
        let mut connection = new(role);
        receive(&mut connection, Frame::new(8, b"\x03\xe8bye"));
        let info = connection.close_info().cloned();
        write(&mut connection);
        for frame in [
            Frame::new(1, "late"),
            Frame::new(9, "late"),
            Frame::new(8, [3, 233]),
            Frame::new(3, ""),
        ] {
            let mut bytes = wire(role, frame);
            let received = connection.receive(&mut bytes, Delivery::Messages, Time::ZERO);
            assert_eq!((received.consumed, received.event), (bytes.len(), None));
            assert!(connection.direct_read(Delivery::Messages).is_none());
            assert!(connection.outgoing().is_empty());
        }
        connection.receive_eof();
        connection.transport_failed();
        connection.handle_timeout(Time::ZERO.after(Duration::from_secs(1000)));
        assert_eq!(connection.close_info().cloned(), info, "set once, it never changes");
    }
}

#[test]
fn a_violation_while_closing_fails_the_connection_without_a_second_close_frame() {
    for role in ROLES {
        let mut connection = new(role);
        connection.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
        receive(&mut connection, Frame::new(1, b"\xff"));
        assert_eq!(payloads(&write(&mut connection)), [(8, &b"\x03\xe8"[..])]);
        let info = connection.close_info().unwrap();
        assert_eq!((info.code, info.by), (CloseCode::INVALID_PAYLOAD, Side::Local));
        assert_eq!(info.cause, CloseCause::Violation(Violation::InvalidUtf8));
        assert!(!info.clean);
        assert_eq!(connection.disposition(), Disposition::ShutdownWrite);
    }
}

#[test]
fn a_server_that_has_answered_ends_the_stream_first() {
    let mut server = new(Role::Server);
    assert_eq!(server.disposition(), Disposition::KeepOpen);
    receive(&mut server, Frame::new(8, [3, 232]));
    assert_eq!(server.disposition(), Disposition::KeepOpen, "the answer is still to be written");
    server.advance(1);
    assert_eq!(server.disposition(), Disposition::KeepOpen);
    server.advance(server.outgoing().len());
    assert_eq!(server.disposition(), Disposition::ShutdownWrite);
    server.receive_eof();
    assert_eq!(server.disposition(), Disposition::Close);
}

#[test]
fn a_server_that_closes_ends_the_stream_when_it_is_answered() {
    let mut server = new(Role::Server);
    server.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
    assert_eq!(server.disposition(), Disposition::KeepOpen);
    write(&mut server);
    assert_eq!(server.disposition(), Disposition::KeepOpen, "not answered");
    receive(&mut server, Frame::new(8, [3, 232]));
    assert_eq!(server.disposition(), Disposition::ShutdownWrite);
}

#[test]
fn a_client_waits_for_the_server_to_end_the_stream() {
    let mut client = new(Role::Client);
    receive(&mut client, Frame::new(8, [3, 232]));
    write(&mut client);
    assert_eq!(client.disposition(), Disposition::KeepOpen);
    client.receive_eof();
    assert_eq!(client.disposition(), Disposition::Close);

    let mut client = new(Role::Client);
    client.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
    write(&mut client);
    receive(&mut client, Frame::new(8, [3, 232]));
    assert_eq!(client.disposition(), Disposition::KeepOpen);
    client.handle_timeout(Time::from_origin(Duration::from_secs(2)));
    assert_eq!(client.disposition(), Disposition::Close);
}

#[test]
fn the_answer_is_written_even_if_the_stream_has_ended() {
    for role in ROLES {
        let mut connection = new(role);
        receive(&mut connection, Frame::new(8, [3, 232]));
        connection.receive_eof();
        assert_eq!(connection.disposition(), Disposition::KeepOpen, "the peer may still read");
        assert_eq!(write(&mut connection).len(), 1);
        assert_eq!(connection.disposition(), Disposition::Close);
        assert!(connection.close_info().unwrap().clean);
    }
}

#[test]
fn either_role_that_fails_the_connection_ends_the_stream() {
    for role in ROLES {
        let mut connection = new(role);
        receive(&mut connection, Frame::new(3, ""));
        assert_eq!(connection.disposition(), Disposition::KeepOpen);
        let frames = write(&mut connection);
        assert_eq!(frames[0].payload[..2], [3, 234]);
        assert_eq!(connection.disposition(), Disposition::ShutdownWrite);
        connection.receive_eof();
        assert_eq!(connection.disposition(), Disposition::Close);
        assert_eq!(connection.close_info().unwrap().code, CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn the_end_of_the_stream_or_its_failure_is_one_abnormal_end() {
    for role in ROLES {
        for closing in [false, true] {
            for failed in [false, true] {
                let mut connection = new(role);
                if closing {
                    connection.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
                }
                let cause = if failed {
                    connection.transport_failed();
                    CloseCause::Transport
                } else {
                    connection.receive_eof();
                    CloseCause::Eof
                };
                let info = connection.close_info().unwrap();
                assert_eq!(
                    (info.code, info.clean, info.by),
                    (CloseCode::ABNORMAL, false, Side::Peer)
                );
                assert_eq!(info.cause, cause);
                assert_eq!(connection.disposition(), Disposition::Close);
                assert_eq!(connection.poll_timeout(), None);
                assert_eq!(connection.send("late"), Err(Misuse::Closed));
            }
        }
    }
}

#[test]
fn codes_that_are_only_told_are_never_sent() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let Some(code) = CloseCode::new(code) else { continue };
            let mut connection = new(role);
            connection.close(code, "", Time::ZERO).unwrap();
            assert_eq!(write(&mut connection)[0].payload, code.get().to_be_bytes());
        }
        for code in [CloseCode::NO_STATUS, CloseCode::ABNORMAL, CloseCode::TLS_HANDSHAKE] {
            let mut connection = new(role);
            let refused = connection.close(code, "reason", Time::ZERO);
            assert_eq!(refused, Err(Misuse::CloseCode(code)));
            assert!(connection.is_open() && connection.outgoing().is_empty());
        }
        // Nor in answer to one who does.
        for code in [1005_u16, 1006, 1015] {
            let mut connection = new(role);
            receive(&mut connection, Frame::new(8, code.to_be_bytes()));
            assert_eq!(write(&mut connection)[0].payload[..2], 1002_u16.to_be_bytes());
        }
    }
}

#[test]
fn the_reason_for_a_violation_fits_a_close_frame_and_says_what_it_was() {
    let mut config = Config::default();
    config.max_message_size = (1 << 63) - 2;
    config.max_frame_size = (1 << 63) - 2;
    let config = Arc::new(config);
    let mut server = connection(Role::Server, &config);
    let trace =
        Driver::PLAIN.run(&mut server, &[b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"], false);
    let body = &decode(&trace.written)[0].payload;
    assert!(body.len() <= 125);
    let reason = std::str::from_utf8(&body[2..]).unwrap();
    assert_eq!(reason, trace.close.unwrap().reason);
    assert!(
        reason.contains("9223372036854775807") && reason.contains("max_frame_size"),
        "{reason}"
    );
}

#[test]
fn a_limit_that_is_exceeded_is_named_with_its_value() {
    let mut config = Config::default();
    config.max_frame_size = 10;
    config.max_message_size = 15;
    config.max_fragments = 3;
    let config = Arc::new(config);
    let part = |len| Frame::new(2, vec![0; len]).unfinished();
    let more = |len| Frame::new(0, vec![0; len]).unfinished();
    let cases = [
        (vec![part(11)], "max_frame_size", "limit of 10"),
        (vec![part(9), more(11)], "max_frame_size", "limit of 10"),
        (vec![part(9), more(9)], "max_message_size", "limit of 15"),
        (vec![part(0), more(0), more(0), more(0)], "max_fragments", "more than 3"),
    ];
    for (frames, setting, value) in cases {
        let input: Vec<u8> =
            frames.into_iter().flat_map(|frame| wire(Role::Client, frame)).collect();
        let trace = Driver::PLAIN.run_new(Role::Client, &config, &[&input], false);
        let reason = trace.close.unwrap().reason;
        assert!(reason.contains(setting) && reason.contains(value), "{reason}");
    }
}

#[test]
fn a_close_frame_goes_out_although_the_queue_is_full() {
    let mut config = Config::default();
    config.max_outgoing = 1;
    let mut connection = connection(Role::Server, &Arc::new(config));
    connection.send("fills the queue").unwrap();
    connection.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
    assert_eq!(write(&mut connection).len(), 2);
}

#[test]
fn ten_thousand_connections_in_limbo_are_all_over_at_the_deadline() {
    let config = Arc::new(Config::default());
    let mut limbo: Vec<Connection> =
        (0..10_000).map(|_| connection(Role::Server, &config)).collect();
    for connection in &mut limbo {
        connection.close(CloseCode::GOING_AWAY, "", Time::ZERO).unwrap();
    }
    let deadline = Time::ZERO.after(config.close_timeout);
    let just_before = Time::ZERO.after(config.close_timeout - Duration::from_nanos(1));
    for connection in &mut limbo {
        write(connection);
        assert_eq!(connection.poll_timeout(), Some(deadline));
        connection.handle_timeout(just_before);
        assert_eq!(connection.disposition(), Disposition::KeepOpen);
        connection.handle_timeout(deadline);
        assert_eq!(connection.disposition(), Disposition::Close);
        assert_eq!(connection.poll_timeout(), None);
    }
}
