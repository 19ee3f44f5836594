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

use std::fmt;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use wsconn::{
    Time, Timeout,
    opening::{self, Accept, Agreement, HandshakeFailure, Refusal, negotiate},
    transport::{Error, Inbox},
};
use wshandshake::{Header, InvalidInput};

use crate::{Acceptor, WebSocket, core::Core};

/// Upgrades a request with the default options. See [`Acceptor::upgrade`].
pub fn upgrade<B>(request: &mut Request<B>) -> Result<(Response<String>, Upgrading), Refused> {
    Acceptor::default().upgrade(request, |_| Ok(Accept::default()))
}

/// A socket that comes to be once hyper has sent the response.
#[must_use = "await it in a task of its own, after the response has been given to hyper"]
pub struct Upgrading {
    acceptor: Acceptor,
    upgrade: OnUpgrade,
    agreement: Agreement,
}

/// A request that was refused.
#[derive(Debug)]
pub struct Refused(Box<(HandshakeFailure, Response<String>)>);

impl Acceptor {
    /// Upgrades a request of a hyper server: judges it by the options and by `decide`, as
    /// [`accept_with`](Self::accept_with) does, and gives the response to answer it with and the
    /// socket to be.
    pub fn upgrade<B>(
        &self,
        request: &mut Request<B>,
        decide: impl FnOnce(&opening::Request<'_, '_>) -> Result<Accept, Refusal>,
    ) -> Result<(Response<String>, Upgrading), Refused> {
        match self.judge(request, decide) {
            Ok((response, agreement)) => {
                let upgrade = hyper::upgrade::on(request);
                Ok((response, Upgrading { acceptor: self.clone(), upgrade, agreement }))
            }
            Err(failure) => Err(Refused::new(failure)),
        }
    }

    fn judge<B>(
        &self,
        request: &Request<B>,
        decide: impl FnOnce(&opening::Request<'_, '_>) -> Result<Accept, Refusal>,
    ) -> Result<(Response<String>, Agreement), HandshakeFailure> {
        let headers: Vec<Header<'_>> = request
            .headers()
            .iter()
            .map(|(name, value)| Header { name: name.as_str(), value: value.as_bytes() })
            .collect();
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let is_http_1_1 = request.version() == Version::HTTP_11;
        let request =
            opening::Request::from_parts(request.method().as_str(), target, is_http_1_1, &headers)?;
        let agreement = negotiate(self.options(), &request, decide)?;
        let accept = agreement.response();
        request.check_accept(&accept)?;
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let to = response.headers_mut();
        to.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        to.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        to.insert(header::SEC_WEBSOCKET_ACCEPT, value(request.accept_key().as_str())?);
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
    type Output = Result<WebSocket<TokioIo<Upgraded>>, Error>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let options = self.acceptor.options();
            let upgraded = tokio::time::timeout(options.handshake_timeout, self.upgrade)
                .await
                .map_err(|_| Error::Timeout(Timeout::Handshake))?
                .map_err(|error| Error::Io(std::io::Error::other(error)))?;
            let stream = TokioIo::new(upgraded);
            let connection = self.agreement.connection(options.config.clone(), Time::ZERO);
            let core = Core::new(stream, connection, Instant::now());
            let subprotocol = self.agreement.subprotocol.map(String::into);
            Ok(WebSocket::new(core, Inbox::default(), subprotocol))
        })
    }
}

impl Refused {
    fn new(failure: HandshakeFailure) -> Self {
        let (status, body) = match &failure {
            HandshakeFailure::Peer(error) => (error.status(), format!("{error}\n")),
            HandshakeFailure::Refused(refusal) => (refusal.status, refusal.reason.clone()),
            _ => (500, "the server made a mistake\n".to_owned()),
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let added = match &failure {
            HandshakeFailure::Peer(error) => append(&mut response, error.header().as_slice()),
            HandshakeFailure::Refused(refusal) => append(&mut response, &refusal.headers),
            _ => Ok(()),
        };
        match added {
            Ok(()) => Self(Box::new((failure, response))),
            Err(input) => Self::new(HandshakeFailure::Input(input)),
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
