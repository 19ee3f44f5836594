//! What the interop clients send over either transport.

use wsconn::{OwnedMessage, deflate::DeflateOptions};

/// Takeover as the first argument says, windows as the second.
pub(crate) fn options(takeover: &str, bits: &str) -> Result<DeflateOptions, String> {
    let mut deflate = DeflateOptions::default();
    let takeover = takeover.parse().map_err(|_| format!("{takeover:?} is not true or false"))?;
    deflate.context_takeover = takeover;
    deflate.peer_context_takeover = takeover;
    deflate.window_bits = bits.parse().map_err(|_| format!("{bits:?} is not a number of bits"))?;
    deflate.peer_window_bits = deflate.window_bits;
    deflate.min_size = 0;
    Ok(deflate)
}

/// A message in parts.
pub(crate) fn parts() -> [String; 4] {
    [json(5000), String::new(), "z".repeat(300), String::new()]
}

/// Messages of every size.
pub(crate) fn messages() -> Vec<OwnedMessage> {
    let text = |text: &str| OwnedMessage::Text(text.to_owned());
    let (mib, binary) = (1 << 20, OwnedMessage::Binary);
    vec![
        text(""),
        binary(Vec::new()),
        text("x"),
        binary(vec![0xff]),
        text(&("é".repeat(62) + "x")),
        binary(noise(125)),
        text(&json(65_536)),
        binary(noise(65_536)),
        binary(noise(mib)),
        text(&json(mib)),
    ]
}

/// What does not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// What compresses well.
fn json(len: usize) -> String {
    let mut text = String::from("[");
    for id in 0.. {
        if text.len() >= len {
            break;
        }
        let (name, price, ok) = (id % 97, id * 37 % 1000, id % 3 == 0);
        text += &format!(r#"{{"id":{id},"name":"user {name}","price":{price},"ok":{ok}}},"#);
    }
    text.truncate(len);
    text
}
