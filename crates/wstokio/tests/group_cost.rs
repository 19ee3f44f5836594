//! What a broadcast costs: these figures gate.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
};
use wstest::alloc::{CountingAllocator, measure};
use wstokio::{Group, PreparedMessage, SlowPolicy, WebSocket};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A stream to which nothing comes, and that counts what is written.
#[derive(Clone, Default)]
struct Quiet(Arc<Counts>);

#[derive(Default)]
struct Counts {
    writes: AtomicUsize,
    bytes: AtomicUsize,
}

impl AsyncRead for Quiet {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const MEMBERS: usize = 5000;
const MESSAGE: usize = 1024;

#[test]
fn a_message_to_5000_connections_is_one_write_and_no_allocation_for_each() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let group = Group::new(16, SlowPolicy::DropOldest);
    let message = PreparedMessage::new(&vec![7; MESSAGE]);
    let wires: Vec<_> = (0..MEMBERS).map(|_| Quiet::default()).collect();
    runtime.block_on(async {
        for wire in &wires {
            let (wire, group) = (wire.clone(), group.clone());
            tokio::spawn(async move {
                let mut ws = WebSocket::from_server_stream(wire, Vec::new(), Arc::default());
                let _member = group.join(&ws.remote());
                ws.recv().await.map(|message| message.is_some())
            });
        }
        while group.len() < MEMBERS {
            yield_now().await;
        }
    });
    let total = |of: fn(&Counts) -> &AtomicUsize| -> usize {
        wires.iter().map(|wire| of(&wire.0).load(Ordering::Relaxed)).sum()
    };
    for times in [1, 1, 3] {
        let (writes, bytes) = (total(|counts| &counts.writes), total(|counts| &counts.bytes));
        let ((), usage) = measure(|| {
            runtime.block_on(async {
                for _ in 0..times {
                    assert_eq!(group.try_send(&message).unwrap().queued, MEMBERS);
                }
                // On one thread tasks run when this one gives way: each is polled once.
                let all = bytes + times * MEMBERS * (4 + MESSAGE);
                while total(|counts| &counts.bytes) < all {
                    yield_now().await;
                }
            });
        });
        println!("{times} x {MESSAGE} B to {MEMBERS}: {} allocations", usage.allocations);
        // Those that came together leave together.
        assert_eq!(total(|counts| &counts.writes) - writes, MEMBERS);
        // The first time each member's queue is made.
        if writes > 0 {
            assert!(usage.allocations < 10, "{usage:?}");
        }
    }
}
