#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use wsconn::Role;
use wsconn::{
    Time, Timeout,
    opening::ClientOptions,
    transport::{Error, Proxy, Url, random},
};

use crate::{MaybeTls, WebSocket, core::Core, dial, handshake, trace};

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
#[derive(Clone, Debug)]
pub struct Connector {
    pub(crate) options: ClientOptions,
    connect_timeout: Duration,
    proxy: Through,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<crate::tls::rustls::ClientConfig>>,
}

/// Which way to the server.
#[derive(Clone, Debug)]
enum Through {
    Nothing,
    Proxy(Proxy),
    /// The proxy that the environment names when a connection is made.
    Environment,
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
            proxy: Through::Nothing,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How long it may take until there is a TCP connection to the server: the look-up of the host's
    /// name, all of its addresses, and the proxy if there is one. Default: 10 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Goes through this proxy. Default: none.
    ///
    /// ```
    /// use wstokio::{Connector, Proxy};
    ///
    /// let proxy = Proxy::parse("socks5://ada:secret@127.0.0.1:1080")?;
    /// let connector = Connector::default().proxy(proxy);
    /// # Ok::<(), wstokio::Error>(())
    /// ```
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Through::Proxy(proxy);
        self
    }

    /// Goes through the proxy that the environment names for each server, as [`Proxy::from_env`] finds
    /// it: `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`.
    pub fn proxy_from_env(mut self) -> Self {
        self.proxy = Through::Environment;
        self
    }

    /// The TLS configuration for `wss://`. Default: servers are to have a certificate of an authority
    /// that this system trusts, for the host of the URL.
    ///
    /// One of your own should offer no protocol but `http/1.1` (ALPN).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: impl Into<Arc<crate::tls::rustls::ClientConfig>>) -> Self {
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
    /// be had, or [`Error::Proxy`] none through the proxy; `Error::Tls` if the server's certificate is not to be trusted, or it speaks no TLS;
    /// [`Error::Handshake`] if the server does not open a WebSocket, with the status it answered;
    /// [`Error::Timeout`], which names the step. Redirects are reported and not followed.
    ///
    /// *Cancel safety*: dropping it drops the connection.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        let url = parse(url)?;
        // In a box: a task keeps room for the largest of its waits as long as it lives.
        let connecting = Box::pin(async {
            let tcp = self.dial(&url).await?;
            self.upgrade(tcp, url).await
        });
        connecting.await.inspect_err(|error| trace::failed(Role::Client, error))
    }

    /// Does the handshakes on a stream that is connected to the server of `url` already: a TCP stream
    /// with options of your own, a Unix socket, a tunnel. For a stream that is encrypted already, give
    /// a `ws://` URL.
    ///
    /// Errors and cancel safety as for [`connect`](Self::connect).
    pub async fn connect_stream<S>(
        &self,
        stream: S,
        url: &str,
    ) -> Result<WebSocket<MaybeTls<S>>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let upgraded = Box::pin(self.upgrade(stream, parse(url)?)).await;
        upgraded.inspect_err(|error| trace::failed(Role::Client, error))
    }

    pub(crate) async fn dial(&self, url: &Url) -> Result<TcpStream, Error> {
        let deadline = Instant::now().checked_add(self.connect_timeout);
        let found;
        let proxy = match &self.proxy {
            Through::Nothing => None,
            Through::Proxy(proxy) => Some(proxy),
            Through::Environment => {
                found = Proxy::from_env(url)?;
                found.as_ref()
            }
        };
        match proxy {
            None => dial::connect(url.host(), url.port(), deadline).await,
            Some(proxy) => dial::connect_through(proxy, url, deadline).await,
        }
    }

    async fn upgrade<S>(&self, stream: S, url: Url) -> Result<WebSocket<MaybeTls<S>>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        #[cfg(feature = "tls")]
        let stream = Self::secure(stream, &url, self.tls.clone(), deadline).await?;
        #[cfg(not(feature = "tls"))]
        let stream = MaybeTls::Plain(stream);
        handshake::until(deadline, Timeout::Handshake, self.open(stream, url)).await
    }

    /// Does the TLS handshake, if the URL is `wss://`.
    #[cfg(feature = "tls")]
    pub(crate) async fn secure<S>(
        stream: S,
        url: &Url,
        config: Option<Arc<crate::tls::rustls::ClientConfig>>,
        deadline: Option<Instant>,
    ) -> Result<MaybeTls<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !url.is_secure() {
            return Ok(MaybeTls::Plain(stream));
        }
        let secured = crate::tls::connect(config, stream, url);
        handshake::until(deadline, Timeout::Tls, secured).await
    }

    async fn open<S>(&self, mut stream: S, url: Url) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut opening = url.opening(&self.options)?;
        handshake::write(&mut stream, opening.request().as_bytes()).await?;
        let inbox = handshake::read_head(&mut stream, |input| opening.receive(input)).await?;
        let opened = opening.finish(random::masking_key, Time::ZERO)?;
        let core = Core::new(stream, opened.connection);
        Ok(WebSocket::new(core, inbox, opened.subprotocol.map(String::into)))
    }
}

pub(crate) fn parse(url: &str) -> Result<Url, Error> {
    let url = Url::parse(url)?;
    if cfg!(feature = "tls") { Ok(url) } else { url.without_tls() }
}
