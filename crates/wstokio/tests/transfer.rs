//! Messages from readers and into writers, which nobody holds whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use support::{
    Handle, Pending, Polled, Script, Scripted, Slow, finish, from_peer_of, poll_n_then_drop,
    read_by_peer, runtime, socket,
};
use tokio::io::{AsyncRead, ReadBuf, duplex};
use wsconn::{OwnedMessage, Role};
use wstest::{
    alloc::{CountingAllocator, measure},
    reference::{self, Event, Frame},
};
use wstokio::{CloseCode, Config, Error, Kind, Misuse, Receiver, WebSocket};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const TEXT: &str = "aß水𝄞, und noch einmal: aß水𝄞";

fn kinds() -> [(Kind, &'static [u8]); 2] {
    [(Kind::Text, TEXT.as_bytes()), (Kind::Binary, &[0xff; 40])]
}

#[test]
fn all_that_a_reader_gives_is_one_message_however_it_is_cut_and_whenever_the_call_is_dropped() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for (kind, bytes) in kinds() {
        for size in [1, 2, 3, 5, 100] {
            for n in [1, 2, 3, 4, 5, 7, usize::MAX] {
                let script = Script { pending: Pending::ALL, ..Script::default() };
                let (stream, handle) = script.stream();
                let mut ws = socket(Role::Server, stream, Config::default());
                let mut reader = Slow::new(bytes, size);
                let mut sent = None;
                while sent.is_none() && !reader.ended {
                    // Whoever always drops it before its reader is ready gets nowhere.
                    reader.ready |= n == 1;
                    sent = poll_n_then_drop(ws.send_from(kind, &mut reader), n).ready();
                }
                let len = sent.map(Result::unwrap);
                assert!(n != usize::MAX || len == Some(bytes.len() as u64));
                finish(ws.send("next")).unwrap();
                let trace = read_by_peer(Role::Server, &handle.seen().written);
                let whole = match kind {
                    Kind::Text => OwnedMessage::from(TEXT),
                    Kind::Binary => OwnedMessage::from(bytes.to_vec()),
                };
                let expected = [whole, "next".into()].map(Event::Message);
                assert_eq!(trace.events, expected, "{kind:?} by {size}, {n} polls");
            }
        }
    }
}

#[test]
fn what_a_reader_has_ready_goes_out_in_fragments_of_64_kib_and_an_empty_one_is_a_message() {
    let (stream, handle) = Script::default().stream();
    let mut ws = socket(Role::Server, stream, Config::default());
    let bytes = vec![7; 200_000];
    assert_eq!(finish(ws.send_from(Kind::Binary, &bytes[..])).unwrap(), 200_000);
    assert_eq!(finish(ws.send_from(Kind::Text, &[][..])).unwrap(), 0);
    let frames = reference::decode(&handle.seen().written);
    let shape: Vec<_> =
        frames.iter().map(|frame| (frame.opcode, frame.payload.len(), frame.fin)).collect();
    let whole = 64 << 10;
    assert_eq!(
        shape,
        [
            (2, whole, false),
            (0, whole, false),
            (0, whole, false),
            (0, 200_000 - 3 * whole, true),
            (1, 0, true)
        ]
    );
}

/// Gives one piece and nothing after it, not even its end.
struct Stuck(&'static [u8]);

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match std::mem::take(&mut self.0) {
            [] => Poll::Pending,
            piece => {
                to.put_slice(piece);
                Poll::Ready(Ok(()))
            }
        }
    }
}

#[test]
fn what_has_come_leaves_when_the_reader_has_to_wait() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let (stream, handle) = Script::default().stream();
    let mut ws = socket(Role::Server, stream, Config::default());
    let sent = poll_n_then_drop(ws.send_from(Kind::Text, Stuck(b"hello")), 10);
    assert!(matches!(sent, Polled::Waits), "{sent:?}");
    let frames = reference::decode(&handle.seen().written);
    assert_eq!(frames, [Frame::new(1, "hello").unfinished()]);
}

