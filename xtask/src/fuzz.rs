//! The fuzz targets, each for a while, under AddressSanitizer.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use clap::Args;

use crate::Result;
use crate::process::{output, run as run_command, succeeds};
use crate::workspace::Workspace;

/// Seconds per target.
const SMOKE: u64 = 60;
const DEFAULT: u64 = 600;

/// How many lines are shown of the log of a target that fails: its finding and how to reproduce it.
const TAIL: usize = 60;

#[derive(Args)]
pub(crate) struct Options {
    /// A minute for each target
    #[arg(long, conflicts_with = "time")]
    smoke: bool,
    /// So many seconds for each target
    #[arg(long, value_name = "SECS")]
    time: Option<u64>,
    /// This target alone
    target: Option<String>,
}

impl Options {
    /// Long enough to see that each target works, and to find what is easily found.
    pub(crate) fn smoke() -> Self {
        Self { smoke: true, time: None, target: None }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    let fuzz = |subcommand| {
        let mut command = Command::new("cargo");
        command.current_dir(workspace.root.join("fuzz")).args(["+nightly", "fuzz", subcommand]);
        command.args(["--fuzz-dir", "."]);
        // A cargo that was told to be another toolchain's would not heed `+nightly`.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        command
    };
    if !succeeds(&mut fuzz("list")) {
        return Err(
            "fuzzing needs nightly Rust and cargo-fuzz: `rustup toolchain install nightly`, \
                    `cargo install cargo-fuzz --locked`"
                .to_owned(),
        );
    }
    let seconds = if options.smoke { SMOKE } else { options.time.unwrap_or(DEFAULT) };
    let listed = output(&mut fuzz("list"))?;
    let targets: Vec<&str> = listed
        .split_whitespace()
        .filter(|target| options.target.as_deref().is_none_or(|only| only == *target))
        .collect();
    if targets.is_empty() {
        return Err("there is no such fuzz target: see fuzz/targets".to_owned());
    }
    let folder = workspace.target.join("fuzz");
    run_command(fuzz("build").arg("--target-dir").arg(&folder).args(options.target.as_slice()))?;

    // One on each core.
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let left = Mutex::new(targets.iter());
    let next = || left.lock().ok()?.next();
    let one_after_another = || -> Result {
        while let Some(target) = next() {
            // What is found goes to the build's folder; the committed corpus stays small.
            let found = workspace.target.join("fuzz-corpus").join(target);
            fs::create_dir_all(&found)
                .map_err(|error| format!("cannot create {}: {error}", found.display()))?;
            let mut command = fuzz("run");
            command.arg("--target-dir").arg(&folder).arg(target).arg(&found);
            command.arg(format!("corpus/{target}"));
            command.args(["--", "-max_len=2048", "-print_final_stats=1"]);
            command.arg(format!("-max_total_time={seconds}"));
            let runs = logged(&mut command, &folder.join(format!("{target}.log")))?;
            println!("{target}: {runs} runs, nothing found");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one_after_another)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread has failed".to_owned())?)
    })?;
    println!("\nNothing found in {seconds} s each: {}.", targets.join(", "));
    Ok(())
}

/// Fuzzes, and says how many runs it were.
fn logged(command: &mut Command, log: &Path) -> Result<String> {
    let file = File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = file.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let status = command.stdout(out).stderr(err).status();
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if !status.is_ok_and(|status| status.success()) {
        let tail: Vec<_> = text.lines().rev().take(TAIL).collect();
        for line in tail.iter().rev() {
            eprintln!("{line}");
        }
        return Err(format!(
            "a fuzz target failed: its log, of which this is the end, is {}",
            log.display()
        ));
    }
    let runs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    Ok(runs.unwrap_or("?").to_owned())
}
