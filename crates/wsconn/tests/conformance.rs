//! The conformance vectors over the bare connection, and the examples of RFC 6455 §5.7 as they are
//! sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{CloseCause, Config, Connection, Delivery, Misuse, Role};
use wstest::{
    advisory_classes,
    alloc::CountingAllocator,
    conformance::{Cuts, Send, Subject, check, examples, vectors},
    drive::{Driver, connection, pieces},
    reference::{self, End},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn every_vector_holds_whatever_the_cut() {
    check(&Driver::PLAIN, Cuts::All);
}

#[test]
fn every_vector_holds_whatever_the_way_of_driving() {
    for driver in Driver::ALL {
        check(&driver, Cuts::Few);
    }
}

/// Each cut of what is short. Of what is long those at its start, and 50 at random: in two, and in many.
fn ways_to_cut(len: usize, random: &mut impl FnMut(usize) -> usize) -> Vec<Vec<usize>> {
    if len <= 4096 {
        return (0..=len).map(|cut| vec![cut]).collect();
    }
    let mut ways: Vec<_> = (0..=20).map(|cut| vec![cut]).collect();
    for way in 0..50 {
        let count = if way % 2 == 0 { 1 } else { 2 + random(30) };
        let mut cuts: Vec<_> = (0..count).map(|_| random(len + 1)).collect();
        cuts.sort_unstable();
        ways.push(cuts);
    }
    ways
}

#[test]
fn split_invariance_of_every_vector() {
    let mut state = 1_u64;
    let mut random = |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for vector in vectors() {
        let config = Arc::new(vector.config);
        let whole = Driver::PLAIN.run_new(vector.role, &config, &[&vector.input], true);
        for cuts in ways_to_cut(vector.input.len(), &mut random) {
            let pieces = pieces(&vector.input, &cuts);
            let trace = Driver::PLAIN.run_new(vector.role, &config, &pieces, true);
            assert!(trace == whole, "{} cut at {cuts:?}", vector.name);
        }
        for driver in Driver::ALL {
            let bytes: Vec<&[u8]> = vector.input.chunks(1).collect();
            let mut trace = driver.run_new(vector.role, &config, &bytes, true);
            if driver.delivery == Delivery::Chunks {
                trace.unfinished = None;
            }
            assert_eq!(trace, whole, "{} byte by byte with {driver:?}", vector.name);
        }
    }
}

#[test]
fn every_vector_expects_what_the_reference_model_does() {
    for vector in vectors() {
        let model = reference::receive(vector.role, &(&vector.config).into(), &vector.input);
        let expect = &vector.expect;
        assert_eq!(model.messages(), expect.messages, "{}", vector.name);
        assert_eq!(model.pongs(), expect.pongs, "{}", vector.name);
        let code = match model.end {
            End::Open => 1006,
            End::Closed { code, .. } => code.unwrap_or(1005),
            End::Failed(code) => code,
        };
        assert_eq!(code, expect.code, "{}", vector.name);
    }
}

#[test]
fn the_examples_of_the_standard_are_sent_byte_for_byte() {
    let send = |connection: &mut Connection, what: &Send| -> Result<(), Misuse> {
        match what {
            Send::Text(text) => connection.send(*text),
            Send::Binary(bytes) => connection.send(bytes),
            Send::Ping(payload) => connection.ping(payload),
            Send::Fragments(parts) => {
                let (last, first) = parts.split_last().unwrap();
                for part in first {
                    connection.send_fragment(*part, false)?;
                }
                connection.send_fragment(*last, true)
            }
        }
    };
    let config = Arc::new(Config::default());
    for example in examples() {
        let mut server = connection(Role::Server, &config);
        send(&mut server, &example.send).unwrap();
        assert!(server.outgoing() == example.from_server, "{}", example.name);
        let mut client = connection(Role::Client, &config);
        send(&mut client, &example.send).unwrap();
        if let Some(bytes) = example.from_client {
            assert_eq!(client.outgoing(), bytes, "{}", example.name);
        }
    }
}

#[test]
fn the_masked_pong_of_the_standard_is_what_a_client_answers() {
    let mut client = connection(Role::Client, &Config::default().into());
    let trace = Driver::PLAIN.run(&mut client, &[b"\x89\x05Hello"], false);
    assert_eq!(trace.written, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

#[test]
fn the_stream_may_end_at_any_byte_of_any_vector_and_there_is_one_verdict() {
    for vector in vectors() {
        let limits = (&vector.config).into();
        let config = Arc::new(vector.config);
        for len in 0..=vector.input.len().min(600) {
            let input = &vector.input[..len];
            let model = reference::receive(vector.role, &limits, input);
            let what = || format!("{} up to byte {len}", vector.name);
            // Fail fast: what the model can tell from so many bytes is told by then.
            let open = Driver::PLAIN.run_new(vector.role, &config, &[input], false);
            open.assert_is(&model, vector.role, what);
            let ended = Driver::PLAIN.run_new(vector.role, &config, &[input], true);
            assert_eq!((&ended.events, &ended.written), (&open.events, &open.written));
            let info = ended.close.unwrap();
            match open.close {
                Some(before) => assert_eq!(info, before, "{}", what()),
                None => assert_eq!((info.cause, info.code.get()), (CloseCause::Eof, 1006)),
            }
        }
    }
}

fn over_a_bare_connection(check: impl Fn(&dyn Subject)) {
    check(&Driver::PLAIN);
}

advisory_classes!(over_a_bare_connection);
