//! Two halves of a socket, in two tasks or polled by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use support::{
    CountingWaker, Handle, Piece, ROLES, Script, Scripted, close, finish, from_peer_of,
    read_by_peer, runtime, socket,
};
use tokio::io::{DuplexStream, duplex};
use wsconn::{OwnedMessage, Role};
use wstest::reference::{self, Frame};
use wstokio::{CloseCode, Config, Error, Message, Receiver, Sender, WebSocket};

fn pair(buffer: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(buffer);
    (
        WebSocket::from_client_stream(client, Vec::new(), Arc::default()),
        WebSocket::from_server_stream(server, Vec::new(), Arc::default()),
    )
}

const MESSAGES: usize = 3000;

/// The `n`th message: of any length from 0 on, some large.
fn message(n: usize) -> Vec<u8> {
    vec![n as u8; if n.is_multiple_of(500) { 50_000 } else { n % 300 }]
}

async fn send_all(mut tx: Sender<DuplexStream>) -> Sender<DuplexStream> {
    for n in 0..MESSAGES {
        if n % 3 == 0 {
            tx.send(&message(n)).await.unwrap();
        } else {
            tx.feed(&message(n)).await.unwrap();
        }
    }
    tx.flush().await.unwrap();
    tx
}

async fn receive_all(mut rx: Receiver<DuplexStream>) -> Receiver<DuplexStream> {
    for n in 0..MESSAGES {
        let expected = message(n);
        assert!(rx.recv().await.unwrap() == Some((&expected).into()), "message {n}");
    }
    rx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_messages_cross_both_ways_at_once() {
    for buffer in [100, 10_000] {
        let (client, server) = pair(buffer);
        let (client_rx, client_tx) = client.split();
        let (server_rx, server_tx) = server.split();
        let client_tx = tokio::spawn(send_all(client_tx));
        let server_tx = tokio::spawn(send_all(server_tx));
        let client_rx = tokio::spawn(receive_all(client_rx));
        let server_rx = tokio::spawn(receive_all(server_rx));
        let client = client_rx.await.unwrap().reunite(client_tx.await.unwrap());
        let server = server_rx.await.unwrap().reunite(server_tx.await.unwrap());
        let (mut client, mut server) = (client.ok().unwrap(), server.ok().unwrap());
        let (closed, ended) = tokio::join!(client.close(CloseCode::NORMAL, "done"), server.recv());
        closed.unwrap();
        assert!(ended.unwrap().is_none());
        assert!(client.close_info().unwrap().clean && server.close_info().unwrap().clean);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_messages_are_echoed_from_one_half_to_the_other() {
    let (client, mut server) = pair(1000);
    let echo = tokio::spawn(async move {
        let (rx, tx) = server.halves();
        while let Some(message) = rx.recv().await.unwrap() {
            tx.feed(message).await.unwrap();
        }
        assert!(server.close_info().unwrap().clean);
    });
    let (rx, tx) = client.split();
    let sending = tokio::spawn(send_all(tx));
    let rx = receive_all(rx).await;
    let mut client = rx.reunite(sending.await.unwrap()).ok().unwrap();
    client.close(CloseCode::NORMAL, "").await.unwrap();
    echo.await.unwrap();
}

/// A future's poll with a waker of its own.
fn poll<F: Future>(future: std::pin::Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn halves(
    role: Role,
    config: Config,
    script: Script,
) -> (Receiver<Scripted>, Sender<Scripted>, Handle) {
    let (stream, handle) = script.stream();
    let (rx, tx) = socket(role, stream, config).split();
    (rx, tx, handle)
}

/// At the high-water mark with one message that nobody takes.
fn full(role: Role) -> (Receiver<Scripted>, Sender<Scripted>, Handle) {
    let mut config = Config::default();
    config.max_outgoing = 5;
    let (rx, mut tx, handle) = halves(role, config, Script { window: 0, ..Script::default() });
    finish(tx.feed("before")).unwrap();
    (rx, tx, handle)
}

#[test]
fn each_half_is_woken_for_what_it_waits_for_whichever_was_polled_last() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for receiver_last in [false, true] {
            let (mut rx, mut tx, handle) = full(role);
            let ((receiver, receiver_waker), (sender, sender_waker)) =
                (CountingWaker::new(), CountingWaker::new());
            let mut recv = pin!(rx.recv());
            let mut send = pin!(tx.send("next"));
            if !receiver_last {
                assert!(poll(recv.as_mut(), &receiver_waker).is_pending());
            }
            assert!(poll(send.as_mut(), &sender_waker).is_pending());
            if receiver_last {
                assert!(poll(recv.as_mut(), &receiver_waker).is_pending());
            }
            assert_eq!((receiver.count(), sender.count()), (0, 0), "nothing has happened");

            handle.push(&from_peer_of(role, &[Frame::new(1, "for the receiver")]));
            assert!(receiver.count() > 0, "{role:?}: a message has come");
            let Poll::Ready(Ok(Some(message))) = poll(recv.as_mut(), &receiver_waker) else {
                panic!("it has come")
            };
            assert_eq!(message, Message::Text("for the receiver"));
            assert!(poll(send.as_mut(), &sender_waker).is_pending(), "still full");

            let before = sender.count();
            handle.open_window();
            assert!(sender.count() > before, "{role:?}: there is room");
            assert!(matches!(poll(send.as_mut(), &sender_waker), Poll::Ready(Ok(()))));
            let messages = read_by_peer(role, &handle.seen().written).messages();
            assert_eq!(messages, ["before".into(), OwnedMessage::from("next")]);
        }
    }
}

#[test]
fn a_sender_at_the_high_water_mark_is_woken_when_the_receiver_does_the_writing() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let (mut rx, mut tx, handle) = full(role);
        let ((_, receiver_waker), (sender, sender_waker)) =
            (CountingWaker::new(), CountingWaker::new());
        let mut recv = pin!(rx.recv());
        let mut feed = pin!(tx.feed("next"));
        assert!(poll(feed.as_mut(), &sender_waker).is_pending());
        // The receiver is the last one to find the stream blocked.
        assert!(poll(recv.as_mut(), &receiver_waker).is_pending());
        handle.open_window();
        assert!(poll(recv.as_mut(), &receiver_waker).is_pending());
        assert!(handle.seen().written.ends_with(b"before") || role == Role::Client);
        assert!(sender.count() > 0, "{role:?}: the receiver has made room");
        assert!(matches!(poll(feed.as_mut(), &sender_waker), Poll::Ready(Ok(()))));
    }
}

