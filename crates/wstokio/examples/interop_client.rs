//! The client that `cargo xtask interop` runs against echo servers of other makes: sends messages of
//! every size, compressed as the arguments say, and wants each back.
//!
//! `cargo run -p wstokio --features deflate --example interop_client -- ws://127.0.0.1:9001 true 15`

use std::sync::Arc;

use wstokio::{
    CloseCode, Config, Connector, OwnedMessage, WebSocket, deflate::DeflateOptions,
    opening::ClientOptions,
};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, takeover, bits] = arguments.as_slice() else {
        return Err("say URL, whether to take context over, and the bits of the window".into());
    };
    let mut deflate = DeflateOptions::default();
    deflate.context_takeover = takeover.parse()?;
    deflate.peer_context_takeover = deflate.context_takeover;
    deflate.window_bits = bits.parse()?;
    deflate.peer_window_bits = deflate.window_bits;
    deflate.min_size = 0;
    let mut options = ClientOptions::default();
    options.config = Arc::new(Config::default());
    options.deflate = Some(deflate);
    let mut ws = Connector::new(options).connect(url).await?;

    let mut count = 0;
    for message in messages() {
        for _ in 0..2 {
            ws.send(&message).await?;
            back(&mut ws, &message).await?;
            count += 1;
        }
    }
    let parts = [json(5000), String::new(), "z".repeat(300), String::new()];
    for (at, part) in parts.iter().enumerate() {
        ws.feed_fragment(part, at + 1 == parts.len()).await?;
    }
    ws.flush().await?;
    back(&mut ws, &OwnedMessage::Text(parts.concat())).await?;
    ws.close(CloseCode::NORMAL, "").await?;
    if !ws.close_info().is_some_and(|info| info.clean) {
        return Err("the connection did not close cleanly".into());
    }
    println!("{} messages came back", count + 1);
    Ok(())
}

async fn back(ws: &mut WebSocket, sent: &OwnedMessage) -> Result<(), Failure> {
    match ws.recv().await? {
        Some(message) if message == sent.as_message() => Ok(()),
        Some(message) => {
            let (len, of) = (message.as_bytes().len(), sent.as_message().as_bytes().len());
            Err(format!("{len} bytes came back of {of}, or others").into())
        }
        None => Err(format!("it ended instead: {:?}", ws.close_info()).into()),
    }
}

fn messages() -> Vec<OwnedMessage> {
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
