//! Sends a message over TLS and shows the answer. It trusts the authorities of this system, or those in
//! a PEM file, as the one that the example `tls_server` tells:
//!
//! ```sh
//! cargo run -p wstokio --features tls --example tls_client -- wss://127.0.0.1:9443/ [AUTHORITIES.pem]
//! ```

use wstokio::{CloseCode, Connector, tls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "wss://127.0.0.1:9443/".into());
    let mut connector = Connector::default();
    if let Some(file) = arguments.next() {
        let roots = tls::roots_from_pem(&std::fs::read(file)?)?;
        connector = connector.tls(tls::client_config(roots));
    }
    let mut ws = connector.connect(&url).await?;
    ws.send("hello").await?;
    println!("{:?}", ws.recv().await?);
    ws.close(CloseCode::NORMAL, "").await?;
    Ok(())
}
