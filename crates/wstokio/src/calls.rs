//! The two calls that are made for each message, as futures written by hand.
//!
//! Most of them need not wait. The future of an `async fn` keeps what it was called with, and what it awaits, in
//! memory of its own, and the compiler moves them about in it as a whole just after they were written in
//! parts. The processor waits for each such move: of an echo of 20 bytes that took a third of the time.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use wsconn::{Delivery, Event, Message};

use crate::{Error, Receiver, Sender, wakers::Waiter};

/// [`Receiver::recv`]. Empty once it is ready.
pub(crate) struct Recv<'r, S>(Option<&'r mut Receiver<S>>);

/// [`Sender::feed`]. Without a message once it is ready.
pub(crate) struct Feed<'s, 'm, S> {
    sender: &'s mut Sender<S>,
    message: Option<Message<'m>>,
}

impl<'r, S> Recv<'r, S> {
    pub(crate) fn new(receiver: &'r mut Receiver<S>) -> Self {
        Self(Some(receiver))
    }
}

impl<'s, 'm, S> Feed<'s, 'm, S> {
    pub(crate) fn new(sender: &'s mut Sender<S>, message: Message<'m>) -> Self {
        Self { sender, message: Some(message) }
    }
}

impl<'r, S: AsyncRead + AsyncWrite + Unpin> Future for Recv<'r, S> {
    type Output = Result<Option<Message<'r>>, Error>;

    // A hint alone is not taken everywhere.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = self.0.take() else { return Poll::Pending };
        let polled = receiver.poll_location(Waiter::Receiver, cx, Delivery::Messages, false);
        let Poll::Ready(location) = polled else {
            self.0 = Some(receiver);
            return Poll::Pending;
        };
        Poll::Ready(Ok(location?.and_then(|location| match receiver.inbox.event(&location) {
            Event::Message(message) => Some(message),
            _ => None,
        })))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Feed<'_, '_, S> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(message) = self.message else { return Poll::Pending };
        let queued = if self.sender.shared.now(|core| core.driver.try_queue(message)) {
            Poll::Ready(Ok(()))
        } else {
            self.sender.poll_step(cx, |driver, io| driver.poll_queue(io, message))
        };
        if queued.is_ready() {
            self.message = None;
        }
        queued
    }
}
