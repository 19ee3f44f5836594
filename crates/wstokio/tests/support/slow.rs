//! A reader and writer that is slow.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives and takes so many bytes at a time, and waits before each.
pub(crate) struct Slow {
    /// What is read, or has been written.
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) ready: bool,
    /// Its end has been read.
    pub(crate) ended: bool,
    /// After so many bytes it fails.
    pub(crate) fail: Option<usize>,
}

impl Slow {
    pub(crate) fn new(bytes: &[u8], size: usize) -> Self {
        Self { bytes: bytes.to_vec(), at: 0, size, ready: false, ended: false, fail: None }
    }

    fn poll_step(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ready, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = false;
        match self.fail {
            Some(at) if self.at >= at => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_step(cx))?;
        let len = self.size.min(to.remaining()).min(self.bytes.len() - self.at);
        to.put_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        self.ended = len == 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_step(cx))?;
        let len = self.size.min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..len]);
        self.at += len;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_step(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
