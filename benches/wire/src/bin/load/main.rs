//! The load generator: one thread, pre-encoded frames, and no more parsing than to count messages. It starts
//! what it measures.
//!
//! ```text
//! load echo ws|raw binary|text CONNECTIONS BYTES IN_FLIGHT MILLIS PROGRAM ...
//! load handshakes CONNECTIONS MILLIS PROGRAM ...
//! load broadcast CONNECTIONS BYTES MILLIS PROGRAM ...
//! load idle CONNECTIONS PROGRAM ...
//! load sink BYTES MILLIS PROGRAM ...
//! ```
//!
//! It prints names and numbers: of messages, handshakes or deliveries per second, of the CPU time that
//! the process took for each, of the part of the time that it was busy; or of the bytes per connection.

#![forbid(unsafe_code)]

mod broadcast;
mod connection;
mod echo;
mod handshakes;
mod idle;
mod sink;
mod subject;

use std::{env, time::Duration};

use wire::Result;

fn main() -> Result {
    let mut arguments = Arguments(env::args().skip(1).collect());
    match &*arguments.next()? {
        "echo" => echo::run(&echo::Load {
            raw: arguments.next()? == "raw",
            text: arguments.next()? == "text",
            connections: arguments.number()?,
            bytes: arguments.number()?,
            in_flight: arguments.number()?,
            run: arguments.millis()?,
            server: arguments.0,
        }),
        "handshakes" => {
            let (connections, run) = (arguments.number()?, arguments.millis()?);
            handshakes::run(connections, run, &arguments.0)
        }
        "broadcast" => {
            let (connections, bytes) = (arguments.number()?, arguments.number()?);
            let run = arguments.millis()?;
            broadcast::run(connections, bytes, run, &arguments.0)
        }
        "idle" => {
            let connections = arguments.number()?;
            idle::run(connections, &arguments.0)
        }
        "sink" => {
            let (bytes, run) = (arguments.number()?, arguments.millis()?);
            sink::run(bytes, run, &arguments.0)
        }
        what => Err(format!("there is no load {what}").into()),
    }
}

struct Arguments(Vec<String>);

impl Arguments {
    fn next(&mut self) -> Result<String> {
        if self.0.is_empty() {
            return Err(
                "an argument is missing: see the top of benches/wire/src/bin/load/main.rs".into()
            );
        }
        Ok(self.0.remove(0))
    }

    fn number(&mut self) -> Result<usize> {
        Ok(self.next()?.parse()?)
    }

    fn millis(&mut self) -> Result<Duration> {
        Ok(Duration::from_millis(self.next()?.parse()?))
    }
}
