//! TLS that fails: each error says which step it was, and why.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod tls_support;

use std::time::Duration;

use tls_support::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
    time::{Instant, sleep},
};
use wsconn::transport::tls::rustls::{ClientConfig, ServerConfig};
use wshandshake::HandshakeError;
use wstokio::{
    Acceptor, Connector, Error, Timeout,
    opening::HandshakeFailure,
    tls::{self, TlsAcceptor, TlsFailure},
};

/// What each side says of a TLS handshake over loopback that fails.
async fn both_fail(client: ClientConfig, server: ServerConfig) -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::new(server);
    let connector = Connector::default().tls(client);
    let (connected, accepted) = tokio::join!(connector.connect(&url), async {
        acceptor.accept(listener.accept().await.unwrap().0).await.map(|_| ())
    });
    (tls_failure(connected.map(|_| ())), tls_failure(accepted))
}

fn tls_failure(result: Result<(), Error>) -> String {
    match result.unwrap_err() {
        Error::Tls(it) if matches!(*it, TlsFailure::Protocol(_)) => it.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_says_what_is_wrong_and_the_server_hears_of_it() {
    let authority = Authority::new();
    let name = "127.0.0.1";
    let nobody = tls::client_config(tls::rustls::RootCertStore::empty());
    for (client, server, why) in [
        (nobody, authority.server(name), "of an authority that is not trusted here"),
        (authority.client(), authority.server("localhost"), "not who it should be"),
        (authority.client(), authority.expired_server(name), "has expired"),
    ] {
        let (client, server) = both_fail(client, server).await;
        assert!(
            client.starts_with("the TLS handshake failed: ") && client.contains(why),
            "{client}"
        );
        assert!(server.contains("does not trust our certificate"), "{server}");
    }
}

#[tokio::test]
async fn the_default_roots_do_not_trust_a_stranger() {
    let roots = tls::platform_roots();
    // A machine without any has an error that says so.
    let Ok(roots) = roots else { return assert!(roots.unwrap_err().to_string().contains("root")) };
    let server = Authority::new().server("127.0.0.1");
    let (client, _) = both_fail(tls::client_config(roots), server).await;
    assert!(client.contains("not trusted"), "{client}");
}

#[cfg(feature = "webpki-roots")]
#[tokio::test]
async fn nor_do_the_bundled_ones() {
    let server = Authority::new().server("127.0.0.1");
    let (client, _) = both_fail(tls::client_config(tls::bundled_roots()), server).await;
    assert!(client.contains("not trusted"), "{client}");
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_server_that_does_not_choose_http2_does_not_speak_it() {
    let authority = Authority::new();
    let connector = Connector::default().tls(authority.client());
    // One without a protocol in common ends the TLS handshake, one without any goes on (RFC 7301 §3.2).
    for spoken in [vec![b"http/1.1".to_vec()], vec![]] {
        let mut server = authority.server("localhost");
        server.alpn_protocols = spoken;
        let acceptor = TlsAcceptor::new(server);
        let (ours, theirs) = duplex(64 << 10);
        let connecting = connector.connect_http2_stream(ours, "wss://localhost/");
        let (connected, _) = tokio::join!(connecting, acceptor.accept(theirs));
        let error = connected.map(|_| ()).unwrap_err();
        let Error::Handshake(failure) = &error else { panic!("{error:?}") };
        let not_spoken = HandshakeFailure::Http2(wstokio::http2::Http2Failure::NotSpoken);
        assert_eq!(**failure, not_spoken, "{error}");
    }
}

#[tokio::test]
async fn a_client_without_verification_connects_to_whomever() {
    let acceptor = TlsAcceptor::new(Authority::new().expired_server("example.org"));
    let (ours, theirs) = duplex(64 << 10);
    let connector = Connector::default().tls(tls::client_config_without_verification());
    let (connected, accepted) =
        tokio::join!(connector.connect_stream(ours, "wss://localhost/"), async {
            Acceptor::default().accept(acceptor.accept(theirs).await?).await
        });
    assert!(connected.is_ok() && accepted.is_ok());
}

/// Connects to a server that answers the first bytes with these, and keeps the stream.
async fn answered_with(url: &str, answer: &[u8]) -> Error {
    let (ours, mut theirs) = duplex(64 << 10);
    let connector = Connector::default().tls(Authority::new().client());
    let (connected, ()) = tokio::join!(connector.connect_stream(ours, url), async {
        assert!(theirs.read(&mut [0; 4096]).await.unwrap() > 0);
        theirs.write_all(answer).await.unwrap();
    });
    connected.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_server_without_tls_is_noticed_by_its_first_bytes() {
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x00\x00"]
    {
        let error = answered_with("wss://localhost/", answer).await;
        assert!(
            matches!(&error, Error::Tls(it) if matches!(**it, TlsFailure::Protocol(_))),
            "{error:?}"
        );
        assert!(error.to_string().contains("does not speak TLS on this port"), "{error}");
    }
}

#[tokio::test]
async fn a_server_with_tls_or_without_http_is_noticed_by_its_first_bytes() {
    // Alerts, as OpenSSL and rustls send them: unknown message, unexpected message.
    for (answer, expected) in [
        (&b"\x15\x03\x01\x00\x02\x02\x46"[..], HandshakeError::Tls),
        (b"\x15\x03\x03\x00\x02\x02\x0a", HandshakeError::Tls),
        (b"S", HandshakeError::HttpVersion),
        (b"220 mail.example.org ESMTP", HandshakeError::HttpVersion),
    ] {
        let error = answered_with("ws://localhost/", answer).await;
        let Error::Handshake(failure) = &error else { panic!("{error:?}") };
        assert_eq!(**failure, HandshakeFailure::Peer(expected));
    }
    let error = answered_with("ws://localhost/", b"\x15").await;
    assert!(error.to_string().contains("speaks TLS on this port"), "{error}");
}

#[tokio::test]
async fn a_plain_client_of_our_tls_server_is_told_in_an_alert_and_knows_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::new(Authority::new().server("localhost"));
    let (connected, accepted) = tokio::join!(wstokio::connect(&url), async {
        acceptor.accept(listener.accept().await.unwrap().0).await.map(|_| ())
    });
    let server = tls_failure(accepted);
    assert!(server.contains("does not speak TLS"), "{server}");
    let Err(error) = connected else { panic!("it connected") };
    let known = HandshakeFailure::Peer(HandshakeError::Tls).to_string();
    // Or the connection was reset while the alert was on its way.
    assert!(matches!(error, Error::Io(_)) || error.to_string() == known, "{error:?}");
}

#[tokio::test]
async fn a_tls_client_of_our_plain_server_is_refused_at_once() {
    let (ours, theirs) = duplex(64 << 10);
    let connector = Connector::default().tls(Authority::new().client());
    let plain = Acceptor::default();
    let (connected, accepted) =
        tokio::join!(connector.connect_stream(ours, "wss://localhost/"), plain.accept(theirs));
    let problem = tls_failure(connected.map(|_| ()));
    assert!(problem.contains("does not speak TLS on this port"), "{problem}");
    match accepted.map(|_| ()) {
        Err(Error::Handshake(it)) if *it == HandshakeFailure::Peer(HandshakeError::Tls) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_in_the_tls_handshake_is_given_up_by_both_roles() {
    let (ours, _theirs) = duplex(64 << 10);
    let connector = Connector::default().tls(Authority::new().client());
    let connected = connector.connect_stream(ours, "wss://localhost/").await.map(|_| ());
    assert!(matches!(connected, Err(Error::Timeout(Timeout::Tls))), "{connected:?}");
    assert!(connected.unwrap_err().to_string().contains("TLS handshake"));

    let (ours, _theirs) = duplex(64 << 10);
    let acceptor = TlsAcceptor::new(Authority::new().server("localhost"));
    let before = Instant::now();
    let acceptor = acceptor.handshake_timeout(Duration::from_secs(3));
    let accepted = acceptor.accept(ours).await.map(|_| ());
    assert!(matches!(accepted, Err(Error::Timeout(Timeout::Tls))), "{accepted:?}");
    assert_eq!(before.elapsed().as_secs(), 3);
}

/// Writes a byte of a record of 16 KiB ten times a second until the other end is gone.
async fn drip(mut stream: DuplexStream) {
    for byte in [22, 3, 3, 0x40].into_iter().chain(std::iter::repeat(0)) {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_drips_its_part_of_the_tls_handshake_is_given_up_by_both_roles() {
    let (ours, theirs) = duplex(64 << 10);
    let connector = Connector::default().tls(Authority::new().client());
    let before = Instant::now();
    let connected =
        tokio::join!(connector.connect_stream(ours, "wss://localhost/"), drip(theirs)).0;
    let connected = connected.map(|_| ());
    assert!(matches!(connected, Err(Error::Timeout(Timeout::Tls))), "{connected:?}");
    assert_eq!(before.elapsed().as_secs(), 10);

    let (ours, theirs) = duplex(64 << 10);
    let acceptor = TlsAcceptor::new(Authority::new().server("localhost"));
    let before = Instant::now();
    let accepted = tokio::join!(acceptor.accept(ours), drip(theirs)).0.map(|_| ());
    assert!(matches!(accepted, Err(Error::Timeout(Timeout::Tls))), "{accepted:?}");
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_peer_that_goes_away_in_the_tls_handshake_is_reported_as_that() {
    let connector = Connector::default().tls(Authority::new().client());
    let acceptor = TlsAcceptor::new(Authority::new().server("localhost"));
    let (ours, theirs) = duplex(64 << 10);
    let client = async move {
        let mut theirs = theirs;
        assert!(theirs.read(&mut [0; 16]).await.unwrap() > 0);
    };
    let (connected, ()) = tokio::join!(connector.connect_stream(ours, "wss://localhost/"), client);
    match connected.map(|_| ()).unwrap_err() {
        Error::Tls(it) => assert!(matches!(*it, TlsFailure::Eof), "{it:?}"),
        error => assert!(matches!(error, Error::Io(_)), "{error:?}"),
    }

    let (ours, mut theirs) = duplex(64 << 10);
    theirs.write_all(b"\x16\x03\x01").await.unwrap();
    drop(theirs);
    let accepted = acceptor.accept(ours).await.map(|_| ());
    let Err(Error::Tls(failure)) = accepted else { panic!("{accepted:?}") };
    assert!(matches!(*failure, TlsFailure::Eof), "{failure:?}");
}

#[tokio::test]
async fn an_end_without_close_notify_in_the_opening_handshake_is_an_end() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server("localhost"));
    let (ours, theirs) = duplex(64 << 10);
    let (tls, client) = tokio::join!(acceptor.accept(ours), authority.connect(theirs));
    drop(client);
    let error = Acceptor::default().accept(tls.unwrap()).await.map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Handshake(it) if **it == HandshakeFailure::Eof), "{error:?}");
}

#[test]
fn no_crypto_provider_of_the_process_is_needed_or_set() {
    let _ = (Authority::new().client(), Authority::new().server("localhost"));
    assert!(tls::rustls::crypto::CryptoProvider::get_default().is_none());
}
