//! Every wait, on tokio's paused clock: it goes on when all wait, and only then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    fmt::Debug,
    future::Future,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use support::{ROLES, close, from_peer_of};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    task::{coop, yield_now},
    time::{Instant, sleep, timeout},
};
use wsconn::Role;
use wstest::{
    handshake::upgrade,
    reference::{self, Frame},
};
use wstokio::{CloseCause, CloseCode, Config, Connector, Error, Side, Timeout, WebSocket};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs `future` and panics unless that takes `wait`. A timer of tokio may be up to 2 ms late.
async fn takes<T>(wait: Duration, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = timeout(2 * wait + secs(1), future).await.expect("it takes far too long");
    let took = start.elapsed();
    assert!(took >= wait && took <= wait + Duration::from_millis(2), "{took:?}, not {wait:?}");
    result
}

#[track_caller]
fn assert_timeout<T: Debug>(result: Result<T, Error>, expected: Timeout) {
    assert!(matches!(result, Err(Error::Timeout(timeout)) if timeout == expected), "{result:?}");
}

/// A socket, and the other end of its stream.
fn socket(role: Role, config: Config, buffer: usize) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(buffer);
    let ws = match role {
        Role::Server => WebSocket::from_server_stream(ours, Vec::new(), config.into()),
        Role::Client => WebSocket::from_client_stream(ours, Vec::new(), config.into()),
    };
    (ws, theirs)
}

fn quiet() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config
}

