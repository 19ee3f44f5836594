//! An echo server on an event loop: `cargo run -p wsmio --example event_loop`, then
//! `ws connect ws://127.0.0.1:9001`. Takes an address to listen on, if you like.

use wsmio::{CloseCode, CloseInfo, ConnectionId, Handler, Message, Peer, Sent, Server};

struct Echo;

impl Handler for Echo {
    type State = ();

    fn open(&mut self, peer: &mut Peer<'_, ()>) {
        if let Ok(addr) = peer.addr() {
            println!("{:?} is {addr}", peer.id());
        }
    }

    fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
        if peer.send(message) == Sent::Refused {
            // It sends without reading.
            let _ = peer.close(CloseCode::TRY_AGAIN_LATER, "you read too slowly");
        }
    }

    fn close(&mut self, id: ConnectionId, (): (), info: &CloseInfo) {
        println!("{id:?}: {info}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server = Server::bind(addr.parse()?)?;
    println!("listening on ws://{}", server.local_addr());
    server.run(|| Echo)?;
    Ok(())
}
