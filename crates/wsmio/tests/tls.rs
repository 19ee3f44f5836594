//! TLS: connecting, accepting, and what it does to the two directions and to the end.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use support::{
    LONG, Pair, ROLES, close, drip, from_client, quiet, read_frame, socket, thread_number,
    tls::{self as tls_support, configs},
    wait_until_asleep,
};
use wsconn::Role;
use wsmio::{
    Acceptor, CloseCode, Connector, Error, MaybeTls, Timeout, WebSocket,
    opening::ClientOptions,
    tls::{
        self, TlsAcceptor, TlsFailure, TlsStream,
        rustls::{ClientConnection, StreamOwned},
    },
};
use wstest::{certificates::Authority, handshake::request, reference::Frame};

/// A listener, and the URL of it.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    (listener, url)
}

fn connector() -> Connector {
    Connector::default().tls(configs().1)
}

#[test]
fn a_wss_url_is_connected_to_and_a_server_accepts_over_tls() {
    let (listener, url) = listen();
    let serving = thread::spawn(move || {
        let tls = TlsAcceptor::new(configs().0);
        let stream = tls.accept(listener.accept().unwrap().0).unwrap();
        let mut ws = Acceptor::default().accept(stream).unwrap();
        let (rx, tx) = ws.halves();
        while let Some(message) = rx.recv().unwrap() {
            tx.send(message).unwrap();
        }
        ws.close_info().unwrap().clone()
    });
    let mut ws: WebSocket = connector().connect(&url).unwrap();
    for len in [0, 20, 1 << 20] {
        let message = vec![7; len];
        ws.send(&message).unwrap();
        assert_eq!(ws.recv().unwrap(), Some((&message).into()));
    }
    ws.close(CloseCode::NORMAL, "bye").unwrap();
    assert!(ws.close_info().unwrap().clean);
    let info = serving.join().unwrap();
    assert!(info.clean && info.reason == "bye", "{info}");
}

/// What connecting comes to if a server does this with the stream.
fn failure(connector: &Connector, serve: impl FnOnce(TcpStream) + Send + 'static) -> Error {
    let (listener, url) = listen();
    let serving = thread::spawn(move || serve(listener.accept().unwrap().0));
    let error = connector.connect(&url).err().unwrap();
    serving.join().unwrap();
    error
}

