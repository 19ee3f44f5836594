//! Messages to many connections, and what becomes of those that do not keep up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use support::{CountingWaker, Handle, Script, Scripted, finish, from_peer_of, runtime, socket};
use tokio::io::duplex;
use wsconn::Role;
#[cfg(feature = "stream")]
use wsconn::{Misuse, OwnedMessage};
use wstest::reference::{self, Frame};
use wstokio::{
    CloseCode, Config, Error, Group, Member, PreparedMessage, SlowPolicy, Timeout, WebSocket,
};

fn prepared(text: &str) -> PreparedMessage {
    PreparedMessage::new(text)
}

/// A member whose peer takes so many bytes.
fn member(group: &Group, window: usize) -> (WebSocket<Scripted>, Member, Handle) {
    let (stream, handle) = Script { window, ..Script::default() }.stream();
    let mut config = Config::default();
    config.keepalive = None;
    let ws = socket(Role::Server, stream, config);
    let member = group.join(&ws.remote());
    (ws, member, handle)
}

/// Polls a socket's `recv` once: it waits.
fn turn(ws: &mut WebSocket<Scripted>) {
    let mut recv = pin!(ws.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn is_pending<F: Future>(future: Pin<&mut F>, waker: &Waker) -> bool {
    future.poll(&mut Context::from_waker(waker)).is_pending()
}

/// The payloads of all frames that have been written, and `close` with the code.
fn written(handle: &Handle) -> Vec<String> {
    let frames = reference::decode(&handle.seen().written);
    let texts = frames.iter().map(|frame| match frame.opcode {
        8 => format!("close {}", u16::from_be_bytes([frame.payload[0], frame.payload[1]])),
        _ => String::from_utf8(frame.payload.clone()).unwrap(),
    });
    texts.collect()
}

/// Sends a, which fills the stream, then b to e, lets all be taken, and tells what was written, and how
/// many messages were dropped.
fn slow(policy: SlowPolicy) -> (Vec<String>, u64) {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(2, policy);
    let (mut ws, member, handle) = member(&group, 1);
    for text in ["a", "b", "c", "d", "e"] {
        group.try_send(&prepared(text)).unwrap();
        if text == "a" {
            turn(&mut ws);
        }
    }
    // Control frames do not stand in that queue.
    handle.push(&from_peer_of(Role::Server, &[Frame::new(9, "ping")]));
    turn(&mut ws);
    handle.open_window();
    turn(&mut ws);
    (written(&handle), member.remote().counters().unwrap().messages_dropped)
}

#[test]
fn a_slow_member_misses_the_newest_or_the_oldest_or_is_closed_as_the_policy_says() {
    let (seen, dropped) = slow(SlowPolicy::DropNewest);
    assert_eq!((&seen[..], dropped), (&["a", "ping", "b", "c"].map(String::from)[..], 2));
    let (seen, dropped) = slow(SlowPolicy::DropOldest);
    assert_eq!((&seen[..], dropped), (&["a", "ping", "d", "e"].map(String::from)[..], 2));
    let (seen, dropped) = slow(SlowPolicy::Close);
    assert_eq!((&seen[..], dropped), (&["a", "close 1013"].map(String::from)[..], 3));
}

#[test]
fn what_came_of_a_message_is_told_member_by_member() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(1, SlowPolicy::Close);
    let (mut fast, _fast, _) = member(&group, usize::MAX);
    let (mut stuck, _stuck, _) = member(&group, 1);
    for _ in 0..2 {
        let sent = finish(group.send(&prepared("x")));
        assert_eq!((sent.queued, sent.dropped, sent.closed), (2, 0, 0));
        turn(&mut fast);
        turn(&mut stuck);
    }
    let sent = finish(group.send(&prepared("x")));
    assert_eq!((sent.queued, sent.dropped, sent.closed), (1, 0, 1));
    turn(&mut fast);
    let sent = finish(group.send(&prepared("x")));
    assert_eq!((sent.queued, sent.dropped, sent.closed), (1, 0, 0));
}

#[test]
fn under_wait_a_message_waits_until_the_slowest_has_room_and_no_one_gets_it_before() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(1, SlowPolicy::Wait);
    let (mut fast, _fast, fast_wire) = member(&group, usize::MAX);
    let (mut slow, _slow, slow_wire) = member(&group, 1);
    for text in ["a", "b"] {
        finish(group.send(&prepared(text)));
        turn(&mut fast);
        turn(&mut slow);
    }
    assert_eq!(group.try_send(&prepared("c")), None);
    let c = prepared("c");
    let (woken, waker) = CountingWaker::new();
    {
        let mut sending = pin!(group.send(&c));
        assert!(is_pending(sending.as_mut(), &waker));
        // Dropped while it waits, it is sent to no one.
    }
    let mut sending = pin!(group.send(&c));
    assert!(is_pending(sending.as_mut(), &waker));
    turn(&mut fast);
    assert_eq!((written(&fast_wire).len(), woken.count()), (2, 0));
    slow_wire.open_window();
    turn(&mut slow);
    assert_eq!(woken.count(), 1, "there is room");
    assert!(!is_pending(sending.as_mut(), &waker));
    turn(&mut fast);
    turn(&mut slow);
    assert_eq!((written(&fast_wire), written(&slow_wire)), {
        let all = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        (all.clone(), all)
    });
}

