//! Sessions through a [`Proxy`](crate::proxy::Proxy), and what must come of them over any transport.
//!
//! The client waits for the answer to each thing that it sends, so that the bytes tell how far both
//! sides have come when a plan strikes.

mod session;

pub use session::{CLOSE, Log, PLEASE_CLOSE, Step, Transport, Waits};

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use wsconn::{CloseCause, Role, Timeout};

use self::session::{Session, Verdict};
use crate::{proxy::Plan, reference};

/// The bytes of one direction of a session in which nothing was in the way.
struct Track {
    bytes: Vec<u8>,
    /// How long the head of the opening handshake is.
    head: usize,
    frames: Vec<(Range<usize>, u8)>,
}

impl Track {
    fn new(bytes: Vec<u8>) -> Self {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let mut at = head;
        let frames = reference::decode(&bytes[head..]).into_iter().map(|frame| {
            let start = at;
            at += frame.encode().len();
            (start..at, frame.opcode)
        });
        let frames = frames.collect();
        Self { bytes, head, frames }
    }

    /// Where to cut: in the head, before each frame, in its header, in its payload.
    fn cuts(&self) -> Vec<usize> {
        let head = [0, 1, self.head / 2, self.head - 1];
        let frames = self.frames.iter().flat_map(|(frame, _)| {
            [frame.start, frame.start + 1, (frame.start + frame.end) / 2, frame.end - 1]
        });
        head.into_iter().chain(frames).collect()
    }

    /// How many messages lie before this byte.
    fn messages(&self, at: usize) -> usize {
        let ended = self.frames.iter().filter(|(frame, _)| frame.end <= at);
        let last_of_message = |frame: &Range<usize>| self.bytes[frame.start] & 0x80 != 0;
        ended.filter(|(frame, opcode)| *opcode < 8 && last_of_message(frame)).count()
    }

    /// The opcode of the frame with this byte; `None` in the head.
    fn opcode(&self, at: usize) -> Option<u8> {
        self.frames.iter().find(|(frame, _)| frame.contains(&at)).map(|(_, opcode)| *opcode)
    }

    /// Where the close frame begins.
    fn close(&self) -> usize {
        self.frames.last().unwrap().0.start
    }
}

const NONE_SHORT: [Option<Timeout>; 2] = [None; 2];
const CLOSERS: [Role; 2] = [Role::Client, Role::Server];

/// The bytes of both directions of a session.
fn tracks<T: Transport>(transport: &T, session: &Session) -> [Track; 2] {
    let pass = [Plan::Pass, Plan::Pass];
    session.run(transport, pass, NONE_SHORT, session.clean()).map(Track::new)
}

/// Whatever the pieces in which both directions come, nobody sees them.
pub fn split<T: Transport>(transport: impl FnOnce() -> T) {
    let _alone = alone();
    let transport = &transport();
    for closer in CLOSERS {
        let session = Session::new(closer);
        for size in [1, 2, 3, 7] {
            let plans = [Plan::Split(size), Plan::Split(size)];
            session.run(transport, plans, NONE_SHORT, session.clean());
        }
    }
}

/// What comes of a session that a cut ends in place of this byte of one direction (0 is the client's).
fn cut(session: &Session, way: usize, track: &Track, at: usize, cause: CloseCause) -> [Verdict; 2] {
    let messages = track.messages(at);
    let lost = Verdict::new(cause, messages);
    let opcode = track.opcode(at);
    let clean = session.clean();
    match (way, opcode, session.closer) {
        (0, None, _) => [Verdict::unopened(cause); 2],
        // The client has answered the close frame.
        (0, Some(8), Role::Server) => [clean[0], lost],
        (0, ..) => [lost, lost],
        (_, None, _) => [Verdict::unopened(cause), lost],
        // So has the server.
        (_, Some(8), Role::Client) => [lost, clean[1]],
        // The server has received what it answers.
        (_, Some(10), _) => [lost, lost],
        _ => [lost, Verdict::new(cause, messages + 1)],
    }
}

