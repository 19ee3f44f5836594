//! The server under siege.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::process::{Background, run as run_command};

/// `ws echo` with its default limits, in a process of its own.
pub(super) struct Target {
    process: Background,
    pub(super) addr: SocketAddr,
    /// The descriptors that it has with nobody connected.
    idle: usize,
}

impl Target {
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let process = Background::start(command, log)?;
        let line = process.line_with("ws://", Duration::from_secs(30))?;
        let addr = line.split("ws://").nth(1).and_then(|addr| addr.trim().parse().ok());
        let addr = addr.ok_or_else(|| format!("the server printed {line:?} and no address"))?;
        let mut target = Self { process, addr, idle: 0 };
        target.idle = target.descriptors()?;
        Ok(target)
    }

    /// How many connections it has.
    pub(super) fn connections(&self) -> Result<usize> {
        Ok(self.descriptors()?.saturating_sub(self.idle))
    }

    fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.process.id());
        let entries = fs::read_dir(&folder);
        entries.map(Iterator::count).map_err(|error| format!("cannot read {folder}: {error}"))
    }

    /// Its resident memory, in bytes.
    pub(super) fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status =
            fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
        kib.map(|kib: u64| kib << 10).ok_or_else(|| format!("{path} does not say VmRSS"))
    }

    /// The clock that goes on while it has a processor.
    pub(super) fn clock(&self) -> ProcessorTime {
        ProcessorTime { process: self.process.id() }
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end, for `within` at the longest; says how long it took.
    pub(super) fn stop(self, within: Duration) -> Result<Duration> {
        let start = Instant::now();
        run_command(Command::new("kill").arg("-INT").arg(self.process.id().to_string()))?;
        self.process.finish(within)?;
        Ok(start.elapsed())
    }

    /// Waits until at most `most` connections are left, for `within` at the longest; says how long it took.
    pub(super) fn wait_for(&self, most: usize, within: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let left = self.connections()?;
            if left <= most {
                return Ok(start.elapsed());
            }
            if start.elapsed() > within {
                return Err(format!(
                    "{left} connections are left after {:.1} s, and {most} were to be",
                    within.as_secs_f64()
                ));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The processor time that the server uses.
#[derive(Clone, Copy)]
pub(super) struct ProcessorTime {
    process: u32,
}

impl ProcessorTime {
    /// What it has used so far.
    pub(super) fn now(self) -> Result<Duration> {
        let folder = format!("/proc/{}/task", self.process);
        let tasks =
            fs::read_dir(&folder).map_err(|error| format!("cannot read {folder}: {error}"))?;
        // A thread that has ended meanwhile has none.
        let stats =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
        let nanos = stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok());
        Ok(Duration::from_nanos(nanos.sum()))
    }
}
