//! The client that `cargo xtask interop` runs against echo servers of other makes: sends messages of
//! every size, compressed as the arguments say, and wants each back.
//!
//! `cargo run -p wsmio --features deflate --example interop_mio -- ws://127.0.0.1:9001 true 15`

#[path = "../../wstokio/examples/interop_tokio/messages.rs"]
mod messages;

use wsmio::{CloseCode, Connector, OwnedMessage, WebSocket, opening::ClientOptions};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, takeover, bits] = arguments.as_slice() else {
        return Err("say URL, whether to take context over, and the bits of the window".into());
    };
    let mut options = ClientOptions::default();
    options.deflate = Some(messages::options(takeover, bits)?);
    let mut ws = Connector::new(options).connect(url)?;

    let mut count = 0;
    for message in messages::messages() {
        for _ in 0..2 {
            ws.send(&message)?;
            back(&mut ws, &message)?;
            count += 1;
        }
    }
    let parts = messages::parts();
    for (at, part) in parts.iter().enumerate() {
        ws.feed_fragment(part, at + 1 == parts.len())?;
    }
    ws.flush()?;
    back(&mut ws, &OwnedMessage::Text(parts.concat()))?;
    ws.close(CloseCode::NORMAL, "")?;
    if !ws.close_info().is_some_and(|info| info.clean) {
        return Err("the connection did not close cleanly".into());
    }
    println!("{} messages came back", count + 1);
    Ok(())
}

fn back(ws: &mut WebSocket, sent: &OwnedMessage) -> Result<(), Failure> {
    match ws.recv()? {
        Some(message) if message == sent.as_message() => Ok(()),
        Some(message) => {
            let (len, of) = (message.as_bytes().len(), sent.as_message().as_bytes().len());
            Err(format!("{len} bytes came back of {of}, or others").into())
        }
        None => Err(format!("it ended instead: {:?}", ws.close_info()).into()),
    }
}
