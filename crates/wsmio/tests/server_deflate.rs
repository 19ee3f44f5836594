//! What other connections of a loop notice of one that compresses, and what it is sent.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc,
};

use support::{
    LONG, Note, Notes, OnMessage, Running, dial, from_client, on_this_thread, quiet, read_frame,
    read_head,
};
use wsconn::{Connection, Delivery, Event, Role, Time};
use wsmio::{
    Message, Peer, PreparedMessage,
    deflate::{Compress, DeflateOptions},
    opening::ServerOptions,
};
use wstest::{
    alloc::CountingAllocator, compression, conformance::Outcome, drive::KEY, handshake::request,
    reference::Frame,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// As one connection uses up in a turn.
const TURN: usize = 32 << 10;

fn compressing() -> ServerOptions {
    let mut options = ServerOptions::default();
    options.config = quiet().into();
    options.deflate = Some(DeflateOptions::default());
    options
}

/// A request that offers to compress, and what is sent behind it.
fn begin(addr: SocketAddr, behind: &[u8]) -> TcpStream {
    let mut stream = dial(addr);
    let request = request(&["Sec-WebSocket-Extensions: permessage-deflate"]);
    stream.write_all(&[request.as_bytes(), behind].concat()).unwrap();
    stream
}

/// A raw client that has agreed to compress.
fn client(addr: SocketAddr) -> TcpStream {
    let mut stream = begin(addr, &[]);
    let head = read_head(&mut stream);
    assert!(head.contains("permessage-deflate"), "{head}");
    stream
}

/// A client's side of a connection that compresses.
fn side() -> Connection {
    let mut side = Connection::client(quiet().into(), || KEY, Time::ZERO);
    side.enable_deflate(DeflateOptions::default());
    side
}

/// Messages of zeros as a client sends them.
fn flood(count: usize, len: usize) -> Vec<u8> {
    let mut side = side();
    let message = vec![0; len];
    for _ in 0..count {
        side.send(Message::Binary(&message)).unwrap();
    }
    side.outgoing().to_vec()
}

/// How many turns another connection has between the beginning of a flood, which is `behind` the
/// request or comes later, and each of its messages.
fn turns(count: usize, len: usize, behind: bool) -> Vec<usize> {
    let (turns, told) = mpsc::channel();
    let (go, gate) = mpsc::channel::<TcpStream>();
    let gate = std::sync::Mutex::new(Some(gate));
    let server = Running::new(1, compressing(), move || {
        let (turns, gate) = (turns.clone(), gate.lock().unwrap().take().unwrap());
        let (mut other, mut had) = (None, 0);
        let turn = from_client(&[Frame::new(1, "turn")]);
        OnMessage(move |_: &mut Peer<'_, ()>, message: Message<'_>| match message {
            Message::Text("begin") => {
                // While this waits, all is sent that the loop is to find.
                turns.send(usize::MAX).unwrap();
                other = Some(gate.recv_timeout(LONG).unwrap());
            }
            // It has the next turn at once: its message is there when the loop looks.
            Message::Text(_) => {
                had += 1;
                other.as_mut().unwrap().write_all(&turn).unwrap();
            }
            Message::Binary(zeros) => {
                assert!(zeros.len() == len && zeros.iter().all(|byte| *byte == 0));
                turns.send(had).unwrap();
            }
        })
    });
    let flood = flood(count, len);
    assert!(flood.len() < 200 << 10, "{} bytes come in one read", flood.len());
    let open = (!behind).then(|| client(server.addr));
    let mut gate = client(server.addr);
    gate.write_all(&from_client(&[Frame::new(1, "begin")])).unwrap();
    assert_eq!(told.recv_timeout(LONG), Ok(usize::MAX));
    gate.write_all(&from_client(&[Frame::new(1, "turn")])).unwrap();
    let _flooding = match open {
        Some(mut open) => {
            open.write_all(&flood).unwrap();
            open
        }
        None => begin(server.addr, &flood),
    };
    go.send(gate).unwrap();
    (0..count).map(|_| told.recv_timeout(LONG).unwrap()).collect()
}

#[test]
fn a_long_message_that_was_compressed_takes_its_turns_with_the_others() {
    for behind in [false, true] {
        let turns = turns(1, 8 << 20, behind);
        assert!(turns[0] >= (8 << 20) / TURN / 2, "{turns:?}, behind the request: {behind}");
    }
}

#[test]
fn many_messages_that_were_compressed_take_their_turns_with_the_others() {
    for behind in [false, true] {
        let turns = turns(400, 16 << 10, behind);
        // Not all that fit a read in one go.
        let last = turns.last().unwrap();
        assert!(*last >= 400 * (16 << 10) / TURN / 2, "{turns:?}, behind the request: {behind}");
        assert!(turns.is_sorted());
    }
}

#[test]
fn of_64_floods_each_has_one_turn_between_two_of_another_connection() {
    const FLOODS: usize = 64;
    const COUNT: usize = 20;
    let (tell, told) = mpsc::channel();
    let (go, gate) = mpsc::channel::<TcpStream>();
    let gate = std::sync::Mutex::new(Some(gate));
    let server = Running::new(1, compressing(), move || {
        let (tell, gate) = (tell.clone(), gate.lock().unwrap().take().unwrap());
        let (mut other, mut floods) = (None, 0);
        let turn = from_client(&[Frame::new(1, "turn")]);
        OnMessage(move |_: &mut Peer<'_, ()>, message: Message<'_>| match message {
            Message::Text("begin") => {
                tell.send(usize::MAX).unwrap();
                other = Some(gate.recv_timeout(LONG).unwrap());
            }
            Message::Text(_) => {
                tell.send(std::mem::take(&mut floods)).unwrap();
                other.as_mut().unwrap().write_all(&turn).unwrap();
            }
            // Each is a turn's work.
            Message::Binary(_) => floods += 1,
        })
    });
    let flood = flood(COUNT, TURN);
    let mut flooding: Vec<_> = (0..FLOODS).map(|_| client(server.addr)).collect();
    let mut gate = client(server.addr);
    gate.write_all(&from_client(&[Frame::new(1, "begin")])).unwrap();
    assert_eq!(told.recv_timeout(LONG), Ok(usize::MAX));
    gate.write_all(&from_client(&[Frame::new(1, "turn")])).unwrap();
    for stream in &mut flooding {
        stream.write_all(&flood).unwrap();
    }
    go.send(gate).unwrap();
    let (mut all, mut most) = (0, 0);
    while all < FLOODS * COUNT {
        let floods = told.recv_timeout(LONG).unwrap();
        (all, most) = (all + floods, most.max(floods));
    }
    println!("at most {most} turns of floods between two of another connection");
    assert!((FLOODS / 2..=2 * FLOODS).contains(&most), "{most}");
}

#[test]
fn a_prepared_message_goes_out_compressed_to_those_that_agreed_to_it_and_plain_to_others() {
    let text = "the same for all. ".repeat(20);
    let prepared = PreparedMessage::new(text.as_str());
    let reply = prepared.clone();
    let server = Running::new(1, compressing(), move || {
        let reply = reply.clone();
        OnMessage(move |peer: &mut Peer<'_, ()>, _: Message<'_>| {
            let _ = peer.send_prepared(&reply);
        })
    });
    let mut plain = support::client(server.addr);
    let mut compressed = client(server.addr);
    let from_others = |plain: &mut TcpStream, compressed: &mut TcpStream| {
        assert_eq!(read_frame(plain).payload, text.as_bytes());
        let frame = read_frame(compressed);
        assert!(frame.payload.len() < text.len() / 2, "{} bytes", frame.payload.len());
        let mut bytes = frame.encode();
        let mut side = side();
        let received = side.receive(&mut bytes, Delivery::Messages, Time::ZERO);
        let event = side.event(&bytes, received.event.unwrap());
        assert_eq!(event, Event::Message(Message::Text(&text)));
    };
    let hello = from_client(&[Frame::new(1, "hello")]);
    for peer in [&mut plain, &mut compressed] {
        peer.write_all(&hello).unwrap();
    }
    from_others(&mut plain, &mut compressed);
    server.remote.broadcast(&prepared).unwrap();
    from_others(&mut plain, &mut compressed);
}

#[test]
fn each_message_is_compressed_or_not_as_the_sender_chooses() {
    // One that is copied behind what is queued, and one that would be written from where it lies.
    for text in ["again and ".repeat(30), "again and ".repeat(10_000)] {
        let reply = text.clone();
        let server = Running::new(1, compressing(), move || {
            let reply = reply.clone();
            OnMessage(move |peer: &mut Peer<'_, ()>, _: Message<'_>| {
                for compress in [Compress::Yes, Compress::No, Compress::Auto] {
                    let _ = peer.send_as(&reply, compress);
                }
            })
        });
        let mut stream = client(server.addr);
        stream.write_all(&from_client(&[Frame::new(1, "hello")])).unwrap();
        let frames = [(); 3].map(|()| read_frame(&mut stream));
        assert_eq!(frames.each_ref().map(|frame| frame.rsv), [4, 0, 4]);
        assert_eq!(frames[1].payload, text.as_bytes());
        assert!(frames[0].payload.len() < text.len() / 2);
        assert!(frames[2].payload.len() < text.len() / 2);
    }
}

#[test]
fn class_c_compression() {
    compression::check(&[Role::Server], |_, config, takeover, input, most| {
        let mut options = compressing();
        options.config = config.clone().into();
        let deflate = options.deflate.as_mut().unwrap();
        (deflate.context_takeover, deflate.peer_context_takeover) = (takeover, takeover);
        let (notes, told) = mpsc::channel();
        let make = || Notes { notes: notes.clone(), echo: false };
        let input = input.to_vec();
        let written = on_this_thread(options, make, move |addr| {
            let mut client = dial(addr);
            client.write_all(&compression::offer()).unwrap();
            for piece in input.chunks(most) {
                client.write_all(piece).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
            let mut written = Vec::new();
            client.read_to_end(&mut written).unwrap();
            compression::behind_head(&written)
        });
        let mut outcome = Outcome { written, ..Outcome::default() };
        for note in told.try_iter() {
            match note {
                Note::Message(_, message) => outcome.messages.push(message),
                Note::Close(_, info) => outcome.close = Some(info),
                _ => {}
            }
        }
        outcome
    });
}
