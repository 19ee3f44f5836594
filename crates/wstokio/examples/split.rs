//! Sends from one task and receives in another, then has the whole socket again to close it:
//! `cargo run -p wstokio --example split -- ws://127.0.0.1:9001`, where the example `echo_server` runs.

use tokio::task::JoinError;
use wstokio::{CloseCode, Error, Receiver, Sender};

const MESSAGES: usize = 1000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001".into());
    let (receiver, sender) = wstokio::connect(&url).await?.split();
    let (sending, receiving) = (tokio::spawn(send(sender)), tokio::spawn(receive(receiver)));
    let (sender, receiver) = (done(sending.await)?, done(receiving.await)?);
    let Ok(mut ws) = receiver.reunite(sender) else { return Err("two sockets".into()) };
    ws.close(CloseCode::NORMAL, "").await?;
    println!("{}", ws.close_info().map(ToString::to_string).unwrap_or_default());
    Ok(())
}

async fn send<S>(mut sender: Sender<S>) -> Result<Sender<S>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    for n in 0..MESSAGES {
        sender.feed(&n.to_string()).await?;
    }
    sender.flush().await?;
    Ok(sender)
}

/// Receives until all have come back, or the connection has ended.
async fn receive<S>(mut receiver: Receiver<S>) -> Result<Receiver<S>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut received = 0;
    while received < MESSAGES && receiver.recv().await?.is_some() {
        received += 1;
    }
    println!("{received} of {MESSAGES} messages came back");
    Ok(receiver)
}

fn done<T>(task: Result<Result<T, Error>, JoinError>) -> Result<T, Box<dyn std::error::Error>> {
    Ok(task??)
}
