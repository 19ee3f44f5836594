//! What a large message costs. By itself in its process, of which the buffers are that are kept for such.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;
mod wire;

use std::{pin::pin, sync::Arc};

use support::{ROLES, from_peer_of, runtime};
use wire::Wire;
use wstest::{
    alloc::{CountingAllocator, measure},
    reference::Frame,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn messages_up_to_1_mib_are_assembled_in_buffers_that_were_kept() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for role in ROLES {
        for (len, kept) in [(100_000, true), (1 << 20, true), ((1 << 20) + 1, false)] {
            let frame = from_peer_of(role, &[Frame::new(2, vec![7; len])]);
            let size = frame.len();
            let wire = Wire::new(vec![(frame, usize::MAX)]);
            let mut ws = wire.socket(role, &Arc::default());
            let mut receive = pin!(async {
                while let Some(message) = ws.recv().await.unwrap() {
                    assert_eq!(message.as_bytes().len(), len);
                }
            });
            for _ in 0..3 {
                assert!(wire.run(receive.as_mut(), size).is_pending());
            }
            let ((), usage) = measure(|| {
                for _ in 0..10 {
                    assert!(wire.run(receive.as_mut(), size).is_pending());
                }
            });
            let case = format!("{role:?} {len}: {usage:?}");
            assert_eq!(usage.allocations == 0, kept, "{case}");
            assert_eq!(usage.live, 0, "{case}");
        }
    }
}
