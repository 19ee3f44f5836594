//! The echo server over wstokio.

#![forbid(unsafe_code)]

use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut ws = wstokio::accept(tcp).await?;
            let (rx, tx) = ws.halves();
            while let Some(message) = rx.recv().await? {
                tx.feed(message).await?;
            }
            Ok::<(), wstokio::Error>(())
        });
    }
}
