//! What people read: each error and each end is told in a sentence of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

use std::{
    collections::HashSet,
    fmt::{Debug, Display},
    sync::Arc,
};

use wsconn::{
    CloseCode, Connection, Delivery, Kind, Message, PreparedMessage, Role, Time, Timeout, Violation,
};
use wstest::drive::connection;

/// Each is a sentence of its own, which has the words that tell it from the others.
fn check<Error: Display + Debug>(errors: impl IntoIterator<Item = (Error, &'static str)>) {
    let mut seen = HashSet::new();
    for (error, part) in errors {
        let sentence = error.to_string();
        assert!(sentence.contains(part), "{error:?} is told as {sentence:?}");
        assert!(seen.insert(sentence), "{error:?} is told like another");
    }
}

#[test]
fn a_wait_that_was_too_long_is_told_with_its_setting() {
    check([
        (Timeout::Connect, "(connect_timeout)"),
        (Timeout::Proxy, "(connect_timeout)"),
        (Timeout::Tls, "(handshake_timeout)"),
        (Timeout::Handshake, "(handshake_timeout)"),
        (Timeout::Keepalive, "(keepalive_timeout)"),
        (Timeout::Close, "(close_timeout)"),
        (Timeout::Write, "(write_timeout)"),
    ]);
}

fn told(end: impl FnOnce(&mut Connection)) -> String {
    let mut connection = connection(Role::Client, &Arc::default());
    end(&mut connection);
    connection.close_info().unwrap().to_string()
}

/// Bytes of a server.
fn receive(connection: &mut Connection, bytes: &[u8]) {
    connection.receive(&mut bytes.to_vec(), Delivery::Messages, Time::ZERO);
}

#[test]
fn the_end_of_a_connection_is_told_by_who_caused_it_and_why() {
    let ends = [
        (told(|it| receive(it, b"\x88\x02\x03\xe9")), "closed by the peer: 1001 (going away)"),
        (
            told(|it| receive(it, b"\x88\x05\x03\xe8bye")),
            "closed by the peer: 1000 (normal closure) \"bye\"",
        ),
        (
            told(|it| {
                it.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
                receive(it, b"\x88\x00");
            }),
            "closed by this side: 1000 (normal closure)",
        ),
        (
            told(|it| receive(it, b"\x80\x00")),
            "failed with 1002 (protocol error) because of the peer: a continuation frame came while no \
             message was under way",
        ),
        (
            told(Connection::receive_eof),
            "the peer ended the connection without a closing handshake",
        ),
        (told(Connection::transport_failed), "the connection was lost"),
        (
            told(|it| {
                it.close(CloseCode::NORMAL, "", Time::ZERO).unwrap();
                it.handle_timeout(it.poll_timeout().unwrap());
            }),
            "the peer did not take what was queued and answer the close frame in time (close_timeout)",
        ),
    ];
    for (told, expected) in ends {
        assert_eq!(told, expected);
    }
}

#[test]
fn a_violation_is_told_in_words_that_fit_into_the_close_frame() {
    use wsframe::{CloseBody, CloseBodyError, FrameError};
    let violations = [
        Violation::Frame(FrameError::TooLarge { len: u64::MAX >> 1, limit: u64::MAX >> 1 }),
        Violation::Frame(FrameError::ReservedBits),
        Violation::MessageInsideMessage,
        Violation::MessageTooBig { limit: u64::MAX },
        Violation::TooManyFragments { limit: u32::MAX },
        Violation::CloseBody(CloseBodyError::Code(u16::MAX)),
        Violation::CloseBody(CloseBodyError::Reason),
    ];
    for violation in violations {
        assert!(violation.to_string().len() <= CloseBody::MAX_REASON, "{violation}");
    }
}

#[test]
fn what_a_log_shows_of_a_prepared_message_is_not_its_bytes() {
    let message = PreparedMessage::new("secret");
    assert_eq!(message.kind(), Kind::Text);
    assert_eq!(format!("{message:?}"), "PreparedMessage { kind: Text, len: 6, .. }");
    assert_eq!(Message::from(&message), Message::Text("secret"));
    assert_eq!(Message::from(&message).as_text(), Some("secret"));
    let message = PreparedMessage::new(b"\xff".as_slice());
    assert_eq!(Message::from(&message).as_text(), None);
}

#[cfg(feature = "handshake")]
#[test]
fn an_opening_handshake_that_failed_says_why_and_what_to_do() {
    use wsconn::opening::{HandshakeFailure, Http2Failure, Refusal};
    use wshandshake::{HandshakeError, InvalidInput};
    let status = |status, reason: &str, location: Option<&str>| HandshakeFailure::Status {
        status,
        reason: reason.into(),
        location: location.map(String::from),
    };
    check([
        (HandshakeError::HeadTooLong { limit: 9 }.into(), "9 bytes (max_head)"),
        (HandshakeError::TargetTooLong { limit: 9 }.into(), "9 bytes (max_head)"),
        (HandshakeError::Version.into(), "version 13"),
        (HandshakeFailure::Refused(Refusal::new(403, "go away")), "with 403: go away"),
        (
            HandshakeFailure::ForeignOrigin { origin: "https://b".into(), host: "a".into() },
            r#"page of "https://b" may not connect to "a" (ServerOptions::origin)"#,
        ),
        (HandshakeFailure::OriginEntry("a".into()), "\"a\" in ServerOptions::origin is no origin"),
        (status(302, "Found", Some("/b")), "302 Found: it wants you to connect to \"/b\""),
        (status(302, "", None), "302 instead of opening"),
        (status(401, "", None), "Authorization"),
        (status(407, "", None), "a proxy wants to know"),
        (status(200, "OK", None), "an ordinary page"),
        (HandshakeFailure::Deflate, "RFC 7692"),
        (Http2Failure::NotSpoken.into(), "ALPN"),
        (Http2Failure::NotEnabled.into(), "SETTINGS_ENABLE_CONNECT_PROTOCOL"),
        (Http2Failure::Reset { code: 8 }.into(), "stream: CANCEL"),
        (Http2Failure::GoAway { code: 0 }.into(), "GOAWAY"),
        (Http2Failure::Violation { code: 1 }.into(), "PROTOCOL_ERROR"),
        (Http2Failure::Ended.into(), "HTTP/2 connection has ended"),
        (InvalidInput::Target.into(), "request target"),
        (HandshakeFailure::Eof, "during the opening handshake"),
    ]);
}

#[cfg(feature = "transport")]
mod transport {
    use std::{error::Error as _, io};

    use wsconn::{
        Misuse,
        transport::{Error, ProxyFailure},
    };
    use wshandshake::HandshakeError;

    use super::*;

    #[test]
    fn a_proxy_that_does_not_connect_says_why() {
        let status = |status, reason: &str| ProxyFailure::Status { status, reason: reason.into() };
        check([
            (ProxyFailure::Io(io::ErrorKind::BrokenPipe.into()), "connection to the proxy failed"),
            (status(407, "Who"), "407 Who: it wants a user"),
            (status(403, ""), "403: it does not let you"),
            (status(503, ""), "503: it cannot reach the server"),
            (status(500, ""), "500 instead of connecting"),
            (ProxyFailure::Http(HandshakeError::HttpVersion), "is not HTTP"),
            (ProxyFailure::Http(HandshakeError::BadHead), "is not valid"),
            (ProxyFailure::Reply(1), "failed"),
            (ProxyFailure::Reply(2), "does not allow"),
            (ProxyFailure::Reply(3), "network of the server"),
            (ProxyFailure::Reply(4), "server cannot be reached"),
            (ProxyFailure::Reply(5), "refused"),
            (ProxyFailure::Reply(6), "in time"),
            (ProxyFailure::Reply(7), "CONNECT"),
            (ProxyFailure::Reply(8), "type of address"),
            (ProxyFailure::Reply(99), "unknown reason (reply 99)"),
            (ProxyFailure::Credentials, "a user and a password"),
            (ProxyFailure::Socks, "is not SOCKS 5"),
            (ProxyFailure::Surplus, "sent more"),
            (ProxyFailure::Eof, "ended the connection"),
            (ProxyFailure::Length, "255 bytes"),
        ]);
    }

    /// What each call that receives or sends makes room for.
    #[test]
    fn an_error_has_three_words() {
        assert_eq!(size_of::<Error>(), 3 * size_of::<usize>());
    }

    #[test]
    fn an_error_tells_what_it_was_made_of_and_where_it_came_from() {
        let cause = || io::Error::other("the disk is full");
        let errors = [
            (Error::Transfer(cause()), "bytes failed: the disk is full", true),
            (Error::Io(cause()), "the disk is full", false),
            (Misuse::Closed.into(), "closed or closing", false),
            (Misuse::LongControl(126).into(), "126 bytes are too many", false),
            (Error::Url("no host".into()), "no host", false),
            (ProxyFailure::Http(HandshakeError::BadHead).into(), "of the proxy", true),
            (ProxyFailure::Eof.into(), "ended the connection", false),
            (Error::Timeout(Timeout::Write), "(write_timeout)", false),
        ];
        for (error, part, has_source) in errors {
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.source().is_some_and(|it| !it.to_string().is_empty()), has_source);
        }
        assert!(matches!(Error::from(Misuse::Closed), Error::Closed));
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_that_failed_says_whose_fault_it_was() {
    use std::{error::Error as _, io};

    use wsconn::transport::{
        Error,
        tls::{
            TlsFailure, roots_from_pem,
            rustls::{self, AlertDescription as Alert, CertificateError as Certificate},
        },
    };
    let certificate = |error| rustls::Error::InvalidCertificate(error);
    let causes = [
        (certificate(Certificate::Expired), "has expired"),
        (certificate(Certificate::NotValidYet), "clock"),
        (certificate(Certificate::UnknownIssuer), "not trusted here"),
        (certificate(Certificate::BadSignature), "not signed by the authority"),
        (certificate(Certificate::Revoked), "revoked"),
        (certificate(Certificate::NotValidForName), "not who it should be"),
        (certificate(Certificate::BadEncoding), "is not accepted"),
        (rustls::Error::NoApplicationProtocol, "http/1.1"),
        (rustls::Error::AlertReceived(Alert::UnknownCA), "does not trust our certificate"),
        (rustls::Error::AlertReceived(Alert::CertificateRequired), "a certificate of this side"),
        (rustls::Error::AlertReceived(Alert::UnrecognisedName), "for the name it was asked for"),
        (rustls::Error::AlertReceived(Alert::InternalError), "gave it up (InternalError)"),
        (rustls::Error::DecryptError, "decrypt"),
    ];
    check(causes.map(|(cause, part)| {
        let failure = TlsFailure::of_handshake(io::Error::other(cause));
        assert!(failure.source().is_some());
        (failure, part)
    }));

    let ended = TlsFailure::of_handshake(io::ErrorKind::UnexpectedEof.into());
    assert!(matches!(&ended, Error::Tls(it) if matches!(**it, TlsFailure::Eof)));
    assert!(ended.source().is_none());
    assert!(ended.to_string().contains("ended the connection during the TLS handshake"));
    let reset = TlsFailure::of_handshake(io::ErrorKind::ConnectionReset.into());
    assert!(matches!(&reset, Error::Io(it) if it.kind() == io::ErrorKind::ConnectionReset));
    assert!(reset.to_string().contains("failed during the TLS handshake"));

    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = roots_from_pem(no_certificate.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("cannot be used as that of an authority"), "{error}");
}
