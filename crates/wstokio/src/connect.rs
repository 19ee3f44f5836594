use http::Uri;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use wsconn::{
    Time,
    opening::{ClientOpening, ClientOptions},
};

use crate::{Error, WebSocket, core::Core, handshake, random};

/// Connects to a WebSocket server, as in `ws://127.0.0.1:8080/chat`, with the default options.
///
/// See [`Connector::connect`].
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    Connector::default().connect(url).await
}

/// Connects to servers.
///
/// ```no_run
/// # async fn connect() -> Result<(), wstokio::Error> {
/// use wstokio::{Connector, opening::ClientOptions};
///
/// let mut options = ClientOptions::default();
/// options.subprotocols = vec!["chat.v1".into()];
/// options.headers = vec![("Authorization".into(), "Bearer 123".into())];
/// let ws = Connector::new(options).connect("ws://127.0.0.1:8080/chat").await?;
/// assert_eq!(ws.subprotocol(), Some("chat.v1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Connector {
    options: ClientOptions,
}

impl Connector {
    /// A connector with these options.
    pub fn new(options: ClientOptions) -> Self {
        Self { options }
    }

    /// Connects over TCP, trying all addresses that the host has, and does the opening handshake. Both
    /// together take at most [`ClientOptions::handshake_timeout`].
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if the URL is not one to connect to; [`Error::Io`] if there is no connection to
    /// be had; [`Error::Handshake`] if the server does not open a WebSocket, with the status it
    /// answered; [`Error::Timeout`]. Redirects are reported and not followed.
    ///
    /// *Cancel safety*: dropping it drops the connection.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        let url = Url::parse(url)?;
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        handshake::until(deadline, async {
            let tcp = TcpStream::connect((url.host(), url.port())).await?;
            // Small messages leave at once; those that belong together are written together.
            tcp.set_nodelay(true)?;
            self.upgrade(tcp, url).await
        })
        .await
    }

    /// Does the opening handshake on a stream that is connected to the server of `url` already.
    ///
    /// Errors and cancel safety as for [`connect`](Self::connect).
    pub async fn connect_stream<S>(&self, stream: S, url: &str) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let url = Url::parse(url)?;
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        handshake::until(deadline, self.upgrade(stream, url)).await
    }

    async fn upgrade<S>(&self, mut stream: S, url: Url) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let origin = Instant::now();
        let Url { authority, target, .. } = url;
        let nonce = random::bytes();
        let opening =
            ClientOpening::new(self.options.clone(), authority, target, nonce, Time::ZERO);
        let mut opening = opening.map_err(|error| Error::Handshake(error.into()))?;
        handshake::write(&mut stream, opening.request()).await?;
        let inbox = handshake::read_head(&mut stream, |input| opening.receive(input)).await?;
        let now = Time::from_origin(origin.elapsed());
        let opened = opening.finish(random::masking_key, now).map_err(Error::Handshake)?;
        let core = Core::new(stream, opened.connection, origin);
        Ok(WebSocket::new(core, inbox, opened.subprotocol.map(String::into)))
    }
}

/// A `ws://` URL (RFC 6455 §3).
struct Url {
    uri: Uri,
    /// The host and the port, if it is not the default one: the `Host` header (§4.1).
    authority: String,
    /// The path and the query.
    target: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Url(format!("{url:?} is not a URL to connect to: {why}"));
        if url.contains('#') {
            // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs
            // and MUST NOT be used on these URIs."
            return Err(bad("it has a fragment (#…)"));
        }
        let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => {
                return Err(bad("wss:// needs TLS, which this build does not have; use ws://"));
            }
            _ => return Err(bad("it does not start with ws://")),
        }
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty())
        else {
            return Err(bad("it has no host"));
        };
        if authority.as_str().contains('@') {
            return Err(bad("a name and password belong into an Authorization header"));
        }
        let authority = match authority.port_u16() {
            Some(80) | None => authority.host().to_owned(),
            Some(_) => authority.as_str().to_owned(),
        };
        let target = match uri.path_and_query().map(|target| target.as_str()) {
            None | Some("") => "/".to_owned(),
            Some(target) if target.starts_with('?') => format!("/{target}"),
            Some(target) => target.to_owned(),
        };
        Ok(Self { uri, authority, target })
    }

    /// The name or address to connect to.
    fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(80)
    }
}
