//! What a message and a connection cost: allocations, operations on the stream, bytes of heap. These
//! figures gate.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;
mod wire;

use std::{
    io::Write,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use support::{Piece, ROLES, Script, from_peer_of, runtime, socket};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Notify,
};
use wire::Wire;
use wsconn::Role;
use wstest::{
    alloc::{CountingAllocator, live, measure},
    reference::Frame,
};
use wstokio::{Config, WebSocket};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Feed,
    Send,
}

/// Echoes until the end, without owning a message.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocket<S>, by: By) {
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await.unwrap() {
        match by {
            By::Feed => tx.feed(message).await.unwrap(),
            By::Send => tx.send(message).await.unwrap(),
        }
    }
}

#[test]
fn the_echo_of_a_message_allocates_nothing_and_is_one_read_and_one_write() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for by in [By::Feed, By::Send] {
            for len in [20, 125, 1024] {
                for opcode in [1, 2] {
                    let frame = from_peer_of(role, &[Frame::new(opcode, vec![b'x'; len])]);
                    let size = frame.len();
                    let wire = Wire::new(vec![(frame, usize::MAX)]);
                    let mut task = pin!(echo(wire.socket(role, &Arc::default()), by));
                    for _ in 0..10 {
                        assert!(wire.run(task.as_mut(), size).is_pending());
                    }
                    let before = wire.counts();
                    let ((), usage) = measure(|| {
                        for _ in 0..1000 {
                            assert!(wire.run(task.as_mut(), size).is_pending());
                        }
                    });
                    let after = wire.counts();
                    let case = format!("{role:?} {by:?} {len}: {usage:?} {after:?}");
                    assert_eq!((usage.allocations, usage.peak), (0, 0), "{case}");
                    assert_eq!(after.reads - before.reads, 1000, "{case}");
                    assert_eq!(after.writes - before.writes, 1000, "{case}");
                    assert!(after.waits - before.waits <= 1000, "{case}");
                    let mask = 4 * usize::from(role == Role::Client);
                    let header = if len > 125 { 4 } else { 2 } + mask;
                    assert_eq!(after.written - before.written, 1000 * (len + header), "{case}");
                }
            }
        }
    }
}

#[test]
fn sixteen_messages_that_arrive_in_one_read_leave_in_one_write_without_an_allocation() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for len in [20, 1024] {
            let frame = from_peer_of(role, &[Frame::new(1, vec![b'x'; len])]);
            let size = 16 * frame.len();
            let wire = Wire::new(vec![(frame, usize::MAX)]);
            let mut task = pin!(echo(wire.socket(role, &Arc::default()), By::Feed));
            assert!(wire.run(task.as_mut(), size).is_pending());
            let before = wire.counts();
            let ((), usage) = measure(|| assert!(wire.run(task.as_mut(), size).is_pending()));
            let after = wire.counts();
            assert_eq!((after.reads - before.reads, after.writes - before.writes), (1, 1));
            assert_eq!(2 * (after.written - before.written), after.written);
            assert_eq!(usage.allocations, 0);
        }
    }
}

const CONNECTIONS: usize = 1000;

#[test]
fn a_connection_that_waits_owns_no_buffer_whatever_it_has_echoed() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        // The last one is read directly, and written from where it lies.
        for len in [20, 1024, 100_000] {
            let frame = from_peer_of(role, &[Frame::new(2, vec![7; len])]);
            let config = Arc::new(Config::default());
            let wires: Vec<_> =
                (0..=CONNECTIONS).map(|_| Wire::new(vec![(frame.clone(), 1)])).collect();
            let mut tasks = Vec::with_capacity(CONNECTIONS + 1);
            let mut start = |wire: &Wire| {
                let mut task = Box::pin(echo(wire.socket(role, &config), By::Feed));
                assert!(wire.run(task.as_mut(), frame.len()).is_pending());
                assert!(wire.counts().written > len);
                tasks.push(task);
            };
            // The first one fills the pool of this thread.
            start(&wires[0]);
            let ((), usage) = measure(|| wires[1..].iter().for_each(&mut start));
            let each = usage.live / CONNECTIONS as i64;
            println!("{role:?}: {each} B of heap after an echo of {len} B");
            assert!(each <= 2048, "{role:?}, {len}: {each} B");
        }
    }
}