async fn read_some(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let len = stream.read(&mut bytes).await.unwrap();
    bytes.truncate(len);
    bytes
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Writes `bytes` in `steps` pieces of about the same size, one a second, the first at once.
async fn drip(stream: &mut DuplexStream, bytes: &[u8], steps: usize) {
    for (i, piece) in bytes.chunks(bytes.len().div_ceil(steps)).enumerate() {
        if i > 0 {
            sleep(secs(1)).await;
        }
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_its_request_is_cut_after_10_seconds_however_the_bytes_come() {
    let (ours, mut theirs) = duplex(1000);
    let server = takes(secs(10), wstokio::accept(ours));
    let (result, ()) = tokio::join!(server, drip(&mut theirs, REQUEST, REQUEST.len()));
    assert_timeout(result.map(drop), Timeout::Handshake);
    assert_eq!(theirs.read(&mut [0; 10]).await.unwrap(), 0, "the stream is gone");
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_that_is_done_in_9_seconds_is_served() {
    let (ours, mut theirs) = duplex(1000);
    let server = takes(secs(9), wstokio::accept(ours));
    let (result, ()) = tokio::join!(server, drip(&mut theirs, REQUEST, 10));
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_right_behind_a_slow_request_leaves_the_client_2_seconds_to_end_the_stream() {
    let (ours, mut theirs) = duplex(1000);
    let bytes = [REQUEST, &from_peer_of(Role::Server, &[close(1000, "")])].concat();
    let (ws, ()) = tokio::join!(wstokio::accept(ours), drip(&mut theirs, &bytes, 6));
    let mut ws = ws.unwrap();
    assert!(takes(secs(2), ws.recv()).await.unwrap().is_none());
    assert!(ws.close_info().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_the_response_is_cut_after_10_seconds() {
    let (ours, mut theirs) = duplex(10);
    let server = takes(secs(10), wstokio::accept(ours));
    let (result, _) = tokio::join!(server, theirs.write_all(REQUEST));
    assert_timeout(result.map(drop), Timeout::Handshake);
}

/// Reads a request and drips the response in so many steps.
async fn slow_server(stream: &mut DuplexStream, steps: impl Fn(usize) -> usize) {
    let request = read_some(stream).await;
    let response = upgrade(&request);
    drip(stream, &response, steps(response.len())).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_its_response_is_given_up_after_10_seconds() {
    let (ours, mut theirs) = duplex(1000);
    let connector = Connector::default();
    let client = takes(secs(10), connector.connect_stream(ours, "ws://a/"));
    let (result, ()) = tokio::join!(client, slow_server(&mut theirs, |len| len));
    assert_timeout(result.map(drop), Timeout::Handshake);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_that_is_done_in_9_seconds_is_connected_to() {
    let (ours, mut theirs) = duplex(1000);
    let connector = Connector::default();
    let client = takes(secs(9), connector.connect_stream(ours, "ws://a/"));
    let (result, ()) = tokio::join!(client, slow_server(&mut theirs, |_| 10));
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_after_25_seconds_and_lost_20_seconds_later() {
    for role in ROLES {
        let (mut ws, mut theirs) = socket(role, Config::default(), 1000);
        let ping = takes(secs(25), read_some(&mut theirs));
        let (result, ping) =
            tokio::join!(takes(secs(45), async { ws.recv().await.map(|m| m.is_some()) }), ping);
        assert_timeout(result, Timeout::Keepalive);
        let [frame] = reference::decode(&ping).try_into().unwrap();
        assert_eq!(frame.opcode, 9);
        let info = ws.close_info().unwrap();
        let cause = CloseCause::Timeout(Timeout::Keepalive);
        assert_eq!((info.cause, info.by, info.clean), (cause, Side::Local, false));
        assert!(ws.recv().await.unwrap().is_none(), "it is told once");
        assert_eq!(read_some(&mut theirs).await, b"", "the stream has been ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_is_kept_and_one_that_sends_other_pongs_is_not() {
    for role in ROLES {
        for answers in [true, false] {
            let (mut ws, mut theirs) = socket(role, Config::default(), 1000);
            let peer = async move {
                loop {
                    let Ok(ping) = timeout(secs(7), read_some(&mut theirs)).await else {
                        // Unsolicited pongs are no sign of life.
                        let pong = from_peer_of(role, &[Frame::new(10, "unasked")]);
                        theirs.write_all(&pong).await.unwrap();
                        continue;
                    };
                    if answers {
                        let pong = Frame::new(10, reference::decode(&ping)[0].payload.clone());
                        theirs.write_all(&from_peer_of(role, &[pong])).await.unwrap();
                    }
                }
            };
            let peer = tokio::spawn(peer);
            let day = secs(24 * 3600);
            let start = Instant::now();
            let result = timeout(day, async { ws.recv().await.map(|m| m.is_some()) }).await;
            if answers {
                assert!(result.is_err() && ws.close_info().is_none(), "{result:?}");
            } else {
                assert_timeout(result.unwrap(), Timeout::Keepalive);
                assert!(start.elapsed() < secs(46));
            }
            peer.abort();
        }
    }
}

/// A stream whose reads use up all that a task may do in a turn and come to nothing, as a peer can have it within
/// TLS.
struct Busy;

impl AsyncRead for Busy {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(coop::poll_proceed(cx)).made_progress();
        }
    }
}

impl AsyncWrite for Busy {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_always_has_something_that_comes_to_nothing_holds_no_deadline_off() {
    let mut ws = WebSocket::from_server_stream(Busy, Vec::new(), Default::default());
    let receiving = tokio::spawn(async move { ws.recv().await.map(|_| ()) });
    // The ping, and that nothing answers it.
    for silence in [25, 20] {
        yield_now().await;
        tokio::time::advance(Duration::from_secs(silence) + Duration::from_millis(2)).await;
        yield_now().await;
        yield_now().await;
    }
    assert!(receiving.is_finished(), "it goes on");
    assert_timeout(receiving.await.unwrap(), Timeout::Keepalive);
}

#[tokio::test(start_paused = true)]
async fn what_has_come_is_looked_at_before_a_deadline_that_a_busy_task_finds_passed() {
    let (mut ws, mut peer) = socket(Role::Server, Config::default(), 1000);
    // A ping goes out. Then nobody looks until a pong is long due; but something has come.
    timeout(secs(26), ws.recv()).await.unwrap_err();
    tokio::time::advance(secs(25)).await;
    peer.write_all(&from_peer_of(Role::Server, &[Frame::new(2, "here")])).await.unwrap();
    poll_fn(|cx| {
        // Others in the same task use up what it may do in a turn.
        while let Poll::Ready(progress) = coop::poll_proceed(cx) {
            progress.made_progress();
        }
        assert!(pin!(ws.recv()).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    yield_now().await;
    assert_eq!(ws.recv().await.unwrap(), Some(b"here"[..].into()));
}

#[tokio::test(start_paused = true)]
async fn keepalive_goes_on_while_only_the_receiving_half_waits() {
    let (ws, mut theirs) = socket(Role::Server, Config::default(), 1000);
    let (mut rx, tx) = ws.split();
    let receiving = tokio::spawn(async move { rx.recv().await.map(|m| m.is_some()) });
    takes(secs(25), read_some(&mut theirs)).await;
    assert_timeout(takes(secs(20), receiving).await.unwrap(), Timeout::Keepalive);
    assert!(tx.close_info().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_the_close_frame_is_left_after_5_seconds() {
    for role in ROLES {
        for pings in [false, true] {
            let (mut ws, mut theirs) = socket(role, Config::default(), 100_000);
            let peer = tokio::spawn(async move {
                let ping = from_peer_of(role, &[Frame::new(9, "ping"), Frame::new(1, "text")]);
                loop {
                    sleep(secs(1)).await;
                    if pings && theirs.write_all(&ping).await.is_err() {
                        return;
                    }
                }
            });
            let result = takes(secs(5), ws.close(CloseCode::NORMAL, "bye")).await;
            assert_timeout(result, Timeout::Close);
            let info = ws.close_info().unwrap();
            let cause = CloseCause::Timeout(Timeout::Close);
            assert_eq!((info.cause, info.code), (cause, CloseCode::ABNORMAL), "{pings}");
            peer.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn closing_a_sending_half_ends_after_5_seconds_with_a_receiver_or_without() {
    for keep_receiver in [false, true] {
        let (ws, _theirs) = socket(Role::Server, Config::default(), 1000);
        let (rx, mut tx) = ws.split();
        let rx = keep_receiver.then_some(rx);
        let result = takes(secs(5), tx.close(CloseCode::NORMAL, "")).await;
        assert_timeout(result, Timeout::Close);
        drop(rx);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_left_after_30_seconds() {
    for role in ROLES {
        for len in [10_000, 1 << 20] {
            let (mut ws, _theirs) = socket(role, Config::default(), 100);
            let payload = vec![1; len];
            assert_timeout(takes(secs(30), ws.send(&payload)).await, Timeout::Write);
            let info = ws.close_info().unwrap();
            let cause = CloseCause::Timeout(Timeout::Write);
            assert_eq!((info.cause, info.clean), (cause, false));
            assert!(matches!(ws.send("more").await, Err(Error::Closed)));
            assert!(ws.recv().await.unwrap().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_at_the_high_water_mark_gives_up_after_30_seconds() {
    let mut config = quiet();
    config.max_outgoing = 1000;
    for role in ROLES {
        let (mut ws, _theirs) = socket(role, config.clone(), 100);
        ws.feed(&[1; 2000]).await.unwrap();
        assert_timeout(takes(secs(30), ws.feed("more")).await, Timeout::Write);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_waits_keeps_the_deadline_of_what_the_sender_has_left_to_be_written() {
    for role in ROLES {
        // From 64 KiB on it is written at once, below it is queued.
        for len in [20_000, 100_000] {
            let (ws, mut theirs) = socket(role, quiet(), 100);
            let (mut rx, mut tx) = ws.split();
            let receiving = tokio::spawn(async move { rx.recv().await.map(|m| m.is_some()) });
            sleep(secs(1)).await;
            tx.feed(&vec![1; len]).await.unwrap();
            if len < 64 << 10 {
                // It is only queued: who feeds has to flush, here once and not to the end.
                assert!(timeout(Duration::ZERO, tx.flush()).await.is_err());
            }
            let result = takes(secs(30), receiving).await.unwrap();
            assert_timeout(result, Timeout::Write);
            assert!(matches!(tx.send("more").await, Err(Error::Closed)));
            assert_eq!(read_some(&mut theirs).await.len(), 100);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_byte_now_and_then_is_waited_for() {
    // Nor does keepalive end it, though what answers its ping is not read meanwhile.
    let (mut ws, mut theirs) = socket(Role::Server, Config::default(), 10);
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        while bytes.len() < 102 {
            sleep(secs(29)).await;
            bytes.extend(read_some(&mut theirs).await);
        }
        reference::decode(&bytes)[0].payload.len()
    });
    ws.send(&[1; 100]).await.unwrap();
    assert_eq!(reading.await.unwrap(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_end_the_stream_after_both_close_frames_is_left_after_2_seconds() {
    for role in ROLES {
        for peer_first in [false, true] {
            let (mut ws, mut theirs) = socket(role, Config::default(), 1000);
            theirs.write_all(&from_peer_of(role, &[close(1000, "")])).await.unwrap();
            let ended = async {
                if peer_first {
                    assert!(ws.recv().await.unwrap().is_none());
                } else {
                    ws.close(CloseCode::NORMAL, "").await.unwrap();
                }
            };
            takes(secs(2), ended).await;
            assert!(ws.close_info().unwrap().clean, "{role:?} {peer_first}");
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(reference::decode(&bytes).len(), 1, "one close frame, and the end");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_ends_the_stream_at_once_and_a_client_waits_for_that() {
    for role in ROLES {
        let (mut ws, mut theirs) = socket(role, Config::default(), 1000);
        theirs.write_all(&from_peer_of(role, &[close(1000, "")])).await.unwrap();
        let peer = async {
            let mut bytes = Vec::new();
            // RFC 6455 §7.1.1: the server closes the connection, and the client waits for it to.
            let wait = if role == Role::Server { Duration::ZERO } else { secs(2) };
            takes(wait, theirs.read_to_end(&mut bytes)).await.unwrap();
            drop(theirs);
        };
        let (ended, ()) = tokio::join!(ws.close(CloseCode::NORMAL, ""), peer);
        ended.unwrap();
    }
}
