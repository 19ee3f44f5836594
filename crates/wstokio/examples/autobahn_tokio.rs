//! The client that Autobahn's fuzzing server tests: runs every case it has, echoing.
//!
//! `cargo run --release -p wstokio --example autobahn_tokio -- ws://127.0.0.1:9001`

use std::sync::Arc;

use wstokio::{Config, Connector, Error, Message, opening::ClientOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let mut config = Config::default();
    config.max_message_size = 64 << 20;
    config.max_frame_size = 64 << 20;
    // Cases 9.3.1 and 9.4.1 send 4 MiB in 65,537 fragments, one more than the default.
    config.max_fragments = 1 << 20;
    let mut options = ClientOptions::default();
    options.config = Arc::new(config);
    #[cfg(feature = "deflate")]
    {
        let mut deflate = wstokio::deflate::DeflateOptions::default();
        deflate.context_takeover = true;
        deflate.peer_context_takeover = true;
        deflate.min_size = 0;
        options.deflate = Some(deflate);
    }
    let connector = Connector::new(options);

    let mut ws = connector.connect(&format!("{server}/getCaseCount")).await?;
    let count = match ws.recv().await? {
        Some(Message::Text(text)) => text.parse().unwrap_or(0),
        _ => 0,
    };
    println!("{count} cases");
    for case in 1..=count {
        let ws = connector.connect(&format!("{server}/runCase?case={case}&agent=wstokio")).await?;
        // A connection that the server breaks off is part of the test.
        if let Err(error) = echo(ws).await {
            println!("case {case}: {error}");
        }
    }
    let mut ws = connector.connect(&format!("{server}/updateReports?agent=wstokio")).await?;
    while ws.recv().await?.is_some() {}
    Ok(())
}

async fn echo(mut ws: wstokio::WebSocket) -> Result<(), Error> {
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        match tx.feed(message).await {
            // The server closes in the middle of some cases; `recv` tells how it ends.
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
