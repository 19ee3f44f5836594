//! The HTTP server of the libraries that leave it to hyper.

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1};
use tokio::net::TcpStream;

use crate::Result;

/// Serves one connection, whose requests `upgrade` answers.
pub(super) async fn serve(
    tcp: TcpStream,
    upgrade: impl Fn(Request<Incoming>) -> Response<Empty<Bytes>>,
) -> Result {
    let service = hyper::service::service_fn(|request| {
        let response = upgrade(request);
        async { Ok::<_, Infallible>(response) }
    });
    let io = hyper_util::rt::TokioIo::new(tcp);
    Ok(http1::Builder::new().serve_connection(io, service).with_upgrades().await?)
}
