use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use crate::Config;
#[cfg(feature = "deflate")]
use crate::deflate::DeflateOptions;

/// What a server wants of an opening handshake, and of the connection it ends in.
///
/// ```
/// use wsconn::opening::{OriginPolicy, ServerOptions};
///
/// let mut options = ServerOptions::default();
/// options.subprotocols = vec!["chat.v2".into(), "chat.v1".into()];
/// options.origin = OriginPolicy::List(vec!["https://example.org".into()]);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The limits and waits of the connection.
    pub config: Arc<Config>,
    /// Which pages may connect. Default: those of the same host.
    pub origin: OriginPolicy,
    /// The subprotocols the server speaks, the best first. The first one that the client offers too is
    /// agreed. Default: none.
    pub subprotocols: Vec<String>,
    /// How to compress with clients that offer it; `None` is not at all. Default: `None`.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateOptions>,
    /// The longest request head, in bytes. Default: 16 KiB.
    pub max_head: usize,
    /// How long the whole handshake may take, however the bytes come. Default: 10 seconds.
    pub handshake_timeout: Duration,
}

/// Which web pages a server lets connect (RFC 6455 §10.2).
///
/// A browser names the page in the `Origin` header, so that a server can refuse to serve the users of
/// pages it does not know: their cookies come along. Other clients send none, or any: this is no
/// authentication.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Requests without `Origin`, and those where its host and port are those of the `Host` header.
    ///
    /// A reverse proxy has to pass that header on as it came. The scheme is not compared, for this side
    /// does not know it: behind TLS, a [`List`](Self::List) keeps out `http://` pages of the same host.
    #[default]
    SameHost,
    /// Requests without `Origin`, and those from these origins, as in `https://example.org`: scheme,
    /// host and port must all be the same. A `/` at the end does not matter.
    ///
    /// As long as an entry is no such origin, no page may connect: each is answered with 500, and
    /// [`HandshakeFailure::OriginEntry`](super::HandshakeFailure::OriginEntry) tells which entry.
    List(Vec<String>),
    /// All of them.
    Any,
}

/// A server's consent to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accept {
    /// The subprotocol to agree on; it must be one that the client offers. `None` leaves the choice to
    /// [`ServerOptions::subprotocols`].
    pub subprotocol: Option<String>,
    /// Headers to add to the response, such as `Set-Cookie`.
    pub headers: Vec<(String, String)>,
    /// Whether this connection may be compressed, as [`ServerOptions::deflate`] has it. Default:
    /// `true`.
    #[cfg(feature = "deflate")]
    pub deflate: bool,
}

#[cfg_attr(
    not(feature = "deflate"),
    expect(clippy::derivable_impls, reason = "not with all fields")
)]
impl Default for Accept {
    fn default() -> Self {
        Self {
            subprotocol: None,
            headers: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: true,
        }
    }
}

/// A server's refusal of a request: an ordinary HTTP response, after which the connection closes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status code, 200 to 599 but for 204, 205 and 304, which have no body.
    pub status: u16,
    /// What is wrong, for a person: the body of the response.
    pub reason: String,
    /// Headers to add to the response, such as `WWW-Authenticate`.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// A refusal without further headers.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), headers: Vec::new() }
    }
}

/// What a client asks for in an opening handshake, and of the connection it ends in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The limits and waits of the connection.
    pub config: Arc<Config>,
    /// The `Origin` header, for servers that want one. Default: none.
    pub origin: Option<String>,
    /// The subprotocols to offer, the best first. Default: none.
    pub subprotocols: Vec<String>,
    /// Headers to add to the request, such as `Authorization` or `Cookie`.
    pub headers: Vec<(String, String)>,
    /// How to compress if the server agrees; `None` is not at all. Default: `None`.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateOptions>,
    /// The longest response head, in bytes, with those of interim responses before it. Default: 16 KiB.
    pub max_head: usize,
    /// How long the whole handshake may take, however the bytes come. Default: 10 seconds.
    pub handshake_timeout: Duration,
}

const MAX_HEAD: usize = 16 << 10;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            config: Arc::default(),
            origin: OriginPolicy::default(),
            subprotocols: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
            max_head: MAX_HEAD,
            handshake_timeout: HANDSHAKE_TIMEOUT,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            config: Arc::default(),
            origin: None,
            subprotocols: Vec::new(),
            headers: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
            max_head: MAX_HEAD,
            handshake_timeout: HANDSHAKE_TIMEOUT,
        }
    }
}
