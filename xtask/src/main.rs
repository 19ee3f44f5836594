//! Every developer command. `cargo xtask help` lists them.

#![forbid(unsafe_code)]

mod autobahn;
mod bench;
mod browser;
mod counts;
mod coverage;
mod fuzz;
mod interop;
mod lint;
mod memcheck;
mod nostd;
mod process;
mod sanitize;
mod siege;
mod test;
mod wire;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// What went wrong and what to do about it, in a sentence.
type Result<T = ()> = std::result::Result<T, String>;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Every developer command of this workspace"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, clippy, every test and feature set, docs, lint and nostd: all that needs only Rust
    Test,
    /// Check the facts that would drift if they were kept by hand
    Lint,
    /// Build and run a program that links the no_std crates without std
    Nostd,
    /// Run the Autobahn test suite against our server and our client
    Autobahn(autobahn::Options),
    /// Run benchmarks side by side with the peers and keep the table
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Count instructions with callgrind: the codec's are as stored, and hostile input is linear work
    Counts(counts::Options),
    /// Count the lines of the protocol crates that their tests reach
    Coverage,
    /// Run wsframe's tests under valgrind
    Memcheck,
    /// Run every fuzz target for a while
    Fuzz(fuzz::Options),
    /// Drive the chat of `ws serve` with a headless Chromium
    Browser,
    /// permessage-deflate against Node's ws and Python's websockets, in both roles
    Interop,
    /// Run the tests of every published library under AddressSanitizer
    Sanitize,
    /// Attack our echo servers, and see that they hold
    Siege(siege::Options),
    /// Everything that continuous integration runs: test, counts, memcheck, fuzz, autobahn, interop, browser
    Ci,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = Workspace::load().and_then(|workspace| run(&args.command, &workspace));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command, workspace: &Workspace) -> Result {
    match command {
        Command::Test => test::run(workspace),
        Command::Lint => lint::run(workspace),
        Command::Nostd => nostd::run(workspace),
        Command::Autobahn(options) => autobahn::run(workspace, options),
        Command::Bench(bench) => bench::run(workspace, bench),
        Command::Counts(options) => counts::run(workspace, options),
        Command::Coverage => coverage::run(workspace),
        Command::Memcheck => memcheck::run(workspace),
        Command::Fuzz(options) => fuzz::run(workspace, options),
        Command::Browser => browser::run(workspace),
        Command::Interop => interop::run(workspace),
        Command::Sanitize => sanitize::run(workspace),
        Command::Siege(options) => siege::run(workspace, options),
        Command::Ci => ci(workspace),
    }
}

/// Each prints how long it took.
fn ci(workspace: &Workspace) -> Result {
    let started = Instant::now();
    test::step("test", || test::run(workspace))?;
    test::step("counts", || counts::run(workspace, &counts::Options::compare()))?;
    test::step("memcheck", || memcheck::run(workspace))?;
    test::step("fuzz", || fuzz::run(workspace, &fuzz::Options::smoke()))?;
    test::step("autobahn", || autobahn::run(workspace, &autobahn::Options::default()))?;
    test::step("interop", || interop::run(workspace))?;
    test::step("browser", || browser::run(workspace))?;
    println!("\nAll that CI runs took {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}
