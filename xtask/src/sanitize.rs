//! The tests of every published library under AddressSanitizer, which sees what valgrind would, in all of the
//! program and at a fraction of the time.

use std::process::Command;
use std::time::Instant;

use crate::Result;
use crate::process::{output, run as run_command};
use crate::workspace::Workspace;

const PACKAGES: [&str; 5] = ["wsframe", "wshandshake", "wsconn", "wstokio", "wsmio"];

pub(crate) fn run(workspace: &Workspace) -> Result {
    let started = Instant::now();
    let mut rustc = Command::new("rustc");
    rustc.env_remove("RUSTUP_TOOLCHAIN").args(["+nightly", "--print", "host-tuple"]);
    let host = output(&mut rustc).map_err(|error| {
        format!("{error}; sanitizers need nightly Rust: `rustup toolchain install nightly`")
    })?;
    let mut cargo = Command::new("cargo");
    // A cargo that was told to be another toolchain's would not heed `+nightly`.
    cargo.current_dir(&workspace.root).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    cargo.args([
        "+nightly",
        "test",
        "--no-fail-fast",
        "--all-features",
        "--lib",
        "--tests",
        "--target",
        host.trim(),
    ]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    cargo.env("CARGO_TARGET_DIR", workspace.target.join("sanitize"));
    cargo.env("RUSTFLAGS", "-Zsanitizer=address");
    run_command(&mut cargo)?;
    println!("\nAddressSanitizer found nothing in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}
