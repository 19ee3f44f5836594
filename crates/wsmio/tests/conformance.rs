//! The conformance vectors over wsmio, blocking and in the event loop (contract *Same core, same
//! behaviour*).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
};

use support::{Cut, LONG, Pair, Running, client, on_this_thread, quiet, socket};
use wsconn::{OwnedMessage, Role};
use wsmio::{
    CloseInfo, ConnectionId, Connector, Event, Handler, Kind, Message, Peer, Stream, WebSocket,
    opening::ServerOptions,
};
use wstest::{
    advisory_classes,
    alloc::CountingAllocator,
    conformance::{Cuts, KEYS, Outcome, Subject, Vector, assert_fresh_keys, check, check_keys},
    drive::pieces,
    handshake::upgrade,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What is called to receive.
#[derive(Clone, Copy, Debug)]
enum By {
    Recv,
    RecvEvent,
    RecvChunk,
}

/// A blocking socket over streams of type `S`.
struct Blocking<S> {
    by: By,
    runs: Cell<usize>,
    stream: std::marker::PhantomData<S>,
}

impl<S> Blocking<S> {
    fn new(by: By) -> Self {
        Self { by, runs: Cell::new(0), stream: std::marker::PhantomData }
    }
}

/// Writes to a peer, ends that direction, and reads what comes to its end.
fn exchange<S: Stream>(mut peer: S, input: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    if pieces.is_empty() {
        peer.write_all(input).unwrap();
    }
    for piece in pieces {
        peer.write_all(piece).unwrap();
    }
    peer.shutdown_write().unwrap();
    let mut written = Vec::new();
    peer.read_to_end(&mut written).unwrap();
    written
}

impl<S: Pair> Subject for Blocking<S> {
    fn run(&self, vector: &Vector, cuts: &[usize]) -> Outcome {
        self.runs.set(self.runs.get() + 1);
        let (stream, peer) = S::pair();
        let lens = pieces(&vector.input, cuts).into_iter().map(<[u8]>::len);
        let lens = lens.filter(|len| *len > 0).collect::<Vec<_>>();
        let stream = Cut::new(stream, lens.into_iter());
        let mut ws = socket(vector.role, stream, vector.config.clone());
        let input = vector.input.clone();
        let peer = thread::spawn(move || exchange(peer, &input, &[]));
        let messages = receive(&mut ws, self.by);
        let close = ws.close_info().cloned();
        drop(ws);
        Outcome { messages, written: peer.join().unwrap(), close }
    }
}

/// Receives until nothing more comes.
fn receive<S: Stream>(ws: &mut WebSocket<S>, by: By) -> Vec<OwnedMessage> {
    let mut messages = Vec::new();
    match by {
        By::Recv => {
            while let Some(message) = ws.recv().unwrap() {
                messages.push(message.to_owned());
            }
        }
        By::RecvEvent => {
            while let Some(event) = ws.recv_event().unwrap() {
                if let Event::Message(message) = event {
                    messages.push(message.to_owned());
                }
            }
        }
        By::RecvChunk => {
            let mut bytes = Vec::new();
            while let Some(chunk) = ws.recv_chunk().unwrap() {
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
    }
    messages
}

#[test]
fn every_vector_holds_over_a_blocking_unix_socket_whatever_the_cut() {
    let subject = Blocking::<UnixStream>::new(By::Recv);
    check(&subject, Cuts::All);
    assert!(subject.runs.get() > 1000, "{} runs", subject.runs.get());
}

#[test]
fn every_vector_holds_over_blocking_tcp_whatever_is_called_to_receive() {
    for by in [By::Recv, By::RecvEvent, By::RecvChunk] {
        check(&Blocking::<TcpStream>::new(by), Cuts::Few);
    }
}

#[cfg(feature = "tls")]
#[test]
fn every_vector_holds_over_tls() {
    check(&Blocking::<wsmio::tls::TlsStream>::new(By::Recv), Cuts::Few);
}

/// What came of a connection.
type Ended = (Vec<OwnedMessage>, CloseInfo);

/// A handler that only receives.
struct Receiving(mpsc::Sender<Ended>);

impl Handler for Receiving {
    type State = Vec<OwnedMessage>;

    fn message(&mut self, peer: &mut Peer<'_, Self::State>, message: Message<'_>) {
        peer.state().push(message.to_owned());
    }

    fn close(&mut self, _: ConnectionId, messages: Self::State, info: &CloseInfo) {
        let _ = self.0.send((messages, info.clone()));
    }
}

/// An event loop on this thread; for clients, of which it has none, a blocking socket.
struct Loop;

impl Subject for Loop {
    fn run(&self, vector: &Vector, cuts: &[usize]) -> Outcome {
        if vector.role == Role::Client {
            return Blocking::<UnixStream>::new(By::Recv).run(vector, cuts);
        }
        let (ended, told) = mpsc::channel();
        let mut options = ServerOptions::default();
        options.config = vector.config.clone().into();
        let (input, cuts) = (vector.input.clone(), cuts.to_vec());
        let talk = move |addr| exchange(client(addr), &input, &pieces(&input, &cuts));
        let written = on_this_thread(options, || Receiving(ended.clone()), talk);
        let (messages, info) = told.try_recv().unwrap();
        Outcome { messages, written, close: Some(info) }
    }
}

#[test]
fn every_vector_holds_over_the_event_loop() {
    check(&Loop, Cuts::Few);
}

#[test]
fn what_comes_right_behind_the_request_is_received_once_over_the_event_loop() {
    let (ended, told) = mpsc::channel();
    let mut options = ServerOptions::default();
    options.config = quiet().into();
    let server = Running::new(1, options, move || Receiving(ended.clone()));
    let frames = support::from_client(&[
        wstest::reference::Frame::new(1, "one"),
        wstest::reference::Frame::new(2, "two"),
        support::close(1000, ""),
    ]);
    let request = wstest::handshake::request(&[]);
    let all = [request.as_bytes(), &frames].concat();
    // Cut in and behind the head, and in the frames.
    for cut in request.len() - 3..=all.len() {
        let mut peer = support::dial(server.addr);
        peer.write_all(&all[..cut]).unwrap();
        if cut >= request.len() {
            support::read_head(&mut peer);
        }
        peer.write_all(&all[cut..]).unwrap();
        if cut < request.len() {
            support::read_head(&mut peer);
        }
        let written = support::read_frames(&mut peer);
        assert_eq!(written, [support::close(1000, "")], "cut at {cut}");
        peer.shutdown(Shutdown::Both).unwrap();
        let (messages, info) = told.recv_timeout(LONG).unwrap();
        assert_eq!(messages, ["one".into(), OwnedMessage::Binary(b"two".to_vec())]);
        assert!(info.clean, "cut at {cut}: {info}");
    }
    server.stop();
}

#[test]
fn each_frame_of_a_client_has_a_key_of_its_own() {
    check_keys(&Blocking::<UnixStream>::new(By::Recv));
    // The same of one that has opened its connection itself.
    let (stream, mut peer) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let request = support::read_head(&mut peer);
        peer.write_all(&upgrade(request.as_bytes())).unwrap();
        let mut written = Vec::new();
        peer.read_to_end(&mut written).unwrap();
        written
    });
    let mut ws = Connector::default().connect_stream(stream, "ws://a/").unwrap();
    for _ in 0..KEYS {
        ws.send("frame").unwrap();
    }
    drop(ws);
    assert_fresh_keys(&peer.join().unwrap());
}

fn over_a_blocking_socket(check: impl Fn(&dyn Subject)) {
    check(&Blocking::<UnixStream>::new(By::Recv));
}

advisory_classes!(over_a_blocking_socket);

mod event_loop {
    use super::{Loop, Subject, advisory_classes};

    fn over_an_event_loop(check: impl Fn(&dyn Subject)) {
        check(&Loop);
    }

    advisory_classes!(over_an_event_loop);
}
