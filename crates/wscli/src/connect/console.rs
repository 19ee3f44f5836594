//! Where lines come from and messages are shown: a terminal, where a line may be half typed, or pipes.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread::{self, JoinHandle},
};

use rustyline_async::{Readline, ReadlineEvent, SharedWriter};
use tokio::sync::{mpsc, oneshot};

/// Lines that may wait to be sent.
const LINES: usize = 64;

pub(super) enum Console {
    Terminal { writer: SharedWriter, stop: oneshot::Sender<()>, reading: JoinHandle<()> },
    Pipe,
}

impl Console {
    /// The console, and the lines that are put in.
    pub(super) fn open() -> Result<(Self, mpsc::Receiver<Vec<u8>>), String> {
        let (lines, input) = mpsc::channel(LINES);
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let console = if terminal { Self::terminal(lines)? } else { Self::pipe(lines) };
        Ok((console, input))
    }

    fn terminal(lines: mpsc::Sender<Vec<u8>>) -> Result<Self, String> {
        let no_terminal = |error: &dyn std::fmt::Display| format!("no terminal: {error}");
        let (readline, writer) =
            Readline::new("> ".to_owned()).map_err(|error| no_terminal(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| no_terminal(&error))?;
        let (stop, stopped) = oneshot::channel();
        let reading = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = read(readline, lines) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self::Terminal { writer, stop, reading })
    }

    fn pipe(lines: mpsc::Sender<Vec<u8>>) -> Self {
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            let mut line = Vec::new();
            while stdin.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                if line.ends_with(b"\n") {
                    line.pop();
                    if line.ends_with(b"\r") {
                        line.pop();
                    }
                }
                if lines.blocking_send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Self::Pipe
    }

    pub(super) fn message(&mut self, line: &[u8]) -> io::Result<()> {
        let write = |out: &mut dyn Write| {
            out.write_all(line)?;
            out.write_all(b"\n")?;
            out.flush()
        };
        match self {
            Self::Terminal { writer, .. } => write(writer),
            Self::Pipe => write(&mut io::stdout().lock()),
        }
    }

    /// A pipe gets the bytes as they are; a terminal is shown what they are.
    pub(super) fn binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Terminal { .. } => {
                let hex: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
                let more = if bytes.len() > 32 { "…" } else { "" };
                self.message(format!("[{} bytes] {hex}{more}", bytes.len()).as_bytes())
            }
            Self::Pipe => self.message(bytes),
        }
    }

    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        match self {
            Self::Terminal { writer, .. } => writeln!(writer, "{note}"),
            Self::Pipe => writeln!(io::stderr(), "{note}"),
        }
    }

    /// Gives the terminal back.
    pub(super) fn close(self) {
        if let Self::Terminal { stop, reading, .. } = self {
            let _ = stop.send(());
            let _ = reading.join();
        }
    }
}

/// Reads lines until the end of input.
async fn read(mut readline: Readline, lines: mpsc::Sender<Vec<u8>>) {
    while let Ok(ReadlineEvent::Line(line)) = readline.readline().await {
        readline.add_history_entry(line.clone());
        if lines.send(line.into_bytes()).await.is_err() {
            break;
        }
    }
    let _ = readline.flush();
}