/// Both sides are told once, and the same, wherever one direction ends or the connection is reset.
pub fn cuts<T: Transport>(transport: impl FnOnce() -> T) {
    let _alone = alone();
    let transport = &transport();
    for closer in CLOSERS {
        let session = Session::new(closer);
        for (way, track) in tracks(transport, &session).iter().enumerate() {
            for at in track.cuts() {
                for (plans, cause) in cut_at(way, at) {
                    let verdicts = cut(&session, way, track, at, cause);
                    session.run(transport, plans, NONE_SHORT, verdicts);
                }
            }
        }
    }
}

/// The direction ends at this byte, or the connection is reset there; and what both sides name as the cause.
fn cut_at(way: usize, at: usize) -> [([Plan; 2], CloseCause); 2] {
    [(Plan::End(at), CloseCause::Eof), (Plan::Reset(at), CloseCause::Transport)].map(
        |(plan, cause)| {
            let mut plans = [Plan::Pass, Plan::Pass];
            plans[way] = plan;
            (plans, cause)
        },
    )
}

/// Wherever a session is cut whose bytes do not show what a cut means, both sides are told once: that it ended
/// well, and then they have received all, or why it did not.
pub fn blind_cuts<T: Transport>(transport: impl FnOnce() -> T) {
    let _alone = alone();
    let transport = &transport();
    for closer in CLOSERS {
        let mut session = Session::new(closer);
        // So that most cuts are not in one long message.
        session.messages.pop();
        let pass = [Plan::Pass, Plan::Pass];
        let passed = session.run(transport, pass, NONE_SHORT, session.clean());
        for (way, bytes) in passed.iter().enumerate() {
            for at in (0..bytes.len()).step_by(53) {
                for (plans, cause) in cut_at(way, at) {
                    session.run_cut(transport, plans, cause);
                }
            }
        }
    }
}

/// What is kept for a while and then comes all at once is as if it had come before.
pub fn held<T: Transport>(transport: impl FnOnce() -> T) {
    let _alone = alone();
    let transport = &transport();
    for closer in CLOSERS {
        let session = Session { at_once: true, ..Session::new(closer) };
        let [there, back] = &tracks(transport, &session);
        // The client closes when it has received all; its answer to a close frame comes after that.
        let sent = there.head..there.close();
        let answered = match closer {
            Role::Client => back.head..back.close(),
            Role::Server => back.head..back.bytes.len(),
        };
        for plans in [
            [Plan::Hold(0..there.head), Plan::Hold(0..back.head)],
            [Plan::Hold(sent.clone()), Plan::Pass],
            [Plan::Pass, Plan::Hold(answered.clone())],
            [Plan::Hold(sent), Plan::Hold(answered)],
        ] {
            session.run(transport, plans, NONE_SHORT, session.clean());
        }
    }
}

/// A direction that stalls, who gives up, and what comes of it.
struct Stall {
    /// 0 is the direction from the client.
    way: usize,
    at: usize,
    /// Whose wait is short, 0 being the client, and which.
    short: (usize, Timeout),
    verdicts: [Verdict; 2],
}

