//! tokio-websockets.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::broadcast,
};
use tokio_websockets::{Config, Limits, Message, ServerBuilder, WebSocketStream};

use super::{Mode, sink};
use crate::Result;

type All = broadcast::Sender<Message>;

/// As in its example `echo_server`; to batch, with more in one write than its default of 8 KiB.
fn builder(mode: Mode) -> ServerBuilder {
    let config = Config::default().frame_size(usize::MAX);
    let config = if mode == Mode::Batched { config.flush_threshold(64 << 10) } else { config };
    ServerBuilder::new().config(config).limits(Limits::unlimited())
}

pub(super) fn connection(
    tcp: TcpStream,
    mode: Mode,
    all: &All,
) -> impl Future<Output = Result> + use<> {
    let all = all.clone();
    tokio::task::unconstrained(async move {
        let (_, ws) = builder(mode).accept(tcp).await?;
        serve(ws, mode, &all).await
    })
}

/// Echoes over a stream after its opening handshake.
pub async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin, mode: Mode) -> Result {
    serve(builder(mode).serve(stream), mode, &All::new(1)).await
}

async fn serve<S>(ws: WebSocketStream<S>, mode: Mode, all: &All) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let is_data = |message: &Message| message.is_text() || message.is_binary();
    match mode {
        Mode::Batched => sink::in_chunks(ws, is_data).await,
        _ => sink::serve(ws, mode, is_data, all).await,
    }
}
