//! What is agreed about permessage-deflate (RFC 7692 §7.1), in both roles.
#![cfg(all(feature = "deflate", feature = "handshake"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{
    Time,
    deflate::DeflateOptions,
    opening::{
        Accept, ClientOpening, ClientOptions, HandshakeFailure, ServerOpening, ServerOptions,
    },
};

/// Takeover of this side and of the peer, the window's bits of this side and of the peer.
type Shape = (bool, bool, u8, u8);

fn options((context_takeover, peer_context_takeover, window_bits, peer): Shape) -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.context_takeover = context_takeover;
    options.peer_context_takeover = peer_context_takeover;
    options.window_bits = window_bits;
    options.peer_window_bits = peer;
    options
}

fn shape(options: &DeflateOptions) -> Shape {
    (
        options.context_takeover,
        options.peer_context_takeover,
        options.window_bits,
        options.peer_window_bits,
    )
}

fn extensions(head: &str) -> Option<String> {
    let name = "Sec-WebSocket-Extensions: ";
    head.lines().find_map(|line| line.strip_prefix(name)).map(String::from)
}

/// What a server answers to these header lines, and what it agreed to.
fn serve(
    wanted: Option<DeflateOptions>,
    offers: &[&str],
    accept: Accept,
) -> Option<(String, Shape)> {
    let mut request = String::from(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
    );
    for offer in offers {
        request += &format!("Sec-WebSocket-Extensions: {offer}\r\n");
    }
    request += "\r\n";
    let mut server_options = ServerOptions::default();
    server_options.deflate = wanted;
    let mut opening = ServerOpening::new(Arc::new(server_options), Time::ZERO);
    assert!(opening.receive(request.as_bytes()).complete);
    let answer = opening.respond(|_| Ok(accept), Time::ZERO);
    let connection = answer.result.unwrap().connection;
    let said = extensions(&answer.response);
    let agreed = connection.deflate().map(shape);
    assert_eq!(said.is_some(), agreed.is_some(), "{offers:?}");
    Some((said?, agreed?))
}

const ALL: Shape = (true, true, 15, 15);
const NO_TAKEOVER: Shape = (false, false, 15, 15);

#[test]
fn a_server_answers_what_it_is_offered() {
    let plain = "permessage-deflate";
    let cases: &[(Shape, &str, &str, Shape)] = &[
        // Firefox and Safari.
        (ALL, plain, plain, ALL),
        // Chromium.
        (ALL, "permessage-deflate; client_max_window_bits", plain, ALL),
        (
            NO_TAKEOVER,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            NO_TAKEOVER,
        ),
        (
            NO_TAKEOVER,
            plain,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            NO_TAKEOVER,
        ),
        // The four parameters.
        (
            ALL,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
            (false, true, 15, 15),
        ),
        (
            ALL,
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
            (true, false, 15, 15),
        ),
        (
            ALL,
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
            (true, true, 10, 15),
        ),
        (
            ALL,
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15",
            ALL,
        ),
        (
            ALL,
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=10",
            (true, true, 15, 10),
        ),
        (ALL, "permessage-deflate; client_max_window_bits=15", plain, ALL),
        (
            ALL,
            "permessage-deflate; client_max_window_bits=8; server_max_window_bits=9",
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",
            (true, true, 9, 8),
        ),
        // Ours is the smaller.
        (
            (true, true, 11, 12),
            "permessage-deflate; client_max_window_bits; server_max_window_bits=13",
            "permessage-deflate; server_max_window_bits=11; client_max_window_bits=12",
            (true, true, 11, 12),
        ),
        // Never client_max_window_bits to an offer without it.
        (
            (true, true, 11, 12),
            plain,
            "permessage-deflate; server_max_window_bits=11",
            (true, true, 11, 15),
        ),
        // Options out of range are as near as can be.
        (
            (true, true, 3, 99),
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=9",
            (true, true, 9, 15),
        ),
        // In their order; what cannot be accepted is passed over.
        (
            ALL,
            "foo, permessage-deflate; server_max_window_bits=8, permessage-deflate; bar, \
             permessage-deflate; server_no_context_takeover, permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
            (false, true, 15, 15),
        ),
        (
            ALL,
            "permessage-deflate; server_max_window_bits=\"12\"",
            "permessage-deflate; \
          server_max_window_bits=12",
            (true, true, 12, 15),
        ),
    ];
    for (wanted, offer, response, agreed) in cases {
        let answered = serve(Some(options(*wanted)), &[offer], Accept::default());
        assert_eq!(answered, Some(((*response).to_owned(), *agreed)), "{wanted:?} {offer}");
    }
    let lines = ["foo; bar=1", "permessage-deflate; server_max_window_bits=8", plain];
    let answered = serve(Some(options(ALL)), &lines, Accept::default());
    assert_eq!(answered, Some((plain.to_owned(), ALL)), "over several lines");
}

