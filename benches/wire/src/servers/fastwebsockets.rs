//! fastwebsockets. It writes each frame by itself: there is nothing to batch with.

use ::hyper::body::Bytes;
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocket,
    WebSocketError, upgrade,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::broadcast,
};

use super::{Mode, hyper};
use crate::Result;

type All = broadcast::Sender<Bytes>;

pub(super) fn connection(
    tcp: TcpStream,
    mode: Mode,
    all: &All,
) -> impl Future<Output = Result> + use<> {
    let all = all.clone();
    hyper::serve(tcp, move |mut request| {
        let (response, upgrading) =
            upgrade::upgrade(&mut request).expect("a request of the load generator");
        let all = all.clone();
        tokio::spawn(tokio::task::unconstrained(async move {
            if let Ok(ws) = upgrading.await {
                let _ = if mode == Mode::Fan { fan(ws, all).await } else { serve(ws).await };
            }
        }));
        response
    })
}

/// Echoes over a stream after its opening handshake.
pub async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result {
    serve(WebSocket::after_handshake(stream, Role::Server)).await
}

async fn serve<S>(ws: WebSocket<S>) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// Reading is not cancel safe, so that it takes two tasks.
async fn fan<S>(ws: WebSocket<S>, all: All) -> Result
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut others = all.subscribe();
    let (rx, mut tx) = ws.split(tokio::io::split);
    let writing = tokio::spawn(async move {
        while let Ok(payload) = others.recv().await {
            if tx.write_frame(Frame::binary(Payload::Borrowed(&payload))).await.is_err() {
                return;
            }
        }
    });
    let mut rx = FragmentCollectorRead::new(rx);
    let mut no_answer = |_: Frame<'_>| async { Ok::<_, WebSocketError>(()) };
    while let Ok(frame) = rx.read_frame(&mut no_answer).await {
        match frame.opcode {
            OpCode::Close => break,
            OpCode::Text | OpCode::Binary => drop(all.send(frame.payload.to_vec().into())),
            _ => {}
        }
    }
    writing.abort();
    Ok(())
}
