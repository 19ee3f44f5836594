//! Opening handshakes over TCP, as the client: servers that are none, or broken (HAZARDS E, F). Each
//! error says what happened in a sentence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
};

use support::{Pair, close, from_peer_of, read_frames, read_head};
use wsconn::Role;
use wsmio::{
    Connector, Error, Message,
    opening::{ClientOptions, HandshakeFailure},
};
use wstest::{
    bad_responses,
    handshake::{Respond, upgrade},
    reference::Frame,
};

/// A listener, and the URL of it.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/chat", listener.local_addr().unwrap());
    (listener, url)
}

/// The next connection.
fn accept(listener: &TcpListener) -> TcpStream {
    let tcp = listener.accept().unwrap().0;
    tcp.set_nodelay(true).unwrap();
    tcp.bound();
    tcp
}

/// What connecting to a server fails with that answers the request so, and then ends the stream.
fn failure(respond: Respond) -> HandshakeFailure {
    let (listener, url) = listen();
    let serving = thread::spawn(move || {
        let mut tcp = accept(&listener);
        let request = read_head(&mut tcp);
        // The client may have seen enough before all is written.
        let _ = tcp.write_all(&respond(request.as_bytes()));
        let _ = tcp.shutdown(Shutdown::Write);
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    let result = wsmio::connect(&url).map(drop);
    serving.join().unwrap();
    match result {
        Err(Error::Handshake(failure)) => *failure,
        result => panic!("{result:?}"),
    }
}

/// What asking for this fails with, and what has been written.
fn ask(options: ClientOptions, url: &str) -> (Option<HandshakeFailure>, Vec<u8>) {
    let (one, mut other) = <UnixStream as Pair>::pair();
    let failure = match Connector::new(options).connect_stream(one, url).map(drop) {
        Err(Error::Handshake(failure)) => Some(*failure),
        Err(Error::Url(_)) => None,
        result => panic!("{result:?}"),
    };
    let mut written = Vec::new();
    other.read_to_end(&mut written).unwrap();
    (failure, written)
}

bad_responses!(failure, ask);

#[test]
fn frames_behind_the_101_are_received_exactly_once_whatever_the_cut() {
    let sent = [
        Frame::new(1, "one"),
        Frame::new(9, "ping"),
        // More than is read of a head at a time.
        Frame::new(2, vec![2; 10_000]),
        close(1000, "bye"),
    ];
    for cut in [0, 1, 100, 128, 129, 130, 131, 140] {
        let (listener, url) = listen();
        let sent = from_peer_of(Role::Client, &sent);
        let serving = thread::spawn(move || {
            let mut tcp = accept(&listener);
            let bytes = [upgrade(read_head(&mut tcp).as_bytes()), sent].concat();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                tcp.write_all(piece).unwrap();
                thread::yield_now();
            }
            tcp.shutdown(Shutdown::Write).unwrap();
            read_frames(&mut tcp).iter().map(|frame| frame.opcode).collect::<Vec<_>>()
        });
        let mut ws = wsmio::connect(&url).unwrap();
        assert_eq!(ws.recv().unwrap(), Some(Message::Text("one")));
        assert_eq!(ws.recv().unwrap(), Some((&vec![2; 10_000]).into()));
        assert!(ws.recv().unwrap().is_none());
        let info = ws.close_info().unwrap();
        assert!(info.clean && info.reason == "bye", "{info}");
        drop(ws);
        assert_eq!(serving.join().unwrap(), [10, 8], "cut at {cut}");
    }
}
