//! Where lines come from and messages are shown: a terminal, where a line may be half typed, or pipes.

use std::{
    borrow::Cow,
    io::{self, BufRead, IsTerminal, Write},
    thread::{self, JoinHandle},
};

use rustyline_async::{Readline, ReadlineEvent, SharedWriter};
use tokio::sync::{mpsc, oneshot};

/// Lines that may wait to be sent.
const LINES: usize = 64;

pub(super) enum Console {
    Terminal {
        writer: SharedWriter,
        stop: oneshot::Sender<()>,
        reading: JoinHandle<()>,
    },
    Pipe {
        /// What is written is shown on a terminal all the same.
        shown: bool,
    },
}

impl Console {
    /// The console, and the lines that are put in.
    pub(super) fn open() -> Result<(Self, mpsc::Receiver<Vec<u8>>), String> {
        let (lines, input) = mpsc::channel(LINES);
        let shown = io::stdout().is_terminal();
        let terminal = shown && io::stdin().is_terminal();
        let console = if terminal { Self::terminal(lines)? } else { Self::pipe(lines, shown) };
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

    fn pipe(lines: mpsc::Sender<Vec<u8>>, shown: bool) -> Self {
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
        Self::Pipe { shown }
    }

    /// Writes a message that is text.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        let text = self.as_shown(text);
        self.line(text.as_bytes())
    }

    /// Writes a message that is binary.
    pub(super) fn binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        if matches!(self, Self::Pipe { shown: false }) {
            return self.line(bytes);
        }
        let hex: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
        let more = if bytes.len() > 32 { "…" } else { "" };
        self.line(format!("[{} bytes] {hex}{more}", bytes.len()).as_bytes())
    }

    /// A pipe gets the text as it is. What would act on a terminal is shown as what it is.
    fn as_shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if matches!(self, Self::Pipe { shown: false }) {
            return text.into();
        }
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            match char.is_control() && !matches!(char, '\n' | '\t') {
                true => shown.extend(char.escape_default()),
                false => shown.push(char),
            }
        }
        shown.into()
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let write = |out: &mut dyn Write| {
            out.write_all(line)?;
            out.write_all(b"\n")?;
            out.flush()
        };
        match self {
            Self::Terminal { writer, .. } => write(writer),
            Self::Pipe { .. } => write(&mut io::stdout().lock()),
        }
    }

    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        match self {
            Self::Terminal { writer, .. } => writeln!(writer, "{note}"),
            Self::Pipe { .. } => writeln!(io::stderr(), "{note}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_what_would_act_on_it_and_a_pipe_gets_it() {
        let (terminal, pipe) = (Console::Pipe { shown: true }, Console::Pipe { shown: false });
        for (text, shown) in [
            ("a\tb\nc \u{fc}", "a\tb\nc \u{fc}"),
            ("\x1b]0;title\x07\r", r"\u{1b}]0;title\u{7}\r"),
            ("\u{fc}\u{9b}2J\x7f\0", "\u{fc}\\u{9b}2J\\u{7f}\\u{0}"),
        ] {
            assert_eq!(terminal.as_shown(text), shown);
            assert_eq!(pipe.as_shown(text), text);
        }
    }
}
