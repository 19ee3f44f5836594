//! Every wait, on a virtual clock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::time::Duration;

use wsconn::{CloseCause, CloseCode, Config, Role, Side, Time, Timeout};
use wstest::{
    drive::KEY,
    pair::{Pair, opposite},
    reference::Frame,
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: u64) -> Time {
    Time::from_origin(Duration::from_secs(secs))
}

const NS: Duration = Duration::from_nanos(1);

/// A config whose connection pings nobody.
fn quiet() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config
}

/// A pair in which only the end in `role` has keepalive.
fn keepalive(role: Role) -> Pair {
    match role {
        Role::Client => Pair::new(Config::default(), quiet()),
        Role::Server => Pair::new(quiet(), Config::default()),
    }
}

/// Feeds a frame to the end in `role` as if the peer had sent it.
fn inject(pair: &mut Pair, role: Role, frame: Frame) {
    let mut bytes = frame.masked((role == Role::Server).then_some(KEY)).encode();
    let now = pair.now();
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let received = pair.end(role).connection.receive(rest, wsconn::Delivery::Messages, now);
        rest = rest.split_at_mut(received.consumed).1;
    }
}

#[test]
fn a_moment_tells_how_long_it_is_after_the_origin() {
    for since in [Duration::ZERO, NS, secs(1), secs(1 << 30)] {
        let moment = Time::from_origin(since);
        assert_eq!((moment.since_origin(), moment.since(Time::ZERO)), (since, since));
    }
}

#[test]
fn a_ping_goes_out_after_25_seconds_of_silence_and_not_before() {
    for role in ROLES {
        let mut pair = keepalive(role);
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(25)));
        pair.run_until(secs(25) - NS);
        assert_eq!(pair.end(role).frames(), []);
        pair.end(role).connection.handle_timeout(Time::from_origin(secs(25) - NS));
        assert!(pair.end(role).connection.outgoing().is_empty(), "too early, nothing is done");
        pair.run_until(secs(25));
        let [ping] = pair.end(role).frames().try_into().unwrap();
        assert_eq!((ping.opcode, ping.payload.len()), (9, 4));
    }
}

#[test]
fn pings_that_are_answered_keep_the_connection_for_ever() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.latency = Duration::from_secs(2);
        pair.run_until(secs(29 * 100));
        assert!(pair.end(role).connection.is_open());
        let frames = pair.end(role).frames();
        // Each after 25 s of silence; the answer takes 4 s.
        assert_eq!(frames.len(), 100);
        assert!(
            frames.windows(2).all(|two| two[0].payload != two[1].payload),
            "a new payload each"
        );
    }
}

#[test]
fn a_peer_that_answers_no_ping_is_lost_after_20_seconds() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.other(role).drops = true;
        pair.run_until(secs(45) - NS);
        assert!(pair.end(role).connection.is_open());
        pair.run_until(secs(45));
        let end = pair.end(role);
        assert_eq!(end.timeout(), Some(Timeout::Keepalive));
        assert_eq!(end.close_info().code, CloseCode::ABNORMAL);
        assert_eq!((end.close_info().by, end.close_info().clean), (Side::Local, false));
        assert_eq!(end.closed, Some(at(45)));
        assert_eq!(end.connection.poll_timeout(), None, "nothing is left to wait for");
        assert_eq!(end.frames().len(), 1, "one ping, no close frame");
    }
}

#[test]
fn a_peer_that_is_slow_to_take_what_is_before_the_ping_is_not_lost() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.latency = secs(5);
        pair.end(role).window = Some(0);
        pair.end(role).connection.send(&[1; 1000]).unwrap();
        // One byte each 29 seconds, for longer than any wait.
        for round in 1..20 {
            pair.run_until(secs(29 * round));
            pair.end(role).window = Some(1);
        }
        assert!(pair.end(role).connection.is_open());
        // It takes all, and has its time to answer the ping behind it from then on.
        pair.end(role).window = None;
        pair.run_for(secs(15));
        assert_eq!(pair.other(role).events.len(), 2, "the message and one ping");
        pair.run_for(secs(1000));
        assert!(pair.end(role).connection.is_open());
    }
}

#[test]
fn a_peer_that_takes_everything_and_answers_no_ping_is_lost_within_20_seconds_more() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.other(role).drops = true;
        pair.end(role).window = Some(0);
        pair.end(role).connection.send("hello").unwrap();
        pair.run_until(secs(26));
        pair.end(role).window = None;
        pair.run_until(secs(65) - NS);
        assert!(pair.end(role).connection.is_open());
        pair.run_until(secs(65));
        assert_eq!(pair.end(role).timeout(), Some(Timeout::Keepalive));
    }
}

#[test]
fn a_keepalive_timeout_of_zero_is_no_timeout_of_a_write() {
    for role in ROLES {
        let mut config = Config::default();
        config.keepalive_timeout = Duration::ZERO;
        let mut pair = match role {
            Role::Client => Pair::new(config, quiet()),
            Role::Server => Pair::new(quiet(), config),
        };
        pair.end(role).window = Some(0);
        pair.end(role).connection.send("hello").unwrap();
        pair.run_until(secs(30));
        assert_eq!(pair.end(role).timeout(), Some(Timeout::Write));
    }
}

