//! A handler that panics loses its own connection, and not the loop.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
};

use support::{LONG, Running, close, dial, from_client, quiet, read_frame, read_frames, read_head};
use wsmio::{
    CloseCode, CloseInfo, ConnectionId, Handler, Message, Peer, Side,
    opening::{Accept, Refusal, Request, ServerOptions},
};
use wstest::handshake::request;
use wstest::reference::Frame;

/// Panics where the path of the request says so, and tells what it was called with.
struct Panics(mpsc::Sender<String>);

/// The path, and a destructor that may panic too.
#[derive(Default)]
struct State(String);

impl Drop for State {
    fn drop(&mut self) {
        self.0.ends_with("/drop").then(|| panic!("in the destructor of the state"));
    }
}

/// What a panic may be with: something that panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the destructor of what it panicked with");
    }
}

impl Panics {
    fn call(&self, name: &str, path: &str) {
        self.0.send(format!("{path} {name}")).unwrap();
        if path == "/bomb/open" && name == "open" {
            std::panic::panic_any(Bomb);
        }
        assert!(!path.ends_with(name), "panics in {name}");
    }
}

impl Handler for Panics {
    type State = State;

    fn upgrade(&mut self, request: &Request<'_, '_>, state: &mut State) -> Result<Accept, Refusal> {
        state.0 = request.path().to_owned();
        self.call("upgrade", &state.0);
        if state.0.starts_with("/refused") {
            return Err(Refusal::new(404, "no\n"));
        }
        Ok(Accept::default())
    }

    fn open(&mut self, peer: &mut Peer<'_, State>) {
        self.call("open", &peer.state().0);
    }

    fn message(&mut self, peer: &mut Peer<'_, State>, message: Message<'_>) {
        let _ = peer.send(message);
        if peer.state().0 == "/drain" {
            // More than the system takes.
            let _ = peer.send(&vec![7; 12 << 20]);
        }
        if peer.state().0 == "/closing/message" {
            peer.close(CloseCode::NORMAL, "").unwrap();
        }
        self.call("message", &peer.state().0);
    }

    fn drain(&mut self, peer: &mut Peer<'_, State>) {
        self.call("drain", &peer.state().0);
    }

    fn close(&mut self, _: ConnectionId, state: State, info: &CloseInfo) {
        let note = format!("{} {:?} {}", state.0, info.by, info.code.get());
        self.0.send(note).unwrap();
        assert!(!state.0.ends_with("/close"), "panics in close");
    }
}

fn connect(addr: SocketAddr, path: &str) -> (TcpStream, String) {
    let mut peer = dial(addr);
    peer.write_all(request(&[&format!("GET {path} HTTP/1.1")]).as_bytes()).unwrap();
    let head = read_head(&mut peer);
    (peer, head)
}

#[test]
fn a_panic_ends_the_connection_it_is_about_and_no_other() {
    let (note, notes) = mpsc::channel();
    let mut options = ServerOptions::default();
    options.config = quiet().into();
    let server = Running::new(1, options, move || Panics(note.clone()));
    let (mut bystander, _) = connect(server.addr, "/bystander");
    let told = |expected: &[&str]| {
        for expected in expected {
            assert_eq!(notes.recv_timeout(LONG).unwrap(), *expected);
        }
    };
    told(&["/bystander upgrade", "/bystander open"]);
    let mut check = || {
        bystander.write_all(&from_client(&[Frame::new(1, "alive?")])).unwrap();
        assert_eq!(read_frame(&mut bystander).payload, b"alive?");
        told(&["/bystander message"]);
    };
    let internal = close(1011, "internal error");

    for path in ["/upgrade", "/refused/upgrade"] {
        let (mut peer, head) = connect(server.addr, path);
        assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
        assert!(peer.read_to_end(&mut Vec::new()).unwrap() > 0, "it says why");
        told(&[&format!("{path} upgrade")]);
        check();
    }
    let (_, head) = connect(server.addr, "/refused/drop");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    told(&["/refused/drop upgrade"]);
    check();

    for path in ["/open", "/bomb/open"] {
        let (mut peer, head) = connect(server.addr, path);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer.write_all(&from_client(&[Frame::new(1, "not delivered"), close(1011, "")])).unwrap();
        assert_eq!(read_frames(&mut peer), std::slice::from_ref(&internal));
        drop(peer);
        told(&[&format!("{path} upgrade"), &format!("{path} open")]);
        told(&[&format!("{path} Local 1011")]);
        check();
    }

    // What was sent before the panic arrives; what comes behind is not delivered.
    let (mut peer, _) = connect(server.addr, "/message");
    let two = [Frame::new(1, "one"), Frame::new(1, "two"), close(1000, "")];
    peer.write_all(&from_client(&two)).unwrap();
    assert_eq!(read_frames(&mut peer), [Frame::new(1, "one"), internal.clone()]);
    drop(peer);
    told(&["/message upgrade", "/message open", "/message message", "/message Local 1011"]);
    check();

    let (mut peer, _) = connect(server.addr, "/drain");
    peer.write_all(&from_client(&[Frame::new(1, "go")])).unwrap();
    told(&["/drain upgrade", "/drain open", "/drain message"]);
    check();
    assert_eq!(read_frame(&mut peer).payload, b"go");
    assert_eq!(read_frame(&mut peer).payload.len(), 12 << 20);
    assert_eq!(read_frame(&mut peer), internal);
    peer.write_all(&from_client(&[close(1011, "")])).unwrap();
    assert!(read_frames(&mut peer).is_empty());
    told(&["/drain drain", "/drain Local 1011"]);
    check();

    for path in ["/close", "/drop"] {
        let (mut peer, _) = connect(server.addr, path);
        peer.write_all(&from_client(&[close(1000, "")])).unwrap();
        assert_eq!(read_frames(&mut peer), [close(1000, "")]);
        let [upgrade, open, ended] = ["upgrade", "open", "Peer 1000"];
        told(&[
            &format!("{path} {upgrade}"),
            &format!("{path} {open}"),
            &format!("{path} {ended}"),
        ]);
        check();
    }

    // One that is closing already has its close frame.
    let (mut peer, _) = connect(server.addr, "/closing/message");
    peer.write_all(&from_client(&[Frame::new(1, "x"), close(1000, "")])).unwrap();
    assert_eq!(read_frames(&mut peer), [Frame::new(1, "x"), close(1000, "")]);
    told(&["/closing/message upgrade", "/closing/message open", "/closing/message message"]);
    told(&[&format!("/closing/message {:?} 1000", Side::Local)]);
    check();
}
