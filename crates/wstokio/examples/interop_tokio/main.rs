//! The client that `cargo xtask interop` runs against echo servers of other makes: sends messages of
//! every size, compressed as the arguments say, and wants each back.
//!
//! `cargo run -p wstokio --features deflate --example interop_tokio -- ws://127.0.0.1:9001 true 15`

mod messages;

use wstokio::{CloseCode, Connector, OwnedMessage, WebSocket, opening::ClientOptions};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, takeover, bits] = arguments.as_slice() else {
        return Err("say URL, whether to take context over, and the bits of the window".into());
    };
    let mut options = ClientOptions::default();
    options.deflate = Some(messages::options(takeover, bits)?);
    let mut ws = Connector::new(options).connect(url).await?;

    let mut count = 0;
    for message in messages::messages() {
        for _ in 0..2 {
            ws.send(&message).await?;
            back(&mut ws, &message).await?;
            count += 1;
        }
    }
    let parts = messages::parts();
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
