//! Whatever is compressed at one end of a pair comes out at the other.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::select};
use wsconn::{
    Config, Delivery, OwnedMessage, PreparedMessage, Role,
    deflate::{Compress, DeflateOptions},
};
use wstest::{
    drive::{Driver, Trace, connection, pieces},
    pair::Pair,
    reference::{Event, decode},
};

fn options() -> impl Strategy<Value = DeflateOptions> {
    let sizes = select(vec![0, 1, 128, 5000]);
    (any::<[bool; 2]>(), 8_u8..=15, 1_u8..=9, 1_u8..=9, sizes).prop_map(
        |(takeover, window_bits, level, mem_level, min_size)| {
            let mut options = DeflateOptions::default();
            options.context_takeover = takeover[0];
            options.peer_context_takeover = takeover[1];
            options.window_bits = window_bits;
            options.level = level;
            options.mem_level = mem_level;
            options.min_size = min_size;
            options
        },
    )
}

/// The other end's view.
fn mirrored(options: DeflateOptions) -> DeflateOptions {
    let mut mirrored = options;
    mirrored.context_takeover = options.peer_context_takeover;
    mirrored.peer_context_takeover = options.context_takeover;
    mirrored
}

/// Some that compress well, some that do not, some in between; of sizes that matter.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        4 => 0_usize..300,
        2 => 300_usize..5000,
        1 => select(vec![65_530, 65_535, 65_536, 65_540, 100_000, 200_000]),
    ];
    (size, 1_u32..=255, any::<u32>(), 1_usize..40).prop_map(|(len, spread, seed, run)| {
        let mut state = seed | 1;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = b'a'.wrapping_add(((state >> 16) % spread) as u8);
            let count = (state >> 8) as usize % run + 1;
            bytes.extend(std::iter::repeat_n(byte, count.min(len - bytes.len())));
        }
        bytes
    })
}

#[derive(Clone, Debug)]
struct Sent {
    payload: Vec<u8>,
    text: bool,
    compress: Compress,
    /// Where the parts end; none is a message by `send_as`.
    cuts: Vec<prop::sample::Index>,
    ping: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let compress = select(vec![Compress::Auto, Compress::Yes, Compress::No]);
    let cuts = vec(any::<prop::sample::Index>(), 0..4);
    (payload(), any::<bool>(), compress, cuts, any::<bool>()).prop_map(
        |(payload, text, compress, cuts, ping)| Sent { payload, text, compress, cuts, ping },
    )
}

/// How one end of a pair sends a message.
#[derive(Clone, Debug)]
enum How {
    Whole(Compress),
    /// In parts that end here.
    Parts(Compress, Vec<prop::sample::Index>),
    Prepared,
}

