//! `ws echo` under siege, over each transport: what needs a running server, many connections, and a network
//! that fails. SECURITY.md has the figures.

mod attacks;
mod network;
mod target;
mod wire;

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::{Args, ValueEnum};

use self::target::Target;
use crate::Result;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// What moves the server's bytes [default: each in turn]
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// Which of them to run [default: all]
    #[arg(long, value_enum)]
    only: Vec<Attack>,
    /// This is the process in the network namespace
    #[arg(long, hide = true)]
    inside: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Tokio,
    Mio,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attack {
    /// 10,000 half-open handshakes
    Handshakes,
    /// 10,000 connections that do not end after a close frame
    Limbo,
    /// 10,000 connections that do not answer the close frame of a server that stops
    Unanswered,
    /// Endless pings, messages and fragments of peers that do not read
    Floods,
    /// Messages that inflate a thousandfold
    Bombs,
    /// Packets are lost, then all of them for a while, then a peer dies
    Network,
}

impl Attack {
    /// What it must come to.
    fn wanted(self) -> &'static str {
        match self {
            Self::Handshakes => {
                "new ones at 0.8 of the rate at least, 16 KiB each at most, all cut off by 11 s"
            }
            Self::Limbo => "all let go by 3 s, with the right close code",
            Self::Unanswered => "all let go after 5 s and by 6 s, with 1001",
            Self::Floods => "all over by 36 s, memory within the bound, others served within 2 s",
            Self::Bombs => {
                "each answered with 1009, memory within the bound, 99 of 100 echoes of others within 50 ms of the \
                 server's processor time"
            }
            Self::Network => "every echo right, a dead peer let go by 46 s",
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    if !options.inside {
        workspace.build_ws()?;
        let mut arguments: Vec<_> = std::env::args().skip(1).collect();
        arguments.push("--inside".to_owned());
        return network::in_a_namespace(&arguments);
    }
    network::set_up(Path::new("/proc/sys/net/ipv4"))?;
    let folder = workspace.target.join("siege");
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut rows =
        String::from("| attack | transport | what must be | what was seen |\n|---|---|---|---|\n");
    let mut failed = 0;
    for transport in Transport::value_variants() {
        if options.transport.is_some_and(|wanted| wanted != *transport) {
            continue;
        }
        for attack in Attack::value_variants() {
            if !(options.only.is_empty() || options.only.contains(attack)) {
                continue;
            }
            let (attack_name, transport) = (name(attack), name(transport));
            let mut command = Command::new(workspace.target.join("release").join("ws"));
            command.args(["echo", "--deflate", "--addr", "127.0.0.1:0", "--transport", &transport]);
            let log = folder.join(format!("{attack_name}-{transport}.log"));
            let seen = Target::start(&mut command, &log).and_then(|target| match attack {
                Attack::Handshakes => attacks::slow_handshakes(&target),
                Attack::Limbo => attacks::close_limbo(&target),
                Attack::Unanswered => attacks::unanswered_close(target),
                Attack::Floods => attacks::floods(&target),
                Attack::Bombs => attacks::bombs(&target),
                Attack::Network => network::failures(&target),
            });
            failed += usize::from(seen.is_err());
            let seen = seen.unwrap_or_else(|error| format!("**FAILED**: {error}"));
            let wanted = attack.wanted();
            let row = format!("| {attack_name} | {transport} | {wanted} | {seen} |\n");
            print!("{row}");
            rows.push_str(&row);
        }
    }
    println!("\n{rows}");
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of the attacks got through: see the table above")),
    }
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
