//! The Autobahn test suite, strictly: every case must be OK or INFORMATIONAL, or be listed with a reason.

mod suite;
mod verdict;

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::suite::Suite;
use self::verdict::Exception;
use crate::Result;
use crate::process::{Background, run as run_command};
use crate::workspace::Workspace;

/// All sections, with how many cases each has: 517.
const SECTIONS: [(&str, usize); 11] = [
    ("1", 16),
    ("2", 11),
    ("3", 7),
    ("4", 10),
    ("5", 20),
    ("6", 145),
    ("7", 37),
    ("9", 54),
    ("10", 1),
    ("12", 90),
    ("13", 126),
];
const MAX_MESSAGE: &str = "64MiB";

/// Cases 9.3.1 and 9.4.1 send 4 MiB in 65,537 fragments, one more than the default limit.
const MAX_FRAGMENTS: &str = "1000000";
/// The slowest case takes a fraction of this.
const SILENCE: Duration = Duration::from_secs(180);
const WHOLE_RUN: Duration = Duration::from_secs(2400);
const START: Duration = Duration::from_secs(30);

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Which of ours to test
    #[arg(long, value_enum, default_value_t)]
    role: Roles,
    /// What moves our bytes [default: each in turn]
    #[arg(long, value_enum)]
    transport: Option<Transport>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Roles {
    Server,
    Client,
    #[default]
    Both,
}

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    Tokio,
    Mio,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Mio => "mio",
        }
    }

    /// The crate, and the agent it says it is.
    fn package(self) -> &'static str {
        match self {
            Self::Tokio => "wstokio",
            Self::Mio => "wsmio",
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    let started = Instant::now();
    let folder = workspace.target.join("autobahn");
    let suite = Suite::find(&folder)?;
    let exceptions = Exception::read(&workspace.root.join("xtask/autobahn-exceptions.txt"))?;
    let transports = match options.transport {
        Some(transport) => vec![transport],
        None => vec![Transport::Tokio, Transport::Mio],
    };
    let mut problems = 0;
    for transport in transports {
        let folder = folder.join(transport.name());
        let wanted = |role| options.role == role || options.role == Roles::Both;
        // Both at once: what takes the time is the suite, which uses one core.
        let (server, client) = thread::scope(|scope| {
            let server = wanted(Roles::Server).then(|| {
                scope.spawn(|| against_server(workspace, transport, &suite, &folder.join("server")))
            });
            let client = wanted(Roles::Client)
                .then(|| against_client(workspace, transport, &suite, &folder.join("client")));
            (server.map(|thread| thread.join()), client)
        });
        if let Some(server) = server {
            let report = server.map_err(|_| "a thread has failed".to_owned())??;
            problems += verdict::judge("server", &report, &SECTIONS, &exceptions)?;
        }
        if let Some(client) = client {
            problems += verdict::judge("client", &client?, &SECTIONS, &exceptions)?;
        }
    }
    println!("\nAutobahn took {:.0} s.", started.elapsed().as_secs_f64());
    match problems {
        0 => Ok(()),
        _ => {
            Err(format!("Autobahn found {problems} problems: each is listed above with its report"))
        }
    }
}

/// Its fuzzing client against `ws echo`.
fn against_server(
    workspace: &Workspace,
    transport: Transport,
    suite: &Suite,
    folder: &Path,
) -> Result<PathBuf> {
    println!("\n== Autobahn against our server over {}", transport.name());
    empty(folder)?;
    let ws = workspace.build_ws()?;
    let mut server = Command::new(ws);
    server.args(["echo", "--transport", transport.name(), "--addr", "127.0.0.1:0"]);
    server.args(["--max-message", MAX_MESSAGE, "--max-fragments", MAX_FRAGMENTS]);
    // Every message, so that the compressor is tested and not its thresholds.
    server.args(["--deflate", "--context-takeover", "--compress-from", "0"]);
    let server = Background::start(&mut server, &folder.join("server.log"))?;
    let line = server.line_with("ws://", START)?;
    let url =
        line.find("ws://").and_then(|at| line[at..].split_whitespace().next()).unwrap_or_default();

    let spec =
        write_spec(folder, ("servers", json!([{"agent": transport.package(), "url": url}])))?;
    let mut command = suite.command(folder);
    command.args(["--mode", "fuzzingclient", "--spec"]).arg(spec);
    Background::start(&mut command, &folder.join("suite.log"))?.finish(SILENCE)?;
    Ok(folder.join("report"))
}

/// Our client against its fuzzing server.
fn against_client(
    workspace: &Workspace,
    transport: Transport,
    suite: &Suite,
    folder: &Path,
) -> Result<PathBuf> {
    println!("\n== Autobahn against our client over {}", transport.name());
    empty(folder)?;
    let name = format!("autobahn_{}", transport.name());
    let example = ["--release", "--package", transport.package(), "--example", &name];
    run_command(workspace.cargo().arg("build").args(example).args(["--features", "deflate"]))?;

    let port = free_port()?;
    let url = format!("ws://127.0.0.1:{port}");
    let spec = write_spec(folder, ("url", json!(url)))?;
    let mut command = suite.command(folder);
    command.args(["--mode", "fuzzingserver", "--webport", "0", "--spec"]).arg(spec);
    let server = Background::start(&mut command, &folder.join("suite.log"))?;
    server.line_with("Cases = ", START)?;
    wait_for(port)?;

    let mut client = Command::new(workspace.target.join("release/examples").join(name));
    Background::start(client.arg(&url), &folder.join("client.log"))?.finish(WHOLE_RUN)?;
    drop(server);
    Ok(folder.join("report"))
}

/// Writes what the suite shall do; `peer` is about the other side.
fn write_spec(folder: &Path, peer: (&str, Value)) -> Result<PathBuf> {
    let cases: Vec<_> = SECTIONS.iter().map(|(section, _)| format!("{section}.*")).collect();
    let mut spec = json!({
        "outdir": folder.join("report"),
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
        "options": {"failByDrop": false},
    });
    spec[peer.0] = peer.1;
    let path = folder.join("spec.json");
    fs::write(&path, spec.to_string())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

fn empty(folder: &Path) -> Result {
    let emptied = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    };
    emptied.map_err(|error| format!("cannot empty {}: {error}", folder.display()))
}

/// The suite says what it will do an instant before it listens.
fn wait_for(port: u16) -> Result {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if started.elapsed() > START {
            return Err(format!(
                "the Autobahn test suite does not listen on port {port}: run the command again"
            ));
        }
        thread::yield_now();
    }
    Ok(())
}

/// The suite cannot be given port 0, so it gets one that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|addr| addr.port()).map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}
