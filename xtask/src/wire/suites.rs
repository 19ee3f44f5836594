//! What is measured: who takes part, and with which loads.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Echoes of binary messages, six workloads
    Echo,
    /// The same six as text, beside binary; ours
    Text,
    /// Echoes of four sizes, one and sixteen in flight, text and binary
    Matrix,
    /// Opening handshakes per second
    Handshakes,
    /// One message to a thousand connections
    Broadcast,
    /// Bytes per idle connection
    Memory,
    /// Messages that a client masks and sends
    Client,
    /// Instructions, allocations, reads and writes for each echo
    Counted,
}

/// Who takes part.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// `each`: a message is sent back at once; `batched`: with those that arrived with it.
    pub(crate) mode: &'static str,
    /// `binary` or `text`.
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    connections: usize,
    pub(super) bytes: usize,
    pub(super) in_flight: usize,
}

impl Workload {
    /// How many batches to count: enough for a good quotient, and no more than callgrind can do in a second or two.
    pub(super) fn batches(&self) -> usize {
        (4_usize << 20).div_ceil(self.bytes * self.in_flight).clamp(8, 500)
    }
}

pub(super) const LIBRARIES: [&str; 7] = [
    "wsmio",
    "wstokio",
    "tokio-tungstenite",
    "fastwebsockets",
    "tokio-websockets",
    "yawc",
    "sockudo-ws",
];

/// A raw TCP echo that the server is measured against.
pub(crate) fn raw(server: &str) -> &'static str {
    if server == "wsmio" || server == "raw-mio" { "raw-mio" } else { "raw-tokio" }
}

impl Contender {
    pub(crate) fn title(&self) -> String {
        format!("{} ({}, {})", self.name, self.mode, self.kind)
    }
}

impl Suite {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Suite::Echo => "Echo: messages per second",
            Suite::Text => "Echo of text and of binary: messages per second",
            Suite::Matrix => "Echo, all sizes: messages per second",
            Suite::Handshakes => "Opening handshakes per second",
            Suite::Broadcast => "Broadcast: deliveries per second",
            Suite::Memory => "Idle connections: bytes for each",
            Suite::Client => "Client: masked messages sent per second",
            Suite::Counted => "Echo: what a message costs",
        }
    }

    /// The name of its results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Suite::Echo => "echo",
            Suite::Text => "text",
            Suite::Matrix => "matrix",
            Suite::Handshakes => "handshakes",
            Suite::Broadcast => "broadcast",
            Suite::Memory => "memory",
            Suite::Client => "client",
            Suite::Counted => "counted",
        }
    }

    /// The figure that decides, and whether more of it is better.
    pub(super) fn main_figure(self) -> (&'static str, bool) {
        match self {
            Suite::Memory => ("heap", false),
            Suite::Counted => ("instructions", false),
            _ => ("rate", true),
        }
    }

    /// Whether one turn is enough.
    pub(super) fn is_counted(self) -> bool {
        matches!(self, Suite::Memory | Suite::Counted)
    }

    pub(super) fn contenders(self) -> Vec<Contender> {
        let of = |kind, modes: fn(&str) -> &'static [&'static str]| {
            let names = ["raw-mio", "raw-tokio"].into_iter().chain(LIBRARIES);
            let all = names.flat_map(move |name| {
                modes(name).iter().map(move |mode| Contender { name, mode, kind })
            });
            all.collect::<Vec<_>>()
        };
        match self {
            Suite::Echo | Suite::Counted => of("binary", echo_modes),
            Suite::Matrix => [of("binary", echo_modes), of("text", echo_modes)].concat(),
            Suite::Text => ["binary", "text"]
                .into_iter()
                .flat_map(|kind| {
                    let ours = ["wsmio", "wstokio"];
                    ours.map(|name| Contender { name, mode: "batched", kind })
                })
                .collect(),
            Suite::Handshakes | Suite::Memory => of("binary", |name| match name {
                "raw-mio" | "raw-tokio" => &[],
                _ => &["each"],
            }),
            Suite::Broadcast => of("binary", |name| match name {
                "raw-mio" | "raw-tokio" => &[],
                _ => &["fan"],
            }),
            Suite::Client => of("binary", |name| match name {
                "raw-mio" | "raw-tokio" => &[],
                "fastwebsockets" => &["each"],
                _ => &["batched"],
            }),
        }
    }

    pub(super) fn workloads(self) -> Vec<Workload> {
        let echo = |connections, bytes, in_flight| Workload {
            name: format!("{connections} × {} × {in_flight}", size(bytes)),
            connections,
            bytes,
            in_flight,
        };
        let six = [
            echo(64, 20, 1),
            echo(64, 20, 16),
            echo(16, 1 << 10, 1),
            echo(16, 1 << 10, 16),
            echo(16, 16 << 10, 8),
            echo(4, 1 << 20, 2),
        ];
        match self {
            Suite::Echo | Suite::Text | Suite::Counted => six.into(),
            Suite::Matrix => [(64, 20), (16, 1 << 10), (16, 16 << 10), (4, 1 << 20)]
                .into_iter()
                .flat_map(|(connections, bytes)| {
                    [1, 16].map(|in_flight| echo(connections, bytes, in_flight))
                })
                .collect(),
            Suite::Handshakes => {
                vec![Workload { name: "64 at a time".to_owned(), ..echo(64, 0, 1) }]
            }
            Suite::Broadcast => [20, 1 << 10]
                .map(|bytes| Workload {
                    name: format!("1000 × {}", size(bytes)),
                    ..echo(1000, bytes, 1)
                })
                .into(),
            Suite::Memory => {
                vec![Workload { name: "8000 connections".to_owned(), ..echo(8000, 1000, 1) }]
            }
            Suite::Client => [20, 1 << 10, 16 << 10, 1 << 20]
                .map(|bytes| Workload { name: size(bytes), ..echo(1, bytes, 1) })
                .into(),
        }
    }

    /// The program that is measured.
    pub(super) fn program(self) -> &'static str {
        if self == Suite::Client { "client" } else { "server" }
    }

    /// The arguments of the load generator.
    pub(super) fn load(
        self,
        workload: &Workload,
        contender: &Contender,
        millis: u32,
    ) -> Vec<String> {
        let Workload { connections, bytes, in_flight, .. } = workload;
        let line = match self {
            Suite::Echo | Suite::Text | Suite::Matrix => {
                let protocol = if contender.name.starts_with("raw-") { "raw" } else { "ws" };
                let kind = contender.kind;
                format!("echo {protocol} {kind} {connections} {bytes} {in_flight} {millis}")
            }
            Suite::Handshakes => format!("handshakes {connections} {millis}"),
            Suite::Broadcast => format!("broadcast {connections} {bytes} {millis}"),
            // Counting needs no load: this is for those that are put under one.
            Suite::Memory | Suite::Counted => format!("idle {connections}"),
            Suite::Client => format!("sink {bytes} {millis}"),
        };
        line.split(' ').map(str::to_owned).collect()
    }

    /// The arguments of the program that is measured.
    pub(super) fn subject(self, workload: &Workload, contender: &Contender) -> [String; 2] {
        let second = match self {
            Suite::Client => workload.bytes.to_string(),
            _ => contender.mode.to_owned(),
        };
        [contender.name.to_owned(), second]
    }
}

/// What the echo servers can do.
fn echo_modes(name: &str) -> &'static [&'static str] {
    match name {
        // What arrives goes back, and an event loop writes once for each read.
        "raw-mio" | "raw-tokio" | "wsmio" => &["batched"],
        // It writes each frame by itself.
        "fastwebsockets" => &["each"],
        _ => &["each", "batched"],
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
