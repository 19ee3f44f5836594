//! Sends each line of input to all clients: `cargo run -p wsmio --example broadcast_server`, then
//! `ws connect ws://127.0.0.1:9001` a few times. Ends, with a close frame to all, at the end of input.

use std::{io, thread, time::Duration};

use wsmio::{Handler, Message, Peer, PreparedMessage, Server};

/// Nothing that a client sends is of interest.
struct Listeners;

impl Handler for Listeners {
    type State = ();

    fn message(&mut self, _: &mut Peer<'_, ()>, _: Message<'_>) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server = Server::bind(addr.parse()?)?;
    println!("listening on ws://{}", server.local_addr());
    let remote = server.remote();
    let running = thread::spawn(move || server.run(|| Listeners));
    for line in io::stdin().lines() {
        // Encoded once, however many there are.
        remote.broadcast(&PreparedMessage::new(line?.as_str()))?;
    }
    remote.stop(Duration::from_secs(1));
    running.join().map_err(|_| "a loop has panicked")??;
    Ok(())
}
