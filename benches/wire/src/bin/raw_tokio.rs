//! The raw TCP echo over tokio: one read and one write at a time, a task for each connection.

#![forbid(unsafe_code)]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (mut tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut room = vec![0; 64 << 10];
            while let Ok(len @ 1..) = tcp.read(&mut room).await {
                if tcp.write_all(&room[..len]).await.is_err() {
                    break;
                }
            }
        });
    }
}