/// Whoever waits for what does not come gives up by the deadline that is for it, and the other side is told
/// of the end as soon as it can be.
pub fn stalls<T: Transport>(transport: impl FnOnce() -> T) {
    let _alone = alone();
    let transport = &transport();
    let opened = Verdict::new;
    let unopened = Verdict::unopened;
    let late = CloseCause::Timeout;
    let (clean, eof, lost) = (CloseCause::Handshake, CloseCause::Eof, CloseCause::Transport);
    for closer in CLOSERS {
        let mut session = Session { messages: Vec::new(), ..Session::new(closer) };
        let tracks = tracks(transport, &session);
        let stall = |way: usize, at: fn(&Track) -> usize, side, timeout, verdicts| Stall {
            way,
            at: at(&tracks[way]),
            short: (side, timeout),
            verdicts,
        };
        let head = |track: &Track| track.head / 2;
        // Who gives up with bytes unread, as on a slow machine, would reset the connection.
        let nothing = |_: &Track| 0;
        let first = |track: &Track| track.head;
        // Behind the ping and the pong.
        let second = |track: &Track| track.frames[1].0.start;
        let open = late(Timeout::Handshake);
        let alive = late(Timeout::Keepalive);
        let write = late(Timeout::Write);
        let close = late(Timeout::Close);
        let closing = match closer {
            Role::Client => [
                stall(0, Track::close, 0, Timeout::Close, [opened(close, 0), opened(lost, 0)]),
                stall(1, Track::close, 0, Timeout::Close, [opened(close, 0), opened(clean, 0)]),
            ],
            Role::Server => [
                stall(0, Track::close, 1, Timeout::Close, [opened(clean, 0), opened(close, 1)]),
                stall(1, Track::close, 1, Timeout::Close, [opened(lost, 0), opened(close, 1)]),
            ],
        };
        let idle = [
            stall(0, head, 0, Timeout::Handshake, [unopened(open), unopened(lost)]),
            stall(0, nothing, 1, Timeout::Handshake, [unopened(eof), unopened(open)]),
            stall(1, nothing, 0, Timeout::Handshake, [unopened(open), opened(eof, 0)]),
            stall(0, first, 1, Timeout::Keepalive, [opened(eof, 0), opened(alive, 0)]),
            stall(1, first, 0, Timeout::Keepalive, [opened(alive, 0), opened(eof, 0)]),
        ];
        let writing = [
            stall(0, second, 0, Timeout::Write, [opened(write, 0), opened(lost, 0)]),
            stall(1, second, 1, Timeout::Write, [opened(lost, 0), opened(write, 1)]),
        ];
        let run = |session: &Session, stalls: &[Stall]| {
            for stall in stalls {
                let mut plans = [Plan::Pass, Plan::Pass];
                plans[stall.way] = Plan::Stall(stall.at);
                let mut short = NONE_SHORT;
                short[stall.short.0] = Some(stall.short.1);
                session.run(transport, plans, short, stall.verdicts);
            }
        };
        run(&session, &closing);
        run(&session, &idle);
        // More than the buffers of the system take.
        session.messages.push(vec![3; 12 << 20].into());
        run(&session, &writing);
    }
}

/// One test at a time, so that the descriptors are its own.
fn alone() -> impl Drop {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tests of a transport: all of those for bytes that are frames as they are, or these.
#[macro_export]
macro_rules! proxied {
    (@split $transport:expr) => {
        #[test]
        fn a_session_in_pieces_of_any_size_is_whole_and_clean() {
            $crate::proxied::split(|| $transport);
        }
    };
    (@cuts $transport:expr) => {
        #[test]
        fn wherever_a_proxy_cuts_a_session_both_sides_have_one_verdict() {
            $crate::proxied::cuts(|| $transport);
        }
    };
    (@blind_cuts $transport:expr) => {
        #[test]
        fn wherever_a_proxy_cuts_a_session_both_sides_have_one_verdict() {
            $crate::proxied::blind_cuts(|| $transport);
        }
    };
    (@held $transport:expr) => {
        #[test]
        fn what_a_proxy_keeps_and_then_lets_go_is_as_if_nothing_had_happened() {
            $crate::proxied::held(|| $transport);
        }
    };
    (@stalls $transport:expr) => {
        #[test]
        fn what_a_proxy_stalls_is_given_up_by_the_deadline_that_is_for_it() {
            $crate::proxied::stalls(|| $transport);
        }
    };
    ($transport:expr) => {
        $crate::proxied!($transport, split cuts held stalls);
    };
    ($transport:expr, $($test:ident)+) => {
        $($crate::proxied!(@$test $transport);)+
    };
}
