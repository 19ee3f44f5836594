//! The tests of every published library under AddressSanitizer, which sees what valgrind would, in all of the
//! program and at a fraction of the time.

use std::process::Command;
use std::time::Instant;

use crate::Result;
use crate::process::{output, run as run_command};
use crate::workspace::Workspace;

const PACKAGES: [&str; 5] = ["wsframe", "wshandshake", "wsconn", "wstokio", "wsmio"];

/// Tests of which it says what is no mistake.
const SKIPPED: [&str; 5] = [
    // What panics again when it is dropped is leaked, since nothing else can be done with it.
    "a_panic_ends_the_connection_it_is_about_and_no_other",
    // loom runs its threads on stacks that a sanitizer does not know, and leaks a little for each test.
    "each_half_is_woken_for_what_it_waits_for",
    "a_message_from_outside_leaves_while_the_receiver_waits",
    "a_close_from_outside_ends_the_wait_of_both_halves",
    "when_the_receiver_goes_the_sender_reads",
];

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
    cargo.args(["--", "--exact"]);
    for test in SKIPPED {
        cargo.args(["--skip", test]);
    }
    cargo.env("CARGO_TARGET_DIR", workspace.target.join("sanitize"));
    cargo.env("RUSTFLAGS", "-Zsanitizer=address");
    run_command(&mut cargo)?;
    println!("\nAddressSanitizer found nothing in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}
