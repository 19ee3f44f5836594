use std::{
    fmt,
    sync::{Arc, Weak},
    task::Waker,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use wsconn::{CloseCode, PreparedMessage, transport::Counters};

use crate::{Error, SlowPolicy, group::Offered, shared::Shared, tracker::Tracked};

/// A handle to a connection for whoever does not have its socket: to close it, and to look at it.
/// Cheap to clone; it does not keep the connection.
///
/// What it asks for is done at once if it takes no waiting, or else by the task that waits on the
/// socket, which is woken.
///
/// ```
/// # async fn kick(ws: wstokio::WebSocket) -> Result<(), wstokio::Error> {
/// let remote = ws.remote();
/// // In another task, in a list of users, in a signal handler:
/// remote.close(wstokio::CloseCode::POLICY_VIOLATION, "you were asked to leave")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Remote {
    connection: Weak<dyn Connection>,
}

/// A connection over any stream, as those see it who do not have its socket.
pub(crate) trait Connection: Send + Sync {
    /// Has it closed after this wait.
    fn close_in(&self, wait: Duration, code: CloseCode, reason: &str) -> Result<(), Error>;

    /// Queues a message, or does with it as the policy says.
    fn offer(&self, message: &PreparedMessage, limit: usize, slow: SlowPolicy) -> Offered;

    /// Whether fewer messages wait than this. If not, `waker` is woken once there may be room.
    fn has_room(&self, limit: usize, waker: &Waker) -> bool;

    fn counters(&self) -> Counters;

    /// Keeps this as long as the connection.
    fn keep(&self, tracked: Tracked);
}

impl Remote {
    pub(crate) fn new<S>(shared: &Arc<Shared<S>>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection: Arc<dyn Connection> = shared.clone();
        Self { connection: Arc::downgrade(&connection) }
    }

    /// Begins to close the connection, as [`WebSocket::close`](crate::WebSocket::close), and does not
    /// wait for the end. Whoever waits for a message gets `None` once the peer has answered, or
    /// [`Config::close_timeout`](crate::Config::close_timeout) is over.
    ///
    /// If closing has begun already, or the socket is gone, it does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the code or the reason must not be sent.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.close_in(Duration::ZERO, code, reason)
    }

    /// As [`close`](Self::close), after this wait: a maximum age, say, or an end spread over a minute.
    /// The connection keeps the time, so a task has to wait on it; where several ends were set, it is
    /// the earliest.
    pub fn close_in(&self, wait: Duration, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.connection() {
            Some(connection) => connection.close_in(wait, code, reason),
            None => Ok(()),
        }
    }

    /// What has gone over the connection; `None` once its socket is gone.
    pub fn counters(&self) -> Option<Counters> {
        Some(self.connection()?.counters())
    }

    pub(crate) fn connection(&self) -> Option<Arc<dyn Connection>> {
        self.connection.upgrade()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("counters", &self.counters()).finish()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection for Shared<S> {
    fn close_in(&self, wait: Duration, code: CloseCode, reason: &str) -> Result<(), Error> {
        let set = self.now(|core| match wait {
            Duration::ZERO => core.begin_close(code, reason),
            wait => core.close_in(wait, code, reason),
        });
        // Whoever waits writes the close frame, or has its timer set for it.
        self.wake();
        set
    }

    fn offer(&self, message: &PreparedMessage, limit: usize, slow: SlowPolicy) -> Offered {
        let (offered, news) = self.now(|core| {
            if !core.driver.is_open() {
                return (Offered::Gone, false);
            }
            let outbox = core.outbox.get_or_insert_default();
            let mut offered = Offered::Queued;
            if outbox.is_full(limit, &mut core.driver) {
                match slow {
                    // It was made sure that there is room, or someone else has just taken it.
                    SlowPolicy::Wait => {}
                    SlowPolicy::DropNewest => {
                        outbox.dropped += 1;
                        return (Offered::Dropped, false);
                    }
                    SlowPolicy::DropOldest => {
                        outbox.waiting.pop_front();
                        outbox.dropped += 1;
                        offered = Offered::Dropped;
                    }
                    SlowPolicy::Close => {
                        outbox.dropped += 1;
                        outbox.clear();
                        let reason = "messages came faster than you read them";
                        let _ = core.begin_close(CloseCode::TRY_AGAIN_LATER, reason);
                        return (Offered::Closed, true);
                    }
                }
            }
            // Where something waits, whoever sends it has been woken already.
            let news = outbox.waiting.is_empty();
            outbox.waiting.push_back(message.clone());
            (offered, news)
        });
        if news {
            self.wake();
        }
        offered
    }

    fn has_room(&self, limit: usize, waker: &Waker) -> bool {
        self.now(|core| {
            let Some(outbox) = core.outbox.as_mut().filter(|_| core.driver.is_open()) else {
                return true;
            };
            let full = outbox.is_full(limit, &mut core.driver);
            if full && !outbox.on_room.iter().any(|known| known.will_wake(waker)) {
                outbox.on_room.push(waker.clone());
            }
            !full
        })
    }

    fn counters(&self) -> Counters {
        self.now(|core| core.counters())
    }

    fn keep(&self, tracked: Tracked) {
        self.now(|core| core.tracked.push(tracked));
    }
}

impl<S> crate::core::Core<S> {
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.driver.counters();
        if let Some(outbox) = &self.outbox {
            counters.messages_waiting = outbox.waiting.len();
            counters.messages_dropped = outbox.dropped;
        }
        counters
    }

    fn close_in(&mut self, wait: Duration, code: CloseCode, reason: &str) -> Result<(), Error> {
        let at = self.now().after(wait);
        self.driver.close_at(at, code, reason)
    }
}

/// A moment so far off that it never comes is none.
pub(crate) fn deadline(wait: Duration) -> Option<Instant> {
    Instant::now().checked_add(wait)
}
