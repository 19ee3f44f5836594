//! The chat of `ws serve` in a real browser: headless Chromium, driven by `xtask/browser/chat.mjs`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::{find, run as run_command};
use crate::workspace::Workspace;

const DRIVER: &str = "playwright-core";
const DRIVER_VERSION: &str = "1.65.1";
const CHROMIUM: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

pub(crate) fn run(workspace: &Workspace) -> Result {
    let folder = workspace.target.join("browser");
    let chromium = chromium()?;
    install_driver(&folder)?;
    let ws = workspace.build_ws()?;
    let mut script = Command::new("node");
    script
        .arg(workspace.root.join("xtask/browser/chat.mjs"))
        .arg(&folder)
        .arg(chromium)
        .arg(ws)
        .arg("serve");
    run_command(&mut script)
}

fn chromium() -> Result<PathBuf> {
    let given = env::var_os("CHROMIUM").map(PathBuf::from);
    given.or_else(|| CHROMIUM.into_iter().find_map(find)).ok_or_else(|| {
        "no browser was found: install Chromium (on Debian, `apt-get install chromium`), or set CHROMIUM to its path"
            .to_owned()
    })
}

fn install_driver(folder: &Path) -> Result {
    let installed =
        fs::read_to_string(folder.join("node_modules").join(DRIVER).join("package.json"));
    if installed
        .is_ok_and(|package| package.contains(&format!("\"version\": \"{DRIVER_VERSION}\"")))
    {
        return Ok(());
    }
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let options = [
        "install",
        "--no-save",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ];
    let package = format!("{DRIVER}@{DRIVER_VERSION}");
    run_command(Command::new("npm").args(options).arg("--prefix").arg(folder).arg(package))
}
