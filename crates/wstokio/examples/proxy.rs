//! Sends a message through a proxy and shows the answer. Without a second argument the proxy is the one
//! that the environment names, in `http_proxy` or `all_proxy`:
//!
//! ```sh
//! cargo run -p wstokio --example proxy -- ws://127.0.0.1:9001/ [socks5://user:password@127.0.0.1:1080]
//! ```

use wstokio::{CloseCode, Connector, Proxy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let connector = match arguments.next() {
        Some(proxy) => Connector::default().proxy(Proxy::parse(&proxy)?),
        None => Connector::default().proxy_from_env(),
    };
    let mut ws = connector.connect(&url).await?;
    ws.send("hello").await?;
    println!("{:?}", ws.recv().await?);
    ws.close(CloseCode::NORMAL, "").await?;
    Ok(())
}
