//! yawc.

use futures_util::StreamExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::broadcast,
};
use yawc::{Frame, OpCode, Options, Role, WebSocket};

use super::{Mode, hyper, sink};
use crate::Result;

type All = broadcast::Sender<Frame>;

/// Its limit of 1 MiB is raised. To batch, the buffers are those of its own benchmark.
fn options(mode: Mode) -> Options {
    let options = Options::default().with_limits(16 << 20, 32 << 20);
    match mode {
        Mode::Batched => {
            options.with_read_buffer_capacity(128 << 10).with_backpressure_boundary(64 << 10)
        }
        _ => options,
    }
}

pub(super) fn connection(
    tcp: TcpStream,
    mode: Mode,
    all: &All,
) -> impl Future<Output = Result> + use<> {
    let all = all.clone();
    hyper::serve(tcp, move |request| {
        let (response, upgrading) = WebSocket::upgrade_with_options(request, options(mode))
            .expect("a request of the load generator");
        let all = all.clone();
        tokio::spawn(async move {
            if let Ok(ws) = upgrading.await {
                let _ = serve(ws, mode, &all).await;
            }
        });
        response
    })
}

/// Echoes over a stream after its opening handshake.
pub async fn echo<S>(stream: S, mode: Mode) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ws = WebSocket::from_stream(stream, Role::Server, options(mode))?;
    serve(ws, mode, &All::new(1)).await
}

/// Echoes compressed with context takeover.
#[cfg(feature = "deflate")]
pub async fn echo_compressed<S>(stream: S, mode: Mode, level: u32) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let options = options(mode).with_compression_level(yawc::CompressionLevel::new(level));
    let agreed = Some("permessage-deflate");
    let ws = WebSocket::from_stream_with_extensions(stream, Role::Server, agreed, options)?;
    serve(ws, mode, &All::new(1)).await
}

async fn serve<S>(ws: WebSocket<S>, mode: Mode, all: &All) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_data = |frame: &Frame| matches!(frame.opcode(), OpCode::Text | OpCode::Binary);
    sink::serve(ws.map(Ok), mode, is_data, all).await
}
