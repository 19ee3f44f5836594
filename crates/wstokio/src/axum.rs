//! WebSockets inside an [axum](https://docs.rs/axum) 0.8 server.
//!
//! [`Upgrade`] is an extractor. It is answered by an [`Acceptor`], with all of its options, and the
//! socket goes to a task of its own:
//!
//! ```
//! use axum::{Router, extract::State, response::Response, routing::any};
//! use wstokio::{Acceptor, axum::{Refused, Upgrade}};
//!
//! async fn chat(State(acceptor): State<Acceptor>, upgrade: Upgrade) -> Result<Response, Refused> {
//!     upgrade.accept(&acceptor, async |mut ws| {
//!         ws.send("hello").await?;
//!         while let Some(message) = ws.recv().await? {
//!             println!("{message:?}");
//!         }
//!         Ok(())
//!     })
//! }
//!
//! let app: Router = Router::new().route("/chat", any(chat)).with_state(Acceptor::default());
//! ```
//!
//! A request that is none for a WebSocket, or that the options or the handler refuse, is answered with
//! the status that says why: [`Refused`] is a response.
//!
//! Over HTTP/1.1 such a request is a GET, over HTTP/2 a CONNECT: route both, with `any`.
//! `axum::serve` speaks HTTP/2, and has the setting on by which browsers open WebSockets over it, when the
//! features `http2` of axum and of this crate are on; see [`hyper`](crate::hyper) for servers of your own.

use std::convert::Infallible;

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{Request, request::Parts};
use wsconn::{
    opening::{self, Accept, Refusal},
    transport::Error,
};

use crate::Acceptor;
pub use crate::hyper::{Refused, Socket};

/// The extractor: a request that may be one for a WebSocket, to be answered by an [`Acceptor`].
#[derive(Debug)]
#[must_use = "it is answered by `accept`"]
pub struct Upgrade(Request<()>);

impl Upgrade {
    /// Judges the request by the options of `acceptor`, and gives the response to answer it with. Once it
    /// has been sent, `task` gets the socket, in a task of tokio's. The error that `task` ends with is
    /// dropped: it is there so that `?` can be used.
    ///
    /// # Errors
    ///
    /// The request was refused; the error is the response that says so.
    pub fn accept<F>(
        self,
        acceptor: &Acceptor,
        task: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Result<Response, Refused>
    where
        F: Future<Output = Result<(), Error>> + Send,
    {
        self.accept_with(acceptor, |_| Ok(Accept::default()), task)
    }

    /// As [`accept`](Self::accept), and lets `decide` look at the request: it may choose a subprotocol,
    /// add headers to the response, or refuse.
    pub fn accept_with<F>(
        mut self,
        acceptor: &Acceptor,
        decide: impl FnOnce(&opening::Request<'_, '_>) -> Result<Accept, Refusal>,
        task: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Result<Response, Refused>
    where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let (response, socket) = acceptor.upgrade(&mut self.0, decide)?;
        tokio::spawn(async move { task(socket.await?).await });
        Ok(response.map(Body::from))
    }
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        *request.extensions_mut() = parts.extensions.clone();
        Ok(Self(request))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Refused::into_response(self).map(Body::from)
    }
}
