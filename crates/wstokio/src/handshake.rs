//! Moving the bytes of an opening handshake.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout, timeout_at},
};
use wsconn::{
    Timeout,
    opening::{HandshakeFailure, Progress},
    transport::{Error, Inbox, pool::ReadBuffer},
};

/// Feeds what arrives to `receive` until it has a complete head, and gives what was read behind it.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut receive: impl FnMut(&[u8]) -> Progress,
) -> Result<Inbox, Error> {
    loop {
        let (buffer, len) = match read(stream).await {
            Ok((_, 0)) => return Err(HandshakeFailure::Eof.into()),
            Ok(read) => read,
            // TLS without a close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(HandshakeFailure::Eof.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Io(error)),
        };
        let progress = receive(buffer.bytes().get(..len).unwrap_or_default());
        if progress.complete {
            return Ok(Inbox::new(buffer, progress.consumed, len));
        }
    }
}

/// Reads once; 0 bytes are the end of the stream. A handshake that waits owns no buffer to read into.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(ReadBuffer, usize)> {
    poll_fn(|cx| {
        let mut buffer = ReadBuffer::take();
        let mut room = ReadBuf::new(buffer.room());
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
        let len = room.filled().len();
        Poll::Ready(Ok((buffer, len)))
    })
    .await
}

/// Writes all of a request or a response.
pub(crate) async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut rest: &[u8],
) -> Result<(), Error> {
    while !rest.is_empty() {
        match stream.write(rest).await {
            Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
            Ok(len) => rest = rest.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Io(error)),
        }
    }
    loop {
        match stream.flush().await {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(Error::Io),
        }
    }
}

/// Runs the handshake up to its deadline, which is missed by `late`.
pub(crate) async fn until<T>(
    deadline: Option<Instant>,
    late: Timeout,
    handshake: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else { return handshake.await };
    timeout_at(deadline, handshake).await.unwrap_or(Err(Error::Timeout(late)))
}

/// Ends the byte stream after a refusal, so that the peer gets to read it: to close at once, with
/// bytes unread, would make TCP reset the connection and drop the response.
pub(crate) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    wait: std::time::Duration,
) {
    let _ = timeout(wait, async {
        stream.shutdown().await?;
        while read(stream).await?.1 > 0 {}
        io::Result::Ok(())
    })
    .await;
}
