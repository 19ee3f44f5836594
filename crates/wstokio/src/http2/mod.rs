//! A client's WebSockets over HTTP/2 ([RFC 8441]): many on one connection.
//!
//! ```no_run
//! # async fn connect() -> Result<(), wstokio::Error> {
//! use wstokio::Connector;
//!
//! let connection = Connector::default().connect_http2("wss://example.org").await?;
//! let mut chat = connection.open("wss://example.org/chat").await?;
//! let mut news = connection.open("wss://example.org/news").await?;
//! chat.send("hello").await?;
//! println!("{:?}", news.recv().await?);
//! # Ok(())
//! # }
//! ```
//!
//! Over TLS HTTP/2 is agreed in its handshake (ALPN); over plain TCP the server has to know that it
//! is coming ("prior knowledge").
//!
//! # One connection, many streams
//!
//! A task of tokio's moves the bytes of the HTTP/2 connection. It ends once the [`Http2`] and all of its
//! sockets are gone, at most [`Config::fin_timeout`](crate::Config::fin_timeout) of the [`Connector`] later
//! where the server does not read, or when the connection fails, which all sockets are told of.
//!
//! A peer may send 256 KiB to a socket before that has been received; there is no further limit for the
//! connection as a whole, so that a socket that is not received from never stops the others. What is sent
//! waits, for each socket, in 64 KiB of the connection's: to have been sent is to have been put there. Where the
//! server never opens its window, the socket is lost after
//! [`Config::write_timeout`](crate::Config::write_timeout), as over TCP. A socket that is idle holds at most
//! 2 KiB of heap, its task included.
//!
//! # Servers
//!
//! With feature `hyper`, [`Acceptor::upgrade`](crate::Acceptor) accepts WebSockets over
//! HTTP/1.1 and HTTP/2 alike; see `hyper`.
//!
//! [RFC 8441]: https://www.rfc-editor.org/rfc/rfc8441

mod slots;
mod stream;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    client::{Builder, Connection, SendRequest},
    ext::Protocol,
};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, uri};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::{Instant, sleep},
};
pub use wsconn::opening::Http2Failure;
use wsconn::{
    Role, Time, Timeout,
    opening::{ClientOpening, ClientOptions, HandshakeFailure, Header, InvalidInput},
    transport::{Error, Inbox, Url, random},
};

use self::slots::{Slot, Slots};
pub use self::stream::Http2Stream;
#[cfg(feature = "tls")]
use crate::tls::{
    TlsFailure,
    rustls::{self, AlertDescription},
};
use crate::{Connector, MaybeTls, WebSocket, connect::parse, core::Core, handshake, trace};

/// How much may arrive on a stream before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 << 10;

/// The streams are bounded, each by itself and all by their number, which is the caller's: no further limit.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What a stream has been given to send and has not left yet, in bytes.
const SEND_BUFFER: usize = 64 << 10;

/// An HTTP/2 connection to a server that opens WebSockets over it. Cheap to clone; all clones are one
/// connection.
#[derive(Clone, Debug)]
pub struct Http2 {
    requests: SendRequest<Bytes>,
    slots: Arc<Slots>,
    options: ClientOptions,
    url: Url,
}

impl Connector {
    /// Connects to the server of `url` over HTTP/2, to [open](Http2::open) any number of WebSockets on the
    /// connection. Of the URL only scheme, host and port matter.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); [`Error::Handshake`] with [`HandshakeFailure::Http2`] if the
    /// server speaks no HTTP/2, or does not open WebSockets over it.
    ///
    /// *Cancel safety*: dropping it drops the connection.
    pub async fn connect_http2(&self, url: &str) -> Result<Http2, Error> {
        let url = parse(url)?;
        let connecting = Box::pin(async {
            let tcp = self.dial(&url).await?;
            self.begin(tcp, url).await
        });
        connecting.await.inspect_err(|error| trace::failed(Role::Client, error))
    }

