//! The lines of the protocol crates that their own tests and wstest's reach.

use crate::Result;
use crate::process::{cargo, run as run_command, succeeds};
use crate::workspace::Workspace;

/// The least share of each crate's lines, in percent.
const LEAST: u32 = 97;
const CRATES: [&str; 3] = ["wsframe", "wshandshake", "wsconn"];

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
    let mut tests = llvm_cov();
    tests.args(["--no-report", "--all-features", "-p", "wstest"]);
    for name in CRATES {
        tests.args(["-p", name]);
    }
    run_command(&mut tests)?;
    for name in CRATES {
        let mut others = String::from("/tests/|/rustc/|crates/(wstest");
        for other in CRATES.iter().filter(|other| **other != name) {
            others.push('|');
            others.push_str(other);
        }
        others.push_str(")/");
        run_command(
            llvm_cov()
                .args(["report", "--summary-only", "--ignore-filename-regex", &others])
                .arg(format!("--fail-under-lines={LEAST}")),
        )?;
    }
    Ok(())
}