#[derive(Clone, Debug)]
struct Exchange {
    from: Role,
    payload: Vec<u8>,
    how: How,
    /// Whether it arrives before anything else is sent.
    arrives: bool,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let compress = || select(vec![Compress::Auto, Compress::Yes, Compress::No]);
    let how = prop_oneof![
        2 => compress().prop_map(How::Whole),
        1 => (compress(), vec(any::<prop::sample::Index>(), 1..4))
            .prop_map(|(compress, ends)| How::Parts(compress, ends)),
        1 => Just(How::Prepared),
    ];
    (select(vec![Role::Client, Role::Server]), payload(), how, any::<bool>())
        .prop_map(|(from, payload, how, arrives)| Exchange { from, payload, how, arrives })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_compressed_is_inflated(
        options in options(),
        role in select(vec![Role::Client, Role::Server]),
        messages in vec(sent(), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
        driver in select(Driver::ALL.to_vec()),
    ) {
        let mut config = Config::default();
        config.max_outgoing = usize::MAX;
        let config = Arc::new(config);
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let mut sender = connection(role, &config);
        sender.enable_deflate(options);
        let mut receiver = connection(other, &config);
        receiver.enable_deflate(mirrored(options));

        let mut expected = Vec::new();
        for Sent { payload, text, compress, cuts, ping } in &messages {
            let as_text = String::from_utf8_lossy(payload).into_owned();
            let whole = if *text {
                OwnedMessage::Text(as_text)
            } else {
                OwnedMessage::Binary(payload.clone())
            };
            let bytes = match &whole {
                OwnedMessage::Text(text) => text.as_bytes(),
                OwnedMessage::Binary(bytes) => bytes,
            };
            if cuts.is_empty() {
                sender.send_as(&whole, *compress).unwrap();
            } else if !*text {
                let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
                cuts.sort_unstable();
                let parts = pieces(bytes, &cuts);
                for (at, part) in parts.iter().enumerate() {
                    sender.send_fragment_as(*part, at + 1 == parts.len(), *compress).unwrap();
                    if *ping && at + 1 < parts.len() {
                        sender.ping(b"?").unwrap();
                        expected.push(Event::Ping(b"?".to_vec()));
                    }
                }
            } else {
                sender.send_fragment_as(&whole, true, *compress).unwrap();
            }
            expected.push(Event::Message(whole));
        }
        for frame in decode(sender.outgoing()) {
            prop_assert!(frame.rsv == 0 || options.window_bits > 8 && frame.opcode != 0);
        }

        let wire = sender.outgoing();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        let mut trace = Trace::default();
        driver.resume(&mut receiver, &pieces(wire, &cuts), false, &mut trace);
        prop_assert_eq!(&trace.close, &None);
        prop_assert!(trace.events == expected, "{:?}", driver);
        prop_assert!(trace.unfinished.is_none());
    }

    #[test]
    fn both_ends_of_a_pair_receive_what_the_other_sent_however_it_did(
        client in options(),
        server in options(),
        takeover in any::<[bool; 2]>(),
        exchanges in vec(exchange(), 1..10),
        cut in prop_oneof![Just(1), 1_usize..100, Just(usize::MAX)],
    ) {
        let mut config = Config::default();
        config.max_outgoing = usize::MAX;
        let mut pair = Pair::new(config.clone(), config);
        pair.cut = cut;
        // What has to be agreed is; all else is each side's own.
        for (role, own) in [(Role::Client, client), (Role::Server, server)] {
            let mut options = own;
            let [ours, theirs] = if role == Role::Client { [0, 1] } else { [1, 0] };
            options.context_takeover = takeover[ours];
            options.peer_context_takeover = takeover[theirs];
            pair.end(role).connection.enable_deflate(options);
        }
        let mut expected = [Vec::new(), Vec::new()];
        for Exchange { from, payload, how, arrives } in &exchanges {
            let connection = &mut pair.end(*from).connection;
            match how {
                How::Whole(compress) => connection.send_as(payload, *compress).unwrap(),
                How::Parts(compress, ends) => {
                    let mut ends: Vec<_> =
                        ends.iter().map(|end| end.index(payload.len() + 1)).collect();
                    ends.sort_unstable();
                    let parts = pieces(payload, &ends);
                    for (at, part) in parts.iter().enumerate() {
                        let fin = at + 1 == parts.len();
                        connection.send_fragment_as(*part, fin, *compress).unwrap();
                    }
                }
                How::Prepared => {
                    connection.send_prepared(&PreparedMessage::new(payload)).unwrap();
                }
            }
            let at = usize::from(*from == Role::Client);
            expected[at].push(Event::Message(OwnedMessage::Binary(payload.clone())));
            if *arrives {
                pair.run();
            }
        }
        pair.run();
        let [to_client, to_server] = expected;
        prop_assert!(pair.client.events == to_client);
        prop_assert!(pair.server.events == to_server);
        prop_assert!(pair.client.connection.is_open() && pair.server.connection.is_open());
    }

    /// Whatever comes, it is taken or refused, the same way however it is cut; nothing panics and
    /// nothing is more than the limit.
    #[test]
    fn any_bytes_are_inflated_or_refused(
        payloads in vec(vec(any::<u8>(), 0..200), 1..4),
        takeover in any::<bool>(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut config = Config::default();
        config.max_message_size = 5000;
        let config = Arc::new(config);
        let mut options = DeflateOptions::default();
        options.peer_context_takeover = takeover;
        let wire: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| wstest::reference::encode_frame(true, 4, 2, None, payload))
            .collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        let run = |driver: Driver, cuts: &[usize]| {
            let mut client = connection(Role::Client, &config);
            client.enable_deflate(options);
            let trace = driver.run(&mut client, &pieces(&wire, cuts), false);
            (trace.events, trace.close)
        };
        let whole = run(Driver::PLAIN, &[]);
        for driver in Driver::ALL {
            prop_assert_eq!(&whole, &run(driver, &cuts));
        }
        for event in &whole.0 {
            if let Event::Message(OwnedMessage::Binary(bytes)) = event {
                prop_assert!(bytes.len() <= 5000);
            }
        }
    }
}

#[test]
fn a_message_may_be_begun_whole_and_ended_in_chunks() {
    let config = Arc::new(Config::default());
    let mut sender = connection(Role::Server, &config);
    sender.enable_deflate(DeflateOptions::default());
    let message = b"abc".repeat(100_000);
    sender.send_as(&message, Compress::Yes).unwrap();
    let mut receiver = connection(Role::Client, &config);
    receiver.enable_deflate(DeflateOptions::default());
    let (first, rest) = sender.outgoing().split_at(sender.outgoing().len() / 2);
    let mut trace = Trace::default();
    Driver::PLAIN.resume(&mut receiver, &[first], false, &mut trace);
    let chunks = Driver { delivery: Delivery::Chunks, ..Driver::PLAIN };
    chunks.resume(&mut receiver, &[rest], false, &mut trace);
    assert_eq!(trace.messages(), [OwnedMessage::Binary(message)]);
}
