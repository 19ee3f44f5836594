//! TLS: what is made of PEM, and that the two configurations come together without a word of the
//! caller's about cryptography.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::panic)] // this is a test

use std::{io, sync::Arc};

use rcgen::{CertificateParams, DnType, KeyPair};
use wsconn::transport::{
    Error, Url,
    tls::{
        self, TlsFailure,
        rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection},
    },
};

/// A certificate for `name`, signed by itself, and its key, in PEM.
fn certificate(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Lets the two talk until neither has more to say; the client's error comes first.
fn talk(client: ClientConfig, url: &str, server: ServerConfig) -> io::Result<Connection> {
    let name = tls::server_name(&Url::parse(url).unwrap()).unwrap();
    let mut client: Connection =
        ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?.into();
    let mut server: Connection =
        ServerConnection::new(Arc::new(server)).map_err(io::Error::other)?.into();
    loop {
        let moved = pass(&mut server, &mut client)? + pass(&mut client, &mut server)?;
        if moved == 0 {
            return Ok(client);
        }
    }
}

fn pass(from: &mut Connection, to: &mut Connection) -> io::Result<usize> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire)?;
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest)?;
        to.process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(wire.len())
}

fn failure(client: ClientConfig, url: &str, server: ServerConfig) -> String {
    match talk(client, url, server) {
        Err(error) => match TlsFailure::of_handshake(error) {
            Error::Tls(it) if matches!(*it, TlsFailure::Protocol(_)) => it.to_string(),
            other => panic!("{other:?}"),
        },
        Ok(_) => panic!("they agreed"),
    }
}

#[test]
fn a_client_and_a_server_from_pem_agree_on_http_1_1() {
    let (cert, key) = certificate("example.org");
    let server = || tls::server_config(cert.as_bytes(), key.as_bytes()).unwrap();
    let client = || tls::client_config(tls::roots_from_pem(cert.as_bytes()).unwrap());
    let connection = talk(client(), "wss://example.org/", server()).unwrap();
    assert!(!connection.is_handshaking());
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));

    let problem = failure(client(), "wss://example.com/", server());
    assert!(problem.contains("not who it should be") && problem.contains("example.com"));

    let mut h2_only = server();
    h2_only.alpn_protocols = vec![b"h2".to_vec()];
    let problem = failure(client(), "wss://example.org/", h2_only);
    assert!(problem.contains("ALPN"), "{problem}");
}

#[test]
fn a_certificate_for_an_address_is_one_for_that_address() {
    for (name, host) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let (cert, key) = certificate(name);
        let server = tls::server_config(cert.as_bytes(), key.as_bytes()).unwrap();
        let client = tls::client_config(tls::roots_from_pem(cert.as_bytes()).unwrap());
        talk(client, &format!("wss://{host}:8443/"), server).unwrap();
    }
}

#[test]
fn only_a_client_without_verification_believes_an_unknown_certificate() {
    let (cert, key) = certificate("example.org");
    let (other, _) = certificate("an authority");
    let (forged, _) = certificate("example.org");
    let server = || tls::server_config(cert.as_bytes(), key.as_bytes()).unwrap();
    let client = tls::client_config(tls::roots_from_pem(other.as_bytes()).unwrap());
    let problem = failure(client, "wss://example.org/", server());
    assert!(problem.contains("not trusted"), "{problem}");
    let client = tls::client_config(tls::roots_from_pem(forged.as_bytes()).unwrap());
    let problem = failure(client, "wss://example.org/", server());
    assert!(problem.contains("not signed by the authority"), "{problem}");
    let client = tls::client_config_without_verification();
    talk(client, "wss://example.com/", server()).unwrap();
}

#[test]
fn pem_that_is_of_no_use_is_refused_with_a_reason() {
    let (cert, key) = certificate("example.org");
    let (_, other_key) = certificate("example.org");
    let truncated = cert.get(..cert.len() / 2).unwrap();
    let garbled = cert.replace("MII", "\u{0}");
    let server = |cert: &str, key: &str| {
        tls::server_config(cert.as_bytes(), key.as_bytes()).map(|_| ()).unwrap_err()
    };
    let roots = |pem: &str| tls::roots_from_pem(pem.as_bytes()).map(|_| ()).unwrap_err();
    for (error, why) in [
        (server("", &key), "no certificate in the PEM"),
        (server(&key, &key), "no certificate in the PEM"),
        (server(truncated, &key), "certificate is malformed"),
        (server(&garbled, &key), "certificate"),
        (server(&cert, ""), "no private key in the PEM"),
        (server(&cert, &cert), "no private key in the PEM"),
        (server(&cert, &other_key), "not the one of the certificate"),
        (roots("hello"), "no certificate in the PEM"),
        (roots(truncated), "malformed"),
    ] {
        assert!(
            matches!(&error, Error::Tls(it) if matches!(**it, TlsFailure::Setup(_))),
            "{error:?}"
        );
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_host_that_no_certificate_can_be_for_is_refused() {
    let url = Url::parse("wss://a_b!/").unwrap();
    let error = tls::server_name(&url).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