#[test]
fn a_reader_that_fails_or_gives_no_text_leaves_the_message_to_be_finished() {
    let bad: [&[u8]; 3] = [b"ab\xffcd", b"ab\xc3", b"ab\xe6\xb0x"];
    for (n, bytes) in bad.into_iter().enumerate() {
        for size in [1, 10] {
            let (stream, _handle) = Script::default().stream();
            let mut ws = socket(Role::Server, stream, Config::default());
            let result = finish(ws.send_from(Kind::Text, Slow::new(bytes, size)));
            let Err(Error::Transfer(error)) = result else { panic!("{n}: {result:?}") };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
    let (stream, handle) = Script::default().stream();
    let mut ws = socket(Role::Server, stream, Config::default());
    let reader = Slow { fail: Some(3), ..Slow::new(b"abcdef", 1) };
    assert!(matches!(finish(ws.send_from(Kind::Binary, reader)), Err(Error::Transfer(_))));
    assert!(matches!(finish(ws.send("x")), Err(Error::Misuse(Misuse::MessageUnderWay))));
    finish(ws.send_from(Kind::Binary, &b"def"[..])).unwrap();
    let trace = read_by_peer(Role::Server, &handle.seen().written);
    assert_eq!(trace.events, [Event::Message(b"abcdef".to_vec().into())]);
}

#[cfg(feature = "stream")]
#[test]
fn the_parts_of_a_stream_are_one_message_and_a_text_may_be_cut_inside_a_character() {
    use futures_util::stream;
    let (stream, handle) = Script::default().stream();
    let mut ws = socket(Role::Server, stream, Config::default());
    for size in [1, 3, 7] {
        let parts = TEXT.as_bytes().chunks(size).map(Ok::<_, io::Error>);
        assert_eq!(
            finish(ws.send_parts(Kind::Text, stream::iter(parts))).unwrap(),
            TEXT.len() as u64
        );
    }
    let parts = [Ok("x"), Err("no more")];
    let result = finish(ws.send_parts(Kind::Binary, stream::iter(parts)));
    assert!(matches!(result, Err(Error::Transfer(error)) if error.to_string() == "no more"));
    let trace = read_by_peer(Role::Server, &handle.seen().written);
    assert_eq!(trace.events, vec![Event::Message(TEXT.into()); 3]);
}

/// Is read while the receiving half answers a ping, so that the queue is full before what was read is in
/// it.
struct Pinged<'a> {
    receiver: &'a mut Receiver<Scripted>,
    handle: &'a Handle,
    bytes: &'a [u8],
    /// Fails once at the end of the bytes.
    fails: bool,
    ended: bool,
}

impl<'a> Pinged<'a> {
    fn new(receiver: &'a mut Receiver<Scripted>, handle: &'a Handle, bytes: &'a [u8]) -> Self {
        Self { receiver, handle, bytes, fails: false, ended: false }
    }

    fn read(&mut self, max: usize) -> io::Result<&'a [u8]> {
        self.handle.push(&from_peer_of(Role::Server, &[Frame::new(9, vec![9; 100])]));
        assert!(poll_n_then_drop(self.receiver.recv(), 1).ready().is_none());
        if self.bytes.is_empty() && std::mem::take(&mut self.fails) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let (bytes, rest) = self.bytes.split_at(max.min(self.bytes.len()));
        (self.bytes, self.ended) = (rest, bytes.is_empty());
        Ok(bytes)
    }
}

impl AsyncRead for Pinged<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        to.put_slice(self.read(to.remaining())?);
        Poll::Ready(Ok(()))
    }
}

/// A socket whose queue is full with one pong, over a stream that takes no pong in one write.
fn soon_full() -> (WebSocket<Scripted>, Handle) {
    let writes = Pending { writes: true, ..Pending::default() };
    let (stream, handle) = Script { pending: writes, write_max: 100, ..Script::default() }.stream();
    let mut config = Config::default();
    config.max_outgoing = 1;
    (socket(Role::Server, stream, config), handle)
}

/// The messages among what was written.
fn messages(handle: &Handle) -> Vec<OwnedMessage> {
    read_by_peer(Role::Server, &handle.seen().written).messages()
}

#[test]
fn what_was_read_is_sent_though_the_queue_is_full_by_then_whenever_the_call_is_dropped() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for len in [0, 3, 64 << 10, 100_000] {
        for fails in [false, true] {
            for n in [1, 2, 3, usize::MAX] {
                let (mut ws, handle) = soon_full();
                let bytes = vec![7; len];
                let (receiver, sender) = ws.halves();
                let mut reader = Pinged { fails, ..Pinged::new(receiver, &handle, &bytes) };
                let mut failed = false;
                while !reader.ended {
                    let sent = sender.send_from(Kind::Binary, &mut reader);
                    match poll_n_then_drop(sent, n).ready() {
                        Some(Err(Error::Transfer(_))) => failed = true,
                        sent => assert!(sent.is_none_or(|sent| sent.is_ok())),
                    }
                }
                assert_eq!(failed, fails, "{len} bytes, {n} polls");
                finish(ws.send("next")).unwrap();
                assert_eq!(messages(&handle), [bytes.into(), "next".into()]);
            }
        }
    }
}

