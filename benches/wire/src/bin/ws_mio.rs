//! The echo server over wsmio's event loop.

#![forbid(unsafe_code)]

use wsmio::{Handler, Message, Peer, Server};

struct Echo;

impl Handler for Echo {
    type State = ();

    fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
        let _ = peer.send(message);
    }
}

fn main() -> std::io::Result<()> {
    let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    println!("listening on {}", server.local_addr());
    server.run(|| Echo)
}