    /// As [`connect_http2`](Self::connect_http2), on a stream that is connected to the server already.
    pub async fn connect_http2_stream<S>(&self, stream: S, url: &str) -> Result<Http2, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = Box::pin(self.begin(stream, parse(url)?)).await;
        begun.inspect_err(|error| trace::failed(Role::Client, error))
    }

    async fn begin<S>(&self, stream: S, url: Url) -> Result<Http2, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let deadline = Instant::now().checked_add(self.options.handshake_timeout);
        let stream = self.negotiate(stream, &url, deadline).await?;
        let handshake = handshake(stream, self.options.max_head);
        let (requests, connection) =
            handshake::until(deadline, Timeout::Handshake, handshake).await?;
        let (alive, gone) = oneshot::channel();
        let slots = Arc::new(Slots::new(alive));
        let patience = self.options.config.fin_timeout;
        tokio::spawn(drive(connection, Arc::downgrade(&slots), gone, patience));
        Ok(Http2 { requests, slots, options: self.options.clone(), url })
    }

    #[cfg(not(feature = "tls"))]
    async fn negotiate<S>(
        &self,
        stream: S,
        _url: &Url,
        _deadline: Option<Instant>,
    ) -> Result<MaybeTls<S>, Error> {
        Ok(MaybeTls::Plain(stream))
    }

    /// Does the TLS handshake, if the URL is `wss://`, in which HTTP/2 has to be agreed.
    #[cfg(feature = "tls")]
    async fn negotiate<S>(
        &self,
        stream: S,
        url: &Url,
        deadline: Option<Instant>,
    ) -> Result<MaybeTls<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = None;
        if url.is_secure() {
            let base =
                self.tls.clone().map_or_else(wsconn::transport::tls::default_client_config, Ok)?;
            let mut with_h2 = (*base).clone();
            with_h2.alpn_protocols = vec![b"h2".to_vec()];
            config = Some(with_h2.into());
        }
        let not_spoken = || HandshakeFailure::from(Http2Failure::NotSpoken).into();
        match Self::secure(stream, url, config, deadline).await {
            Ok(MaybeTls::Tls(tls)) if tls.get_ref().1.alpn_protocol() != Some(b"h2") => {
                Err(not_spoken())
            }
            Err(Error::Tls(failure)) if has_other_protocols(&failure) => Err(not_spoken()),
            secured => secured,
        }
    }
}

/// Whether a server went no further since it speaks none of the protocols that it was offered (RFC 7301 §3.2).
#[cfg(feature = "tls")]
fn has_other_protocols(failure: &TlsFailure) -> bool {
    const ALERT: AlertDescription = AlertDescription::NoApplicationProtocol;
    matches!(failure, TlsFailure::Protocol(rustls::Error::AlertReceived(ALERT)))
}

/// Exchanges settings with the server, which must allow WebSockets.
async fn handshake<S>(
    stream: S,
    max_head: usize,
) -> Result<(SendRequest<Bytes>, Connection<S>), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX));
    let (requests, mut connection) = builder.handshake(stream).await.map_err(failed)?;
    // The server's settings come first in all that it sends (RFC 9113 §3.4): once it has answered a
    // ping, they are here.
    if let Some(mut pings) = connection.ping_pong() {
        pings.send_ping(h2::Ping::opaque()).map_err(failed)?;
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            match (pings.poll_pong(cx), ended) {
                (Poll::Ready(Ok(_)), Poll::Pending) => Poll::Ready(Ok(())),
                (_, Poll::Ready(Err(error))) => Poll::Ready(Err(failed(error))),
                (_, Poll::Ready(Ok(()))) => {
                    Poll::Ready(Err(HandshakeFailure::from(Http2Failure::Ended).into()))
                }
                (Poll::Ready(Err(error)), _) => Poll::Ready(Err(failed(error))),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        })
        .await?;
    }
    if !requests.is_extended_connect_protocol_enabled() {
        return Err(HandshakeFailure::from(Http2Failure::NotEnabled).into());
    }
    Ok((requests, connection))
}

/// Moves the bytes of a connection until it ends, or is of nobody any more and has not ended in this time.
async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<S>,
    slots: Weak<Slots>,
    gone: oneshot::Receiver<Infallible>,
    patience: Duration,
) {
    let mut given_up = pin!(async {
        let _ = gone.await;
        sleep(patience).await;
    });
    poll_fn(|cx| {
        // How it ends, the streams are told.
        let ended = Pin::new(&mut connection).poll(cx).map(drop);
        // The server may allow more streams now, or none any more.
        if let Some(slots) = slots.upgrade() {
            slots.changed();
        }
        if ended.is_ready() { ended } else { given_up.as_mut().poll(cx) }
    })
    .await;
}

