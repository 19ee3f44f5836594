//! wsmio's event loop. It writes together what is sent while it handles what has arrived.

use std::net::SocketAddr;

use wsmio::{Handler, Message, Peer, PreparedMessage, Remote, Server};

use super::Mode;
use crate::Result;

struct Echo {
    /// To send to all, if that is what is asked for.
    all: Option<Remote>,
}

impl Handler for Echo {
    type State = ();

    fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
        match &self.all {
            None => drop(peer.send(message)),
            // It fails if too much waits already, and that shows as messages that are not delivered.
            Some(all) => drop(all.broadcast(&PreparedMessage::new(message))),
        }
    }
}

pub(super) fn run(mode: Mode, listening: impl FnOnce(SocketAddr) -> Result) -> Result {
    let server = Server::bind(([127, 0, 0, 1], 0).into())?;
    listening(server.local_addr())?;
    let all = (mode == Mode::Fan).then(|| server.remote());
    Ok(server.run(|| Echo { all: all.clone() })?)
}
