//! A server that stops, and connections that come of age, on tokio's paused clock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{DuplexStream, duplex},
    task::{JoinHandle, yield_now},
    time::Instant,
};
use wstokio::{CloseCode, Config, Error, Side, Stop, Tracker, WebSocket};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn pair() -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(1000);
    (
        WebSocket::from_client_stream(client, Vec::new(), Arc::default()),
        WebSocket::from_server_stream(server, Vec::new(), Arc::default()),
    )
}

/// A tracked connection whose tasks receive until the end: tells the client's after what time it was
/// closed, and with what.
fn connection(tracker: &Tracker) -> JoinHandle<(Duration, u16, String)> {
    let (mut client, mut server) = pair();
    tracker.track(&server);
    tokio::spawn(async move { while server.recv().await.unwrap().is_some() {} });
    let start = Instant::now();
    tokio::spawn(async move {
        assert!(client.recv().await.unwrap().is_none());
        let info = client.close_info().unwrap();
        assert!(info.clean && info.by == Side::Peer);
        (start.elapsed(), info.code.get(), info.reason.clone())
    })
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_all_with_1001_ends_the_loop_that_accepts_and_returns_when_all_are_gone() {
    let tracker = Tracker::new();
    let accepting = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.stopping().await }
    });
    let clients: Vec<_> = (0..10).map(|_| connection(&tracker)).collect();
    yield_now().await;
    assert_eq!(tracker.len(), 10);
    assert!(!accepting.is_finished());
    assert_eq!(tracker.stop(Stop::default()).await.unwrap(), 0);
    accepting.await.unwrap();
    for client in clients {
        assert_eq!(client.await.unwrap(), (Duration::ZERO, 1001, String::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_spread_over_a_window_and_says_what_it_is_told_to() {
    let tracker = Tracker::new();
    let clients: Vec<_> = (0..10).map(|_| connection(&tracker)).collect();
    let mut stop = Stop::default();
    (stop.code, stop.reason) = (CloseCode::SERVICE_RESTART, "back in a minute".to_owned());
    (stop.spread, stop.patience) = (secs(10), secs(20));
    assert_eq!(tracker.stop(stop).await.unwrap(), 0);
    for (n, client) in clients.into_iter().enumerate() {
        let (at, code, reason) = client.await.unwrap();
        assert_eq!((at.as_secs(), code, &*reason), (n as u64, 1012, "back in a minute"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_at_its_deadline_and_tells_how_many_are_left() {
    let tracker = Tracker::new();
    let client = connection(&tracker);
    // One whose task does something else, and one whose peer does not answer.
    let (_silent, busy) = pair();
    tracker.track(&busy);
    let (_deaf, mut waiting) = pair();
    tracker.track(&waiting);
    let waiting =
        tokio::spawn(async move { waiting.recv().await.map(|message| message.is_some()) });
    let start = Instant::now();
    let mut stop = Stop::default();
    stop.patience = secs(3);
    assert_eq!(tracker.stop(stop.clone()).await.unwrap(), 2);
    assert_eq!(start.elapsed(), secs(3));
    client.await.unwrap();
    // It may be asked again.
    assert_eq!(tracker.stop(stop).await.unwrap(), 1);
    assert!(matches!(waiting.await.unwrap(), Err(Error::Timeout(_))));
    drop(busy);
    assert!(tracker.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_stop_is_closed_at_once() {
    let tracker = Tracker::new();
    tracker.stop(Stop::default()).await.unwrap();
    tracker.stopping().await;
    assert_eq!(connection(&tracker).await.unwrap().1, 1001);
}

#[tokio::test(start_paused = true)]
async fn both_halves_are_woken_by_a_stop_and_it_counts_until_both_are_gone() {
    let tracker = Tracker::new();
    let (mut client, server) = pair();
    tracker.track(&server);
    let (mut rx, tx) = server.split();
    let receiving = tokio::spawn(async move { rx.recv().await.map(|message| message.is_some()) });
    let sending = tokio::spawn(async move {
        let mut tx = tx;
        // It waits for room that the peer does not make.
        while tx.send(&vec![0; 100_000]).await.is_ok() {}
        tx
    });
    yield_now().await;
    let stop = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.stop(Stop::default()).await }
    });
    while client.recv().await.unwrap().is_some() {}
    assert_eq!(receiving.await.unwrap().ok(), Some(false));
    let tx = sending.await.unwrap();
    assert_eq!(tracker.len(), 1);
    drop(tx);
    assert_eq!(stop.await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_when_it_comes_of_age_however_busy_it_is() {
    let tracker = Tracker::new();
    tracker.set_max_age(Some(secs(1000)));
    let mut ages = Vec::new();
    for client in (0..20).map(|_| connection(&tracker)).collect::<Vec<_>>() {
        let (at, code, reason) = client.await.unwrap();
        assert_eq!((code, &*reason), (1001, "maximum age"));
        assert!(at >= secs(900) && at <= secs(1001), "{at:?}");
        ages.push(at);
    }
    ages.dedup();
    assert!(ages.len() > 5, "at random");
    let (mut client, mut server) = pair();
    tracker.track(&server);
    tokio::spawn(async move { while server.recv().await.unwrap().is_some() {} });
    let start = Instant::now();
    loop {
        tokio::select! {
            end = client.recv() => break assert!(end.unwrap().is_none()),
            () = tokio::time::sleep(secs(1)) => client.send("busy").await.unwrap(),
        }
    }
    assert!(start.elapsed() <= secs(1001));
}

#[tokio::test(start_paused = true)]
async fn there_may_be_an_age_that_no_connection_comes_to() {
    let tracker = Tracker::new();
    tracker.set_max_age(Some(Duration::MAX));
    for _ in 0..50 {
        let (client, server) = pair();
        tracker.track(&server);
        assert!(client.close_info().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_earliest_end_counts_and_what_must_not_be_sent_is_refused() {
    let (mut client, mut server) = pair();
    let remote = server.remote();
    remote.close_in(secs(30), CloseCode::NORMAL, "late").unwrap();
    remote.close_in(secs(10), CloseCode::NORMAL, "early").unwrap();
    remote.close_in(secs(20), CloseCode::NORMAL, "between").unwrap();
    let long = "x".repeat(124);
    for wait in [Duration::ZERO, secs(1)] {
        assert!(matches!(remote.close_in(wait, CloseCode::ABNORMAL, ""), Err(Error::Misuse(_))));
        assert!(matches!(remote.close_in(wait, CloseCode::NORMAL, &long), Err(Error::Misuse(_))));
    }
    let mut stop = Stop::default();
    stop.code = CloseCode::ABNORMAL;
    assert!(matches!(Tracker::new().stop(stop).await, Err(Error::Misuse(_))));
    let start = Instant::now();
    let serving = tokio::spawn(async move { server.recv().await.map(|message| message.is_some()) });
    assert!(client.recv().await.unwrap().is_none());
    assert_eq!(
        (client.close_info().unwrap().reason.as_str(), start.elapsed().as_secs()),
        ("early", 10)
    );
    serving.await.unwrap().unwrap();
    // The socket is gone, and nothing is left to close.
    remote.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(remote.counters(), None);
}

#[tokio::test(start_paused = true)]
async fn counters_tell_what_has_gone_over_a_connection_and_the_last_round_trip() {
    let mut config = Config::default();
    config.keepalive = Some(secs(5));
    let (near, mut far) = duplex(1000);
    let mut ws = WebSocket::from_server_stream(near, Vec::new(), Arc::new(config));
    ws.send("hello").await.unwrap();
    ws.feed_fragment("in ", false).await.unwrap();
    ws.feed_fragment("parts", true).await.unwrap();
    let counters = ws.counters();
    assert_eq!((counters.messages_sent, counters.bytes_sent, counters.bytes_queued), (2, 7, 12));
    assert_eq!(counters.round_trip, None);
    let serving = tokio::spawn(async move {
        while ws.recv().await.unwrap().is_some() {}
        ws.counters()
    });
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    far.write_all(&[0x82, 0x83, 0, 0, 0, 0, 1, 2, 3]).await.unwrap();
    let mut seen = [0; 19 + 6];
    far.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen[19..21], [0x89, 4], "a keepalive ping");
    tokio::time::sleep(Duration::from_millis(100)).await;
    // A ping of the peer's own answers nothing.
    far.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    far.write_all(&[&[0x8a, 0x84, 0, 0, 0, 0], &seen[21..]].concat()).await.unwrap();
    far.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    far.shutdown().await.unwrap();
    let counters = serving.await.unwrap();
    assert_eq!((counters.messages_received, counters.bytes_received), (1, 9 + 6 + 10 + 6));
    assert_eq!((counters.messages_sent, counters.bytes_sent), (2, 19 + 6 + 2 + 2));
    assert_eq!(counters.round_trip.unwrap().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_due_together_with_a_ping_goes_out_at_once() {
    // Both ends ping every 25 seconds.
    for at in [25, 50, 1000].map(secs) {
        let (mut client, mut server) = pair();
        server.remote().close_in(at, CloseCode::GOING_AWAY, "").unwrap();
        let start = Instant::now();
        let (received, closed) = tokio::join!(client.recv(), server.recv());
        assert!(received.unwrap().is_none() && closed.unwrap().is_none());
        assert_eq!(start.elapsed(), at);
        assert!(server.close_info().unwrap().clean);
    }
}
