//! An echo server that tells what happens, and what each connection has moved once it has ended:
//!
//! ```sh
//! cargo run -p wstokio --features tracing --example observe
//! ```
//!
//! Then `ws connect ws://127.0.0.1:9003`.

use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument, Level};
use wstokio::{Counters, Error};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // The spans and events are those of every library that knows `tracing`; any subscriber will do.
    tracing_subscriber::fmt().with_max_level(Level::DEBUG).init();
    let listener = TcpListener::bind("127.0.0.1:9003").await?;
    tracing::info!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (tcp, peer) = listener.accept().await?;
        // What the socket tells is told within the span that is current.
        let span = tracing::info_span!("peer", %peer);
        let served = async {
            match echo(tcp).await {
                Ok(Counters { messages_received, bytes_received, bytes_sent, .. }) => {
                    tracing::info!(messages_received, bytes_received, bytes_sent, "served");
                }
                Err(error) => tracing::warn!(%error, "not served"),
            }
        };
        tokio::spawn(served.instrument(span));
    }
}

async fn echo(tcp: TcpStream) -> Result<Counters, Error> {
    tcp.set_nodelay(true)?;
    let mut ws = wstokio::accept(tcp).await?;
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        tx.feed(message).await?;
    }
    // They can be read at any time, on either half; `round_trip` is that of the last ping, be it of the keepalive or ours.
    Ok(ws.counters())
}
