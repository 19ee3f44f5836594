//! What the libraries have in common whose sockets are a `Stream` and a `Sink`.

use std::{future::poll_fn, task::Poll};

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::sync::broadcast;

use super::Mode;
use crate::Result;

/// Serves one connection.
pub(super) async fn serve<W, M, E>(
    mut ws: W,
    mode: Mode,
    is_data: fn(&M) -> bool,
    all: &broadcast::Sender<M>,
) -> Result
where
    W: Stream<Item = std::result::Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    match mode {
        Mode::Each => {
            while let Some(message) = ws.next().await {
                let message = message?;
                if is_data(&message) {
                    ws.send(message).await?;
                }
            }
        }
        Mode::Batched => {
            while let Some(message) = next_or_flush(&mut ws).await {
                let message = message?;
                if is_data(&message) {
                    ws.feed(message).await?;
                }
            }
        }
        // In a box, so that the others do not keep room for it.
        Mode::Fan => Box::pin(fan(ws, is_data, all)).await?,
    }
    Ok(())
}

async fn fan<W, M, E>(mut ws: W, is_data: fn(&M) -> bool, all: &broadcast::Sender<M>) -> Result
where
    W: Stream<Item = std::result::Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    let mut others = all.subscribe();
    loop {
        tokio::select! {
            message = ws.next() => match message {
                Some(message) => {
                    let message = message?;
                    if is_data(&message) {
                        let _ = all.send(message);
                    }
                }
                None => return Ok(()),
            },
            message = others.recv() => ws.send(message?).await?,
        }
    }
}

/// Echoes what has arrived together: for a library that flushes whenever it is asked for a message.
pub(super) async fn in_chunks<W, M, E>(mut ws: W, is_data: fn(&M) -> bool) -> Result
where
    W: Stream<Item = std::result::Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut chunk = Vec::new();
    while let Some(message) = ws.next().await {
        chunk.push(message?);
        while chunk.len() < 64
            && let Some(Some(message)) = ws.next().now_or_never()
        {
            chunk.push(message?);
        }
        for message in chunk.drain(..).filter(is_data) {
            ws.feed(message).await?;
        }
        ws.flush().await?;
    }
    Ok(())
}

/// The next message; what was fed is flushed when there is none yet.
async fn next_or_flush<W, M, E>(ws: &mut W) -> Option<std::result::Result<M, E>>
where
    W: Stream<Item = std::result::Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    let mut flushed = false;
    poll_fn(|cx| {
        if let Poll::Ready(next) = ws.poll_next_unpin(cx) {
            return Poll::Ready(next);
        }
        if !flushed {
            match ws.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => flushed = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}
