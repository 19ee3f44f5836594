//! Certificates, and peers that speak TLS.
#![allow(dead_code)] // not every test uses all of it

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use wsconn::transport::tls::rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use wstest::certificates::{self, Certified};
use wstokio::tls;

/// An authority for tests.
pub(crate) struct Authority(certificates::Authority);

impl Authority {
    pub(crate) fn new() -> Self {
        Self(certificates::Authority::default())
    }

    /// A server with a certificate for `name`.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        server_with(&self.0.certify(name))
    }

    /// A server whose certificate was valid once.
    pub(crate) fn expired_server(&self, name: &str) -> ServerConfig {
        server_with(&self.0.certify_the_past(name))
    }

    /// A client that trusts this authority alone.
    pub(crate) fn client(&self) -> ClientConfig {
        tls::client_config(tls::roots_from_pem(self.0.pem().as_bytes()).unwrap())
    }

    /// The client's end of a TLS stream to "localhost", without a WebSocket over it.
    pub(crate) async fn connect<S>(&self, stream: S) -> TlsStream<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.client()));
        connector.connect(name, stream).await.unwrap()
    }
}

fn server_with(certified: &Certified) -> ServerConfig {
    tls::server_config(certified.chain.as_bytes(), certified.key.as_bytes()).unwrap()
}
