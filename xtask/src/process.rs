//! Running other programs.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::Result;

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a program to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result {
    println!("$ {}", show(command));
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    check(command, status)
}

/// Runs a program to its end and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|error| cannot_start(command, &error))?;
    check(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program starts and succeeds, whatever it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The program of this name on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// A program that runs beside us with its stdout going to a log file, and is killed when dropped.
pub(crate) struct Background {
    child: Child,
    shown: String,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Background {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        println!("$ {}", show(command));
        let mut file = File::create(log)
            .map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_start(command, &error))?;
        let stdout = child.stdout.take().ok_or("a child process has no stdout")?;
        let (sender, lines) = mpsc::channel();
        // Reads to the end, so that the program never finds its pipe full or closed.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                _ = writeln!(file, "{line}");
                _ = sender.send(line);
            }
        });
        Ok(Self { child, shown: show(command), lines, log: log.to_owned() })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line that contains `marker`.
    pub(crate) fn line_with(&self, marker: &str, within: Duration) -> Result<String> {
        loop {
            let line = self.lines.recv_timeout(within).map_err(|_| {
                format!(
                    "`{}` did not print a line with {marker:?} (see {} and what it printed above)",
                    self.shown,
                    self.log.display()
                )
            })?;
            if line.contains(marker) {
                return Ok(line);
            }
        }
    }

    /// Waits for the program to end; silence for longer than `silence` is an error.
    pub(crate) fn finish(mut self, silence: Duration) -> Result {
        loop {
            match self.lines.recv_timeout(silence) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "`{}` printed nothing for {} s and was stopped: {} shows how far it came",
                        self.shown,
                        silence.as_secs(),
                        self.log.display()
                    ));
                }
            }
        }
        let status = self
            .child
            .wait()
            .map_err(|error| format!("cannot wait for `{}`: {error}", self.shown))?;
        if status.success() {
            return Ok(());
        }
        Err(format!("`{}` failed ({status}): see {}", self.shown, self.log.display()))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn check(command: &Command, status: ExitStatus) -> Result {
    if status.success() {
        return Ok(());
    }
    Err(format!("`{}` failed ({status}): the reason is above", show(command)))
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().display();
    match error.kind() {
        ErrorKind::NotFound => {
            format!("`{program}` was not found: install it and run the command again")
        }
        _ => format!("`{program}` cannot be started: {error}"),
    }
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