#[test]
fn any_frame_but_a_pong_is_a_sign_of_life() {
    for role in ROLES {
        for frame in [
            Frame::new(2, "data"),
            Frame::new(2, ""),
            Frame::new(2, "part").unfinished(),
            Frame::new(9, "ping"),
        ] {
            // Before the ping, and after it.
            for (when, silence) in [(20, 45), (30, 55)] {
                let mut pair = keepalive(role);
                pair.other(role).drops = true;
                pair.run_until(secs(when));
                inject(&mut pair, role, frame.clone());
                assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(silence)));
            }
        }
    }
}

#[test]
fn each_piece_of_a_long_message_is_a_sign_of_life() {
    let mut pair = keepalive(Role::Client);
    let mut bytes = Frame::new(2, vec![0; 100]).encode();
    let (start, rest) = bytes.split_at_mut(50);
    pair.run_until(secs(10));
    let delivery = wsconn::Delivery::Messages;
    pair.client.connection.receive(start, delivery, at(10));
    assert_eq!(pair.client.connection.poll_timeout(), Some(at(35)));
    pair.client.connection.receive(&mut rest[..1], delivery, at(30));
    assert_eq!(pair.client.connection.poll_timeout(), Some(at(55)));
}

#[test]
fn a_read_straight_into_a_long_message_is_a_sign_of_life_if_it_brings_something() {
    let mut pair = keepalive(Role::Client);
    let client = &mut pair.client.connection;
    let mut bytes = Frame::new(2, vec![0; 100_000]).encode();
    let delivery = wsconn::Delivery::Messages;
    client.receive(&mut bytes[..50], delivery, at(10));
    assert!(client.direct_read(delivery).is_some());
    client.direct_advance(1, at(20));
    assert_eq!(client.poll_timeout(), Some(at(45)));
    client.direct_advance(0, at(30));
    assert_eq!(client.poll_timeout(), Some(at(45)), "nothing has come");
}

#[test]
fn an_unsolicited_pong_is_no_proof_of_life() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.other(role).drops = true;
        inject(&mut pair, role, Frame::new(10, ""));
        pair.run_until(secs(20));
        inject(&mut pair, role, Frame::new(10, [0, 0, 0, 0]));
        inject(&mut pair, role, Frame::new(10, [0, 0, 0, 1]));
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(25)));
        pair.run_until(secs(44));
        inject(&mut pair, role, Frame::new(10, ""));
        inject(&mut pair, role, Frame::new(10, [0xff; 4]));
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(45)));
        pair.run_until(secs(45));
        assert_eq!(pair.end(role).timeout(), Some(Timeout::Keepalive));
    }
}

#[test]
fn the_pong_that_answers_the_ping_is_a_sign_of_life() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.other(role).drops = true;
        pair.run_until(secs(44));
        let payload = pair.end(role).frames()[0].payload.clone();
        inject(&mut pair, role, Frame::new(10, payload));
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(44 + 25)));
    }
}

#[test]
fn without_keepalive_there_is_no_timeout() {
    let mut pair = Pair::new(quiet(), quiet());
    assert_eq!(pair.client.connection.poll_timeout(), None);
    assert_eq!(pair.server.connection.poll_timeout(), None);
    pair.run_until(secs(1 << 20));
    assert!(pair.client.connection.is_open() && pair.server.connection.is_open());
}

#[test]
fn the_close_timeout_is_absolute() {
    for role in ROLES {
        let mut pair = keepalive(role);
        pair.other(role).drops = true;
        pair.run_until(secs(10));
        pair.close(role, CloseCode::NORMAL, "bye").unwrap();
        for now in 11..15 {
            pair.run_until(secs(now));
            // Nothing that the peer sends extends it.
            inject(&mut pair, role, Frame::new(9, "ping"));
            inject(&mut pair, role, Frame::new(1, "data"));
            inject(&mut pair, role, Frame::new(10, "pong"));
            assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(15)));
        }
        pair.run_until(secs(15) - NS);
        assert_eq!(pair.end(role).connection.close_info(), None);
        pair.run_until(secs(15));
        let end = pair.end(role);
        assert_eq!(end.timeout(), Some(Timeout::Close));
        assert_eq!((end.close_info().by, end.close_info().clean), (Side::Local, false));
        assert_eq!(end.closed, Some(at(15)));
        assert_eq!(end.frames().len(), 1, "the close frame");
    }
}

#[test]
fn a_write_without_progress_ends_after_30_seconds() {
    for role in ROLES {
        let mut pair = Pair::new(quiet(), quiet());
        pair.run_until(secs(100));
        pair.end(role).window = Some(10);
        pair.end(role).connection.send("more than ten bytes").unwrap();
        pair.run();
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(130)));
        // The one that blocks first counts, not the last.
        pair.run_until(secs(110));
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(130)));
        pair.run_until(secs(130) - NS);
        assert!(pair.end(role).connection.is_open());
        pair.run_until(secs(130));
        assert_eq!(pair.end(role).timeout(), Some(Timeout::Write));
        assert_eq!(pair.end(role).closed, Some(at(130)));
    }
}

