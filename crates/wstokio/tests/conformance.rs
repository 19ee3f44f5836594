//! The conformance vectors over wstokio (contract *Same core, same behaviour*).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::cell::Cell;

use support::{Pending, Piece, Script, finish, runtime, socket};
use wsconn::OwnedMessage;
use wstest::{
    advisory_classes,
    alloc::CountingAllocator,
    conformance::{Cuts, Outcome, Subject, Vector, check, check_keys},
    drive::pieces,
};
use wstokio::{Event, Kind, WebSocket};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What is called to receive.
#[derive(Clone, Copy, Debug)]
enum By {
    Recv,
    RecvEvent,
    RecvChunk,
    #[cfg(feature = "stream")]
    Stream,
}

/// How the stream behaves, and what is called on the socket.
#[derive(Debug)]
struct Over {
    by: By,
    pending: Pending,
    write_max: usize,
    runs: Cell<usize>,
}

impl Over {
    fn new(by: By) -> Self {
        Self { by, pending: Pending::default(), write_max: usize::MAX, runs: Cell::new(0) }
    }

    /// Writes do not wait: a connection that cannot write answers the newest ping only, as it should.
    fn halting(by: By) -> Self {
        let pending = Pending { reads: true, writes: false, flushes: true };
        Self { pending, write_max: 1, ..Self::new(by) }
    }
}

impl Subject for Over {
    fn run(&self, vector: &Vector, cuts: &[usize]) -> Outcome {
        self.runs.set(self.runs.get() + 1);
        let input = pieces(&vector.input, cuts).into_iter().filter(|piece| !piece.is_empty());
        let script = Script {
            input: input.map(|piece| Piece::Bytes(piece.to_vec())).collect(),
            ends: true,
            pending: self.pending,
            write_max: self.write_max,
            ..Script::default()
        };
        let (stream, handle) = script.stream();
        let mut ws = socket(vector.role, stream, vector.config.clone());
        let messages = finish(receive(&mut ws, self.by));
        Outcome { messages, written: handle.seen().written, close: ws.close_info().cloned() }
    }
}

/// Receives until nothing more comes.
async fn receive(ws: &mut WebSocket<support::Scripted>, by: By) -> Vec<OwnedMessage> {
    let mut messages = Vec::new();
    match by {
        By::Recv => {
            while let Some(message) = ws.recv().await.unwrap() {
                messages.push(message.to_owned());
            }
        }
        By::RecvEvent => {
            while let Some(event) = ws.recv_event().await.unwrap() {
                if let Event::Message(message) = event {
                    messages.push(message.to_owned());
                }
            }
        }
        By::RecvChunk => {
            let mut bytes = Vec::new();
            while let Some(chunk) = ws.recv_chunk().await.unwrap() {
                bytes.extend(chunk.data);
                if chunk.last {
                    let bytes = std::mem::take(&mut bytes);
                    messages.push(match chunk.kind {
                        Kind::Text => OwnedMessage::Text(String::from_utf8(bytes).unwrap()),
                        Kind::Binary => OwnedMessage::Binary(bytes),
                    });
                }
            }
        }
        #[cfg(feature = "stream")]
        By::Stream => {
            use futures_util::StreamExt;
            while let Some(message) = ws.next().await {
                messages.push(message.unwrap());
            }
        }
    }
    messages
}

const ALL: &[By] = &[
    By::Recv,
    By::RecvEvent,
    By::RecvChunk,
    #[cfg(feature = "stream")]
    By::Stream,
];

#[test]
fn every_vector_holds_over_a_stream_that_never_waits_whatever_the_cut() {
    let runtime = runtime();
    let _guard = runtime.enter();
    let subject = Over::new(By::Recv);
    check(&subject, Cuts::All);
    assert!(subject.runs.get() > 1000, "{subject:?}");
}

#[test]
fn every_vector_holds_whatever_is_called_to_receive() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for by in ALL {
        check(&Over::new(*by), Cuts::Few);
    }
}

#[test]
fn every_vector_holds_over_a_stream_that_waits_before_each_byte() {
    let runtime = runtime();
    let _guard = runtime.enter();
    for by in ALL {
        check(&Over::halting(*by), Cuts::Few);
    }
}

#[test]
fn each_frame_of_a_client_has_a_key_of_its_own() {
    let runtime = runtime();
    let _guard = runtime.enter();
    check_keys(&Over::new(By::Recv));
    check_keys(&Over::halting(By::Recv));
}

fn over_a_stream_that_waits(check: impl Fn(&dyn Subject)) {
    let runtime = runtime();
    let _guard = runtime.enter();
    check(&Over::halting(By::Recv));
}

advisory_classes!(over_a_stream_that_waits);
