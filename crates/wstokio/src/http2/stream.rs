use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsconn::opening::Http2Failure;

use super::{SEND_BUFFER, Slot, failure};

/// One stream of an HTTP/2 connection, as a byte stream (RFC 8441 §5): END_STREAM is its end, in either
/// direction, and RST_STREAM an error. To drop it before its end resets it, with CANCEL.
#[derive(Debug)]
pub struct Http2Stream {
    to: SendStream<Bytes>,
    from: RecvStream,
    /// What has arrived in one frame and not been read.
    arrived: Bytes,
    /// The last to be dropped, and given back before that where both sides have ended, or the stream has
    /// failed.
    slot: Option<Slot>,
    shut: bool,
}

impl Http2Stream {
    pub(super) fn new(to: SendStream<Bytes>, from: RecvStream, slot: Slot) -> Self {
        Self { to, from, arrived: Bytes::new(), slot: Some(slot), shut: false }
    }

    /// Gives the slot back once both sides have ended.
    fn note_end(&mut self) {
        if self.shut && self.from.is_end_stream() {
            self.slot = None;
        }
    }

    /// Why nothing can be sent any more.
    fn lost(&mut self, cx: &mut Context<'_>) -> io::Error {
        match self.to.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => reset(Http2Failure::Reset { code: reason.into() }),
            Poll::Ready(Err(error)) => to_io(error),
            Poll::Pending => reset(Http2Failure::Ended),
        }
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.arrived.is_empty() {
            match ready!(self.from.poll_data(cx)) {
                Some(Ok(data)) => self.arrived = data,
                Some(Err(error)) => {
                    self.slot = None;
                    return Poll::Ready(Err(to_io(error)));
                }
                None => {
                    self.note_end();
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let len = self.arrived.len().min(buffer.remaining());
        buffer.put_slice(&self.arrived.split_to(len));
        // The peer may send as much again. It fails only where no peer is left to tell.
        let _ = self.from.flow_control().release_capacity(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // No more than is taken at once: what is reserved is kept from the other streams.
        self.to.reserve_capacity(bytes.len().min(SEND_BUFFER));
        while self.to.capacity() == 0 {
            match ready!(self.to.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                None => return Poll::Ready(Err(self.lost(cx))),
            }
        }
        let taken = bytes.get(..self.to.capacity()).unwrap_or(bytes);
        match self.to.send_data(Bytes::copy_from_slice(taken), false) {
            Ok(()) => Poll::Ready(Ok(taken.len())),
            Err(_) => Poll::Ready(Err(self.lost(cx))),
        }
    }

    /// What has been written is the connection's to send.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.to.send_data(Bytes::new(), true) {
            Ok(()) => {
                self.shut = true;
                self.note_end();
                Poll::Ready(Ok(()))
            }
            Err(_) => Poll::Ready(Err(self.lost(cx))),
        }
    }
}

fn reset(failure: Http2Failure) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, failure)
}

fn to_io(error: h2::Error) -> io::Error {
    match failure(error) {
        Ok(failure) => reset(failure),
        Err(error) => error,
    }
}
