//! sockudo-ws.

use sockudo_ws::{Config, Message, WebSocketStream, handshake::server_handshake};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::broadcast,
};

use super::{Mode, sink};
use crate::Result;

type All = broadcast::Sender<Message>;

pub(super) fn connection(
    mut tcp: TcpStream,
    mode: Mode,
    all: &All,
) -> impl Future<Output = Result> + use<> {
    let all = all.clone();
    async move {
        server_handshake(&mut tcp).await?;
        serve(tcp, mode, &all).await
    }
}

/// Echoes over a stream after its opening handshake.
pub async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin, mode: Mode) -> Result {
    serve(stream, mode, &All::new(1)).await
}

/// Echoes compressed with context takeover.
#[cfg(feature = "deflate")]
pub async fn echo_compressed<S>(stream: S, mode: Mode, level: u32) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deflate = sockudo_ws::DeflateConfig {
        compression_level: level,
        ..sockudo_ws::DeflateConfig::default()
    };
    let ws = sockudo_ws::CompressedWebSocketStream::server(stream, Config::default(), deflate);
    sink::serve(ws, mode, |message| message.is_text(), &All::new(1)).await
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, mode: Mode, all: &All) -> Result {
    let ws = WebSocketStream::server(stream, Config::default());
    let is_data = |message: &Message| matches!(message, Message::Text(_) | Message::Binary(_));
    sink::serve(ws, mode, is_data, all).await
}