#[test]
fn a_server_declines_what_it_must() {
    for params in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=11",
        "client_max_window_bits=10; client_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=0",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=1a",
        "server_max_window_bits=-9",
        "server_max_window_bits=266",
        "client_max_window_bits=0",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=x",
        "Server_No_Context_Takeover",
        // Our compressor cannot.
        "server_max_window_bits=8",
        "client_max_window_bits; server_max_window_bits=8",
    ] {
        let offer = format!("permessage-deflate; {params}");
        assert_eq!(serve(Some(options(ALL)), &[&offer], Accept::default()), None, "{offer}");
        // A fallback behind it is taken.
        let offers = format!("{offer}, permessage-deflate");
        let answered = serve(Some(options(ALL)), &[&offers], Accept::default());
        assert_eq!(answered.unwrap().0, "permessage-deflate", "{offers}");
    }
    for offers in [&["permessage-bzip2, x-webkit-deflate-frame"][..], &["Permessage-Deflate"], &[]]
    {
        assert_eq!(serve(Some(options(ALL)), offers, Accept::default()), None);
    }
}

#[test]
fn it_is_off_where_the_server_or_the_application_has_it_off() {
    assert!(ServerOptions::default().deflate.is_none());
    assert!(ClientOptions::default().deflate.is_none());
    let offer = &["permessage-deflate"];
    assert_eq!(serve(None, offer, Accept::default()), None);
    let mut accept = Accept::default();
    assert!(accept.deflate);
    accept.deflate = false;
    assert_eq!(serve(Some(options(ALL)), offer, accept), None);
}

/// What a client offers, and what it makes of the response.
fn connect(
    wanted: Option<DeflateOptions>,
    responses: &[&str],
) -> (Option<String>, Result<Option<Shape>, HandshakeFailure>) {
    let mut client = ClientOptions::default();
    client.deflate = wanted;
    let nonce = *b"the sample nonce";
    let mut opening =
        ClientOpening::new(client, "a".into(), "/".into(), nonce, Time::ZERO).unwrap();
    let offer = extensions(opening.request());
    let mut response = String::from(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    );
    for extensions in responses {
        response += &format!("Sec-WebSocket-Extensions: {extensions}\r\n");
    }
    response += "\r\n";
    assert!(opening.receive(response.as_bytes()).complete);
    let opened = opening.finish(|| [0; 4], Time::ZERO);
    (offer, opened.map(|opened| opened.connection.deflate().map(shape)))
}

#[test]
fn a_client_offers_what_it_wants() {
    for (wanted, offer) in [
        (ALL, "permessage-deflate; client_max_window_bits"),
        (
            NO_TAKEOVER,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits",
        ),
        (
            (true, true, 10, 12),
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10",
        ),
        (
            (true, true, 8, 8),
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
        ),
    ] {
        assert_eq!(connect(Some(options(wanted)), &[]).0.as_deref(), Some(offer));
    }
    assert_eq!(connect(None, &[]).0, None);
}

