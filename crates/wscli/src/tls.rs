//! The options for TLS.

use std::{fs, path::PathBuf};

use clap::Args;
use rcgen::CertifiedKey;
use wstokio::tls::{self, TlsAcceptor, rustls::ClientConfig};

#[derive(Args)]
pub(crate) struct ServerTls {
    /// Serve over TLS, with this chain of certificates in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve over TLS with a certificate made for this run, which nobody trusts: for trying out
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: bool,
}

#[derive(Args)]
pub(crate) struct ClientTls {
    /// For wss://, trust the authorities in this PEM file instead of those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For wss://, believe any server, whoever it is: for trying out
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl ServerTls {
    #[cfg(unix)]
    pub(crate) fn is_asked_for(&self) -> bool {
        self.tls_self_signed || self.tls_cert.is_some()
    }

    /// What accepts TLS on `host`, if it was asked for, to speak one of these protocols (ALPN), the best
    /// first.
    pub(crate) fn acceptor(
        &self,
        host: std::net::IpAddr,
        protocols: &[&str],
    ) -> Result<Option<TlsAcceptor>, String> {
        let (chain, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => (read(cert)?, read(key)?),
            _ if self.tls_self_signed => {
                let names =
                    ["localhost".into(), "127.0.0.1".into(), "::1".into(), host.to_string()];
                let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)
                    .map_err(|error| format!("cannot make a certificate: {error}"))?;
                eprintln!(
                    "the certificate is of this run only and signed by nobody: browsers warn of it, \
                     and `ws connect` needs --insecure"
                );
                (cert.pem().into_bytes(), signing_key.serialize_pem().into_bytes())
            }
            _ => return Ok(None),
        };
        let config = tls::server_config(&chain, &key);
        let mut config = config.map_err(|error| format!("cannot serve over TLS: {error}"))?;
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Ok(Some(TlsAcceptor::new(config)))
    }
}

impl ClientTls {
    /// The configuration that was asked for, if it is another than the default.
    pub(crate) fn config(&self) -> Result<Option<ClientConfig>, String> {
        if self.insecure {
            eprintln!(
                "--insecure: the server's certificate is not verified; whoever is in between can read \
                 and change everything"
            );
            return Ok(Some(tls::client_config_without_verification()));
        }
        let Some(file) = &self.ca else { return Ok(None) };
        let roots = tls::roots_from_pem(&read(file)?)
            .map_err(|error| format!("cannot use {}: {error}", file.display()))?;
        Ok(Some(tls::client_config(roots)))
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