#[test]
fn what_has_come_of_a_message_is_let_go_with_the_receiver() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        let mut bytes = from_peer_of(role, &[Frame::new(2, vec![7; 4 << 20])]);
        bytes.pop();
        let script = Script { input: vec![Piece::Bytes(bytes)], ..Script::default() };
        let (mut rx, _tx) = socket(role, script.stream().0, Config::default()).split();
        let mut context = Context::from_waker(Waker::noop());
        // Others have their turn in between.
        for _ in 0..100 {
            assert!(pin!(rx.recv()).poll(&mut context).is_pending());
        }
        let before = live();
        drop(rx);
        let freed = before - live();
        assert!(freed >= 4 << 20, "{role:?}: {freed} B");
    }
}

const TCP_CONNECTIONS: usize = 4000;

/// 4,000 and not 10,000: both ends are here, and a process has 20,000 descriptors. What is counted is
/// what this thread allocates, the runtime's share included; the clients own no heap.
#[test]
fn an_idle_connection_over_tcp_costs_at_most_1536_bytes_of_heap_its_task_included() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut clients = Vec::with_capacity(TCP_CONNECTIONS + 1);
    let echoed = Arc::new(Notify::new());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let first = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let hello = from_peer_of(Role::Server, &[Frame::new(1, "hello")]);
    let mut connect = || {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(first.as_bytes()).unwrap();
        client.write_all(&hello).unwrap();
        clients.push(client);
        runtime.block_on(async {
            let (tcp, _) = listener.accept().await.unwrap();
            let echoed = echoed.clone();
            tokio::spawn(async move {
                let mut ws = wstokio::accept(tcp).await.unwrap();
                let (rx, tx) = ws.halves();
                while let Some(message) = rx.recv().await.unwrap() {
                    tx.send(message).await.unwrap();
                    echoed.notify_one();
                }
            });
        });
        runtime.block_on(echoed.notified());
        // Lets the task go on until it waits.
        runtime.block_on(tokio::task::yield_now());
    };
    connect();
    let ((), usage) = measure(|| (0..TCP_CONNECTIONS).for_each(|_| connect()));
    let each = usage.live / TCP_CONNECTIONS as i64;
    println!("{each} B of heap per idle connection over TCP");
    assert!((300..=1536).contains(&each), "{each} B");
}

const MIB: usize = 1 << 20;

fn large_config() -> Arc<Config> {
    let mut config = Config::default();
    config.max_message_size = 64 << 20;
    config.max_frame_size = 64 << 20;
    Arc::new(config)
}

/// A message of 64 MiB from a client, in frames of this size. The masking key is zero.
fn large_message(frame: usize) -> Vec<(Vec<u8>, usize)> {
    let frames = 64 * MIB / frame;
    let header = |opcode: u8| {
        let len = (frame as u64).to_be_bytes();
        [&[opcode, 0xff][..], &len, &[0; 4]].concat()
    };
    let zeros = vec![0; frame.min(MIB)];
    if frames == 1 {
        return vec![(header(0x82), 1), (zeros, 64)];
    }
    let part = |opcode| [header(opcode), zeros.clone()].concat();
    vec![(part(2), 1), (part(0), frames - 2), (part(0x80), 1)]
}

