//! Pairs of streams within TLS.

use std::{
    net::TcpStream,
    sync::{Arc, OnceLock},
    thread,
};

use wsmio::tls::{
    self, TlsAcceptor, TlsStream,
    rustls::{ClientConfig, ServerConfig},
};

use wstest::certificates::{Authority, Certified};

use super::Pair;

/// A server at `localhost`, and a client that trusts it and nobody else.
pub fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = OnceLock::new();
    let make = || {
        let authority = Authority::default();
        (server(&authority.certify("localhost")), client(&authority))
    };
    CONFIGS.get_or_init(make).clone()
}

/// A server with this certificate.
pub fn server(certified: &Certified) -> Arc<ServerConfig> {
    tls::server_config(certified.chain.as_bytes(), certified.key.as_bytes()).unwrap().into()
}

/// A client that trusts this authority alone.
pub fn client(authority: &Authority) -> Arc<ClientConfig> {
    tls::client_config(tls::roots_from_pem(authority.pem().as_bytes()).unwrap()).into()
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
