//! The race over loopback: our echo servers beside raw TCP echoes, under one load generator.
//!
//! Server and generator have a core each, where `taskset` is there to see to it. The servers take turns in
//! short runs, so that what else the machine does hits all of them alike; what counts is the median.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::Args;

use crate::Result;
use crate::process::{find, output, run as run_command};
use crate::workspace::Workspace;

/// The server, what the generator speaks to it, and the raw echo it is measured against.
const SERVERS: [(&str, &str, &str); 4] = [
    ("raw_mio", "raw", "raw_mio"),
    ("ws_mio", "ws", "raw_mio"),
    ("raw_tokio", "raw", "raw_tokio"),
    ("ws_tokio", "ws", "raw_tokio"),
];

/// Connections, bytes, messages in flight.
const WORKLOADS: [(usize, usize, usize); 6] =
    [(64, 20, 1), (64, 20, 16), (16, 1024, 1), (16, 1024, 16), (16, 16 << 10, 8), (4, 1 << 20, 2)];

#[derive(Args)]
pub(crate) struct Options {
    /// How many turns each server has
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long a turn takes, in milliseconds
    #[arg(long, default_value_t = 700)]
    millis: u32,
    /// Write the table to benches/results/race.md
    #[arg(long)]
    save: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    run_command(workspace.cargo().args(["build", "--release", "--package", "wire"]))?;
    let programs = workspace.target.join("release");
    let mut table = String::from(
        "| connections × bytes × in flight | server | messages/s, median (lowest–highest) | of raw TCP |\n\
         |---|---|---:|---:|\n",
    );
    for workload in WORKLOADS {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); SERVERS.len()];
        for _ in 0..options.rounds.max(1) {
            for (rates, (server, kind, _)) in rates.iter_mut().zip(SERVERS) {
                rates.push(turn(&programs, server, kind, workload, options.millis)?);
            }
        }
        for rates in &mut rates {
            rates.sort_by(f64::total_cmp);
        }
        let rate = |of: &str| {
            let place = SERVERS.iter().position(|(server, ..)| *server == of);
            place.and_then(|place| median(rates.get(place)?))
        };
        let (connections, bytes, in_flight) = workload;
        for ((server, _, raw), rates) in SERVERS.iter().zip(&rates) {
            let (Some(own), Some(raw)) = (median(rates), rate(raw)) else { continue };
            let lowest = rates.first().copied().unwrap_or_default();
            let highest = rates.last().copied().unwrap_or_default();
            let line = format!(
                "| {connections} × {bytes} × {in_flight} | {server} | {own:.0} ({lowest:.0}–{highest:.0}) | {:.2} |\n",
                own / raw
            );
            print!("{line}");
            table.push_str(&line);
        }
    }
    if options.save {
        save(workspace, options, &table)?;
    }
    Ok(())
}

/// How many messages per second a server echoes.
fn turn(
    programs: &Path,
    server: &str,
    kind: &str,
    (connections, bytes, in_flight): (usize, usize, usize),
    millis: u32,
) -> Result<f64> {
    let mut serving = Running::start(pinned(&programs.join(server), 0))?;
    let port = serving.port()?;
    let mut load = pinned(&programs.join("load"), 1);
    load.arg(port).arg(kind);
    load.args([connections, bytes, in_flight].map(|number| number.to_string()));
    load.arg(millis.to_string());
    let printed = output(&mut load)?;
    printed.trim().parse().map_err(|_| format!("the load generator printed {printed:?}"))
}

/// A command on a core of its own, if that can be had.
fn pinned(program: &Path, core: usize) -> Command {
    if find("taskset").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

fn save(workspace: &Workspace, options: &Options, table: &str) -> Result {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown CPU", |(_, model)| model);
    let mut page = String::from("# Echo over loopback\n\n");
    let _ = write!(
        page,
        "Made by `cargo xtask race --save` on {model}: {} rounds of {} ms each, interleaved, server and load \
         generator on a core each. Both sides of the connection compete for the same kernel, so a ratio says \
         more than a rate.\n\n{table}",
        options.rounds, options.millis
    );
    let path = workspace.root.join("benches/results/race.md");
    fs::write(&path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A server, killed when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped());
        let child = command.spawn();
        child.map(Self).map_err(|error| format!("cannot start {command:?}: {error}"))
    }

    /// The port in the line it prints.
    fn port(&mut self) -> Result<String> {
        let stdout = self.0.stdout.as_mut().ok_or("a child process has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        let port = line.trim().rsplit(':').next().filter(|port| !port.is_empty());
        port.map(str::to_owned).ok_or_else(|| format!("a server printed {line:?} and no port"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