#[test]
fn a_sender_that_waits_is_woken_when_the_receiver_sees_the_peer_close() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let (mut rx, mut tx, handle) = full(role);
        let ((_, receiver_waker), (sender, sender_waker)) =
            (CountingWaker::new(), CountingWaker::new());
        let mut recv = pin!(rx.recv());
        let mut send = pin!(tx.send("next"));
        assert!(poll(recv.as_mut(), &receiver_waker).is_pending());
        assert!(poll(send.as_mut(), &sender_waker).is_pending());
        handle.push(&from_peer_of(role, &[close(1000, "")]));
        // The sender was woken by the stream, looked, and found nothing: the receiver was slower.
        assert!(poll(send.as_mut(), &sender_waker).is_pending());
        let before = sender.count();
        let _ = poll(recv.as_mut(), &receiver_waker);
        assert!(sender.count() > before, "{role:?}: nothing can be sent any more");
        assert!(matches!(poll(send.as_mut(), &sender_waker), Poll::Ready(Err(Error::Closed))));
    }
}

#[test]
fn a_receiver_that_waits_answers_pings_and_the_close_frame() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let (mut rx, tx, handle) = halves(role, Config::default(), Script::default());
        drop(tx);
        let (receiver, waker) = CountingWaker::new();
        let mut recv = pin!(rx.recv());
        assert!(poll(recv.as_mut(), &waker).is_pending());
        handle.push(&from_peer_of(role, &[Frame::new(9, "are you there?")]));
        assert_eq!(receiver.count(), 1);
        assert!(poll(recv.as_mut(), &waker).is_pending());
        let frames = reference::decode(&handle.seen().written);
        assert_eq!((frames[0].opcode, &frames[0].payload[..]), (10, &b"are you there?"[..]));
        handle.push(&from_peer_of(role, &[close(1000, "")]));
        assert!(poll(recv.as_mut(), &waker).is_pending(), "the stream has not ended");
        assert_eq!(reference::decode(&handle.seen().written)[1].opcode, 8);
        handle.end();
        assert!(matches!(poll(recv.as_mut(), &waker), Poll::Ready(Ok(None))));
    }
}

#[test]
fn while_nothing_can_be_written_one_pong_waits_and_it_is_the_newest() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let (mut rx, _tx, handle) = full(role);
        let (_, waker) = CountingWaker::new();
        let mut recv = pin!(rx.recv());
        for ping in ["first", "second", "newest"] {
            handle.push(&from_peer_of(role, &[Frame::new(9, ping)]));
            assert!(poll(recv.as_mut(), &waker).is_pending());
        }
        handle.open_window();
        assert!(poll(recv.as_mut(), &waker).is_pending());
        let frames = reference::decode(&handle.seen().written);
        let frames: Vec<_> =
            frames.iter().map(|frame| (frame.opcode, &frame.payload[..])).collect();
        assert_eq!(frames, [(1, &b"before"[..]), (10, b"newest")]);
    }
}

