//! WebSockets inside a [hyper](https://docs.rs/hyper) 1 server.
//!
//! Serve the connection `with_upgrades`, answer the request with the response that [`upgrade`] gives,
//! and await the socket in a task of its own:
//!
//! ```
//! use hyper::{Request, Response, body::Incoming};
//!
//! async fn serve(mut request: Request<Incoming>) -> Result<Response<String>, hyper::Error> {
//!     let (response, socket) = match wstokio::hyper::upgrade(&mut request) {
//!         Ok(upgrade) => upgrade,
//!         Err(refused) => return Ok(refused.into_response()),
//!     };
//!     tokio::spawn(async move {
//!         let mut ws = socket.await?;
//!         ws.send("hello").await
//!     });
//!     Ok(response)
//! }
//! ```
//!
//! # HTTP/2
//!
//! With feature `http2` the same call accepts extended CONNECT (RFC 8441), by which browsers open
//! WebSockets on an HTTP/2 connection that they have already. They do so only if the server says in its
//! settings that it speaks it: call
//! [`enable_connect_protocol`](https://docs.rs/hyper/1/hyper/server/conn/http2/struct.Builder.html#method.enable_connect_protocol) on
//! the builder of servers that have a WebSocket somewhere, and on no others. Serving HTTP/2 needs an
//! executor, and the request then arrives with method CONNECT: routes that only take GET do not see it.
//!
//! What one slow reader does not take counts against the window of the whole connection. So that it never
//! stops the others, let the window of the connection be as large as those of all its streams:
//!
//! ```
//! # #[cfg(feature = "http2")]
//! # fn builder() -> hyper::server::conn::http2::Builder<hyper_util::rt::TokioExecutor> {
//! let mut http = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
//! http.enable_connect_protocol()
//!     .max_concurrent_streams(100)
//!     .initial_stream_window_size(64 << 10)
//!     .initial_connection_window_size(100 * (64 << 10));
//! # http
//! # }
//! ```
//!
//! Hyper takes two writes from a socket over HTTP/2 before the peer has taken a byte of them, of at most 64
//! KiB each, and copies them. So [`Config::write_timeout`](crate::Config::write_timeout) counts from the
//! third: a peer that never opens its window is lost by it only if the server writes more than that, and
//! else by keepalive, by default after 45 seconds. Nor are those writes among
//! [`Config::max_outgoing`](crate::Config::max_outgoing).
//!
//! A WebSocket that is idle holds at most 3 KiB of the server's heap, of which the task and what hyper keeps
//! for the stream are a part.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsconn::{
    Role, Time, Timeout,
    opening::{
        self, Accept, Agreement, HandshakeFailure, Header, InvalidInput, Refusal, negotiate,
    },
    transport::{Error, Inbox},
};

use crate::{Acceptor, WebSocket, core::Core, trace};

/// Upgrades a request with the default options. See [`Acceptor::upgrade`].
pub fn upgrade<B>(request: &mut Request<B>) -> Result<(Response<String>, Upgrading), Refused> {
    Acceptor::default().upgrade(request, |_| Ok(Accept::default()))
}

/// A socket of a hyper server.
pub type Socket = WebSocket<Stream>;

/// The byte stream of a socket of a hyper server.
#[derive(Debug)]
pub struct Stream {
    io: TokioIo<Upgraded>,
    /// The most bytes of one write.
    max_write: usize,
}

/// Over HTTP/2 hyper copies what it is given to write, and takes it whether the peer does or not.
const MAX_WRITE_HTTP2: usize = 64 << 10;

/// A socket that comes to be once hyper has sent the response.
#[must_use = "await it in a task of its own, after the response has been given to hyper"]
pub struct Upgrading {
    acceptor: Acceptor,
    upgrade: OnUpgrade,
    max_write: usize,
    agreement: Agreement,
}

/// A request that was refused.
#[derive(Debug)]
pub struct Refused(Box<(HandshakeFailure, Response<String>)>);

impl Acceptor {
    /// Upgrades a request of a hyper server: judges it by the options and by `decide`, as
    /// [`accept_with`](Self::accept_with) does, and gives the response to answer it with and the
    /// socket to be. It may have come over HTTP/1.1 or, with feature `http2`, over HTTP/2.
    pub fn upgrade<B>(
        &self,
        request: &mut Request<B>,
        decide: impl FnOnce(&opening::Request<'_, '_>) -> Result<Accept, Refusal>,
    ) -> Result<(Response<String>, Upgrading), Refused> {
        match self.judge(request, decide) {
            Ok((response, agreement)) => {
                let upgrade = hyper::upgrade::on(&mut *request);
                let is_http2 = request.version() == Version::HTTP_2;
                let max_write = if is_http2 { MAX_WRITE_HTTP2 } else { usize::MAX };
                let acceptor = self.clone();
                Ok((response, Upgrading { acceptor, upgrade, max_write, agreement }))
            }
            Err(failure) => {
                trace::failed(Role::Server, &failure);
                Err(Refused::new(failure, request.version()))
            }
        }
    }