#[test]
fn a_tls_handshake_that_fails_says_why() {
    let accept = |tcp| {
        let error = TlsAcceptor::new(configs().0).accept(tcp).unwrap_err();
        assert!(
            matches!(&error, Error::Tls(it) if matches!(**it, TlsFailure::Protocol(_))),
            "{error:?}"
        );
        assert!(error.to_string().contains("does not trust"), "{error}");
    };
    let error = failure(&Connector::default(), accept);
    assert!(error.to_string().contains("authority that is not trusted"), "{error}");
    let plain = |mut tcp: TcpStream| {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = tcp.read(&mut [0; 1000]);
    };
    let error = failure(&connector(), plain);
    assert!(
        matches!(&error, Error::Tls(it) if matches!(**it, TlsFailure::Protocol(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    let error = failure(&connector(), |mut tcp| {
        tcp.shutdown(Shutdown::Write).unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    assert!(matches!(&error, Error::Tls(it) if matches!(**it, TlsFailure::Eof)), "{error:?}");
}

#[test]
fn a_certificate_of_another_host_or_of_the_past_is_not_trusted_and_the_server_hears_of_it() {
    let authority = Authority::default();
    let connector = Connector::default().tls(tls_support::client(&authority));
    for (certified, why) in [
        (authority.certify("localhost.evil"), "not who it should be"),
        (authority.certify("127.0.0.1"), "not who it should be"),
        (authority.certify_the_past("localhost"), "has expired"),
    ] {
        let server = TlsAcceptor::new(tls_support::server(&certified));
        let error = failure(&connector, move |tcp| {
            let error = server.accept(tcp).unwrap_err().to_string();
            assert!(error.contains("does not trust our certificate"), "{error}");
        });
        assert!(
            matches!(&error, Error::Tls(it) if matches!(**it, TlsFailure::Protocol(_))),
            "{error:?}"
        );
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// The header of a record of 16 KiB with a message of the handshake.
const RECORD: [u8; 6] = [22, 3, 3, 0x40, 0, 0];

#[test]
fn a_tls_handshake_has_its_deadline_on_both_sides_however_the_bytes_come() {
    let short = Duration::from_millis(50);
    let mut options = ClientOptions::default();
    options.handshake_timeout = short;
    let connector = Connector::new(options).tls(configs().1);
    let acceptor = TlsAcceptor::new(configs().0).handshake_timeout(short);
    for drips in [false, true] {
        for role in ROLES {
            let (one, mut other) = TcpStream::pair();
            let talking = thread::spawn(move || match drips {
                true => drip(&mut other, &RECORD),
                // What the client says, and the end.
                false => other.read_to_end(&mut Vec::new()).is_ok(),
            });
            let start = Instant::now();
            let error = match role {
                Role::Client => connector.connect_stream(one, "wss://localhost/").err().unwrap(),
                Role::Server => acceptor.accept(one).unwrap_err(),
            };
            assert!(matches!(error, Error::Timeout(Timeout::Tls)), "{role:?}: {error:?}");
            assert!((short..LONG).contains(&start.elapsed()), "{:?}", start.elapsed());
            assert!(talking.join().unwrap());
        }
    }
}

#[test]
fn a_stream_of_the_callers_own_is_secured_for_a_wss_url_only() {
    for (url, secured) in [("wss://localhost/", true), ("ws://localhost/", false)] {
        let (one, other) = TcpStream::pair();
        let serving = thread::spawn(move || match secured {
            true => {
                let stream = TlsAcceptor::new(configs().0).accept(other).unwrap();
                Acceptor::default().accept(stream).unwrap().send("hello").unwrap();
            }
            false => Acceptor::default().accept(other).unwrap().send("hello").unwrap(),
        });
        let mut ws: WebSocket<MaybeTls<TcpStream>> = connector().connect_stream(one, url).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("hello".into()));
        serving.join().unwrap();
    }
}

#[test]
fn what_comes_in_one_record_with_the_request_is_received() {
    let (stream, mut peer) = TlsStream::pair();
    // More than is read of a head at a time.
    let message = vec![7; 10_000];
    let frames = from_client(&[Frame::new(2, message.as_slice())]);
    peer.write_all(&[request(&[]).as_bytes(), &frames].concat()).unwrap();
    let mut ws = Acceptor::default().accept(stream).unwrap();
    ws.set_read_timeout(Some(LONG));
    assert_eq!(ws.recv().unwrap(), Some((&message).into()));
}

#[test]
fn an_end_without_close_notify_is_abnormal_before_both_close_frames_and_clean_after_them() {
    for closed in [false, true] {
        let (stream, mut peer) = TlsStream::pair();
        let mut ws = socket(Role::Server, stream, quiet());
        let mut frames = vec![Frame::new(1, "x")];
        frames.extend(closed.then(|| close(1000, "")));
        peer.write_all(&from_client(&frames)).unwrap();
        peer.get_ref().shutdown(Shutdown::Write).unwrap();
        assert_eq!(ws.recv().unwrap(), Some("x".into()));
        assert!(ws.recv().unwrap().is_none());
        let info = ws.close_info().unwrap();
        assert_eq!(
            (info.clean, info.code.get()),
            if closed { (true, 1000) } else { (false, 1006) }
        );
        if closed {
            assert_eq!(read_frame(&mut peer), close(1000, ""));
        }
        // Ours is there: it is no end that something may have been cut off at.
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}

/// The client's side of TLS, with which the test can do what rustls can.
fn raw(tcp: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(configs().1, name).unwrap(), tcp)
}

#[test]
fn no_record_is_lost_to_new_keys_while_a_write_is_blocked() {
    const HUGE: usize = 12 << 20;
    let (one, other) = TcpStream::pair();
    let accepting = thread::spawn(|| TlsAcceptor::new(configs().0).accept(one).unwrap());
    let mut peer = raw(other);
    while peer.conn.is_handshaking() {
        peer.conn.complete_io(&mut peer.sock).unwrap();
    }
    let stream = accepting.join().unwrap();
    let mut config = quiet();
    config.max_outgoing = 1000;
    let (mut rx, mut tx) = socket(Role::Server, stream, config).split();
    let (number, numbers) = mpsc::channel();
    let sending = thread::spawn(move || {
        number.send(thread_number()).unwrap();
        tx.send(&vec![7; HUGE]).unwrap();
        tx.send("behind it").unwrap();
        tx
    });
    wait_until_asleep(&numbers.recv_timeout(LONG).unwrap());
    // It asks for new keys of the other side again and again, and reads nothing.
    let (got, count) = mpsc::channel();
    let receiving = thread::spawn(move || {
        while let Some(message) = rx.recv().unwrap() {
            got.send(message.as_text().unwrap().to_owned()).unwrap();
        }
        rx
    });
    for n in 0..20 {
        peer.conn.refresh_traffic_keys().unwrap();
        peer.write_all(&from_client(&[Frame::new(1, n.to_string())])).unwrap();
        assert_eq!(count.recv_timeout(LONG).unwrap(), n.to_string());
    }
    let frame = read_frame(&mut peer);
    assert!(frame.payload.len() == HUGE && frame.payload.iter().all(|byte| *byte == 7));
    assert_eq!(read_frame(&mut peer).payload, b"behind it");
    peer.write_all(&from_client(&[close(1000, "")])).unwrap();
    assert_eq!(read_frame(&mut peer), close(1000, ""));
    peer.conn.send_close_notify();
    while peer.conn.wants_write() {
        peer.conn.complete_io(&mut peer.sock).unwrap();
    }
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.sock.shutdown(Shutdown::Write).unwrap();
    let ws = receiving.join().unwrap().reunite(sending.join().unwrap()).ok().unwrap();
    assert!(ws.close_info().unwrap().clean);
}

#[test]
fn a_peer_that_reads_nothing_is_lost_over_tls_too() {
    let (stream, _peer) = TlsStream::pair();
    let mut config = quiet();
    config.write_timeout = Duration::from_millis(50);
    let mut ws = socket(Role::Server, stream, config);
    let result = (0..1000).try_for_each(|_| ws.send(&[7; 20_000]));
    assert!(matches!(result, Err(Error::Timeout(Timeout::Write))), "{result:?}");
    assert!(ws.recv().unwrap().is_none());
}

#[test]
fn a_record_that_was_changed_on_the_way_ends_the_connection() {
    let (stream, mut peer) = TlsStream::pair();
    let mut ws = socket(Role::Server, stream, quiet());
    let mut tcp = peer.get_ref().try_clone().unwrap();
    peer.write_all(&from_client(&[Frame::new(1, "x")])).unwrap();
    assert_eq!(ws.recv().unwrap(), Some("x".into()));
    tcp.write_all(&[23, 3, 3, 0, 32]).unwrap();
    tcp.write_all(&[0; 32]).unwrap();
    let error = ws.recv().unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == ErrorKind::InvalidData),
        "{error}"
    );
    assert_eq!(ws.close_info().unwrap().code, CloseCode::ABNORMAL);
    // The peer is told.
    assert!(peer.read(&mut [0]).unwrap_err().to_string().contains("BadRecordMac"));
}

#[test]
fn the_session_tells_what_was_agreed() {
    let (one, other) = TlsStream::pair();
    assert!(other.session().peer_certificates().is_some_and(|chain| chain.len() == 1));
    assert_eq!(one.session().alpn_protocol(), Some(&b"http/1.1"[..]));
    let unknown = tls::client_config_without_verification();
    assert!(!unknown.alpn_protocols.is_empty());
}
