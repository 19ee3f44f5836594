//! What TLS needs on either transport: roots, keys and certificates, configurations for
//! [`rustls`], and why it failed.
//!
//! Every configuration made here names its crypto provider, *ring*, so none of them depends on a default
//! of the process, or panics for want of one. Do the same in one of your own: begin it with
//! `ClientConfig::builder_with_provider(tls::provider())`.

pub use rustls;

use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, InconsistentKeys, InvalidMessage,
    RootCertStore, ServerConfig,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{self, CryptoProvider},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};

use super::{Error, Url};

/// What we speak, in the words of ALPN (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// The provider of cryptography that all configurations here use.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| crypto::ring::default_provider().into()).clone()
}

/// The authorities that this system trusts. On Unix, `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
///
/// # Errors
///
/// [`Error::Tls`] if there are none.
pub fn platform_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that are too old to be parsed.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(setup(format!(
            "this system has no root certificates{why}: install them (the package is often called \
             ca-certificates), or choose others"
        )));
    }
    Ok(roots)
}

/// The authorities that Mozilla trusts, as they were when this program was built.
#[cfg(feature = "webpki-roots")]
pub fn bundled_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// The authorities whose certificates are in `pem`.
///
/// # Errors
///
/// [`Error::Tls`] if there are none, or one cannot be used.
pub fn roots_from_pem(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| {
            setup(format!("a certificate cannot be used as that of an authority: {error}"))
        })?;
    }
    Ok(roots)
}

/// A client that trusts servers whose certificate is of one of these authorities and for the host of
/// the URL.
pub fn client_config(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider());
    // Of the provider's cipher suites, some are for TLS 1.3 and some for 1.2.
    #[allow(clippy::expect_used)]
    let builder = builder.with_safe_default_protocol_versions().expect("ring has both versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_owned()];
    config
}

/// The client of [`platform_roots`], made once and shared by all that ask for no other.
pub fn default_client_config() -> Result<Arc<ClientConfig>, Error> {
    static DEFAULT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = DEFAULT.get() {
        return Ok(config.clone());
    }
    let config = client_config(platform_roots()?).into();
    Ok(DEFAULT.get_or_init(|| config).clone())
}

/// A client that believes every server, whoever it is: for trying out only. Whoever sits between can
/// read and change all that is sent.
pub fn client_config_without_verification() -> ClientConfig {
    let mut config = client_config(RootCertStore::empty());
    config.dangerous().set_certificate_verifier(Arc::new(NoVerification(provider())));
    config
}

/// A server with this chain of certificates, its own first, and the private key to that one, both in
/// PEM.
///
/// ```no_run
/// use wsconn::transport::tls;
///
/// let config = tls::server_config(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::Tls`] if they are not that, or do not belong together.
pub fn server_config(chain: &[u8], key: &[u8]) -> Result<ServerConfig, Error> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => setup(
            "there is no private key in the PEM (-----BEGIN PRIVATE KEY-----); an encrypted one has \
             to be decrypted first"
                .to_owned(),
        ),
        error => setup(format!("the PEM of the private key is malformed: {error}")),
    })?;
    let builder = ServerConfig::builder_with_provider(provider());
    #[allow(clippy::expect_used)] // As for a client.
    let builder = builder.with_safe_default_protocol_versions().expect("ring has both versions");
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            setup("the private key is not the one of the certificate".to_owned())
        }
        error => setup(format!("the certificate or its key cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![ALPN.to_owned()];
    Ok(config)
}

/// Whose certificate a server has to show.
///
/// # Errors
///
/// [`Error::Url`] if the host is neither a name of the DNS nor an address.
pub fn server_name(url: &Url) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(url.host().to_owned())
        .map_err(|_| Error::Url(format!("{:?} is no host that can have a certificate", url.host())))
}

/// Why TLS failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The TLS handshake failed: the peer's certificate is not to be trusted, or the two have no version in
    /// common, or one does not speak TLS. A record that is wrong later on is an [`Error::Io`].
    Protocol(rustls::Error),
    /// The peer ended the byte stream during the TLS handshake.
    Eof,
    /// What this side was given cannot be used; the text says why.
    Setup(String),
}

impl TlsFailure {
    /// What a TLS handshake over a byte stream came to: rustls reports its own errors inside those
    /// of the stream.
    pub fn of_handshake(error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Eof.into();
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::Protocol(error).into(),
            Err(error) => Error::Io(io::Error::new(
                error.kind(),
                format!("the connection failed during the TLS handshake: {error}"),
            )),
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => {
                f.write_str("the TLS handshake failed: ")?;
                explain(error, f)
            }
            Self::Eof => f.write_str("the peer ended the connection during the TLS handshake"),
            Self::Setup(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for TlsFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            _ => None,
        }
    }
}

fn explain(error: &rustls::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                f.write_str("the peer's certificate has expired")
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                f.write_str("the peer's certificate is not valid yet; is the clock right?")
            }
            Certificate::UnknownIssuer => f.write_str(
                "the peer's certificate is of an authority that is not trusted here, or its own",
            ),
            Certificate::BadSignature => {
                f.write_str("the peer's certificate is not signed by the authority that it names")
            }
            Certificate::Revoked => f.write_str("the peer's certificate has been revoked"),
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                write!(f, "the peer is not who it should be: {error}")
            }
            error => write!(f, "the peer's certificate is not accepted: {error}"),
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            f.write_str("the peer does not speak TLS on this port; plain WebSockets are ws://")
        }
        rustls::Error::NoApplicationProtocol => f.write_str(NO_ALPN),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate => {
                write!(f, "the peer does not trust our certificate ({alert:?})")
            }
            AlertDescription::CertificateRequired => {
                f.write_str("the peer wants a certificate of this side, too")
            }
            AlertDescription::UnrecognisedName => {
                f.write_str("the peer has no certificate for the name it was asked for")
            }
            AlertDescription::NoApplicationProtocol => f.write_str(NO_ALPN),
            alert => write!(f, "the peer gave it up ({alert:?})"),
        },
        error => fmt::Display::fmt(error, f),
    }
}

const NO_ALPN: &str = "the two have no protocol over TLS in common (ALPN); here it is http/1.1";

fn setup(problem: String) -> Error {
    TlsFailure::Setup(problem).into()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found
        .map_err(|error| setup(format!("the PEM of the certificate is malformed: {error}")))?;
    if found.is_empty() {
        return Err(setup(
            "there is no certificate in the PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
        ));
    }
    Ok(found)
}

/// Accepts any certificate. Signatures are checked all the same: that costs nothing, and finds a
/// broken peer.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
