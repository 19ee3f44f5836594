//! Certificates, and peers that speak TLS.
#![allow(dead_code)] // not every test uses all of it

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use wsconn::transport::tls::rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use wstokio::tls;

/// An authority for tests.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server with a certificate for `name`.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        self.server_with(CertificateParams::new([name.into()]).unwrap())
    }

    /// A server whose certificate was valid once.
    pub(crate) fn expired_server(&self, name: &str) -> ServerConfig {
        let mut params = CertificateParams::new([name.into()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.server_with(params)
    }

    fn server_with(&self, params: CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap();
        tls::server_config(chain.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
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
