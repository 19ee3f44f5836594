//! A message that is encoded once and sent to many.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{CloseCode, Connection, Message, Misuse, PreparedMessage, Role, Time};
use wstest::drive::connection;

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn new(role: Role) -> Connection {
    connection(role, &Arc::default())
}

#[test]
fn it_is_on_the_wire_as_any_other() {
    for role in ROLES {
        for len in [0, 1, 125, 126, 70_000] {
            let bytes = vec![b'x'; len];
            let text = String::from_utf8(bytes.clone()).unwrap();
            for message in [Message::Binary(&bytes), Message::Text(&text)] {
                let prepared = PreparedMessage::new(message);
                assert_eq!(prepared.as_message(), message);
                let (mut plain, mut it, mut direct) = (new(role), new(role), new(role));
                plain.send(message).unwrap();
                it.send_prepared(&prepared).unwrap();
                let mut sending = direct.send_prepared_direct(&prepared).unwrap();
                let mut written: Vec<u8> = Vec::new();
                while !sending.is_done() {
                    let slice: &[u8] =
                        sending.slices().into_iter().find(|slice| !slice.is_empty()).unwrap();
                    let len = slice.len().min(1000);
                    written.extend(&slice[..len]);
                    sending.advance(len);
                }
                drop(sending);
                assert_eq!(it.outgoing(), plain.outgoing());
                assert_eq!(written, plain.outgoing());
                assert!(direct.outgoing().is_empty());
            }
        }
    }
}

#[test]
fn it_is_refused_as_any_other() {
    let prepared = PreparedMessage::new("x");
    for role in ROLES {
        let mut it = new(role);
        it.send_fragment("a", false).unwrap();
        assert_eq!(it.send_prepared(&prepared), Err(Misuse::MessageUnderWay));
        it.send_fragment("b", true).unwrap();
        it.send_prepared(&prepared).unwrap();
        it.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
        assert_eq!(it.send_prepared(&prepared), Err(Misuse::Closed));
    }
}

#[cfg(feature = "deflate")]
mod deflate {
    use wsconn::{OwnedMessage, deflate::DeflateOptions};
    use wstest::{
        alloc::{CountingAllocator, measure},
        drive::{Driver, Trace},
        reference::decode,
    };

    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    fn with(role: Role, takeover: bool, window_bits: u8) -> Connection {
        let mut options = DeflateOptions::default();
        options.context_takeover = takeover && role == Role::Server;
        options.peer_context_takeover = takeover && role == Role::Client;
        options.window_bits = window_bits;
        let mut connection = new(role);
        connection.enable_deflate(options);
        connection
    }

    #[test]
    fn it_is_compressed_once_where_that_can_be_shared() {
        let text = "all the same ".repeat(1000);
        let prepared = PreparedMessage::new(&text);
        for window_bits in [9, 12, 15] {
            let mut first = with(Role::Server, false, window_bits);
            first.send_prepared(&prepared).unwrap();
            let frame = decode(first.outgoing()).remove(0);
            assert_eq!(frame.rsv, 4);
            for _ in 0..3 {
                let mut next = with(Role::Server, false, window_bits);
                let (sending, usage) =
                    measure(|| next.send_prepared_direct(&prepared).map(|it| it.is_done()));
                assert_eq!(sending, Ok(false));
                // Its queue, for what the transport did not write; and no codec.
                assert!(usage.allocations <= 1 && usage.peak < 2000, "{usage:?}");
                assert_eq!(next.outgoing(), first.outgoing());
            }
            let mut client = with(Role::Client, false, window_bits);
            let mut trace = Trace::default();
            let wire = first.outgoing();
            Driver::PLAIN.resume(&mut client, &[wire, wire], false, &mut trace);
            let message = OwnedMessage::Text(text.clone());
            assert_eq!(trace.messages(), [message.clone(), message]);
        }
    }

    #[test]
    fn with_takeover_its_plain_form_is_sent_between_compressed_ones() {
        let text = "all the same ".repeat(100);
        let prepared = PreparedMessage::new(&text);
        let mut server = with(Role::Server, true, 15);
        server.send(&text).unwrap();
        server.send_prepared(&prepared).unwrap();
        server.send(&text).unwrap();
        let rsv: Vec<_> = decode(server.outgoing()).iter().map(|frame| frame.rsv).collect();
        assert_eq!(rsv, [4, 0, 4]);
        let mut client = with(Role::Client, true, 15);
        let trace = Driver::PLAIN.run(&mut client, &[server.outgoing()], false);
        assert_eq!(trace.messages(), vec![OwnedMessage::Text(text); 3]);
    }

    #[test]
    fn it_is_compressed_from_the_least_size_on() {
        let least = DeflateOptions::default().min_size;
        for (len, rsv) in [(least - 1, 0), (least, 4)] {
            let mut server = with(Role::Server, false, 15);
            server.send_prepared(&PreparedMessage::new(&*"a".repeat(len))).unwrap();
            assert_eq!(decode(server.outgoing())[0].rsv, rsv, "{len} bytes");
        }
    }

    #[test]
    fn it_is_plain_where_compressing_does_not_pay() {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let noise: Vec<u8> = std::iter::repeat_with(next).take(2000).collect();
        let messages = [PreparedMessage::new("short"), PreparedMessage::new(&noise)];
        for message in &messages {
            let mut server = with(Role::Server, false, 15);
            server.send_prepared(message).unwrap();
            assert_eq!(decode(server.outgoing())[0].rsv, 0);
        }
        // Nor with a window that zlib cannot do with.
        let mut server = with(Role::Server, false, 8);
        server.send_prepared(&PreparedMessage::new(&"la ".repeat(100))).unwrap();
        assert_eq!(decode(server.outgoing())[0].rsv, 0);
    }
}
