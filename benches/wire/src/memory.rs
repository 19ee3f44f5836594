//! A stream in memory: a client that sends a batch of messages, and the next when all have come back.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has been asked of a stream.
#[derive(Debug, Default)]
pub struct Counts {
    /// Reads that brought something.
    pub reads: AtomicU64,
    /// Writes, vectored or not.
    pub writes: AtomicU64,
}

/// A server's side of the stream.
#[derive(Debug)]
pub struct Memory {
    batch: Vec<u8>,
    /// How much of the batch has been read.
    at: usize,
    /// Bytes that come back for a batch, and those that are still to come.
    echo: usize,
    owed: usize,
    batches: u64,
    /// Whether the server has been told to wait for the next batch.
    waited: bool,
    counts: Arc<Counts>,
}

impl Memory {
    /// So many batches, each of which comes back as `echo` bytes.
    pub fn new(batch: Vec<u8>, echo: usize, batches: u64, counts: Arc<Counts>) -> Self {
        Self { at: batch.len(), batch, echo, owed: 0, batches, waited: false, counts }
    }

    fn write(&mut self, len: usize) -> Poll<io::Result<usize>> {
        self.counts.writes.fetch_add(1, Relaxed);
        self.owed = self.owed.checked_sub(len).expect("an echo is no longer than that");
        Poll::Ready(Ok(len))
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at == this.batch.len() {
            if this.owed > 0 || !std::mem::replace(&mut this.waited, true) {
                return Poll::Pending;
            }
            let Some(left) = this.batches.checked_sub(1) else { return Poll::Ready(Ok(())) };
            (this.batches, this.at, this.owed, this.waited) = (left, 0, this.echo, false);
        }
        this.counts.reads.fetch_add(1, Relaxed);
        let len = buf.remaining().min(this.batch.len() - this.at);
        buf.put_slice(&this.batch[this.at..this.at + len]);
        this.at += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
