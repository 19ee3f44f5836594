//! Links wsframe, wshandshake and wsconn without std. `cargo xtask nostd` runs it, and expects exit status 0.

#![no_std]
#![no_main]

extern crate alloc;

mod host;

use alloc::{sync::Arc, vec, vec::Vec};

use wsconn::opening::{Accept, ClientOpening, ClientOptions, ServerOpening, ServerOptions};
use wsconn::{
    CloseCause, CloseCode, Connection, Delivery, Disposition, Event, OwnedMessage, Side, Time,
};
use wsframe::{Decoded, Header, OpCode, Role, Rules};
use wshandshake::Key;

const SUBPROTOCOL: &str = "echo.v1";

/// What is checked; `Err` names what failed.
type Check<T = ()> = Result<T, &'static str>;

fn check() -> Check {
    let (mut server, mut client) = opening_handshake()?;
    echo(&mut server, &mut client)?;
    closing_handshake(&mut server, &mut client)
}

/// A whole opening handshake, byte by byte, over no wire at all.
fn opening_handshake() -> Check<(Connection, Connection)> {
    // RFC 6455 §1.3.
    let key = Key::new(*b"the sample nonce");
    that(key.accept().as_str() == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the accept key of the RFC")?;

    let mut options = ServerOptions::default();
    options.subprotocols = vec![SUBPROTOCOL.into()];
    let mut server = ServerOpening::new(Arc::new(options), Time::ZERO);

    let mut options = ClientOptions::default();
    options.subprotocols = vec!["echo.v2".into(), SUBPROTOCOL.into()];
    let (host, target) = ("example.org".into(), "/echo".into());
    let client = ClientOpening::new(options, host, target, [7; 16], Time::ZERO);
    let mut client = client.map_err(|_| "a request to write")?;

    let request = client.request().as_bytes();
    let complete = request.iter().position(|byte| server.receive(&[*byte]).complete);
    that(complete == Some(request.len() - 1), "a request that ends with its last byte")?;
    let answer = server.respond(|_| Ok(Accept::default()), Time::ZERO);
    let server = answer.result.map_err(|_| "a server that accepts the request")?;

    let response = answer.response.as_bytes();
    let complete = response.iter().position(|byte| client.receive(&[*byte]).complete);
    that(complete == Some(response.len() - 1), "a response that ends with its last byte")?;
    let client = client.finish(masking_key, Time::ZERO);
    let client = client.map_err(|_| "a client that believes the response")?;

    that(server.subprotocol.as_deref() == Some(SUBPROTOCOL), "the server's subprotocol")?;
    that(client.subprotocol.as_deref() == Some(SUBPROTOCOL), "the client's subprotocol")?;
    Ok((server.connection, client.connection))
}

/// A text message goes to the server, and comes back.
fn echo(server: &mut Connection, client: &mut Connection) -> Check {
    let text = "grüße ".repeat(100);
    client.send(&text).map_err(|_| "a message to send")?;

    let rules = Rules::new(Role::Server);
    let Ok(Decoded::Header { header, .. }) = Header::decode(client.outgoing(), &rules) else {
        return Err("a frame that a server takes");
    };
    that(header.opcode == OpCode::Text && header.masking_key.is_some(), "a masked text frame")?;

    let received = carry(client, server)?;
    that(received == [OwnedMessage::Text(text)], "the message at the server")?;
    server.send(&received[0]).map_err(|_| "a message to echo")?;
    that(carry(server, client)? == received, "its echo at the client")
}

/// The client closes, the server answers and ends the byte stream first.
fn closing_handshake(server: &mut Connection, client: &mut Connection) -> Check {
    client.close(CloseCode::NORMAL, "bye", Time::ZERO).map_err(|_| "a client that closes")?;
    that(client.send("too late").is_err(), "no message behind a close frame")?;
    that(carry(client, server)?.is_empty(), "nothing but a close frame at the server")?;
    that(carry(server, client)?.is_empty(), "nothing but a close frame at the client")?;

    for (connection, by) in [(&*server, Side::Peer), (&*client, Side::Local)] {
        let info = connection.close_info().ok_or("an end that is known")?;
        let clean = info.clean && info.cause == CloseCause::Handshake;
        that(clean && info.by == by, "a clean end, and who began it")?;
        that(info.code == CloseCode::NORMAL && info.reason == "bye", "the code and the reason")?;
    }

    that(server.disposition() == Disposition::ShutdownWrite, "a server that ends the stream")?;
    that(client.disposition() == Disposition::KeepOpen, "a client that waits for it")?;
    client.receive_eof();
    server.receive_eof();
    that(client.disposition() == Disposition::Close, "a client that is done")?;
    that(server.disposition() == Disposition::Close, "a server that is done")
}

/// Carries what `from` has to write to `to`: the messages that arrive there.
fn carry(from: &mut Connection, to: &mut Connection) -> Check<Vec<OwnedMessage>> {
    let mut wire = from.outgoing().to_vec();
    from.advance(wire.len());
    let mut messages = Vec::new();
    let mut rest = wire.as_mut_slice();
    loop {
        let received = to.receive(rest, Delivery::Messages, Time::ZERO);
        let Some(location) = received.event else { return Ok(messages) };
        match to.event(rest, location) {
            Event::Message(message) => messages.push(message.to_owned()),
            _ => return Err("no event but messages"),
        }
        rest = &mut rest[received.consumed..];
    }
}

/// Anyone could predict it: good enough for a wire that does not exist.
fn masking_key() -> [u8; 4] {
    [0x37, 0xfa, 0x21, 0x3d]
}

fn that(holds: bool, what: &'static str) -> Check {
    if holds { Ok(()) } else { Err(what) }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match check() {
        Ok(()) => {
            host::print("nostd: passed\n");
            0
        }
        Err(what) => {
            host::print("nostd: this does not hold: ");
            host::print(what);
            host::print("\n");
            1
        }
    }
}
