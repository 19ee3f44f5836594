use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use wsconn::{
    Time,
    opening::ClientOptions,
    transport::{Error, Url, random},
};

use crate::{WebSocket, core::Core, handshake};

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
        let url = Url::parse(url)?.without_tls()?;
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        // In a box: a task keeps room for the largest of its waits as long as it lives.
        let connecting = Box::pin(async {
            let tcp = TcpStream::connect((url.host(), url.port())).await?;
            // Small messages leave at once; those that belong together are written together.
            tcp.set_nodelay(true)?;
            self.upgrade(tcp, url).await
        });
        handshake::until(deadline, connecting).await
    }

    /// Does the opening handshake on a stream that is connected to the server of `url` already.
    ///
    /// Errors and cancel safety as for [`connect`](Self::connect).
    pub async fn connect_stream<S>(&self, stream: S, url: &str) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let url = Url::parse(url)?.without_tls()?;
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        handshake::until(deadline, Box::pin(self.upgrade(stream, url))).await
    }

    async fn upgrade<S>(&self, mut stream: S, url: Url) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let origin = Instant::now();
        let mut opening = url.opening(&self.options)?;
        handshake::write(&mut stream, opening.request()).await?;
        let inbox = handshake::read_head(&mut stream, |input| opening.receive(input)).await?;
        let now = Time::from_origin(origin.elapsed());
        let opened = opening.finish(random::masking_key, now).map_err(Error::Handshake)?;
        let core = Core::new(stream, opened.connection, origin);
        Ok(WebSocket::new(core, inbox, opened.subprotocol.map(String::into)))
    }
}