#[test]
fn under_wait_a_member_alone_that_does_not_keep_up_misses_the_newest() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(1, SlowPolicy::Wait);
    let (mut ws, member, handle) = member(&group, 1);
    member.send(&prepared("a"));
    turn(&mut ws);
    finish(group.send(&prepared("b")));
    for _ in 0..1000 {
        member.send(&prepared("c"));
    }
    let counters = member.remote().counters().unwrap();
    assert_eq!((counters.messages_waiting, counters.messages_dropped), (2, 999));
    assert_eq!(group.try_send(&prepared("d")), None);
    handle.open_window();
    turn(&mut ws);
    assert_eq!(written(&handle), ["a", "b", "c"]);
}

#[test]
fn whoever_waits_for_room_is_woken_when_the_slow_member_leaves_is_dropped_or_ends() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for how in 0..3 {
        let group = Group::new(1, SlowPolicy::Wait);
        let (mut ws, seat, handle) = member(&group, 1);
        for text in ["a", "b"] {
            finish(group.send(&prepared(text)));
            turn(&mut ws);
        }
        let c = prepared("c");
        let (woken, waker) = CountingWaker::new();
        let mut sending = pin!(group.send(&c));
        assert!(is_pending(sending.as_mut(), &waker));
        let mut kept = None;
        match how {
            0 => {
                drop(seat);
                kept = Some(ws);
            }
            1 => drop(ws),
            _ => {
                handle.end();
                assert!(finish(ws.recv()).unwrap().is_none());
                kept = Some(ws);
            }
        }
        assert!(woken.count() > 0, "{how}");
        assert!(!is_pending(sending.as_mut(), &waker), "{how}");
        drop(kept);
    }
}

#[test]
fn a_message_that_comes_while_one_is_sent_in_fragments_leaves_after_it() {
    let group = Group::new(8, SlowPolicy::Close);
    let (ws, _member, handle) = member(&group, usize::MAX);
    let (mut rx, mut tx) = ws.split();
    let (woken, waker) = CountingWaker::new();
    let mut recv = pin!(rx.recv());
    assert!(is_pending(recv.as_mut(), &waker));
    finish(tx.feed_fragment("1", false)).unwrap();
    group.try_send(&prepared("group"));
    assert_eq!(woken.count(), 1);
    assert!(is_pending(recv.as_mut(), &waker));
    // It need not be flushed.
    finish(tx.feed_fragment("2", true)).unwrap();
    assert_eq!(written(&handle), ["1", "2", "group"]);
}

#[test]
fn it_is_sent_by_whichever_half_waits_and_by_the_next_call_if_none_does() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(8, SlowPolicy::Close);
    let (ws, _member, handle) = member(&group, usize::MAX);
    let (rx, mut tx) = ws.split();
    group.try_send(&prepared("1"));
    finish(tx.flush()).unwrap();
    assert_eq!(written(&handle), ["1"]);
    drop(rx);
    let (woken, waker) = CountingWaker::new();
    let mut close = Box::pin(tx.close(CloseCode::NORMAL, ""));
    group.try_send(&prepared("2"));
    assert!(is_pending(close.as_mut(), &waker));
    assert_eq!(written(&handle), ["1", "2", "close 1000"], "what was sent before the close");
    group.try_send(&prepared("3"));
    assert_eq!(woken.count(), 0, "nothing can be sent");
}

#[test]
fn a_burst_in_one_read_to_a_group_of_its_sender_is_slow_under_no_policy() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let policies =
        [SlowPolicy::Wait, SlowPolicy::DropNewest, SlowPolicy::DropOldest, SlowPolicy::Close];
    for policy in policies {
        let group = Group::new(2, policy);
        let (mut ws, _member, wire) = member(&group, usize::MAX);
        let burst: Vec<_> = (0..100).map(|n| Frame::new(1, n.to_string())).collect();
        wire.push(&from_peer_of(Role::Server, &burst));
        let mut serving = pin!(async {
            while let Some(message) = ws.recv().await.unwrap() {
                let sent = group.send(&PreparedMessage::new(message)).await;
                assert_eq!((sent.dropped, sent.closed), (0, 0), "{policy:?}");
            }
        });
        assert!(is_pending(serving.as_mut(), Waker::noop()));
        let all: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(written(&wire), all, "{policy:?}");
    }
}

#[test]
fn who_has_waited_for_room_is_not_kept() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(1, SlowPolicy::Wait);
    let message = prepared("a message");
    let (mut wakers, mut members) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let (mut ws, seat, wire) = member(&group, 1);
        for _ in 0..2 {
            finish(group.send(&message));
            turn(&mut ws);
        }
        let (woken, waker) = CountingWaker::new();
        assert!(is_pending(pin!(group.send(&message)), &waker));
        wakers.push(woken);
        wire.open_window();
        turn(&mut ws);
        finish(group.send(&message));
        members.push((ws, seat));
    }
    for woken in wakers {
        assert_eq!(Arc::strong_count(&woken), 1, "nobody else has its waker");
    }
}

