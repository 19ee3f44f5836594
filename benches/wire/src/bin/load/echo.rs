//! Echoes, in a closed loop: each connection has so many messages in flight, and sends a new one for each that
//! comes back.

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

pub(crate) struct Load {
    pub(crate) raw: bool,
    pub(crate) text: bool,
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
    pub(crate) run: Duration,
    pub(crate) server: Vec<String>,
}

pub(crate) fn run(load: &Load) -> Result {
    let mut server = Subject::start(&load.server)?;
    let addr = server.addr()?;
    let message = frames::message(load.bytes, load.text);
    let batch = message.repeat(load.in_flight);
    let mut poll = Poll::new()?;
    let mut open = Vec::new();
    for index in 0..load.connections {
        let counted = if load.raw {
            Counted::ByBytes { each: message.len(), rest: 0 }
        } else {
            Counted::ByHeaders(Echoes::default())
        };
        open.push(Connection::open(addr, index, counted, poll.registry())?);
    }
    for connection in &mut open {
        connection.due = load.in_flight;
    }
    let mut room = vec![0; 1 << 20];
    let mut events = Events::with_capacity(256);
    let mut meter = Meter::new(load.run);
    let mut done = 0;
    while !meter.is_over(done, &server)? {
        done = 0;
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let connection = &mut open[event.token().0];
            if event.is_readable() {
                let completed = connection.read(&mut room)?;
                connection.due += completed;
                done += completed;
            }
            connection.write(&batch, message.len())?;
        }
    }
    Ok(())
}
