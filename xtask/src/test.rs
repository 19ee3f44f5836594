//! What must pass before anything is committed, with nothing but Rust and a C compiler.

use std::time::Instant;

use crate::process::run as run_command;
use crate::workspace::{Package, Workspace};
use crate::{Result, lint, nostd};

/// The crate that is tested with each of its features, for the others turn them on in it.
const ALONE: &str = "wsframe";

pub(crate) fn run(workspace: &Workspace) -> Result {
    let started = Instant::now();
    let cargo = |args: &[&str]| run_command(workspace.cargo().args(args));

    step("format", || cargo(&["fmt", "--all", "--check"]))?;
    step("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    step("tests", || cargo(&["test", "--workspace"]))?;
    step("tests with all features", || cargo(&["test", "--workspace", "--all-features"]))?;
    for package in workspace.published().filter(|package| package.name == ALONE) {
        // With all of them together it has just been tested.
        for features in feature_sets(package).into_iter().filter(|set| !set.contains(',')) {
            let name = with(&format!("tests of {ALONE} alone"), &features);
            let features = format!("--features={features}");
            step(&name, || {
                cargo(&["test", "--package", ALONE, "--no-default-features", &features])
            })?;
        }
    }
    step("docs", || {
        run_command(workspace.cargo().env("RUSTDOCFLAGS", "-D warnings").args([
            "doc",
            "--no-deps",
            "--all-features",
        ]))
    })?;
    for package in workspace.published() {
        for features in feature_sets(package) {
            let name = with(&package.name, &features);
            let features = format!("--features={features}");
            let choice = ["clippy", "--package", &package.name, "--no-default-features", &features];
            step(&name, || cargo(&[&choice[..], &["--", "-D", "warnings"]].concat()))?;
        }
    }
    step("lint", || lint::run(workspace))?;
    step("nostd", || nostd::run(workspace))?;

    println!("\nEverything passed in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

pub(crate) fn step(name: &str, work: impl FnOnce() -> Result) -> Result {
    println!("\n== {name}");
    let started = Instant::now();
    work().map_err(|error| format!("{name}: {error}"))?;
    println!("== {name}: passed in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn with(what: &str, features: &str) -> String {
    format!("{what} with {}", if features.is_empty() { "no features" } else { features })
}

/// None, each alone, and all together; nothing for a crate without features, since clippy saw it already.
fn feature_sets(package: &Package) -> Vec<String> {
    let mut sets = match package.features.len() {
        0 => Vec::new(),
        _ => vec![String::new()],
    };
    sets.extend(package.features.iter().cloned());
    if package.features.len() > 1 {
        sets.push(package.features.join(","));
    }
    sets
}