#[test]
fn a_sender_without_a_receiver_closes_cleanly_and_answers_pings_meanwhile() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let (rx, mut tx, handle) = full(role);
        drop(rx);
        let (sender, waker) = CountingWaker::new();
        let mut send = Box::pin(tx.send("next"));
        assert!(poll(send.as_mut(), &waker).is_pending());
        handle.push(&from_peer_of(role, &[Frame::new(2, [0; 50]), Frame::new(9, "ping")]));
        assert!(sender.count() > 0, "{role:?}: the sender is the one who reads");
        assert!(poll(send.as_mut(), &waker).is_pending());
        handle.open_window();
        assert!(poll(send.as_mut(), &waker).is_ready());
        drop(send);
        let opcodes = |handle: &Handle| {
            let frames = reference::decode(&handle.seen().written);
            frames.iter().map(|frame| frame.opcode).collect::<Vec<_>>()
        };
        assert_eq!(opcodes(&handle), [1, 10, 1]);
        let mut closing = Box::pin(tx.close(CloseCode::NORMAL, ""));
        assert!(poll(closing.as_mut(), &waker).is_pending());
        handle.push(&from_peer_of(role, &[Frame::new(1, "late"), close(1000, "")]));
        handle.end();
        assert!(matches!(poll(closing.as_mut(), &waker), Poll::Ready(Ok(()))));
        drop(closing);
        assert_eq!(opcodes(&handle), [1, 10, 1, 8]);
        assert!(tx.close_info().unwrap().clean);
    }
}

#[test]
fn what_a_dropped_receiver_had_read_already_is_not_lost_to_the_connection() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let sent = [
            Frame::new(1, "first"),
            Frame::new(9, "ping"),
            Frame::new(2, vec![1; 200]),
            close(1000, "bye"),
        ];
        let input = from_peer_of(role, &sent);
        for cut in 10..input.len() {
            let (read, rest) = input.split_at(cut);
            let input = vec![Piece::Bytes(read.to_vec()), Piece::Bytes(rest.to_vec())];
            let script = Script { input, ends: true, ..Script::default() };
            let (mut rx, mut tx, handle) = halves(role, Config::default(), script);
            if cut > 11 {
                assert_eq!(finish(rx.recv()).unwrap(), Some(Message::Text("first")));
            }
            drop(rx);
            finish(tx.close(CloseCode::GOING_AWAY, "")).unwrap();
            let info = tx.close_info().unwrap();
            assert!(info.clean, "{role:?}, cut at {cut}: {info}");
            let frames = reference::decode(&handle.seen().written);
            assert_eq!(frames.last().unwrap().opcode, 8, "{role:?}, cut at {cut}");
        }
    }
}

#[test]
fn halves_of_one_socket_reunite_and_those_of_two_do_not() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let role = Role::Server;
    let (rx, tx, handle) = halves(role, Config::default(), Script::default());
    let (other_rx, other_tx, other) = halves(role, Config::default(), Script::default());
    let Err((rx, other_tx)) = rx.reunite(other_tx) else { panic!("they are of two sockets") };
    assert!(!handle.seen().dropped && !other.seen().dropped);
    let mut ws = rx.reunite(tx).ok().unwrap();
    finish(ws.send("still here")).unwrap();
    assert_eq!(read_by_peer(role, &handle.seen().written).messages(), ["still here".into()]);
    drop((other_rx, other_tx));
    assert!(other.seen().dropped && !handle.seen().dropped);
}

#[cfg(feature = "stream")]
mod stream {
    use futures_util::{SinkExt, StreamExt};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_split_of_futures_util_works_in_two_tasks() {
        let (client, server) = pair(1000);
        let (server_rx, server_tx) = server.split();
        let echo = tokio::spawn(server_rx.forward(server_tx));
        let (mut tx, mut rx) = StreamExt::split::<OwnedMessage>(client);
        let sending = tokio::spawn(async move {
            for n in 0..MESSAGES {
                tx.feed(message(n).into()).await.unwrap();
            }
            SinkExt::<OwnedMessage>::flush(&mut tx).await.unwrap();
            tx
        });
        for n in 0..MESSAGES {
            assert!(rx.next().await.unwrap().unwrap() == message(n).into(), "message {n}");
        }
        let mut client = rx.reunite(sending.await.unwrap()).unwrap();
        client.close(CloseCode::NORMAL, "").await.unwrap();
        assert!(client.close_info().unwrap().clean);
        echo.await.unwrap().unwrap();
    }

    #[test]
    fn a_stream_in_one_task_ends_when_its_sink_is_closed_in_another() {
        let runtime = runtime();
        let _guard = runtime.enter();
        for role in ROLES {
            let (stream, handle) = Script::default().stream();
            let ws = socket(role, stream, Config::default());
            let (mut sink, mut stream) = StreamExt::split::<OwnedMessage>(ws);
            let ((receiver, receiver_waker), (sender, sender_waker)) =
                (CountingWaker::new(), CountingWaker::new());
            let mut next = pin!(stream.next());
            let mut closing = pin!(sink.close());
            assert!(poll(next.as_mut(), &receiver_waker).is_pending());
            assert!(poll(closing.as_mut(), &sender_waker).is_pending());
            handle.push(&from_peer_of(role, &[close(1000, "")]));
            handle.end();
            assert!(sender.count() > 0);
            assert!(matches!(poll(closing.as_mut(), &sender_waker), Poll::Ready(Ok(()))));
            assert!(receiver.count() > 0, "{role:?}: the stream has ended");
            assert!(matches!(poll(next.as_mut(), &receiver_waker), Poll::Ready(None)));
        }
    }
}
