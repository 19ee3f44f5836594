use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use wsconn::{
    Time, Timeout,
    opening::ClientOptions,
    transport::{Error, Url, random},
};

use crate::{MaybeTls, Stream, WebSocket, handshake::Handshake, shared::Core};

/// Connects to a WebSocket server, as in `ws://127.0.0.1:8080/chat`, with the default options.
///
/// See [`Connector::connect`].
pub fn connect(url: &str) -> Result<WebSocket, Error> {
    Connector::default().connect(url)
}

/// Connects to servers.
///
/// ```no_run
/// use wsmio::{Connector, opening::ClientOptions};
///
/// let mut options = ClientOptions::default();
/// options.subprotocols = vec!["chat.v1".into()];
/// options.headers = vec![("Authorization".into(), "Bearer 123".into())];
/// let ws = Connector::new(options).connect("ws://127.0.0.1:8080/chat")?;
/// assert_eq!(ws.subprotocol(), Some("chat.v1"));
/// # Ok::<(), wsmio::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    options: ClientOptions,
    connect_timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<crate::tls::rustls::ClientConfig>>,
}

impl Default for Connector {
    fn default() -> Self {
        Self::new(ClientOptions::default())
    }
}

impl Connector {
    /// A connector with these options.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            options,
            connect_timeout: Duration::from_secs(10),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How long it may take until there is a TCP connection, with all addresses of the host together, each
    /// of which gets its share, but not the look-up of its name, which nothing can end. Default: 10
    /// seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The TLS configuration for `wss://`. Default: servers are to have a certificate of an authority
    /// that this system trusts, for the host of the URL.
    ///
    /// One of your own should offer no protocol but `http/1.1` (ALPN).
    #[cfg(feature = "tls")]
    pub fn tls(
        mut self,
        config: impl Into<std::sync::Arc<crate::tls::rustls::ClientConfig>>,
    ) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Connects over TCP, trying all addresses that the host has, one after the other; then does the TLS
    /// handshake, if the URL is `wss://`, and the opening handshake. The latter two together take at most
    /// [`ClientOptions::handshake_timeout`].
    ///
    /// A user and password in the URL become an `Authorization` header, unless the options have one.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if the URL is not one to connect to; [`Error::Io`] if there is no connection to
    /// be had; `Error::Tls` if the server's certificate is not to be trusted, or it speaks no TLS;
    /// [`Error::Handshake`] if the server does not open a WebSocket, with the status it answered;
    /// [`Error::Timeout`], which names the step. Redirects are reported and not followed.
    pub fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        let url = parse(url)?;
        let host = url.host();
        let addresses = (host, url.port()).to_socket_addrs();
        let addresses =
            addresses.map_err(|error| context(&error, &format!("cannot find {host}")))?;
        let deadline = Instant::now().checked_add(self.connect_timeout);
        let tcp = connect_to_any(&addresses.collect::<Vec<_>>(), deadline)?;
        // Small messages leave at once; those that belong together are written together.
        tcp.set_nodelay(true)?;
        self.upgrade(tcp, &url)
    }

    /// Does the handshakes on a stream that is connected to the server of `url` already. For one that is
    /// encrypted already, give a `ws://` URL.
    ///
    /// Errors as for [`connect`](Self::connect).
    pub fn connect_stream<S: Stream>(
        &self,
        stream: S,
        url: &str,
    ) -> Result<WebSocket<MaybeTls<S>>, Error> {
        self.upgrade(stream, &parse(url)?)
    }

    fn upgrade<S: Stream>(&self, stream: S, url: &Url) -> Result<WebSocket<MaybeTls<S>>, Error> {
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        #[cfg(feature = "tls")]
        let mut stream = if url.is_secure() {
            let secured = crate::tls::connect(self.tls.clone(), stream, url, deadline)?;
            MaybeTls::Tls(Box::new(secured))
        } else {
            MaybeTls::Plain(stream)
        };
        #[cfg(not(feature = "tls"))]
        let mut stream = MaybeTls::Plain(stream);
        let mut opening = url.opening(&self.options)?;
        let mut handshake = Handshake::new(&mut stream, deadline, Timeout::Handshake)?;
        handshake.write(opening.request())?;
        let read = handshake.read_head(|input| opening.receive(input))?;
        let opened = opening.finish(random::masking_key, Time::ZERO)?;
        let core = Core::new(stream, opened.connection);
        Ok(WebSocket::new(core, read, opened.subprotocol.map(String::into)))
    }
}

/// Tries these addresses in turn. Each gets its share of the time that is left, so that one that never
/// answers leaves some for the others.
fn connect_to_any(addresses: &[SocketAddr], deadline: Option<Instant>) -> Result<TcpStream, Error> {
    let mut problem = Error::Io(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.map(|at| at.saturating_duration_since(Instant::now()) / left);
        let connected = match share {
            // A timeout of zero would be a mistake.
            Some(share) => TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))),
            None => TcpStream::connect(address),
        };
        problem = match connected {
            Ok(tcp) => return Ok(tcp),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Error::Timeout(Timeout::Connect)
            }
            Err(error) => Error::Io(context(&error, &format!("cannot connect to {address}"))),
        };
    }
    Err(problem)
}

/// The same error, saying what was being done.
fn context(error: &io::Error, doing: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}

fn parse(url: &str) -> Result<Url, Error> {
    let url = Url::parse(url)?;
    if cfg!(feature = "tls") { Ok(url) } else { url.without_tls() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // this is a test

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn local() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[test]
    fn an_address_that_refuses_or_never_answers_leaves_time_for_the_next() {
        let listener = std::net::TcpListener::bind(local()).unwrap();
        let good = listener.local_addr().unwrap();
        // Bound, and not listening.
        let refusing = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        refusing.bind(&local().into()).unwrap();
        let refuses = refusing.local_addr().unwrap().as_socket().unwrap();
        // A backlog that is full drops what comes.
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&local().into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let short = Duration::from_millis(50);
        let mut waiting = Vec::new();
        while let Ok(tcp) = TcpStream::connect_timeout(&silent, short) {
            waiting.push(tcp);
        }

        let to_any = |addresses: &[SocketAddr], timeout| {
            let tcp = connect_to_any(addresses, Instant::now().checked_add(timeout))?;
            Ok(tcp.peer_addr()?)
        };
        assert_eq!(to_any(&[refuses, silent, good], 20 * short).unwrap(), good);
        let result = to_any(&[refuses, silent], short);
        assert!(matches!(result, Err(Error::Timeout(Timeout::Connect))), "{result:?}");
        let result = to_any(&[silent, refuses], short).map_err(|error| error.to_string());
        let text = result.unwrap_err();
        assert!(text.contains(&format!("cannot connect to {refuses}: ")), "{text}");
        let result = to_any(&[], short).map_err(|error| error.to_string());
        assert!(result.unwrap_err().contains("no address"));
    }
}