impl Http2 {
    /// Opens a WebSocket on this connection, with the options of the [`Connector`] that made it. The URL
    /// is the whole one, as in `wss://example.org/chat?room=1`.
    ///
    /// Where the server allows no further stream at the moment, it waits until another socket has been
    /// dropped, or received from to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if the URL is of another server; [`Error::Handshake`] if the server does not open
    /// the WebSocket, with its status, or with what happened to the stream or the connection;
    /// [`Error::Timeout`] if that took longer than [`ClientOptions::handshake_timeout`].
    ///
    /// *Cancel safety*: dropping it resets the stream, and the others go on.
    pub async fn open(&self, url: &str) -> Result<WebSocket<Http2Stream>, Error> {
        self.open_with(url, &self.options).await
    }

    /// As [`open`](Self::open), with other options: subprotocols, headers, limits. But
    /// [`ClientOptions::max_head`] is that of the [`Connector`], for it is the connection's.
    pub async fn open_with(
        &self,
        url: &str,
        options: &ClientOptions,
    ) -> Result<WebSocket<Http2Stream>, Error> {
        let url = parse(url)?;
        let origin = |url: &Url| (url.is_secure(), url.host().to_ascii_lowercase(), url.port());
        if origin(&url) != origin(&self.url) {
            let problem =
                format!("{url:?} is not on the server of this connection, {:?}", self.url);
            return Err(Error::Url(problem));
        }
        let deadline = Instant::now().checked_add(options.handshake_timeout);
        let opened = Box::pin(self.exchange(&url, options));
        let opened = handshake::until(deadline, Timeout::Handshake, opened).await;
        opened.inspect_err(|error| trace::failed(Role::Client, error))
    }

    async fn exchange(
        &self,
        url: &Url,
        options: &ClientOptions,
    ) -> Result<WebSocket<Http2Stream>, Error> {
        let opening = url.opening(options)?;
        let request = request(url, &opening)?;
        let slot = self.slot().await?;
        let mut requests = self.requests.clone();
        let (response, to) = requests.send_request(request, false).map_err(failed)?;
        let (response, from) = response.await.map_err(failed)?.into_parts();
        let headers: Vec<Header<'_>> = response
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.as_str(), value: value.as_bytes() })
            .collect();
        let status = response.status.as_u16();
        let opened = opening.finish_connect(status, &headers, random::masking_key, Time::ZERO)?;
        let core = Core::new(Http2Stream::new(to, from, slot), opened.connection);
        Ok(WebSocket::new(core, Inbox::default(), opened.subprotocol.map(String::into)))
    }

    /// Waits until the server allows a further stream. A request that h2 lets wait would be sent even
    /// after it was given up, with its reset behind it.
    async fn slot(&self) -> Result<Slot, Error> {
        let mut requests = self.requests.clone();
        let slot = loop {
            if let Err(error) = poll_fn(|cx| requests.poll_ready(cx)).await {
                break Err(failed(error));
            }
            if let Some(slot) = Slots::take(&self.slots, requests.current_max_send_streams()) {
                break Ok(slot);
            }
            self.slots.wait().await;
        };
        // What let this one go on may let another one.
        self.slots.changed();
        slot
    }
}

/// The extended CONNECT (RFC 8441 §4) that asks for `url`.
fn request(url: &Url, opening: &ClientOpening) -> Result<Request<()>, Error> {
    let input = |input: InvalidInput| Error::from(HandshakeFailure::Input(input));
    let uri = Uri::builder()
        .scheme(if url.is_secure() { uri::Scheme::HTTPS } else { uri::Scheme::HTTP })
        .authority(url.authority())
        .path_and_query(url.target())
        .build()
        .map_err(|_| input(InvalidInput::Target))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    for (name, value) in opening.connect_headers() {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| input(InvalidInput::HeaderName))?;
        let value = HeaderValue::from_str(&value).map_err(|_| input(InvalidInput::HeaderValue))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// What an error of h2 means: a failure of HTTP/2, or of the byte stream below it.
fn failure(error: h2::Error) -> Result<Http2Failure, io::Error> {
    let code = error.reason().map_or(0, u32::from);
    if error.is_library() {
        Ok(Http2Failure::Violation { code })
    } else if error.is_reset() {
        Ok(Http2Failure::Reset { code })
    } else if error.is_go_away() {
        Ok(Http2Failure::GoAway { code })
    } else if error.is_io() {
        Err(error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
    } else {
        Err(io::Error::other(error))
    }
}

fn failed(error: h2::Error) -> Error {
    match failure(error) {
        Ok(failure) => HandshakeFailure::from(failure).into(),
        Err(error) => Error::Io(error),
    }
}
