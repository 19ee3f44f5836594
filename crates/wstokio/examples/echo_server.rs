//! An echo server: `cargo run -p wstokio --example echo_server`, then `ws connect ws://127.0.0.1:9001`.

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:9001").await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (tcp, peer) = listener.accept().await?;
        tokio::spawn(async move {
            match echo(tcp).await {
                Ok(closed) => println!("{peer}: {closed}"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

async fn echo(tcp: tokio::net::TcpStream) -> Result<String, wstokio::Error> {
    tcp.set_nodelay(true)?;
    let mut ws = wstokio::accept(tcp).await?;
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        tx.feed(message).await?;
    }
    Ok(ws.close_info().map(ToString::to_string).unwrap_or_default())
}
