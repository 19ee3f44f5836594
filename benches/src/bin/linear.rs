//! What hostile peers send to make work: `linear NAME BYTES PASSES`, under callgrind. `cargo xtask counts` sees
//! whether twice as much is twice the work.
//!
//! A program of its own, since calls from here would change what is inlined into those that `counts` counts.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use benches::frames::now;
use wsconn::opening::{Accept, ClientOpening, ClientOptions, ServerOpening, ServerOptions};
use wsconn::{Config, Connection, Delivery, Event, Message};
use wsframe::{Header, OpCode, Role};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, size, passes] = &args[..] else {
        eprintln!("usage: linear NAME BYTES PASSES");
        return ExitCode::FAILURE;
    };
    let (Ok(size), Ok(passes)) = (size.parse(), passes.parse()) else {
        eprintln!("BYTES and PASSES are numbers");
        return ExitCode::FAILURE;
    };
    let Some(mut work) = work(name, size) else {
        eprintln!("there is no work of the name {name}");
        return ExitCode::FAILURE;
    };
    (0..passes).for_each(|_: u32| work());
    ExitCode::SUCCESS
}

/// Does the work of this name whenever it is called.
fn work(name: &str, size: usize) -> Option<Box<dyn FnMut()>> {
    Some(match name {
        "request byte by byte" => {
            let head = request(&format!("a: {}\r\n", "b".repeat(size)));
            Box::new(move || serve(&head, 1, "101"))
        }
        "response byte by byte" => Box::new(response(size)),
        "too many header lines" => {
            let head = request(&"a:\r\n".repeat(size / 4));
            Box::new(move || serve(&head, usize::MAX, "431"))
        }
        "too many subprotocols" => {
            let names: Vec<_> = (0..size / 5).map(|at| format!("{at:04}")).collect();
            let head = request(&format!("Sec-WebSocket-Protocol: {}\r\n", names.join(",")));
            Box::new(move || serve(&head, usize::MAX, "400"))
        }
        "commas" => {
            let commas = ", ".repeat(size / 2);
            let lines = format!("Connection: {commas}\r\nSec-WebSocket-Protocol: {commas}a\r\n");
            let head = request(&lines);
            Box::new(move || serve(&head, usize::MAX, "101"))
        }
        "malformed extensions" => {
            let values = [
                format!("a; b=\"{}", r"\a".repeat(size / 2)),
                format!("a{}=", ";a".repeat(size / 2)),
                format!("{};", "a;b,".repeat(size / 4)),
                format!("a{}b", " ".repeat(size)),
            ];
            let head = |value| request(&format!("Sec-WebSocket-Extensions: {value}\r\n"));
            let heads = values.map(head);
            Box::new(move || heads.iter().for_each(|head| serve(head, usize::MAX, "400")))
        }
        "text in fragments, server" => Box::new(fragments(Role::Server, size)),
        "text in fragments, client" => Box::new(fragments(Role::Client, size)),
        _ => return None,
    })
}

/// A request with these lines in it.
fn request(lines: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// A server's opening handshake, with a request that comes in pieces of `cut` bytes.
fn serve(head: &str, cut: usize, status: &str) {
    let mut options = ServerOptions::default();
    options.max_head = usize::MAX;
    let mut opening = ServerOpening::new(Arc::new(options), now());
    for piece in black_box(head.as_bytes()).chunks(cut) {
        opening.receive(piece);
    }
    let answer = opening.respond(|_| Ok(Accept::default()), now());
    assert_eq!(answer.response.split(' ').nth(1), Some(status), "{}", answer.response);
}

/// A client's opening handshake, with a response that comes byte by byte.
fn response(size: usize) -> impl FnMut() {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\na: {}\r\n\r\n",
        "b".repeat(size)
    );
    let mut options = ClientOptions::default();
    options.max_head = usize::MAX;
    move || {
        let (host, target) = ("a".to_owned(), "/".to_owned());
        let nonce = *b"the sample nonce";
        let Ok(mut opening) = ClientOpening::new(options.clone(), host, target, nonce, now())
        else {
            panic!("nothing in it may not be sent");
        };
        for piece in black_box(head.as_bytes()).chunks(1) {
            opening.receive(piece);
        }
        let opened = opening.finish(|| [0; 4], now());
        assert!(opened.is_ok(), "{:?}", opened.err());
    }
}

/// A text message in fragments of one byte, which cut its characters.
fn fragments(role: Role, count: usize) -> impl FnMut() {
    let mut config = Config::default();
    config.max_fragments = u32::MAX;
    let config = Arc::new(config);
    let mut wire = Vec::new();
    for (at, byte) in "aä€😀".bytes().cycle().take(count).enumerate() {
        let opcode = if at == 0 { OpCode::Text } else { OpCode::Continuation };
        let mut header = Header::new(opcode, 1);
        header.fin = at + 1 == count;
        // It changes nothing, so that what has been received can be received again.
        header.masking_key = (role == Role::Server).then_some([0; 4]);
        wire.extend_from_slice(header.encode().as_slice());
        wire.push(byte);
    }
    move || {
        let mut connection = match role {
            Role::Server => Connection::server(config.clone(), now()),
            Role::Client => Connection::client(config.clone(), || [0; 4], now()),
        };
        let received = connection.receive(black_box(&mut wire), Delivery::Messages, now());
        let event = received.event.map(|location| connection.event(&wire, location));
        let Some(Event::Message(Message::Text(text))) = event else {
            panic!("{event:?} and no text");
        };
        assert_eq!(text.len(), count);
    }
}
