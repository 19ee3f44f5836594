//! Requests that a server must refuse, over the bare opening handshake, however they are cut (HAZARDS D, E,
//! F, J).
#![cfg(feature = "handshake")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::sync::Arc;

use wsconn::{
    Time,
    opening::{
        Accept, Answer, ClientOpened, ClientOpening, ClientOptions, HandshakeError,
        HandshakeFailure, OriginPolicy, Refusal, ServerOpening, ServerOptions,
    },
};
use wstest::{
    advisory_requests,
    drive::pieces,
    handshake::{bad_requests, request, upgrade},
};

/// What a server answers to these pieces.
fn respond(options: &Arc<ServerOptions>, pieces: &[&[u8]]) -> Answer {
    let mut opening = ServerOpening::new(options.clone(), Time::ZERO);
    let complete = pieces.iter().any(|piece| opening.receive(piece).complete);
    assert!(complete, "it waits for more");
    opening.respond(|_| Ok(Accept::default()), Time::ZERO)
}

/// What a server with the default options answers.
fn answer_to(bytes: &[u8]) -> String {
    let answer = respond(&Arc::default(), &[bytes]);
    assert!(answer.result.is_err(), "none is opened");
    answer.response
}

/// Whether a server with these options accepts this request.
fn lets_in(options: ServerOptions, request: &str) -> bool {
    respond(&options.into(), &[request.as_bytes()]).result.is_ok()
}

advisory_requests!(answer_to, lets_in);

#[test]
fn a_bad_request_is_refused_alike_wherever_it_is_cut() {
    let options = Arc::new(ServerOptions::default());
    for bad in bad_requests() {
        let bytes = &bad.bytes;
        let whole = respond(&options, &[bytes]).response;
        bad.assert_refused(&whole);
        let check = |pieces: &[&[u8]], what: &str| {
            assert_eq!(respond(&options, pieces).response, whole, "{}, cut {what}", bad.case);
        };
        check(&bytes.chunks(1).collect::<Vec<_>>(), "everywhere");
        // A long one at its start, and where a head becomes too long.
        let limit = options.max_head;
        let cuts: Vec<usize> = match bytes.len() {
            len @ ..=4096 => (0..=len).collect(),
            _ => (0..200).chain(limit - 3..=limit + 3).collect(),
        };
        for cut in cuts {
            check(&pieces(bytes, &[cut]), &format!("at {cut}"));
        }
    }
}

#[test]
fn what_an_application_adds_to_its_answer_ends_no_line() {
    for end in ["\r\n", "\n", "\r", "\0"] {
        let text = format!("a{end}Injected: b");
        let mut accept = Accept::default();
        accept.headers = vec![("X-Added".into(), text.clone())];
        let mut refusal = Refusal::new(404, "nothing here\n");
        refusal.headers = vec![(text.clone(), "value".into())];
        let mut chosen = Accept::default();
        chosen.subprotocol = Some(text);
        for decision in [Ok(accept), Err(refusal), Ok(chosen)] {
            let mut opening = ServerOpening::new(Arc::default(), Time::ZERO);
            let request = request(&["Sec-WebSocket-Protocol: chat"]);
            assert!(opening.receive(request.as_bytes()).complete);
            let answer = opening.respond(|_| decision, Time::ZERO);
            assert!(matches!(answer.result, Err(HandshakeFailure::Input(_))), "{end:?}");
            assert!(answer.response.starts_with("HTTP/1.1 500 "), "{}", answer.response);
            assert!(!answer.response.contains("Injected"), "{}", answer.response);
        }
    }
}

/// What a server at `good.com` that names these origins answers to a page of `https://good.com`, and to a
/// program.
fn naming(origins: &[&str]) -> [Answer; 2] {
    let mut options = ServerOptions::default();
    options.origin = OriginPolicy::List(origins.iter().map(|&origin| origin.into()).collect());
    let options = Arc::new(options);
    [&["Host: good.com", "Origin: https://good.com"][..], &["Host: good.com"]]
        .map(|lines| respond(&options, &[request(lines).as_bytes()]))
}

