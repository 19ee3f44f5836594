//! `ws connect`: lines of input go out as messages, messages come out as lines.

mod async_talk;
#[cfg(unix)]
mod blocking_talk;
mod console;

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use wstokio::{
    CloseCause, CloseCode, CloseInfo, Config, Error, Event, Message, Proxy, Side,
    deflate::DeflateOptions,
    opening::{ClientOptions, HandshakeError, HandshakeFailure},
    tls::{TlsFailure, rustls},
};

use self::console::Console;
use crate::{Transport, size, tls::ClientTls};

/// In seconds.
const YEAR: f64 = 365.0 * 86_400.0;

#[derive(Args)]
#[command(after_help = "\
Messages go to standard output, all else to standard error. On a terminal, control characters in
messages are escaped, and binary messages are shown in hex.

The exit status is 0 if either side closed the connection with 1000, 1001 or no code, 2 for a wrong
command line, and 1 for everything else.

Examples:
  ws connect ws://127.0.0.1:9001
  printf 'one\\ntwo\\n' | ws connect ws://127.0.0.1:9001
  ws connect --insecure wss://127.0.0.1:9001
  ws connect --header 'Authorization: Bearer 123' ws://127.0.0.1:9001/path")]
pub(crate) struct Arguments {
    /// The server, as in ws://127.0.0.1:9001/path or wss://user:password@example.org
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
    /// Do not offer permessage-deflate
    #[arg(long)]
    no_deflate: bool,
    #[command(flatten)]
    tls: ClientTls,
    /// Go through a proxy, as in http://127.0.0.1:3128 or socks5://user:password@127.0.0.1
    #[arg(long, value_name = "URL", value_parser = proxy)]
    proxy: Option<Proxy>,
    /// What moves the bytes
    #[arg(long, value_enum, default_value_t = Transport::Tokio)]
    transport: Transport,
}

pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err("a header is a name, a colon and a value".into()),
    }
}

fn proxy(text: &str) -> Result<Proxy, String> {
    Proxy::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // Such times are added to moments.
    if seconds > YEAR {
        return Err("longer than a year".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let mut config = Config::default();
    config.max_message_size = arguments.max_message;
    config.max_frame_size = arguments.max_message;
    let mut options = ClientOptions::default();
    options.config = Arc::new(config);
    options.headers = arguments.header;
    options.subprotocols = arguments.subprotocol;
    options.origin = arguments.origin;
    // One connection can afford to remember what was said.
    let mut deflate = DeflateOptions::default();
    deflate.context_takeover = true;
    deflate.peer_context_takeover = true;
    options.deflate = (!arguments.no_deflate).then_some(deflate);
    let talk = Talk {
        url: arguments.url,
        options,
        tls: arguments.tls.config()?.map(Arc::new),
        proxy: arguments.proxy,
        binary: arguments.binary,
        linger: arguments.linger,
    };
    let ended = match arguments.transport {
        Transport::Tokio => async_talk::run(&talk)?,
        #[cfg(unix)]
        Transport::Mio => blocking_talk::run(&talk)?,
    };
    // Whoever read the output has gone: nothing is left to do.
    let Some(info) = ended else { return Ok(ExitCode::SUCCESS) };
    eprintln!("{info}");
    if info.code == CloseCode::MESSAGE_TOO_BIG && info.by == Side::Local {
        eprintln!("--max-message raises the limit");
    }
    Ok(if is_clean(&info) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked of a transport.
#[derive(Clone)]
struct Talk {
    url: String,
    options: ClientOptions,
    tls: Option<Arc<rustls::ClientConfig>>,
    proxy: Option<Proxy>,
    binary: bool,
    linger: Duration,
}

impl Talk {
    fn connected(&self, subprotocol: Option<&str>) {
        match subprotocol {
            Some(subprotocol) => eprintln!("connected, subprotocol {subprotocol}"),
            None => eprintln!("connected"),
        }
    }

    /// The message that a line of input is, if it can be sent.
    fn message<'l>(&self, number: u64, line: &'l [u8]) -> Option<Message<'l>> {
        if self.binary {
            return Some(Message::Binary(line));
        }
        let text = std::str::from_utf8(line).map(Message::Text).ok();
        if text.is_none() {
            eprintln!("line {number} is not UTF-8 and was not sent; --binary sends any bytes");
        }
        text
    }
}

/// Shows what has come; `false` if whoever read the output has gone, as `head` does.
fn show(event: Event<'_>, console: &mut Console) -> Result<bool, String> {
    let shown = match event {
        Event::Message(Message::Text(text)) => console.text(text),
        Event::Message(Message::Binary(bytes)) => console.binary(bytes),
        Event::Ping(payload) => console.note(&format!("ping {}", printable(payload))),
        Event::Pong(payload) => console.note(&format!("pong {}", printable(payload))),
        _ => Ok(()),
    };
    match shown {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot write the output: {error}")),
    }
}

fn lost(error: &Error) -> String {
    format!("the connection was lost: {error}")
}

/// Whether both sides meant to end it.
fn is_clean(info: &CloseInfo) -> bool {
    let goodbye = [CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::NO_STATUS];
    info.cause == CloseCause::Handshake && goodbye.contains(&info.code)
}

fn printable(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok();
    match text.filter(|text| !text.chars().any(char::is_control)) {
        Some(text) => text.to_owned(),
        None => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What happened, and what to do about it.
pub(crate) fn cannot_connect(url: &str, error: &Error) -> String {
    let url = &without_user(url);
    let advice = match error {
        // It names the URL itself.
        Error::Url(problem) => return problem.clone(),
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let problem = "nothing listens there: is the server running, and the port right?";
            return format!("cannot connect to {url}: {problem}");
        }
        Error::Io(_) => "is the address right, and the network up?",
        Error::Timeout(_) => "is this the right port, and no firewall in between?",
        Error::Tls(failure) => match **failure {
            TlsFailure::Protocol(rustls::Error::InvalidCertificate(_)) => {
                "--ca trusts another authority, --insecure any server"
            }
            _ => "",
        },
        Error::Handshake(failure) => match **failure {
            HandshakeFailure::Status { status, .. } => match status {
                200..=299 | 404 | 405 | 426 => "check the path",
                300..=399 => "redirects are not followed: give its address yourself",
                401 => "give one with --header 'Authorization: …'",
                403 => "it may want another --origin, or a --header that says who you are",
                500..=599 => "try again later",
                _ => "",
            },
            HandshakeFailure::Peer(HandshakeError::Tls) => "give a wss:// address",
            HandshakeFailure::Eof | HandshakeFailure::Peer(_) => {
                "is this a server of WebSockets, and does it want TLS (wss://)?"
            }
            _ => "",
        },
        _ => "",
    };
    match advice {
        "" => format!("cannot connect to {url}: {error}"),
        advice => format!("cannot connect to {url}: {error}; {advice}"),
    }
}

/// The URL as it may be shown: without user and password.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://…{}", rest.get(user.len()..).unwrap_or_default()),
        None => url.to_owned(),
    }
}