#[test]
fn progress_of_one_byte_starts_the_write_timeout_anew() {
    let mut pair = Pair::new(quiet(), quiet());
    pair.server.window = Some(0);
    pair.server.connection.send("some bytes").unwrap();
    for second in (0..200).step_by(20) {
        pair.run_until(secs(second));
        pair.server.window = Some(1);
        pair.run();
        assert_eq!(pair.server.connection.poll_timeout(), Some(at(second + 30)));
    }
    pair.server.window = None;
    pair.run();
    assert_eq!(pair.server.connection.poll_timeout(), None);
    assert_eq!(pair.client.events.len(), 1);
}

#[test]
fn a_write_of_no_byte_is_no_progress_unless_nothing_is_left() {
    let mut pair = Pair::new(quiet(), quiet());
    let server = &mut pair.server.connection;
    server.send("some bytes").unwrap();
    assert!(!server.is_blocked());
    server.blocked(at(1));
    server.advance(0);
    assert!(server.is_blocked());
    assert_eq!(server.poll_timeout(), Some(at(31)));
    server.advance(server.outgoing().len());
    assert!(!server.is_blocked());
    // A stream that has taken everything may still keep it in a buffer of its own.
    server.blocked(at(2));
    assert_eq!(server.poll_timeout(), Some(at(32)));
    server.advance(0);
    assert_eq!((server.is_blocked(), server.poll_timeout()), (false, None));
}

#[test]
fn what_the_peer_sends_is_no_progress_of_a_write() {
    let mut pair = Pair::new(quiet(), quiet());
    pair.server.window = Some(0);
    pair.server.connection.send("some bytes").unwrap();
    for second in 0..30 {
        pair.run_until(secs(second));
        pair.client.connection.send("much data").unwrap();
    }
    pair.run_until(secs(30));
    assert_eq!(pair.server.timeout(), Some(Timeout::Write));
}

#[test]
fn the_end_of_the_stream_is_awaited_for_2_seconds_after_both_close_frames() {
    for role in ROLES {
        let mut pair = Pair::new(quiet(), quiet());
        // All that arrives from the other end is its close frame, not the end of its stream.
        pair.other(role).drops = true;
        pair.run_until(secs(1));
        inject(&mut pair, role, Frame::new(8, [3, 232]));
        assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(3)));
        pair.run_until(secs(3) - NS);
        assert_eq!(pair.end(role).closed, None);
        assert!(pair.end(role).close_info().clean, "known before the wait is over");
        pair.run_until(secs(3));
        assert_eq!(pair.end(role).closed, Some(at(3)));
        assert_eq!(pair.end(role).close_info().cause, CloseCause::Handshake);
    }
}

#[test]
fn what_is_queued_when_the_peer_closes_has_its_time() {
    for role in ROLES {
        // The peer closes first, or the close frames cross: ours is queued for a second by then.
        for (crossed, end) in [(false, 1 + 5 + 2), (true, 5 + 2)] {
            let mut pair = Pair::new(quiet(), quiet());
            pair.end(role).window = Some(0);
            pair.end(role).connection.send("hello").unwrap();
            if crossed {
                pair.close(role, CloseCode::NORMAL, "").unwrap();
            }
            pair.run_until(secs(1));
            pair.close(opposite(role), CloseCode::NORMAL, "").unwrap();
            pair.run();
            pair.run_until(secs(4));
            assert_eq!(pair.end(role).connection.poll_timeout(), Some(at(end)));
            pair.end(role).window = None;
            pair.run();
            assert_eq!(pair.other(role).events.len(), 1, "the message has come");
            assert!(pair.other(role).close_info().clean);
        }
    }
}

#[test]
fn a_failed_connection_is_closed_2_seconds_after_the_violation_at_the_latest() {
    for role in ROLES {
        let mut pair = Pair::new(quiet(), quiet());
        pair.other(role).drops = true;
        pair.run_until(secs(1));
        inject(&mut pair, role, Frame::new(3, ""));
        // Even if the peer reads nothing.
        pair.end(role).window = Some(0);
        pair.run_until(secs(3) - NS);
        assert_eq!(pair.end(role).closed, None);
        pair.run_until(secs(3));
        assert_eq!(pair.end(role).closed, Some(at(3)));
        assert_eq!(pair.end(role).close_info().code, CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn a_closing_connection_whose_peer_reads_nothing_ends_at_the_close_timeout() {
    let mut pair = Pair::new(quiet(), quiet());
    pair.server.window = Some(0);
    pair.close(Role::Server, CloseCode::GOING_AWAY, "").unwrap();
    pair.run_until(secs(5));
    assert_eq!(pair.server.timeout(), Some(Timeout::Close));
    assert_eq!(pair.server.closed, Some(at(5)));
}
