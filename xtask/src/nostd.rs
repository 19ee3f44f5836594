//! A program without std does a handshake and an echo in memory: the no_std crates are what they say.

use crate::Result;
use crate::process::run as run_command;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result {
    let manifest = workspace.root.join("xtask/nostd/Cargo.toml");
    let target = workspace.target.join("nostd");
    run_command(workspace.cargo().args(["fmt", "--check", "--manifest-path"]).arg(&manifest))?;
    run_command(
        workspace
            .cargo()
            .args(["run", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target),
    )
}
