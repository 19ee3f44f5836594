//! `ws bench`: a load on a server that echoes, and how it bears it.

mod connection;
mod load;
mod pacer;
mod report;

use std::{pin::pin, process::ExitCode, rc::Rc, sync::Arc, time::Duration};

use clap::Args;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, LocalSet},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use wstokio::{Config, Connector, WebSocket, opening::ClientOptions};

use self::{load::Load, report::Report};
use crate::{connect, size, tls::ClientTls};

/// How many opening handshakes are under way at once.
const OPENING: usize = 64;

#[derive(Args)]
#[command(after_help = "\
The server must send each message back, as `ws echo` does.

Without --rate, each connection has --in-flight messages under way and sends another when one comes
back; a latency is the time from the sending of a message to its echo. A slow server then gets less to do,
which hides how slow it is: with --rate, messages are due at fixed times whatever the server does, and
their latency counts from when they were due.

Examples:
  ws bench ws://127.0.0.1:9001
  ws bench --connections 1000 --ramp-up 10 --size 1KiB --rate 50000 ws://127.0.0.1:9001")]
pub(crate) struct Arguments {
    /// The server, as in ws://127.0.0.1:9001/path or wss://example.org/
    url: String,
    /// How many connections
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How long a message is, as in 16KiB
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = size::parse)]
    size: u64,
    /// Messages under way on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: u32,
    /// Messages per second, of all connections together, whatever the server bears
    #[arg(long, value_name = "N", conflicts_with = "in_flight", value_parser = rate)]
    rate: Option<f64>,
    /// Send text messages instead of binary ones
    #[arg(long)]
    text: bool,
    /// Send binary messages: the default
    #[arg(long, conflicts_with = "text")]
    binary: bool,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = connect::seconds)]
    duration: Duration,
    /// How long to load the server before it counts
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = connect::seconds)]
    warmup: Duration,
    /// Stop after so many messages, all of which count, instead of after a time
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warmup"], value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Spread the opening of the connections over this time
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = connect::seconds)]
    ramp_up: Duration,
    /// Give up if nothing comes back for so long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = connect::seconds)]
    timeout: Duration,
    /// Add a header to the requests, as in 'Authorization: Bearer 123'; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = connect::header)]
    header: Vec<(String, String)>,
    #[command(flatten)]
    tls: ClientTls,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number of messages per second".to_owned())?;
    // The times that messages are due at are kept in nanoseconds.
    if (1e-6..=1e8).contains(&rate) { Ok(rate) } else { Err("no rate to send at".to_owned()) }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let report = LocalSet::new().block_on(&runtime, measure(arguments))?;
    if arguments.json {
        println!("{}", report.json(arguments));
    } else {
        print!("{}", report.text(arguments));
    }
    for (reason, connections) in &report.lost {
        match connections {
            1 => eprintln!("ws: {reason}"),
            n => eprintln!("ws: {n} times: {reason}"),
        }
    }
    Ok(if report.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(arguments: &Arguments) -> Result<Report, String> {
    let begun = Instant::now();
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let open = tokio::select! {
        open = open(arguments) => open?,
        _ = &mut interrupt => return Err("stopped before all were connected".to_owned()),
    };
    let connecting = begun.elapsed();
    let begin = Instant::now();
    let counts_from = match arguments.messages {
        Some(_) => begin,
        None => begin + arguments.warmup,
    };
    let load = Rc::new(Load::new(arguments, counts_from.into_std())?);
    let mut talks = JoinSet::new();
    let due = arguments.rate.map(|rate| pacer::start(rate, open.len(), arguments.messages));
    let mut due = due.into_iter().flatten();
    for ws in open {
        talks.spawn_local(connection::talk(ws, due.next(), load.clone()));
    }
    let end = arguments.messages.is_none().then(|| counts_from + arguments.duration);
    let mut lost = Vec::new();
    let mut progress = Progress::new();
    let mut tick = interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let interrupted = loop {
        tokio::select! {
            ended = talks.join_next() => match ended {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(reason))) => lost.push(reason),
                Some(Err(error)) => lost.push(format!("a connection has failed: {error}")),
                None => break false,
            },
            () = sleep_until(end.unwrap_or(begin)), if end.is_some() && !load.is_stopped() => {
                load.stop();
            }
            _ = tick.tick() => {
                if load.is_stalled(arguments.timeout) {
                    lost.push(load.stalled(arguments.timeout));
                    break false;
                }
                progress.show(&format!("{:.0} s, {} messages", begin.elapsed().as_secs_f64(), load.count()));
            }
            _ = &mut interrupt => break true,
        }
    };
    progress.clear();
    if load.count() == 0 && !lost.is_empty() {
        return Err(lost.swap_remove(0));
    }
    let until = end.filter(|end| *end < Instant::now()).unwrap_or_else(Instant::now);
    let seconds = until.saturating_duration_since(counts_from).as_secs_f64();
    Ok(Report::new(&load, connecting, seconds, interrupted, lost))
}

/// All connections; none, if one cannot be had.
async fn open(arguments: &Arguments) -> Result<Vec<WebSocket>, String> {
    let mut config = Config::default();
    config.max_message_size = config.max_message_size.max(arguments.size);
    config.max_frame_size = config.max_message_size;
    // What is under way is bounded already; a sender that waited would not receive meanwhile.
    config.max_outgoing = usize::MAX;
    let mut options = ClientOptions::default();
    options.config = Arc::new(config);
    options.headers.clone_from(&arguments.header);
    let mut connector = Connector::new(options);
    if let Some(tls) = arguments.tls.config()? {
        connector = connector.tls(Arc::new(tls));
    }
    let few = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for index in 0..arguments.connections {
        let wait = arguments.ramp_up * index / arguments.connections;
        let (connector, few, url) = (connector.clone(), few.clone(), arguments.url.clone());
        opening.spawn_local(async move {
            sleep(wait).await;
            let _one_of_few = few.acquire().await;
            connector.connect(&url).await
        });
    }
    let mut progress = Progress::new();
    let mut open = Vec::new();
    while let Some(opened) = opening.join_next().await {
        match opened {
            Ok(Ok(ws)) => open.push(ws),
            Ok(Err(error)) => {
                progress.clear();
                let problem = connect::cannot_connect(&arguments.url, &error);
                return Err(match open.len() {
                    0 => problem,
                    n => format!("after {n} connections: {problem}"),
                });
            }
            Err(error) => return Err(format!("a connection has failed: {error}")),
        }
        progress.show(&format!("{} of {} connected", open.len(), arguments.connections));
    }
    progress.clear();
    Ok(open)
}

/// A line that is written over, for people.
struct Progress {
    is_terminal: bool,
    shown: Instant,
}

impl Progress {
    fn new() -> Self {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Self { is_terminal, shown: Instant::now() }
    }

    fn show(&mut self, line: &str) {
        if self.is_terminal && self.shown.elapsed() >= Duration::from_millis(100) {
            self.shown = Instant::now();
            eprint!("\r\x1b[K{line}");
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
