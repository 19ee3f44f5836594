//! Messages that are never held whole: from a reader or a stream of parts, in chunks, and into a writer.

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    str,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsconn::{Chunk, Delivery, Event, Kind, Message, transport::pool::ReadBuffer};

use crate::{Error, Receiver, Sender, WebSocket, wakers::Waiter};

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Sends all that a reader gives as one message; see [`Sender::send_from`].
    pub async fn send_from(
        &mut self,
        kind: Kind,
        reader: impl AsyncRead + Unpin,
    ) -> Result<u64, Error> {
        self.halves().1.send_from(kind, reader).await
    }

    /// Sends the parts of a stream as one message; see [`Sender::send_parts`].
    #[cfg(feature = "stream")]
    pub async fn send_parts<P, E>(
        &mut self,
        kind: Kind,
        parts: impl futures_core::Stream<Item = Result<P, E>> + Unpin,
    ) -> Result<u64, Error>
    where
        P: AsRef<[u8]>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.halves().1.send_parts(kind, parts).await
    }

    /// Receives one message into a writer; see [`Receiver::recv_to`].
    pub async fn recv_to(
        &mut self,
        writer: impl AsyncWrite + Unpin,
    ) -> Result<Option<(Kind, u64)>, Error> {
        self.halves().0.recv_to(writer).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    /// Sends all that a reader gives, to its end, as one message in fragments, and gives its length in
    /// bytes. It holds a fragment of at most 64 KiB, and reads the next one when the stream has taken that: a
    /// fragment leaves when it is full, or when the reader has to wait.
    ///
    /// Text is checked on the way; where a read ends inside a character, the rest of it is waited for.
    ///
    /// ```no_run
    /// # async fn example(mut ws: wstokio::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// let file = tokio::fs::File::open("backup.tar").await?;
    /// let sent = ws.send_from(wstokio::Kind::Binary, file).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The peer has to allow messages of that length; ours does by
    /// [`Config::max_message_size`](crate::Config::max_message_size).
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send); and [`Error::Transfer`] if the reader fails, or gives text that is no
    /// UTF-8. The message is then unfinished: go on with another call, or close the connection. Until
    /// the message is finished no other can be sent. The start of a character that the reader gave last is
    /// for another call of this kind; [`feed_fragment`](Self::feed_fragment) drops it.
    ///
    /// *Cancel safety*: if dropped, all that was read is queued. Unless the reader has ended, and the
    /// message with it, another call with the same reader goes on with the message.
    pub async fn send_from(
        &mut self,
        kind: Kind,
        mut reader: impl AsyncRead + Unpin,
    ) -> Result<u64, Error> {
        let mut sent = 0;
        poll_fn(|cx| self.poll_send_from(cx, kind, Pin::new(&mut reader), &mut sent)).await?;
        self.flush().await?;
        Ok(sent)
    }

    fn poll_send_from<R: AsyncRead>(
        &mut self,
        cx: &mut Context<'_>,
        kind: Kind,
        mut reader: Pin<&mut R>,
        sent: &mut u64,
    ) -> Poll<Result<(), Error>> {
        loop {
            ready!(self.poll_written(cx))?;
            let mut buffer = ReadBuffer::take();
            let mut buffer = ReadBuf::new(buffer.room());
            let held = self.held.len();
            buffer.put_slice(&self.held);
            let read = fill(cx, reader.as_mut(), &mut buffer);
            let bytes = buffer.filled();
            *sent += (bytes.len() - held) as u64;
            let ended = matches!(read, Poll::Ready(Ok(())));
            if bytes.len() > held || ended {
                self.queue_part(cx, kind, bytes, ended)?;
            }
            match read {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(None)) => {}
                Poll::Ready(Err(Some(error))) => return Poll::Ready(Err(Error::Transfer(error))),
                Poll::Pending => {
                    // What has come so far does not wait for the rest.
                    ready!(self.poll_written(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Sends the parts that a stream gives, to its end, as one message, and gives its length in bytes:
    /// for bodies and files that come in parts already. Each part is a fragment, and the next one is
    /// asked for when the stream has taken it. Where a part of a text ends inside a character, the rest of it
    /// is waited for.
    ///
    /// Errors and cancel safety as for [`send_from`](Self::send_from).
    #[cfg(feature = "stream")]
    pub async fn send_parts<P, E>(
        &mut self,
        kind: Kind,
        mut parts: impl futures_core::Stream<Item = Result<P, E>> + Unpin,
    ) -> Result<u64, Error>
    where
        P: AsRef<[u8]>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut sent = 0;
        let mut ended = false;
        while !ended {
            poll_fn(|cx| {
                ready!(self.poll_written(cx))?;
                let part = match ready!(Pin::new(&mut parts).poll_next(cx)) {
                    Some(Ok(part)) => Some(part),
                    Some(Err(error)) => {
                        return Poll::Ready(Err(Error::Transfer(io::Error::other(error))));
                    }
                    None => None,
                };
                ended = part.is_none();
                let part = part.as_ref().map_or(&[][..], AsRef::as_ref);
                sent += part.len() as u64;
                Poll::Ready(if self.held.is_empty() {
                    self.queue_part(cx, kind, part, ended)
                } else {
                    self.queue_part(cx, kind, &[&self.held, part].concat(), ended)
                })
            })
            .await?;
        }
        self.flush().await?;
        Ok(sent)
    }

    /// Waits until all is written and there is room, before anything more is read: so that little is
    /// queued.
    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_step(cx, |driver, io| {
            ready!(driver.poll_flush(io))?;
            driver.poll_ready(io)
        })
    }

    /// Queues bytes that were read, behind those held, as a fragment, the last one if `ended`, and holds
    /// the start of a character that they end in. It does not wait, though others may have filled the
    /// queue since there was room: what was read is not to be lost with the future.
    fn queue_part(
        &mut self,
        cx: &mut Context<'_>,
        kind: Kind,
        bytes: &[u8],
        ended: bool,
    ) -> Result<(), Error> {
        let (part, rest) = match kind {
            Kind::Binary => (Message::Binary(bytes), &[][..]),
            Kind::Text => match text(bytes, ended) {
                Ok((text, rest)) => (Message::Text(text), rest),
                Err(error) => {
                    self.held.clear();
                    return Err(error);
                }
            },
        };
        // What is held belongs to a message under way, if only to one that is empty as yet.
        if !part.as_bytes().is_empty() || self.held.is_empty() {
            let _ = self
                .poll_step(cx, |driver, io| Poll::Ready(driver.queue_fragment(io, part, ended)))?;
        }
        self.held.clear();
        self.held.extend_from_slice(rest);
        Ok(())
    }
}

/// Reads until the buffer is full or the reader waits. `Ok` is the end of the reader; `None` that the
/// buffer is full.
fn fill<R: AsyncRead>(
    cx: &mut Context<'_>,
    mut reader: Pin<&mut R>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<Result<(), Option<io::Error>>> {
    while buffer.remaining() > 0 {
        let before = buffer.filled().len();
        match ready!(reader.as_mut().poll_read(cx, buffer)) {
            Ok(()) if buffer.filled().len() == before => return Poll::Ready(Ok(())),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(Some(error))),
        }
    }
    Poll::Ready(Err(None))
}

/// The text of these bytes, and the start of a character that they end in.
fn text(bytes: &[u8], ended: bool) -> Result<(&str, &[u8]), Error> {
    match str::from_utf8(bytes) {
        Ok(text) => Ok((text, &[])),
        Err(error) if error.error_len().is_none() && !ended => {
            let (text, rest) = bytes.split_at(error.valid_up_to());
            Ok((str::from_utf8(text).unwrap_or_default(), rest))
        }
        Err(error) => Err(Error::Transfer(io::Error::new(io::ErrorKind::InvalidData, error))),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// The next part of a message, as soon as it arrives: for messages too large to hold. `None` once
    /// the connection has ended.
    ///
    /// A message begun in chunks must be finished in chunks. The limits hold all the same: raise
    /// [`Config::max_message_size`](crate::Config::max_message_size) and
    /// [`Config::max_frame_size`](crate::Config::max_frame_size) for messages larger than them.
    ///
    /// *Cancel safety* and errors: as [`recv`](Self::recv).
    pub async fn recv_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let (location, written) = match self.unwritten.take() {
            Some((location, written)) => (Some(location), written),
            None => {
                let chunk =
                    poll_fn(|cx| self.poll_location(Waiter::Receiver, cx, Delivery::Chunks, false));
                (chunk.await?, 0)
            }
        };
        Ok(location.and_then(|location| match self.inbox.event(&location) {
            Event::Chunk(chunk) => {
                self.begun = !chunk.last;
                Some(Chunk { data: chunk.data.get(written..).unwrap_or_default(), ..chunk })
            }
            _ => None,
        }))
    }

    /// Receives one message into a writer, part by part as it arrives, and gives its kind and how many
    /// bytes this call has written. `None` if the connection has ended instead. Nothing is read while
    /// the writer does not take what has come.
    ///
    /// The limits hold all the same, and are what bounds such a message: raise
    /// [`Config::max_message_size`](crate::Config::max_message_size) to the longest one that is wanted;
    /// [`Config::max_frame_size`](crate::Config::max_frame_size) too, if the peer may send it in one
    /// frame; and [`Config::max_fragments`](crate::Config::max_fragments), if in small ones. They are the
    /// connection's: a message of that length is then also taken by [`recv`](Self::recv), which holds
    /// it whole, so receive by `recv_to` or [`recv_chunk`](Self::recv_chunk) there.
    ///
    /// Text has been checked as far as it is written; that it is valid to its end is known once this
    /// returns.
    ///
    /// While the writer is waited for, nobody waits on the connection: pings are answered once it goes
    /// on.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv); [`Error::Closed`] if the connection ended within the message;
    /// [`Error::Transfer`] if the writer fails, and then another call goes on where it failed.
    ///
    /// *Cancel safety*: what was received and not written is kept. Another call goes on with the same
    /// message, as does [`recv_chunk`](Self::recv_chunk).
    pub async fn recv_to(
        &mut self,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<Option<(Kind, u64)>, Error> {
        let mut written = 0;
        poll_fn(|cx| self.poll_recv_to(cx, Pin::new(&mut writer), &mut written)).await
    }

    fn poll_recv_to<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut W>,
        written: &mut u64,
    ) -> Poll<Result<Option<(Kind, u64)>, Error>> {
        loop {
            if let Some((location, at)) = &mut self.unwritten {
                let Event::Chunk(chunk) = self.inbox.event(location) else {
                    self.unwritten = None;
                    continue;
                };
                while let Some(rest) = chunk.data.get(*at..).filter(|rest| !rest.is_empty()) {
                    let len = match ready!(writer.as_mut().poll_write(cx, rest)) {
                        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                        result => result,
                    };
                    let len = len.map_err(Error::Transfer)?;
                    *at += len;
                    *written += len as u64;
                }
                let end = chunk.last.then_some((chunk.kind, *written));
                if end.is_some() {
                    ready!(writer.as_mut().poll_flush(cx)).map_err(Error::Transfer)?;
                }
                self.begun = !chunk.last;
                self.unwritten = None;
                if end.is_some() {
                    return Poll::Ready(Ok(end));
                }
            }
            let location =
                ready!(self.poll_location(Waiter::Receiver, cx, Delivery::Chunks, false))?;
            match location {
                Some(location) => self.unwritten = Some((location, 0)),
                None if mem::take(&mut self.begun) => return Poll::Ready(Err(Error::Closed)),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }
}
