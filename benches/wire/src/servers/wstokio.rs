//! wstokio.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use wstokio::{Config, Group, PreparedMessage, SlowPolicy, WebSocket};

use super::{All, Mode};
use crate::Result;

pub(super) fn connection(
    tcp: TcpStream,
    mode: Mode,
    all: &Group,
) -> impl Future<Output = Result> + use<> {
    let all = all.clone();
    async move {
        let mut ws = wstokio::accept(tcp).await?;
        serve(&mut ws, mode, &all).await
    }
}

/// Echoes over a stream after its opening handshake.
pub async fn echo(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mode: Mode,
) -> Result {
    let config = Arc::<Config>::default();
    let mut ws = WebSocket::from_server_stream(stream, Vec::new(), config);
    serve(&mut ws, mode, &All::new()).await
}

/// Echoes compressed with context takeover, over a stream that begins with a request which offers that.
#[cfg(feature = "deflate")]
pub async fn echo_compressed<S>(stream: S, mode: Mode, level: u32) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut deflate = wstokio::deflate::DeflateOptions::default();
    deflate.context_takeover = true;
    deflate.peer_context_takeover = true;
    deflate.level = level as u8;
    let mut options = wstokio::opening::ServerOptions::default();
    options.deflate = Some(deflate);
    let mut ws = wstokio::Acceptor::new(options).accept(stream).await?;
    serve(&mut ws, mode, &All::new()).await
}

async fn serve<S>(ws: &mut WebSocket<S>, mode: Mode, all: &Group) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match mode {
        Mode::Each => {
            let (rx, tx) = ws.halves();
            while let Some(message) = rx.recv().await? {
                tx.send(message).await?;
            }
        }
        Mode::Batched => {
            let (rx, tx) = ws.halves();
            while let Some(message) = rx.recv().await? {
                tx.feed(message).await?;
            }
        }
        // In a box, so that the others do not keep room for it.
        Mode::Fan => Box::pin(fan(ws, all)).await?,
    }
    Ok(())
}

async fn fan<S>(ws: &mut WebSocket<S>, all: &Group) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _member = all.join(&ws.remote());
    while let Some(message) = ws.recv().await? {
        all.send(&PreparedMessage::new(message)).await;
    }
    Ok(())
}

impl All for Group {
    fn new() -> Self {
        Self::new(64, SlowPolicy::Wait)
    }
}