#[test]
fn a_client_takes_what_answers_its_offer() {
    let cases: &[(Shape, &str, Shape)] = &[
        (ALL, "permessage-deflate", ALL),
        (ALL, "permessage-deflate; server_no_context_takeover", (true, false, 15, 15)),
        (ALL, "permessage-deflate; client_no_context_takeover", (false, true, 15, 15)),
        (ALL, "permessage-deflate; server_max_window_bits=8", (true, true, 15, 8)),
        (ALL, "permessage-deflate; client_max_window_bits=9", (true, true, 9, 15)),
        // With a window of 8 bits nothing is compressed.
        (ALL, "permessage-deflate; client_max_window_bits=8", (true, true, 8, 15)),
        (
            (true, true, 10, 15),
            "permessage-deflate; client_max_window_bits=12",
            (true, true, 10, 15),
        ),
        ((true, true, 10, 15), "permessage-deflate", (true, true, 10, 15)),
        (
            (true, true, 15, 12),
            "permessage-deflate; server_max_window_bits=11",
            (true, true, 15, 11),
        ),
        (NO_TAKEOVER, "permessage-deflate; server_no_context_takeover", NO_TAKEOVER),
    ];
    for (wanted, response, agreed) in cases {
        let (_, result) = connect(Some(options(*wanted)), &[response]);
        assert_eq!(result, Ok(Some(*agreed)), "{wanted:?} {response}");
    }
    assert_eq!(connect(Some(options(ALL)), &[]).1, Ok(None), "declined");
}

#[test]
fn a_client_fails_on_what_a_server_must_not_answer() {
    let bad: &[(Shape, &str)] = &[
        (ALL, "unknown"),
        (ALL, "server_no_context_takeover=1"),
        (ALL, "client_no_context_takeover=0"),
        (ALL, "server_no_context_takeover; server_no_context_takeover"),
        (ALL, "client_max_window_bits"),
        (ALL, "client_max_window_bits=16"),
        (ALL, "client_max_window_bits=7"),
        (ALL, "client_max_window_bits=09"),
        (ALL, "client_max_window_bits=0"),
        (ALL, "client_max_window_bits=266"),
        (ALL, "client_no_context_takeover; client_no_context_takeover"),
        (ALL, "client_max_window_bits=10; client_max_window_bits=10"),
        (ALL, "server_max_window_bits=10; server_max_window_bits=10"),
        (ALL, "server_max_window_bits=10; server_max_window_bits=11"),
        (ALL, "server_max_window_bits=0"),
        (ALL, "server_max_window_bits=266"),
        (ALL, "server_max_window_bits"),
        (ALL, "server_max_window_bits=16"),
        (ALL, "server_max_window_bits=7"),
        // Not what was asked for.
        (NO_TAKEOVER, "client_no_context_takeover"),
        ((true, true, 15, 10), "client_no_context_takeover"),
        ((true, true, 15, 10), "server_max_window_bits=11"),
    ];
    for (wanted, params) in bad {
        let response = format!("permessage-deflate; {params}");
        let (_, result) = connect(Some(options(*wanted)), &[&response]);
        assert_eq!(result, Err(HandshakeFailure::Deflate), "{wanted:?} {response}");
        assert!(HandshakeFailure::Deflate.to_string().contains("permessage-deflate"));
    }
    let twice = ["permessage-deflate, permessage-deflate"];
    assert_eq!(connect(Some(options(ALL)), &twice).1, Err(HandshakeFailure::Deflate));
    let lines = ["permessage-deflate", "permessage-deflate"];
    assert_eq!(connect(Some(options(ALL)), &lines).1, Err(HandshakeFailure::Deflate));
    // One that was not offered.
    assert!(connect(Some(options(ALL)), &["permessage-bzip2"]).1.is_err());
    assert!(connect(None, &["permessage-deflate"]).1.is_err());
}

#[test]
fn our_client_and_our_server_agree() {
    let shapes = |bits: [u8; 4]| {
        let flags = [false, true];
        flags.into_iter().flat_map(move |ours| {
            flags.into_iter().flat_map(move |theirs| {
                bits.into_iter().flat_map(move |window| {
                    bits.into_iter().map(move |peer| options((ours, theirs, window, peer)))
                })
            })
        })
    };
    for client in shapes([8, 9, 12, 15]) {
        for server in shapes([8, 9, 12, 15]) {
            let offer = connect(Some(client), &[]).0.unwrap();
            let Some((response, served)) = serve(Some(server), &[&offer], Accept::default()) else {
                assert_eq!(client.peer_window_bits, 8, "{client:?} {server:?}");
                continue;
            };
            let taken = connect(Some(client), &[&response]).1.unwrap().unwrap();
            // Each side's own is the other's peer, or less.
            assert!(served.0 == taken.1 && taken.0 <= served.1, "{offer} | {response}");
            assert!(taken.2 <= served.3 && served.2 == taken.3, "{offer} | {response}");
            assert!(!taken.0 || client.context_takeover && server.peer_context_takeover);
        }
    }
}
