//! Broadcasts: what one connection sends comes to all, itself included.

use std::time::Duration;

use mio::{Events, Poll};
use wire::{
    Result,
    frames::{self, Echoes},
};

use crate::{
    connection::{Connection, Counted},
    subject::{Meter, Subject},
};

/// How many messages may be under way.
const IN_FLIGHT: usize = 4;

pub(crate) fn run(connections: usize, bytes: usize, run: Duration, server: &[String]) -> Result {
    let mut server = Subject::start(server)?;
    let addr = server.addr()?;
    let message = frames::message(bytes, false);
    let batch = message.repeat(IN_FLIGHT);
    let mut poll = Poll::new()?;
    let mut open = Vec::new();
    for index in 0..connections {
        let counted = Counted::ByHeaders(Echoes::default());
        open.push(Connection::open(addr, index, counted, poll.registry())?);
    }
    let mut room = vec![0; 1 << 20];
    let mut events = Events::with_capacity(1024);
    let mut meter = Meter::new(run);
    let (mut done, mut delivered, mut sent) = (0, 0, 0);
    while !meter.is_over(done, &server)? {
        done = 0;
        let due = IN_FLIGHT - (sent - delivered / connections);
        sent += due;
        open[0].due += due;
        open[0].write(&batch, message.len())?;
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            done += open[event.token().0].read(&mut room)?;
        }
        delivered += done;
    }
    Ok(())
}
