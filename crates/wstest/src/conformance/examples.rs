//! The examples of RFC 6455 §5.7, byte for byte.

use wsconn::{Config, Role};

use super::{Expect, List, binary, text};

/// An example of §5.7: what is sent, and its bytes.
#[derive(Clone, Debug)]
pub struct Example {
    /// What the standard calls it.
    pub name: &'static str,
    /// What is sent.
    pub send: Send,
    /// The bytes that a server sends.
    pub from_server: Vec<u8>,
    /// The bytes that a client sends with the masking key `37 fa 21 3d`, where they are easily told.
    pub from_client: Option<Vec<u8>>,
}

/// What is sent in an [`Example`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Send {
    /// A text message in one frame.
    Text(&'static str),
    /// A text message in fragments.
    Fragments(&'static [&'static str]),
    /// A ping.
    Ping(&'static [u8]),
    /// A binary message in one frame.
    Binary(Vec<u8>),
}

/// The examples.
pub fn examples() -> Vec<Example> {
    let with_payload = |header: &[u8], len| [header, &vec![0xab; len][..]].concat();
    vec![
        Example {
            name: "A single-frame text message",
            send: Send::Text("Hello"),
            from_server: b"\x81\x05\x48\x65\x6c\x6c\x6f".to_vec(),
            from_client: Some(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec()),
        },
        Example {
            name: "A fragmented text message",
            send: Send::Fragments(&["Hel", "lo"]),
            from_server: b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f".to_vec(),
            from_client: Some(
                b"\x01\x83\x37\xfa\x21\x3d\x7f\x9f\x4d\x80\x82\x37\xfa\x21\x3d\x5b\x95".to_vec(),
            ),
        },
        Example {
            name: "Ping request",
            send: Send::Ping(b"Hello"),
            from_server: b"\x89\x05\x48\x65\x6c\x6c\x6f".to_vec(),
            from_client: Some(b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec()),
        },
        Example {
            name: "256 bytes binary message in a single frame",
            send: Send::Binary(vec![0xab; 256]),
            from_server: with_payload(b"\x82\x7e\x01\x00", 256),
            from_client: None,
        },
        Example {
            name: "64KiB binary message in a single frame",
            send: Send::Binary(vec![0xab; 65536]),
            from_server: with_payload(b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536),
            from_client: None,
        },
    ]
}

pub(super) fn add(list: &mut List) {
    for example in examples() {
        let expect = match &example.send {
            Send::Text(message) => Expect::eof().with(&[text(message)]),
            Send::Fragments(parts) => Expect::eof().with(&[text(&parts.concat())]),
            Send::Ping(payload) => Expect::eof().with_pongs(&[payload]),
            Send::Binary(bytes) => Expect::eof().with(&[binary(bytes)]),
        };
        let name = format!("{} (RFC 6455 §5.7) is received", example.name);
        let config = Config::default();
        list.raw(&name, Role::Client, config.clone(), example.from_server, expect.clone());
        if let Some(input) = example.from_client {
            list.raw(&name, Role::Server, config, input, expect);
        }
    }
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let name = "The masked pong of RFC 6455 §5.7 is ignored";
    list.raw(name, Role::Server, Config::default(), pong, Expect::eof());
}
