use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use wsconn::{CloseCode, Delivery, OwnedMessage};

use crate::{Error, Receiver, Sender, WebSocket, wakers::Waiter};

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Receiver<S> {
    type Item = Result<OwnedMessage, Error>;

    /// As [`Receiver::recv`].
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let location = ready!(self.poll_location(Waiter::Receiver, cx, Delivery::Messages, false))?;
        Poll::Ready(location.and_then(|location| self.inbox_mut().take_message(&location)).map(Ok))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<OwnedMessage> for Sender<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_step(cx, |driver, io| driver.poll_ready(io)))?;
        self.promised = true;
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: OwnedMessage) -> Result<(), Error> {
        let promised = mem::take(&mut self.promised);
        self.shared.now(|core| core.driver.queue(message.as_message(), promised))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_step(cx, |driver, io| driver.poll_flush(io))
    }

    /// As [`Sender::close`] with [`CloseCode::NORMAL`].
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.begin_close(CloseCode::NORMAL, "")?;
        self.poll_step(cx, |driver, io| driver.poll_closed(io))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<S> {
    type Item = Result<OwnedMessage, Error>;

    /// As [`WebSocket::recv`].
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(self.halves().0).poll_next(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<OwnedMessage> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(self.halves().1).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: OwnedMessage) -> Result<(), Error> {
        Pin::new(self.halves().1).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(self.halves().1).poll_flush(cx)
    }

    /// As [`WebSocket::close`] with [`CloseCode::NORMAL`].
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.halves().1.begin_close(CloseCode::NORMAL, "")?;
        self.poll_ended(cx)
    }
}
