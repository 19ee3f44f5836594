//! A pair of streams in memory that move a few bytes at a time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// Both ends of a connection, of which an operation moves at most so many bytes.
pub(crate) fn slow_pair(most: usize) -> (Slow, Slow) {
    let (one, other) = duplex(4000);
    let slow = |stream| Slow { stream, most, ready: [false; 2] };
    (slow(one), slow(other))
}

/// A stream of which each operation is `Pending` once, and moves at most `most` bytes.
pub(crate) struct Slow {
    stream: DuplexStream,
    most: usize,
    ready: [bool; 2],
}

impl Slow {
    fn enter(&mut self, kind: usize, cx: &Context<'_>) -> Poll<()> {
        self.ready[kind] = !self.ready[kind];
        if self.ready[kind] {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.enter(0, cx));
        let mut bytes = vec![0; self.most.min(to.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        to.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.enter(1, cx));
        let len = self.most.min(bytes.len());
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
