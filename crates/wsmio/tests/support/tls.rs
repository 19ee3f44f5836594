//! Pairs of streams within TLS.

use std::{
    net::TcpStream,
    sync::{Arc, OnceLock},
    thread,
};

use rcgen::{CertificateParams, KeyPair};
use wsmio::tls::{
    self, TlsAcceptor, TlsStream,
    rustls::{ClientConfig, ServerConfig},
};

use super::Pair;

/// A server at `localhost`, and a client that trusts it and nobody else.
pub fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = OnceLock::new();
    let make = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".into()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let server = tls::server_config(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let roots = tls::roots_from_pem(chain.as_bytes()).unwrap();
        (server.into(), tls::client_config(roots).into())
    };
    CONFIGS.get_or_init(make).clone()
}

/// The client's side of TLS over a stream.
pub fn connect(tcp: TcpStream) -> TlsStream {
    let name = "localhost".try_into().unwrap();
    TlsStream::connect(tcp, configs().1, name, None).unwrap()
}

/// The client's side of TLS is that of whoever blocks.
impl Pair for TlsStream {
    fn pair() -> (Self, Self) {
        let (one, other) = TcpStream::pair();
        let other = thread::spawn(|| connect(other));
        let one = TlsAcceptor::new(configs().0).accept(one).unwrap();
        let other = other.join().unwrap();
        other.get_ref().set_nonblocking(false).unwrap();
        (one, other)
    }

    fn bound(&self) {
        self.get_ref().bound();
    }
}
