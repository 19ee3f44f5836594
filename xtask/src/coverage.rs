//! The lines of the protocol crates that tests reach: their own, wstest's and those of the transports.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::process::{cargo, run as run_command, succeeds};
use crate::workspace::Workspace;

/// The least share of each crate's lines, in percent.
const LEAST: f64 = 97.0;
const CRATES: [&str; 3] = ["wsframe", "wshandshake", "wsconn"];
/// Whose tests run besides.
const ABOVE: [&str; 3] = ["wstest", "wstokio", "wsmio"];

pub(crate) fn run(workspace: &Workspace) -> Result {
    let llvm_cov = || {
        let mut command = cargo();
        command.current_dir(&workspace.root).arg("llvm-cov");
        command
    };
    if !succeeds(llvm_cov().arg("--version")) {
        return Err("coverage needs cargo-llvm-cov: `cargo install cargo-llvm-cov --locked`, \
                    `rustup component add llvm-tools`"
            .to_owned());
    }
    let found = workspace.target.join("coverage.lcov");
    let mut tests = llvm_cov();
    tests.args(["--all-features", "--lib", "--tests", "--lcov", "--output-path"]).arg(&found);
    for name in CRATES.iter().chain(&ABOVE) {
        tests.args(["--package", name]);
    }
    run_command(&mut tests)?;
    let found = fs::read_to_string(&found)
        .map_err(|error| format!("cannot read {}: {error}", found.display()))?;
    let mut short = Vec::new();
    for name in CRATES {
        let share = share(&workspace.root, name, &found)?;
        if share < LEAST {
            short.push(name);
        }
    }
    if short.is_empty() {
        return Ok(());
    }
    Err(format!("less than {LEAST} % of the lines are reached in {}", short.join(" and ")))
}

/// The percentage of a crate's lines that were run, without those of its test modules. Prints it, and the
/// lines that were not.
fn share(root: &Path, name: &str, lcov: &str) -> Result<f64> {
    let sources = root.join("crates").join(name).join("src");
    let (mut lines, mut reached) = (0_u32, 0_u32);
    for record in lcov.split("end_of_record") {
        let Some(file) = record.lines().find_map(|line| line.strip_prefix("SF:")) else { continue };
        let file = Path::new(file);
        if !file.starts_with(&sources) {
            continue;
        }
        let source = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        // Test modules stand at the end of their file.
        let tests = source.lines().position(|line| line == "#[cfg(test)]").unwrap_or(usize::MAX);
        let mut missed = Vec::new();
        for line in record.lines().filter_map(|line| line.strip_prefix("DA:")) {
            let Some((at, Ok(count))) =
                line.split_once(',').map(|(at, count)| (at, count.parse::<u64>()))
            else {
                return Err(format!("`DA:{line}` is not a line of lcov"));
            };
            if at.parse::<usize>().is_ok_and(|at| at > tests) {
                continue;
            }
            lines += 1;
            if count > 0 {
                reached += 1;
            } else {
                missed.push(at);
            }
        }
        if !missed.is_empty() {
            let file = file.strip_prefix(root).unwrap_or(file);
            println!("not reached: {} {}", file.display(), missed.join(" "));
        }
    }
    if lines == 0 {
        return Err(format!("coverage has no line of {name}"));
    }
    let share = 100.0 * f64::from(reached) / f64::from(lines);
    println!("{name}: {share:.2} % of {lines} lines");
    Ok(share)
}