#[test]
fn a_member_alone_is_sent_to_in_the_order_of_the_group_and_who_has_left_gets_nothing() {
    let group = Group::new(8, SlowPolicy::Close);
    let (mut ws, member, handle) = member(&group, usize::MAX);
    let (mut other, _seat, other_wire) = self::member(&group, usize::MAX);
    member.send(&prepared("welcome"));
    group.try_send(&prepared("all"));
    drop(member);
    assert_eq!(group.len(), 1);
    group.try_send(&prepared("late"));
    turn(&mut ws);
    turn(&mut other);
    assert_eq!(written(&handle), ["welcome", "all"]);
    assert_eq!(written(&other_wire), ["all", "late"]);
}

#[test]
fn a_large_message_is_written_from_where_it_lies_to_every_member() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(8, SlowPolicy::Close);
    let large = "x".repeat(200_000);
    let (mut one, _a, one_wire) = member(&group, usize::MAX);
    let (mut two, _b, two_wire) = member(&group, 100_000);
    group.try_send(&prepared(&large));
    turn(&mut one);
    turn(&mut two);
    assert_eq!(one_wire.seen().writes, 1);
    two_wire.open_window();
    turn(&mut two);
    assert_eq!(written(&one_wire), [&*large]);
    assert_eq!(written(&two_wire), [&*large]);
}

#[cfg(feature = "stream")]
#[test]
fn a_sink_that_was_ready_takes_a_message_though_a_group_has_filled_the_queue_since() {
    use futures_util::SinkExt;
    let runtime = runtime();
    let _guard = runtime.enter();
    let group = Group::new(8, SlowPolicy::Close);
    let large = "x".repeat(Config::default().max_outgoing);
    let (mut ws, _member, handle) = member(&group, 0);
    group.try_send(&prepared(&large));
    finish(SinkExt::<OwnedMessage>::feed(&mut ws, "next".into())).unwrap();
    // Without a word that there is room, there is none.
    let full = ws.start_send_unpin(OwnedMessage::from("x"));
    assert!(matches!(full, Err(Error::Misuse(Misuse::QueueFull { .. }))));
    handle.open_window();
    turn(&mut ws);
    assert_eq!(written(&handle), [&large, "next"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_a_close_is_due_goes_out_before_it() {
    for window in [1, usize::MAX] {
        let group = Group::new(8, SlowPolicy::Wait);
        let (mut ws, member, handle) = member(&group, window);
        let wait = Duration::from_secs(10);
        member.remote().close_in(wait, CloseCode::GOING_AWAY, "").unwrap();
        group.try_send(&prepared("1"));
        turn(&mut ws);
        group.try_send(&prepared("2"));
        tokio::time::sleep(2 * wait).await;
        turn(&mut ws);
        handle.open_window();
        turn(&mut ws);
        assert_eq!(written(&handle), ["1", "2", "close 1001"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_what_a_group_sends_is_lost_after_the_write_timeout() {
    let group = Group::new(100, SlowPolicy::Wait);
    let (ours, _theirs) = duplex(16);
    let mut ws = WebSocket::from_server_stream(ours, Vec::new(), Arc::default());
    let _member = group.join(&ws.remote());
    let started = tokio::time::Instant::now();
    for _ in 0..50 {
        group.send(&prepared("a message longer than that")).await;
    }
    assert!(matches!(ws.recv().await, Err(Error::Timeout(Timeout::Write))));
    assert_eq!(started.elapsed().as_secs(), Config::default().write_timeout.as_secs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_members_get_all_messages_in_one_order_whoever_sends_them() {
    const MESSAGES: usize = 500;
    let group = Group::new(4, SlowPolicy::Wait);
    let mut members = Vec::new();
    for _ in 0..20 {
        let (client, server) = duplex(300);
        let mut server = WebSocket::from_server_stream(server, Vec::new(), Arc::default());
        let member = group.join(&server.remote());
        tokio::spawn(async move {
            let _member = member;
            while server.recv().await.unwrap().is_some() {}
        });
        members.push(tokio::spawn(async move {
            let mut client = WebSocket::from_client_stream(client, Vec::new(), Arc::default());
            let mut seen = Vec::new();
            while seen.len() < 2 * MESSAGES {
                let message = client.recv().await.unwrap().unwrap();
                seen.push(message.as_text().unwrap().to_owned());
            }
            client.close(CloseCode::NORMAL, "").await.unwrap();
            seen
        }));
    }
    let senders = ["a", "b"].map(|name| {
        let group = group.clone();
        tokio::spawn(async move {
            for n in 0..MESSAGES {
                group.send(&prepared(&format!("{name} {n}"))).await;
            }
        })
    });
    for sender in senders {
        sender.await.unwrap();
    }
    let mut first = None;
    for member in members {
        let seen = tokio::time::timeout(Duration::from_secs(60), member).await.unwrap().unwrap();
        assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen);
    }
}
