//! Opens many WebSockets on one HTTP/2 connection, and sends a message on each:
//!
//! ```sh
//! cargo run -p wstokio --features http2,tls --example http2_client -- ws://127.0.0.1:9002/echo [SOCKETS]
//! ```
//!
//! The example `axum`, with `--features axum,http2`, is such a server.

use wstokio::{CloseCode, Connector};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9002/echo".into());
    let sockets = arguments.next().map_or(Ok(10), |sockets| sockets.parse())?;

    let connection = Connector::default().connect_http2(&url).await?;
    let mut open = Vec::new();
    for n in 0..sockets {
        let mut ws = connection.open(&url).await?;
        ws.send(&format!("from socket {n}")).await?;
        open.push(ws);
    }
    for mut ws in open {
        println!("{:?}", ws.recv().await?);
        ws.close(CloseCode::NORMAL, "").await?;
    }
    Ok(())
}
