//! tokio-tungstenite.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::broadcast,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, protocol::Role},
};

use super::{Mode, sink};
use crate::Result;

type All = broadcast::Sender<Message>;

pub(super) fn connection(
    tcp: TcpStream,
    mode: Mode,
    all: &All,
) -> impl Future<Output = Result> + use<> {
    let all = all.clone();
    async move { serve(accept_async(tcp).await?, mode, &all).await }
}

/// Echoes over a stream after its opening handshake.
pub async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin, mode: Mode) -> Result {
    let ws = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    serve(ws, mode, &All::new(1)).await
}

async fn serve<S>(ws: WebSocketStream<S>, mode: Mode, all: &All) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    sink::serve(ws, mode, |message| message.is_text() || message.is_binary(), all).await
}