#[cfg(feature = "stream")]
#[test]
fn a_part_of_a_stream_is_sent_though_the_queue_is_full_by_then_whenever_the_call_is_dropped() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for len in [0, 100, 100_000] {
        for n in [1, 2, 3, usize::MAX] {
            let (mut ws, handle) = soon_full();
            let bytes = vec![7; len];
            let (receiver, sender) = ws.halves();
            let mut reader = Pinged::new(receiver, &handle, &bytes);
            while !reader.ended {
                let parts = futures_util::stream::poll_fn(|_| {
                    let part = reader.read(70_000);
                    Poll::Ready(
                        part.map(|part| Some(part).filter(|part| !part.is_empty())).transpose(),
                    )
                });
                let sent = poll_n_then_drop(sender.send_parts(Kind::Binary, parts), n).ready();
                assert!(sent.is_none_or(|sent| sent.is_ok()));
            }
            finish(ws.send("next")).unwrap();
            assert_eq!(messages(&handle), [bytes.into(), "next".into()], "{n} polls");
        }
    }
}

#[test]
fn the_start_of_a_character_that_never_came_is_in_no_other_message() {
    for before in ["", "ab"] {
        let (stream, handle) = Script::default().stream();
        let mut ws = socket(Role::Server, stream, Config::default());
        let bytes = [before.as_bytes(), b"\xc3"].concat();
        let reader = Slow { fail: Some(bytes.len()), ..Slow::new(&bytes, 1) };
        assert!(matches!(finish(ws.send_from(Kind::Text, reader)), Err(Error::Transfer(_))));
        // It is of a message, which has to be finished.
        assert!(matches!(finish(ws.send("x")), Err(Error::Misuse(Misuse::MessageUnderWay))));
        finish(ws.feed_fragment("", true)).unwrap();
        finish(ws.send_from(Kind::Binary, &b"next"[..])).unwrap();
        assert_eq!(messages(&handle), [before.into(), OwnedMessage::from(b"next".to_vec())]);
    }
}

fn received() -> Vec<u8> {
    from_peer_of(
        Role::Server,
        &[
            Frame::new(1, "Grü").unfinished(),
            Frame::new(9, "ping"),
            Frame::new(0, "ße").unfinished(),
            Frame::new(0, ""),
            Frame::new(2, vec![5; 3000]),
            Frame::new(1, "whole"),
        ],
    )
}

fn server(script: Script) -> WebSocket<Scripted> {
    socket(Role::Server, script.stream().0, Config::default())
}

#[test]
fn a_message_is_received_into_a_writer_whenever_the_call_is_dropped() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for size in [1, 3, 1000, 10_000] {
        for n in [1, 2, 3, 5, usize::MAX] {
            let script = Script { pending: Pending::ALL, ..Script::pieces(&received(), size) };
            let mut ws = server(script);
            for expected in ["Grüße".as_bytes(), &[5; 3000]] {
                let mut writer = Slow::new(&[], size);
                let end = loop {
                    if let Polled::Ready(end) = poll_n_then_drop(ws.recv_to(&mut writer), n) {
                        break end.unwrap().unwrap();
                    }
                };
                assert_eq!(writer.bytes, expected, "by {size}, {n} polls");
                assert_eq!(end.0 == Kind::Text, expected.len() < 10);
                assert!(n != usize::MAX || end.1 == expected.len() as u64);
            }
            assert_eq!(finish(ws.recv()).unwrap(), Some("whole".into()));
            assert!(finish(ws.recv_to(Vec::new())).unwrap().is_none());
        }
    }
}

#[test]
fn what_a_writer_has_not_taken_is_there_for_the_next_call_and_for_recv_chunk_and_not_for_recv() {
    let mut ws = server(Script::pieces(&received(), 10_000));
    let mut writer = Slow { fail: Some(2), ..Slow::new(&[], 2) };
    assert!(matches!(finish(ws.recv_to(&mut writer)), Err(Error::Transfer(_))));
    assert_eq!(writer.bytes, b"Gr");
    assert!(matches!(finish(ws.recv()), Err(Error::Misuse(Misuse::MessageUnderWay))));
    let chunk = finish(ws.recv_chunk()).unwrap().unwrap();
    assert_eq!((chunk.data, chunk.last), ("ü".as_bytes(), false));
    let mut rest = Vec::new();
    assert_eq!(finish(ws.recv_to(&mut rest)).unwrap(), Some((Kind::Text, 3)));
    assert_eq!(rest, "ße".as_bytes());
    // Dropped with the last part of a message received and not written.
    let mut writer = Slow { fail: Some(0), ..Slow::new(&[], 1) };
    assert!(matches!(finish(ws.recv_to(&mut writer)), Err(Error::Transfer(_))));
    assert!(matches!(finish(ws.recv()), Err(Error::Misuse(Misuse::MessageUnderWay))));
    let mut rest = Vec::new();
    assert_eq!(finish(ws.recv_to(&mut rest)).unwrap(), Some((Kind::Binary, 3000)));
    assert_eq!(rest, [5; 3000]);
    assert_eq!(finish(ws.recv()).unwrap(), Some("whole".into()));
}