    fn judge<B>(
        &self,
        request: &Request<B>,
        decide: impl FnOnce(&opening::Request<'_, '_>) -> Result<Accept, Refusal>,
    ) -> Result<(Response<String>, Agreement), HandshakeFailure> {
        let can_upgrade = request.extensions().get::<OnUpgrade>().is_some();
        let headers = headers(request.headers());
        let request = parse(request, &headers)?;
        if !can_upgrade {
            let reason = "this server takes no upgrades\n";
            return Err(HandshakeFailure::Refused(Refusal::new(500, reason)));
        }
        let agreement = negotiate(self.options(), &request, decide).map_err(|failure| {
            let HandshakeFailure::Refused(Refusal { status, headers, .. }) = &failure else {
                return failure;
            };
            let checked = request.check_refusal(*status, headers);
            checked.map_or_else(HandshakeFailure::Input, |()| failure)
        })?;
        let accept = agreement.response();
        request.check_accept(&accept)?;
        let mut response = Response::new(String::new());
        // The answer to an extended CONNECT is a 200, without these (RFC 8441 §5).
        if let Some(key) = request.accept_key() {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let to = response.headers_mut();
            to.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            to.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            to.insert(header::SEC_WEBSOCKET_ACCEPT, value(key.as_str())?);
        }
        let to = response.headers_mut();
        if let Some(subprotocol) = accept.subprotocol {
            to.insert(header::SEC_WEBSOCKET_PROTOCOL, value(subprotocol)?);
        }
        if let Some(extensions) = accept.extensions {
            to.insert(header::SEC_WEBSOCKET_EXTENSIONS, value(extensions)?);
        }
        append(&mut response, accept.headers)?;
        Ok((response, agreement))
    }
}

impl IntoFuture for Upgrading {
    type Output = Result<Socket, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.open().await.inspect_err(|error| trace::failed(Role::Server, error))
        })
    }
}

impl Upgrading {
    async fn open(self) -> Result<Socket, Error> {
        let options = self.acceptor.options();
        let upgraded = tokio::time::timeout(options.handshake_timeout, self.upgrade)
            .await
            .map_err(|_| Error::Timeout(Timeout::Handshake))?
            .map_err(|error| Error::Io(io::Error::other(error)))?;
        let stream = Stream { io: TokioIo::new(upgraded), max_write: self.max_write };
        let connection = self.agreement.connection(options.config.clone(), Time::ZERO);
        let core = Core::new(stream, connection);
        let subprotocol = self.agreement.subprotocol.map(String::into);
        Ok(WebSocket::new(core, Inbox::default(), subprotocol))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = bytes.get(..self.max_write).unwrap_or(bytes);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_write_vectored() {
            return Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.max_write == usize::MAX && self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Refused {
    fn new(failure: HandshakeFailure, version: Version) -> Self {
        let Refusal { status, reason, headers, .. } = failure.refusal();
        let mut response = Response::new(reason);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        if version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let added = append(&mut response, &headers);
        // RFC 9110 §7.8: whoever sends Upgrade says so in Connection.
        if version < Version::HTTP_2 && response.headers().contains_key(header::UPGRADE) {
            let both = HeaderValue::from_static("close, Upgrade");
            response.headers_mut().insert(header::CONNECTION, both);
        }
        match added {
            Ok(()) => Self(Box::new((failure, response))),
            Err(input) => Self::new(HandshakeFailure::Input(input), version),
        }
    }

    /// Why.
    pub fn failure(&self) -> &HandshakeFailure {
        &self.0.0
    }

    /// The response to answer the request with.
    pub fn into_response(self) -> Response<String> {
        self.0.1
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

/// The headers in the words of the handshake.
pub(crate) fn headers(headers: &HeaderMap) -> Vec<Header<'_>> {
    headers
        .iter()
        .map(|(name, value)| Header { name: name.as_str(), value: value.as_bytes() })
        .collect()
}

/// Judges the request by what it came over.
fn parse<'h, 'b, B>(
    request: &'b Request<B>,
    headers: &'h [Header<'b>],
) -> Result<opening::Request<'h, 'b>, opening::HandshakeError> {
    let (method, uri) = (request.method().as_str(), request.uri());
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    #[cfg(feature = "http2")]
    if request.version() == Version::HTTP_2 {
        let protocol = request.extensions().get::<hyper::ext::Protocol>();
        let connect = opening::ExtendedConnect {
            method,
            protocol: protocol.map(|protocol| protocol.as_str()),
            scheme: uri.scheme_str().unwrap_or_default(),
            authority: uri.authority().map_or("", |authority| authority.as_str()),
            path: target,
        };
        return opening::Request::from_connect(&connect, headers);
    }
    opening::Request::from_parts(method, target, request.version() == Version::HTTP_11, headers)
}

fn value(value: &str) -> Result<HeaderValue, InvalidInput> {
    HeaderValue::from_str(value).map_err(|_| InvalidInput::HeaderValue)
}

fn append<T: AsRef<str>>(
    response: &mut Response<String>,
    headers: &[(T, T)],
) -> Result<(), InvalidInput> {
    for (name, text) in headers {
        let name = HeaderName::from_bytes(name.as_ref().as_bytes());
        let name = name.map_err(|_| InvalidInput::HeaderName)?;
        response.headers_mut().append(name, value(text.as_ref())?);
    }
    Ok(())
}
