//! Benchmarks that print one table, and keep it with the name of the machine that made it.

use std::fs;
use std::process::Command;

use clap::Subcommand;

use crate::process::output;
use crate::workspace::Workspace;
use crate::{Result, wire};

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Masking, UTF-8 and headers beside memcpy, a naive loop and the peers
    Codec,
    /// Servers and clients over loopback, beside raw TCP and the peers
    Wire(wire::Options),
}

pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> Result {
    match bench {
        Bench::Codec => codec(workspace),
        Bench::Wire(options) => wire::run(workspace, options),
    }
}

fn codec(workspace: &Workspace) -> Result {
    let run = ["run", "--release", "--package", "benches", "--bin", "codec"];
    let tables = output(workspace.cargo().args(run))?;
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name))?;
        line.split(": ").nth(1)
    };
    let cpu = match (field("model name"), field("cpu family"), field("model\t")) {
        (Some(name), Some(family), Some(model)) => {
            format!("{name} (family {family}, model {model})")
        }
        _ => std::env::consts::ARCH.to_owned(),
    };
    let rustc = output(Command::new("rustc").arg("--version"))?;
    let report = format!(
        "# The codec, measured side by side\n\n\
         `cargo xtask bench codec`, medians of interleaved turns, on {cpu}, with {}.\n\n{tables}",
        rustc.trim()
    );
    let path = workspace.root.join("benches/results/codec.md");
    fs::write(&path, &report)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("{report}\nwritten to {}", path.display());
    Ok(())
}
