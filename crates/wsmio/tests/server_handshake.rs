//! Opening handshakes with the event loop and with the blocking acceptor: what hostile and broken clients
//! get (HAZARDS D, E, F, J).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use support::{
    Note, Running, closed, dial, drip, from_client, next, noting, opened, patient_with_the_request,
    read_frame, read_head, write_slowly,
};
use wsmio::opening::{OriginPolicy, ServerOptions};
use wstest::{
    advisory_requests,
    handshake::{assert_refused, request},
    reference::Frame,
};

/// What the server answers to these bytes, to the end of the stream.
fn answer(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut peer = dial(addr);
    peer.write_all(bytes).unwrap();
    // So that one that waits for more does not wait.
    peer.shutdown(Shutdown::Write).unwrap();
    let mut response = String::new();
    peer.read_to_string(&mut response).unwrap();
    response
}

/// What a server with the default options answers.
fn answer_to(bytes: &[u8]) -> String {
    let (server, told) = noting(ServerOptions::default());
    let response = answer(server.addr, bytes);
    server.stop();
    assert!(told.recv().is_err(), "none is opened");
    response
}

/// Whether a server with these options accepts this request.
fn lets_in(options: ServerOptions, request: &str) -> bool {
    let (server, _told) = noting(options);
    let mut peer = dial(server.addr);
    peer.write_all(request.as_bytes()).unwrap();
    read_head(&mut peer).starts_with("HTTP/1.1 101 ")
}

advisory_requests!(answer_to, lets_in);