#[test]
fn an_origin_in_a_list_may_end_in_a_slash() {
    assert!(naming(&["https://good.com/"])[0].result.is_ok());
    assert!(naming(&["https://other.org/"])[0].result.is_err());
}

#[test]
fn an_entry_that_is_no_origin_is_named_and_lets_no_page_in() {
    for entry in ["good.com", "https://good.com//", "https://good.com/chat", "*", "null", "", "/"] {
        let [page, program] = naming(&["https://good.com", entry]);
        let failure = page.result.err().unwrap();
        assert_eq!(failure, HandshakeFailure::OriginEntry(entry.into()));
        let told = failure.to_string();
        assert!(told.contains(&format!("{entry:?} in ServerOptions::origin")), "{told}");
        assert!(page.response.starts_with("HTTP/1.1 500 "), "{}", page.response);
        assert!(!page.response.contains("origin"), "{}", page.response);
        assert!(program.result.is_ok(), "{entry:?}");
    }
}

#[test]
fn a_page_that_may_not_connect_is_named_to_the_server_alone() {
    let evil = request(&["Host: good.com:81", "Origin: <b>\""]);
    let answer = respond(&Arc::default(), &[evil.as_bytes()]);
    let told = answer.result.err().unwrap().to_string();
    let named = r#"a page of "<b>\"" may not connect to "good.com:81" (ServerOptions::origin)"#;
    assert_eq!(told, named);
    assert!(answer.response.starts_with("HTTP/1.1 403 "), "{}", answer.response);
    assert!(answer.response.ends_with("\r\n\r\npages of this origin may not connect here\n"));
}

/// What a client makes of these responses, in pieces of `size`, which end it `behind` bytes before the end.
fn connect(
    responses: &[u8],
    size: usize,
    max_head: usize,
    behind: usize,
) -> Result<ClientOpened, HandshakeFailure> {
    let mut options = ClientOptions::default();
    options.max_head = max_head;
    let nonce = *b"the sample nonce";
    let mut opening =
        ClientOpening::new(options, "a".into(), "/".into(), nonce, Time::ZERO).unwrap();
    let mut used = 0;
    for piece in responses.chunks(size) {
        let progress = opening.receive(piece);
        used += progress.consumed;
        if progress.complete {
            let opened = opening.finish(|| [0; 4], Time::ZERO);
            assert!(opened.is_err() || used + behind == responses.len(), "{used} in {size}s");
            return opened;
        }
    }
    panic!("it waits for more");
}

#[test]
fn a_client_passes_over_interim_responses_and_all_heads_together_have_the_limit() {
    let request = request(&[]);
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    assert_eq!(key, Some("dGhlIHNhbXBsZSBub25jZQ=="));
    let switch = upgrade(request.as_bytes());
    for interim in [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 199 \r\n\r\n",
    ] {
        let responses = [interim, &switch, b"\x81\x01x"].concat();
        let limit = interim.len() + switch.len();
        for size in (1..40).chain([usize::MAX]) {
            assert!(connect(&responses, size, limit, 3).is_ok(), "{interim:?}, {size}");
            let failure = connect(&responses, size, limit - 1, 3).err().unwrap();
            let limit = limit - 1;
            assert_eq!(failure, HandshakeError::HeadTooLong { limit }.into());
        }
    }
    // They do not go on for ever, and what is malformed is none.
    let endless = b"HTTP/1.1 100 \r\n\r\n".repeat(1000);
    let limit = 1002;
    for size in [1, 17, usize::MAX] {
        let failure = connect(&endless, size, limit, 0).err().unwrap();
        assert_eq!(failure, HandshakeError::HeadTooLong { limit }.into());
        let bad = [&b"HTTP/1.1 100 x\r\nX : y\r\n\r\n"[..], &switch].concat();
        let failure = connect(&bad, size, limit, 0).err().unwrap();
        assert_eq!(failure, HandshakeError::BadHead.into());
    }
}
