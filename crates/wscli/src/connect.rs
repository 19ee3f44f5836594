//! `ws connect`: lines of input go out as messages, messages come out as lines.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;
use rustyline_async::{Readline, ReadlineEvent, SharedWriter};
use tokio::{sync::mpsc, time::sleep};
use wstokio::{
    CloseCause, CloseCode, CloseInfo, Config, Connector, Error, Event, Message, Receiver, Sender,
    Side,
    opening::{ClientOptions, HandshakeFailure},
};

use crate::{Transport, size};

#[derive(Args)]
#[command(after_help = "\
Messages go to standard output, all else to standard error.

The exit status is 0 if either side closed the connection with 1000, 1001 or no code, 2 for a wrong
command line, and 1 for everything else.

Examples:
  ws connect ws://127.0.0.1:9001
  printf 'one\\ntwo\\n' | ws connect ws://127.0.0.1:9001
  ws connect --header 'Authorization: Bearer 123' ws://127.0.0.1:9001/path")]
pub(crate) struct Arguments {
    /// The server, as in ws://127.0.0.1:9001/path
    url: String,
    /// Send binary messages instead of text
    #[arg(long)]
    binary: bool,
    /// Add a header to the request, as in 'Authorization: Bearer 123'; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Offer a subprotocol; may be repeated, the best first
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// Send an Origin header, as a browser would
    #[arg(long)]
    origin: Option<String>,
    /// How long to wait for replies after the end of input
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    linger: Duration,
    /// The longest message to take, as in 64MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "16MiB")]
    max_message: u64,
    /// What moves the bytes
    #[arg(long, value_enum, default_value_t = Transport::Tokio)]
    transport: Transport,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err("a header is a name, a colon and a value".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let Transport::Tokio = arguments.transport;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let ended = runtime.block_on(talk(arguments));
    // A thread may be waiting for a line that will not come.
    runtime.shutdown_background();
    ended
}

async fn talk(arguments: Arguments) -> Result<ExitCode, String> {
    let mut config = Config::default();
    config.max_message_size = arguments.max_message;
    config.max_frame_size = arguments.max_message;
    let mut options = ClientOptions::default();
    options.config = Arc::new(config);
    options.headers = arguments.header;
    options.subprotocols = arguments.subprotocol;
    options.origin = arguments.origin;
    let ws = Connector::new(options).connect(&arguments.url).await;
    let ws = ws.map_err(|error| cannot_connect(&arguments.url, &error))?;
    match ws.subprotocol() {
        Some(subprotocol) => eprintln!("connected, subprotocol {subprotocol}"),
        None => eprintln!("connected"),
    }

    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let (mut rx, tx) = ws.split();
    let (lines, input) = mpsc::channel(64);
    let mut output = if terminal { Output::terminal(lines)? } else { Output::pipe(lines) };
    let sending = tokio::spawn(send(tx, input, arguments.binary, arguments.linger));
    let received = receive(&mut rx, &mut output).await;
    sending.abort();
    output.restore();
    match (received, rx.close_info()) {
        (Err(error), _) => Err(error),
        (Ok(()), Some(info)) => {
            eprintln!("{info}");
            if info.code == CloseCode::MESSAGE_TOO_BIG && info.by == Side::Local {
                eprintln!("--max-message raises the limit");
            }
            Ok(if is_clean(info) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        (Ok(()), None) => Ok(ExitCode::FAILURE),
    }
}

/// Whether both sides meant to end it.
fn is_clean(info: &CloseInfo) -> bool {
    let goodbye = [CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::NO_STATUS];
    info.cause == CloseCause::Handshake && goodbye.contains(&info.code)
}

/// Sends what is put in, and closes some time after the end of it.
async fn send(mut tx: Sender, mut input: mpsc::Receiver<Vec<u8>>, binary: bool, linger: Duration) {
    let result = async {
        let mut number = 0_u64;
        while let Some(line) = input.recv().await {
            number += 1;
            let message = match std::str::from_utf8(&line) {
                _ if binary => Message::Binary(&line),
                Ok(text) => Message::Text(text),
                Err(_) => {
                    eprintln!(
                        "line {number} is not UTF-8 and was not sent; --binary sends any bytes"
                    );
                    continue;
                }
            };
            tx.feed(message).await?;
            if input.is_empty() {
                tx.flush().await?;
            }
        }
        tx.flush().await?;
        sleep(linger).await;
        tx.close(CloseCode::NORMAL, "").await
    };
    // The receiving half tells how the connection ended.
    let _: Result<(), Error> = result.await;
}

/// Shows what comes until the connection ends.
async fn receive(rx: &mut Receiver, output: &mut Output) -> Result<(), String> {
    let lost = |error: Error| format!("the connection was lost: {error}");
    while let Some(event) = rx.recv_event().await.map_err(lost)? {
        let shown = match event {
            Event::Message(Message::Text(text)) => output.message(text.as_bytes()),
            Event::Message(Message::Binary(bytes)) => output.binary(bytes),
            Event::Ping(payload) => output.note(&format!("ping {}", printable(payload))),
            Event::Pong(payload) => output.note(&format!("pong {}", printable(payload))),
            _ => Ok(()),
        };
        shown.map_err(|error| format!("cannot write the output: {error}"))?;
    }
    Ok(())
}

fn printable(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok();
    match text.filter(|text| !text.chars().any(char::is_control)) {
        Some(text) => text.to_owned(),
        None => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What happened, and what to do about it.
fn cannot_connect(url: &str, error: &Error) -> String {
    let advice = match error {
        // It names the URL itself.
        Error::Url(problem) => return problem.clone(),
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let problem = "nothing listens there: is the server running, and the port right?";
            return format!("cannot connect to {url}: {problem}");
        }
        Error::Io(_) => "is the address right, and the network up?",
        Error::Timeout(_) => "is this a server for ws://, without TLS, and no firewall in between?",
        Error::Handshake(HandshakeFailure::Status { status, .. }) => match status {
            200..=299 | 404 | 405 | 426 => "check the path",
            300..=399 => "redirects are not followed: give its ws:// address yourself",
            401 => "give one with --header 'Authorization: …'",
            403 => "it may want another --origin, or a --header that says who you are",
            500..=599 => "try again later",
            _ => "",
        },
        Error::Handshake(HandshakeFailure::Eof | HandshakeFailure::Peer(_)) => {
            "is this a server for ws://, without TLS?"
        }
        _ => "",
    };
    match advice {
        "" => format!("cannot connect to {url}: {error}"),
        advice => format!("cannot connect to {url}: {error}; {advice}"),
    }
}

/// Where messages are shown: a terminal, where a line may be half typed, or a pipe.
enum Output {
    Terminal(SharedWriter, tokio::task::JoinHandle<()>),
    Pipe,
}

impl Output {
    fn terminal(lines: mpsc::Sender<Vec<u8>>) -> Result<Self, String> {
        let (mut readline, writer) =
            Readline::new("> ".to_owned()).map_err(|error| format!("no terminal: {error}"))?;
        let reading = tokio::spawn(async move {
            while let Ok(ReadlineEvent::Line(line)) = readline.readline().await {
                readline.add_history_entry(line.clone());
                if lines.send(line.into_bytes()).await.is_err() {
                    break;
                }
            }
            let _ = readline.flush();
        });
        Ok(Self::Terminal(writer, reading))
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

    fn message(&mut self, line: &[u8]) -> io::Result<()> {
        let write = |out: &mut dyn Write| {
            out.write_all(line)?;
            out.write_all(b"\n")?;
            out.flush()
        };
        match self {
            Self::Terminal(writer, _) => write(writer),
            Self::Pipe => write(&mut io::stdout().lock()),
        }
    }

    /// A pipe gets the bytes as they are; a terminal is shown what they are.
    fn binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Terminal(..) => {
                let hex: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
                let more = if bytes.len() > 32 { "…" } else { "" };
                self.message(format!("[{} bytes] {hex}{more}", bytes.len()).as_bytes())
            }
            Self::Pipe => self.message(bytes),
        }
    }

    fn note(&mut self, note: &str) -> io::Result<()> {
        match self {
            Self::Terminal(writer, _) => writeln!(writer, "{note}"),
            Self::Pipe => writeln!(io::stderr(), "{note}"),
        }
    }

    /// Gives the terminal back.
    fn restore(self) {
        if let Self::Terminal(writer, reading) = self {
            drop(writer);
            reading.abort();
        }
    }
}
