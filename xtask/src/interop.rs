//! permessage-deflate against other makes, as real programs: Node's `ws` and Python's `websockets`, as
//! servers and as clients, with and without context takeover, for every window.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::process::{Background, output, run as run_command};
use crate::workspace::Workspace;

const WS_VERSION: &str = "8.23.0";
const WEBSOCKETS_VERSION: &str = "17.4";

/// With and without takeover, windows of 9 to 15 bits.
const SHAPES: usize = 14;
const START: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(300);

/// A program of another make.
struct Peer {
    name: &'static str,
    program: PathBuf,
    /// What it is called with, before the role.
    arguments: Vec<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace) -> Result {
    let started = Instant::now();
    let folder = workspace.target.join("interop");
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let scripts = workspace.root.join("xtask/interop");
    let node = Peer {
        name: "ws",
        program: PathBuf::from("node"),
        arguments: vec![scripts.join("peer.mjs"), folder.clone()],
    };
    install_ws(&folder)?;
    let python = Peer {
        name: "websockets",
        program: install_websockets(&folder)?,
        arguments: vec![scripts.join("peer.py")],
    };
    let ws = workspace.build_ws()?;
    for transport in ["tokio", "mio"] {
        let client = build_client(workspace, transport)?;
        for peer in [&node, &python] {
            against_our_server(peer, &ws, transport, &folder)?;
            against_our_client(peer, &client, transport, &folder)?;
        }
    }
    println!("\nInterop passed in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

impl Peer {
    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(role);
        command
    }

    fn log(&self, folder: &Path, what: &str) -> PathBuf {
        folder.join(format!("{}-{what}.log", self.name))
    }
}

/// Our client over this transport.
fn build_client(workspace: &Workspace, transport: &str) -> Result<PathBuf> {
    let (package, name) = (format!("ws{transport}"), format!("interop_{transport}"));
    let example = ["--release", "--package", &package, "--example", &name];
    run_command(workspace.cargo().arg("build").args(example).args(["--features", "deflate"]))?;
    Ok(workspace.target.join("release/examples").join(name))
}

fn against_our_server(peer: &Peer, ws: &Path, transport: &str, folder: &Path) -> Result {
    println!("\n== {} as a client of our server over {transport}", peer.name);
    let mut server = Command::new(ws);
    server.args(["echo", "--addr", "127.0.0.1:0", "--transport", transport]);
    server.args(["--deflate", "--context-takeover", "--compress-from", "0"]);
    let server = Background::start(&mut server, &peer.log(folder, "our-server"))?;
    let line = server.line_with("ws://", START)?;
    let url = line.split_whitespace().find(|word| word.starts_with("ws://")).unwrap_or_default();
    let mut client = peer.command("client");
    let said = output(client.arg(url))?;
    print!("{said}");
    if said.contains("all came back") {
        return Ok(());
    }
    Err(format!("{} as a client did not say that all came back", peer.name))
}

fn against_our_client(peer: &Peer, client: &Path, transport: &str, folder: &Path) -> Result {
    println!("\n== our client over {transport} against {} as a server", peer.name);
    let server = Background::start(&mut peer.command("server"), &peer.log(folder, "server"))?;
    for _ in 0..SHAPES {
        let line = server.line_with("ready ", START)?;
        let [_, takeover, bits, url] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("{} as a server said {line:?}", peer.name));
        };
        let log = peer.log(folder, "our-client");
        let mut client = Command::new(client);
        Background::start(client.args([url, takeover, bits]), &log)?.finish(SILENCE)?;
    }
    println!("{SHAPES} connections: all came back");
    Ok(())
}

fn install_ws(folder: &Path) -> Result {
    let installed = fs::read_to_string(folder.join("node_modules/ws/package.json"));
    if installed.is_ok_and(|package| package.contains(&format!("\"version\": \"{WS_VERSION}\""))) {
        return Ok(());
    }
    let options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
    let mut npm = Command::new("npm");
    npm.arg("install").args(options).arg("--prefix").arg(folder);
    run_command(npm.arg(format!("ws@{WS_VERSION}")))
}

/// Gives the Python that has it.
fn install_websockets(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("python/bin/python3");
    let mut version = Command::new(&python);
    version.args(["-c", "import websockets; print(websockets.__version__)"]);
    let installed = python.exists().then(|| output(&mut version).unwrap_or_default());
    if installed.is_none_or(|version| version.trim() != WEBSOCKETS_VERSION) {
        run_command(Command::new("python3").args(["-m", "venv"]).arg(folder.join("python")))?;
        let package = format!("websockets=={WEBSOCKETS_VERSION}");
        let mut pip = Command::new(&python);
        run_command(pip.args(["-m", "pip", "install", "--quiet"]).arg(package))?;
    }
    Ok(python)
}
