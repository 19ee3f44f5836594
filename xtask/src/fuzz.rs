//! The fuzz targets, each for a while, under AddressSanitizer.

use std::fs;

use clap::Args;

use crate::Result;
use crate::process::{output, run as run_command, succeeds};
use crate::workspace::Workspace;

/// Seconds per target.
const SMOKE: u64 = 20;
const DEFAULT: u64 = 600;

#[derive(Args)]
pub(crate) struct Options {
    /// Twenty seconds for each target
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
    let fuzz = || {
        let mut command = std::process::Command::new("cargo");
        command.current_dir(workspace.root.join("fuzz")).args(["+nightly", "fuzz"]);
        // A cargo that was told to be another toolchain's would not heed `+nightly`.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        command
    };
    if !succeeds(fuzz().arg("--version")) {
        return Err(
            "fuzzing needs nightly Rust and cargo-fuzz: `rustup toolchain install nightly`, \
                    `cargo install cargo-fuzz --locked`"
                .to_owned(),
        );
    }
    let seconds = if options.smoke { SMOKE } else { options.time.unwrap_or(DEFAULT) };
    let listed = output(fuzz().args(["list", "--fuzz-dir", "."]))?;
    let targets: Vec<&str> = listed
        .split_whitespace()
        .filter(|target| options.target.as_deref().is_none_or(|only| only == *target))
        .collect();
    if targets.is_empty() {
        return Err("there is no such fuzz target: see fuzz/targets".to_owned());
    }
    for target in &targets {
        // What is found goes to the build's folder; the committed corpus stays small.
        let found = workspace.target.join("fuzz-corpus").join(target);
        fs::create_dir_all(&found)
            .map_err(|error| format!("cannot create {}: {error}", found.display()))?;
        run_command(
            fuzz()
                .args(["run", "--fuzz-dir", "."])
                .arg("--target-dir")
                .arg(workspace.target.join("fuzz"))
                .arg(target)
                .arg(&found)
                .arg(format!("corpus/{target}"))
                .args(["--", "-max_len=2048", "-print_final_stats=1"])
                .arg(format!("-max_total_time={seconds}")),
        )?;
    }
    println!("\nNothing found in {seconds} s each: {}.", targets.join(", "));
    Ok(())
}
