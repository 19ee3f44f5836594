//! A server that sends every tick to all who listen, and stops in order:
//! `cargo run -p wstokio --example ticker`. It has three clients of its own.

use std::time::Duration;

use tokio::{net::TcpListener, time::sleep};
use wstokio::{Error, Group, PreparedMessage, SlowPolicy, Stop, Tracker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    // Who does not keep up misses the oldest prices.
    let prices = Group::new(16, SlowPolicy::DropOldest);
    let tracker = Tracker::new();
    let server = tokio::spawn(serve(listener, prices.clone(), tracker.clone()));
    let clients: Vec<_> = (0..3).map(|n| tokio::spawn(listen(n, url.clone()))).collect();

    while prices.len() < clients.len() {
        sleep(Duration::from_millis(10)).await;
    }
    for price in [101, 99, 102] {
        let sent = prices.send(&PreparedMessage::new(&price.to_string())).await;
        println!("{price} is on its way to {} clients", sent.queued);
        sleep(Duration::from_millis(50)).await;
    }

    let mut stop = Stop::default();
    stop.reason = "the market is closed".into();
    stop.spread = Duration::from_millis(200);
    println!("{} connections are left", tracker.stop(stop).await?);
    server.await??;
    for client in clients {
        client.await??;
    }
    Ok(())
}

async fn serve(listener: TcpListener, prices: Group, tracker: Tracker) -> std::io::Result<()> {
    loop {
        let (tcp, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = tracker.stopping() => return Ok(()),
        };
        let (prices, tracker) = (prices.clone(), tracker.clone());
        tokio::spawn(async move {
            tcp.set_nodelay(true)?;
            let mut ws = wstokio::accept(tcp).await?;
            tracker.track(&ws);
            let _member = prices.join(&ws.remote());
            // The prices leave while it waits here.
            while ws.recv().await?.is_some() {}
            Ok::<(), Error>(())
        });
    }
}

async fn listen(n: usize, url: String) -> Result<(), Error> {
    let mut ws = wstokio::connect(&url).await?;
    while let Some(message) = ws.recv().await? {
        println!("client {n}: {}", message.as_text().unwrap_or("?"));
    }
    if let Some(closed) = ws.close_info() {
        println!("client {n}: {closed}");
    }
    Ok(())
}