#[test]
fn a_head_without_end_is_refused_once_it_is_too_long() {
    let (server, _told) = noting(ServerOptions::default());
    for line in ["X: 1\r\n", "X", "X: \\a\\a\"\r\n"] {
        let mut bytes = request(&[]).into_bytes();
        bytes.truncate(bytes.len() - 2);
        while bytes.len() < 1 << 20 {
            bytes.extend(line.as_bytes());
        }
        assert_refused(&answer(server.addr, &bytes), 431, line);
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_is_accepted_and_what_is_behind_it_is_kept() {
    let (server, told) = noting(ServerOptions::default());
    let mut peer = dial(server.addr);
    let frames = from_client(&[Frame::new(1, "one"), Frame::new(2, "two")]);
    for byte in [request(&[]).as_bytes(), &frames].concat() {
        peer.write_all(&[byte]).unwrap();
    }
    assert!(read_head(&mut peer).starts_with("HTTP/1.1 101 "));
    assert_eq!(read_frame(&mut peer), Frame::new(1, "one"));
    assert_eq!(read_frame(&mut peer), Frame::new(2, "two"));
    opened(&told);
    assert!(matches!(next(&told), Note::Message(..)) && matches!(next(&told), Note::Message(..)));
}

#[test]
fn a_client_that_sends_its_request_too_slowly_is_cut_off_however_it_goes_on() {
    let mut options = ServerOptions::default();
    (options.handshake_timeout, options.max_head) = (Duration::from_millis(50), usize::MAX);
    let (server, told) = noting(options);
    let mut silent = dial(server.addr);
    let mut half = dial(server.addr);
    half.write_all(&request(&[]).as_bytes()[..40]).unwrap();
    // The deadline is absolute: bytes do not move it.
    assert!(drip(&mut dial(server.addr), b"GET / HTTP/1.1\r\nX: x"));
    for peer in [&mut silent, &mut half] {
        assert!(support::is_cut_off(peer));
    }
    // Others are not concerned, and nothing was opened by those.
    let mut swift = dial(server.addr);
    swift.write_all(request(&[]).as_bytes()).unwrap();
    assert!(read_head(&mut swift).starts_with("HTTP/1.1 101 "));
    drop(swift);
    let id = opened(&told);
    assert_eq!(closed(&told).0, id);
}

#[test]
fn a_slow_client_that_is_done_before_the_deadline_is_served() {
    let (server, told) = noting(patient_with_the_request());
    let mut peer = dial(server.addr);
    write_slowly(&mut peer, request(&[]).as_bytes());
    assert!(read_head(&mut peer).starts_with("HTTP/1.1 101 "));
    opened(&told);
}

#[test]
fn a_client_that_reads_no_response_and_sends_on_is_not_waited_for() {
    let mut options = ServerOptions::default();
    let mut config = wsmio::Config::default();
    config.fin_timeout = Duration::from_millis(50);
    options.config = config.into();
    let server = Running::new(1, options, || {
        support::OnMessage(|_: &mut wsmio::Peer<'_, ()>, _: wsmio::Message<'_>| {})
    });
    let mut peer = dial(server.addr);
    peer.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
    while peer.write_all(&[b'x'; 1000]).is_ok() {
        std::thread::yield_now();
    }
}

mod blocking {
    use std::{
        net::{TcpListener, TcpStream},
        thread,
    };

    use wsmio::{Acceptor, Error, Message, WebSocket};
    use wstest::reference;

    use super::*;

    /// What accepting with these options comes to, and what `talk` does as the client.
    fn accept<T: Send>(
        options: ServerOptions,
        talk: impl FnOnce(SocketAddr) -> T + Send,
    ) -> (Result<WebSocket<TcpStream>, Error>, T) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::scope(|scope| {
            let talking = scope.spawn(move || talk(addr));
            let accepted = Acceptor::new(options).accept(listener.accept().unwrap().0);
            (accepted, talking.join().unwrap())
        })
    }

    fn answer_to(bytes: &[u8]) -> String {
        let (accepted, response) = accept(ServerOptions::default(), |addr| answer(addr, bytes));
        assert!(matches!(accepted, Err(Error::Handshake(_))), "{:?}", accepted.map(drop));
        response
    }

    fn lets_in(options: ServerOptions, request: &str) -> bool {
        let (accepted, response) = accept(options, |addr| {
            let mut peer = dial(addr);
            peer.write_all(request.as_bytes()).unwrap();
            read_head(&mut peer)
        });
        assert_eq!(response.starts_with("HTTP/1.1 101 "), accepted.is_ok(), "{response}");
        accepted.is_ok()
    }

    advisory_requests!(answer_to, lets_in);

    #[test]
    fn frames_behind_the_request_are_received_exactly_once_whatever_the_cut() {
        let head = request(&[]);
        let frames = [
            Frame::new(1, "one"),
            Frame::new(9, "ping"),
            Frame::new(2, vec![2; 300]),
            support::close(1000, ""),
        ];
        let bytes = [head.as_bytes(), &from_client(&frames)].concat();
        let head = head.len();
        for cut in [0, 1, head - 1, head, head + 1, head + 9, bytes.len()] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = dial(listener.local_addr().unwrap());
            let (start, end) = bytes.split_at(cut);
            let (start, end) = (start.to_vec(), end.to_vec());
            let talking = thread::spawn(move || {
                for piece in [start, end] {
                    peer.write_all(&piece).unwrap();
                    thread::yield_now();
                }
                assert!(read_head(&mut peer).starts_with("HTTP/1.1 101 "));
                let mut written = Vec::new();
                peer.read_to_end(&mut written).unwrap();
                reference::decode(&written).iter().map(|frame| frame.opcode).collect::<Vec<_>>()
            });
            let mut ws = wsmio::accept(listener.accept().unwrap().0).unwrap();
            assert_eq!(ws.recv().unwrap(), Some(Message::Text("one")));
            assert_eq!(ws.recv().unwrap(), Some((&vec![2; 300]).into()));
            assert!(ws.recv().unwrap().is_none());
            assert!(ws.close_info().unwrap().clean);
            drop(ws);
            assert_eq!(talking.join().unwrap(), [10, 8], "cut at {cut}");
        }
    }
}

#[test]
fn a_server_does_not_begin_with_an_origin_that_is_none() {
    let mut options = ServerOptions::default();
    options.origin = OriginPolicy::List(vec!["https://good.com/".into(), "good.com".into()]);
    let bound = wsmio::Server::bind_with("127.0.0.1:0".parse().unwrap(), 1, options);
    let error = bound.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("\"good.com\" in ServerOptions::origin"), "{error}");
}
