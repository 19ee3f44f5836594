//! Sends a file as one message of any size, and receives it into another, with constant memory:
//! `cargo run -p wstokio --example send_file -- FROM TO`, or without arguments to copy its own source.

use std::{env, path::PathBuf};

use tokio::{fs::File, net::TcpListener};
use wstokio::{Acceptor, CloseCode, Kind, opening::ServerOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let from = paths
        .next()
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/examples/send_file.rs").into());
    let to = paths.next().unwrap_or_else(|| env::temp_dir().join("received"));

    // What bounds such a message is the receiver's limit.
    let mut options = ServerOptions::default();
    let config = std::sync::Arc::make_mut(&mut options.config);
    config.max_message_size = 1 << 40;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let receiving = async {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let mut ws = Acceptor::new(options).accept(tcp).await?;
        let received = ws.recv_to(File::create(&to).await?).await?;
        while ws.recv().await?.is_some() {}
        Ok::<_, Box<dyn std::error::Error>>(received)
    };
    let sending = async {
        let mut ws = wstokio::connect(&url).await?;
        let sent = ws.send_from(Kind::Binary, File::open(&from).await?).await?;
        ws.close(CloseCode::NORMAL, "").await?;
        Ok::<_, Box<dyn std::error::Error>>(sent)
    };
    let (sent, received) = tokio::try_join!(sending, receiving)?;
    println!("{sent} bytes of {} sent, {received:?} in {}", from.display(), to.display());
    Ok(())
}