#[test]
fn a_connection_that_ends_within_the_message_is_an_error_and_a_limit_holds() {
    let cut = from_peer_of(Role::Server, &[Frame::new(2, "part").unfinished()]);
    let mut ws = server(Script::pieces(&cut, 100));
    let mut writer = Vec::new();
    assert!(matches!(finish(ws.recv_to(&mut writer)), Err(Error::Closed)));
    assert_eq!(writer, b"part");
    assert_eq!(finish(ws.recv_to(&mut writer)).unwrap(), None);

    let parts = [Frame::new(2, vec![1; 60]).unfinished(), Frame::new(0, vec![1; 60])];
    let script = Script::pieces(&from_peer_of(Role::Server, &parts), 1000);
    let mut config = Config::default();
    config.max_message_size = 100;
    let mut ws = socket(Role::Server, script.stream().0, config);
    assert!(matches!(finish(ws.recv_to(Vec::new())), Err(Error::Closed)));
    assert_eq!(ws.close_info().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
}

#[test]
fn a_message_that_an_earlier_call_began_and_the_end_of_the_connection_cut_off_is_an_error() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let frames = [Frame::new(2, "whole"), Frame::new(2, "part").unfinished()];
    for in_chunks in [false, true] {
        let (stream, handle) = Script::default().stream();
        let mut ws = socket(Role::Server, stream, Config::default());
        handle.push(&from_peer_of(Role::Server, &frames));
        assert_eq!(finish(ws.recv_to(Vec::new())).unwrap(), Some((Kind::Binary, 5)));
        if in_chunks {
            assert!(!finish(ws.recv_chunk()).unwrap().unwrap().last);
        } else {
            let mut writer = Vec::new();
            assert!(poll_n_then_drop(ws.recv_to(&mut writer), 1).ready().is_none());
            assert_eq!(writer, b"part");
        }
        handle.end();
        assert!(matches!(finish(ws.recv_to(Vec::new())), Err(Error::Closed)), "{in_chunks}");
        assert_eq!(finish(ws.recv_to(Vec::new())).unwrap(), None);
    }
}

/// So many bytes, all `0`.
struct Zeros(u64);

impl AsyncRead for Zeros {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = to.remaining().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        to.initialize_unfilled_to(len).fill(b'0');
        to.advance(len);
        self.0 -= len as u64;
        Poll::Ready(Ok(()))
    }
}

/// Sends so many bytes from a reader to a writer, over a stream that holds 64 KiB, and gives the peak of
/// the heap of both sides together.
fn transfer(kind: Kind, len: u64) -> i64 {
    let mut config = Config::default();
    config.max_message_size = len;
    let config = Arc::new(config);
    let (near, far) = duplex(64 << 10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ((), usage) = measure(|| {
        let mut client = WebSocket::from_client_stream(near, Vec::new(), config.clone());
        let mut server = WebSocket::from_server_stream(far, Vec::new(), config);
        runtime.block_on(async {
            let (sent, received) =
                tokio::join!(client.send_from(kind, Zeros(len)), server.recv_to(tokio::io::sink()));
            assert_eq!(sent.unwrap(), len);
            assert_eq!(received.unwrap(), Some((kind, len)));
        });
    });
    println!("{len} B as {kind:?}: {} B of heap at most, on both sides", usage.peak);
    usage.peak
}

#[test]
fn a_message_of_64_mib_takes_less_than_1_mib_of_heap_on_both_sides() {
    assert!(transfer(Kind::Binary, 64 << 20) < 1 << 20);
    assert!(transfer(Kind::Text, 4 << 20) < 1 << 20);
}

#[test]
#[ignore = "it takes a minute without optimisation"]
fn a_message_of_1_gib_takes_less_than_1_mib_of_heap_on_both_sides() {
    assert!(transfer(Kind::Binary, 1 << 30) < 1 << 20);
}