#[test]
fn a_half_open_handshake_holds_little_more_than_what_has_come() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let short = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs".to_vec();
    // As long as a head may be, but for a few bytes.
    let long = [&short[..], &[b'x'; 16_300]].concat();
    for (half, most) in [(short, 3 << 10), (long, 19 << 10)] {
        let wire = || Wire::new(vec![(half.clone(), 1)]);
        let begin = |wire: Wire| {
            let mut accepting = Box::pin(wstokio::accept(wire.clone()));
            for piece in half.chunks(1000) {
                assert!(wire.run(accepting.as_mut(), piece.len()).is_pending());
            }
            accepting
        };
        // The thread's buffer is there from now on.
        let first = begin(wire());
        let another = wire();
        let (second, usage) = measure(|| begin(another));
        println!("{} B for a handshake of which {} B have come", usage.live, half.len());
        assert!(usage.live <= most, "{usage:?}");
        drop((first, second));
    }
}

#[test]
fn a_message_of_64_mib_is_held_in_at_most_a_quarter_more() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for frame in [64 * MIB, MIB, 128 << 10] {
        let wire = Wire::new(large_message(frame));
        let config = large_config();
        let mut ws = wire.socket(Role::Server, &config);
        let (len, usage) = measure(|| {
            let mut recv = pin!(ws.recv());
            match wire.run(recv.as_mut(), usize::MAX) {
                Poll::Ready(Ok(Some(message))) => message.as_bytes().len(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(len, 64 * MIB);
        println!(
            "{:.3} × the message at most, in frames of {frame}",
            usage.peak as f64 / len as f64
        );
        assert!(usage.peak <= 80 * MIB as i64, "frames of {frame}: {usage:?}");
    }
}

#[test]
fn a_message_of_64_mib_in_chunks_takes_less_than_256_kib() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for frame in [64 * MIB, MIB, 128 << 10] {
        let wire = Wire::new(large_message(frame));
        let config = large_config();
        let mut ws = wire.socket(Role::Server, &config);
        let (len, usage) = measure(|| {
            let mut receiving = pin!(async {
                let mut len = 0;
                while let Some(chunk) = ws.recv_chunk().await.unwrap() {
                    len += chunk.data.len();
                    if chunk.last {
                        break;
                    }
                }
                len
            });
            match wire.run(receiving.as_mut(), usize::MAX) {
                Poll::Ready(len) => len,
                Poll::Pending => panic!("all has come"),
            }
        });
        assert_eq!(len, 64 * MIB);
        println!("{} B at most, in chunks, in frames of {frame}", usage.peak);
        assert!(usage.peak < 256 << 10, "frames of {frame}: {usage:?}");
    }
}

#[test]
fn an_unmasked_frame_of_16_kib_is_refused_when_its_header_has_arrived() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let header = vec![0x82, 126, 0x40, 0];
    let wire = Wire::new(vec![(header, 1)]);
    let mut ws = wire.socket(Role::Server, &Arc::default());
    let mut recv = Box::pin(async { ws.recv().await.map(|message| message.is_some()) });
    assert!(wire.run(recv.as_mut(), 1).is_pending());
    assert_eq!(wire.counts().written, 0);
    // Two bytes say all: a frame without a mask.
    assert!(wire.run(recv.as_mut(), 1).is_pending());
    assert!(wire.counts().written > 4, "the close frame has been sent");
    drop(recv);
    assert_eq!(ws.close_info().unwrap().code.get(), 1002);
}

#[test]
fn a_declared_length_allocates_nothing() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let mut config = Config::default();
    config.max_frame_size = u64::MAX;
    config.max_message_size = u64::MAX;
    for config in [Arc::new(config), Arc::default()] {
        let header = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4], &[1; 100]].concat();
        let wires: Vec<_> = (0..=1000).map(|_| Wire::new(vec![(header.clone(), 1)])).collect();
        let mut tasks = Vec::with_capacity(1001);
        let mut start = |wire: &Wire| {
            let mut task = Box::pin(echo(wire.socket(Role::Server, &config), By::Feed));
            assert!(wire.run(task.as_mut(), header.len()).is_pending());
            tasks.push(task);
        };
        start(&wires[0]);
        let ((), usage) = measure(|| wires[1..].iter().for_each(&mut start));
        // The connection itself is in it.
        assert!(usage.live / 1000 <= 4096 + 2048, "{usage:?}");
    }
}
