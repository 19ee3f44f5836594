//! The `ws` command: a chat server, an echo server, a line client and a load generator over
//! `wstokio`.

#![forbid(unsafe_code)]

mod bench;
mod connect;
mod deflate;
mod echo;
mod interrupt;
mod serve;
mod size;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// WebSocket tools: a chat to open in a browser, an echo server, a line client, a load generator.
#[derive(Parser)]
#[command(name = "ws", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a chat to open in a browser
    Serve(serve::Arguments),
    /// Serve an echo: each message goes back to where it came from
    Echo(echo::Arguments),
    /// Connect to a server: lines of input go out as messages, messages come out as lines
    Connect(connect::Arguments),
    /// Load a server that echoes, and measure how it bears it
    Bench(bench::Arguments),
}

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
    // Doc comments here would turn the help into its long form. Async, over tokio:
    Tokio,
    // Blocking, or an event loop, over mio:
    #[cfg(unix)]
    Mio,
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Echo(arguments) => echo::run(&arguments),
        Command::Connect(arguments) => connect::run(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    ended.unwrap_or_else(|problem| {
        eprintln!("ws: {problem}");
        ExitCode::FAILURE
    })
}

/// An address to listen on.
fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    let example = "an address is a number and a port, as in 127.0.0.1:8080 or [::1]:8080";
    text.parse().map_err(|_| example.to_owned())
}

/// Why an address cannot be listened on, and what to do.
fn cannot_listen(addr: std::net::SocketAddr, error: &std::io::Error) -> String {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let hint = match error.kind() {
        AddrInUse => "something listens there already; choose another with --addr",
        AddrNotAvailable => "this machine has no such address; choose another with --addr",
        PermissionDenied => "you may not use this port; choose one above 1023 with --addr",
        _ => return format!("cannot listen on {addr}: {error}"),
    };
    format!("cannot listen on {addr}: {hint}")
}
