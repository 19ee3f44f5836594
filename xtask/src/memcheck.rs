//! wsframe's tests under valgrind, which sees every byte that is read before it was written, or that is
//! not the program's.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::Result;
use crate::process::{find, output, run as run_command};
use crate::workspace::Workspace;

/// All that is `unsafe` is here, and what it calls.
const PACKAGE: &str = "wsframe";

pub(crate) fn run(workspace: &Workspace) -> Result {
    if find("valgrind").is_none() {
        return Err("memcheck needs valgrind: `apt-get install valgrind`".to_owned());
    }
    let started = Instant::now();
    for test in tests(workspace)? {
        run_command(
            Command::new("valgrind")
                .args(["--quiet", "--error-exitcode=1", "--leak-check=no"])
                .arg(test)
                .arg("--test-threads=1")
                // The corpora are found from here.
                .current_dir(workspace.root.join("crates").join(PACKAGE))
                .env("WSFRAME_TEST_SLOW", "1")
                .env("PROPTEST_CASES", "16"),
        )?;
    }
    println!("\nmemcheck found nothing in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

/// The programs with the tests, as the optimiser leaves them.
fn tests(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let build = ["test", "--no-run", "--release", "--package", PACKAGE, "--features", "simdutf8"];
    let messages = output(workspace.cargo().args(build).arg("--message-format=json"))?;
    let tests: Vec<PathBuf> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .collect();
    if tests.is_empty() {
        return Err(format!("cargo built no tests of {PACKAGE}: run `cargo test -p {PACKAGE}`"));
    }
    Ok(tests)
}
