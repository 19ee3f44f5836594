//! TLS by [rustls], feature `tls`.
//!
//! A client needs nothing of this for `wss://` URLs: it trusts the authorities that its system trusts.
//! Whoever wants others gives [`Connector::tls`](crate::Connector::tls) a configuration:
//!
//! ```no_run
//! # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
//! use wstokio::{Connector, tls};
//!
//! let roots = tls::roots_from_pem(&std::fs::read("our-authority.pem")?)?;
//! let connector = Connector::default().tls(tls::client_config(roots));
//! let ws = connector.connect("wss://intranet.example/chat").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A server accepts TLS first, with a [`TlsAcceptor`], and then the WebSocket over it; so can one
//! whose requests come from hyper:
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use wstokio::{Acceptor, tls};
//!
//! let config = tls::server_config(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
//! let (tls, acceptor) = (tls::TlsAcceptor::new(config), Acceptor::default());
//!
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:443").await?;
//! loop {
//!     let (tcp, _) = listener.accept().await?;
//!     let (tls, acceptor) = (tls.clone(), acceptor.clone());
//!     tokio::spawn(async move {
//!         tcp.set_nodelay(true)?;
//!         let mut ws = acceptor.accept(tls.accept(tcp).await?).await?;
//!         ws.send("hello").await
//!     });
//! }
//! # }
//! ```
//!
//! # How a connection ends
//!
//! A side that ends the byte stream sends a close_notify first. One that is missing is an end like any
//! other: whether something was cut off, the closing handshake of the WebSocket tells. Before both close
//! frames the close is abnormal, after them it is clean.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
pub use tokio_rustls::server::TlsStream;
#[cfg(feature = "webpki-roots")]
pub use wsconn::transport::tls::bundled_roots;
pub use wsconn::transport::tls::{
    TlsFailure, client_config, client_config_without_verification, platform_roots, provider,
    roots_from_pem, rustls, server_config,
};
use wsconn::{
    Role, Timeout,
    transport::{Error, Url, tls},
};

use crate::{MaybeTls, handshake, trace};

/// Accepts TLS on streams that a client has just opened. Cheap to clone: make one, and use it for all.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<rustls::ServerConfig>,
    handshake_timeout: Duration,
}

impl TlsAcceptor {
    /// An acceptor with this configuration, from [`server_config`] or of your own.
    pub fn new(config: impl Into<Arc<rustls::ServerConfig>>) -> Self {
        Self { config: config.into(), handshake_timeout: Duration::from_secs(10) }
    }

    /// How long the TLS handshake may take, however the bytes come. Default: 10 seconds.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Does the TLS handshake. The stream is in a box, so that a task need not keep room for it wherever
    /// it passes through.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the client does not speak TLS, or the two have nothing in common; the client has
    /// been told in an alert. [`Error::Timeout`] if it was not over in time, [`Error::Io`] if the stream
    /// failed.
    ///
    /// *Cancel safety*: dropping it drops the stream.
    pub async fn accept<S>(&self, stream: S) -> Result<Box<TlsStream<S>>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = Instant::now().checked_add(self.handshake_timeout);
        let accept = tokio_rustls::TlsAcceptor::from(self.config.clone()).accept(stream);
        let accept = async { accept.await.map(Box::new).map_err(TlsFailure::of_handshake) };
        // In a box: a task keeps room for the largest of its waits as long as it lives.
        let accepted = Box::pin(handshake::until(deadline, Timeout::Tls, accept)).await;
        accepted.inspect_err(|error| trace::failed(Role::Server, error))
    }
}

/// Does the TLS handshake of a client.
pub(crate) async fn connect<S>(
    config: Option<Arc<rustls::ClientConfig>>,
    stream: S,
    url: &Url,
) -> Result<MaybeTls<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = tls::server_name(url)?;
    let config = config.map_or_else(tls::default_client_config, Ok)?;
    let connected = tokio_rustls::TlsConnector::from(config).connect(name, stream).await;
    Ok(MaybeTls::Tls(Box::new(connected.map_err(TlsFailure::of_handshake)?)))
}
