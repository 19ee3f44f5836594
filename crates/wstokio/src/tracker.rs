use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout_at,
};
use wsconn::{CloseCode, Config, transport::random};

use crate::{Error, Misuse, Remote, WebSocket, remote::deadline};

/// Knows the connections of a server, to end them in order. Cheap to clone; all clones are one.
///
/// It does not accept connections, so that it fits whatever does: a listener, hyper, axum. A socket is
/// [tracked](Self::track) once it is there, until it is dropped.
///
/// ```
/// use std::time::Duration;
/// use wstokio::{Stop, Tracker};
///
/// async fn serve(listener: tokio::net::TcpListener, tracker: Tracker) -> std::io::Result<()> {
///     loop {
///         let (tcp, _) = tokio::select! {
///             accepted = listener.accept() => accepted?,
///             () = tracker.stopping() => return Ok(()),
///         };
///         let tracker = tracker.clone();
///         tokio::spawn(async move {
///             tcp.set_nodelay(true)?;
///             let mut ws = wstokio::accept(tcp).await?;
///             tracker.track(&ws);
///             while ws.recv().await?.is_some() {} // `None` once the server stops
///             Ok::<(), wstokio::Error>(())
///         });
///     }
/// }
///
/// # async fn end(tracker: Tracker) -> Result<(), wstokio::Error> {
/// // When the server is to stop: 1001 to all within ten seconds, and half a minute for them to go.
/// let mut stop = Stop::default();
/// stop.spread = Duration::from_secs(10);
/// stop.patience = Duration::from_secs(30);
/// let left = tracker.stop(stop).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Tracker {
    shared: Arc<Shared>,
}

/// How a server is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stop {
    /// What the connections are closed with. Default: [`CloseCode::GOING_AWAY`], 1001; a server that
    /// will be back has [`CloseCode::SERVICE_RESTART`], 1012.
    pub code: CloseCode,
    /// The reason in the close frames, of at most 123 bytes. Default: none.
    pub reason: String,
    /// Over how long the close frames are spread, evenly, so that not all clients connect elsewhere at
    /// the same moment. Default: zero, all at once.
    pub spread: Duration,
    /// How long to wait for all connections to be gone, spread included. Default: 7 seconds, which is
    /// what the closing handshake and the end of the stream take at most with the default [`Config`].
    pub patience: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        let config = Config::default();
        Self {
            code: CloseCode::GOING_AWAY,
            reason: String::new(),
            spread: Duration::ZERO,
            patience: config.close_timeout + config.fin_timeout,
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A stop has begun, or the last connection has gone.
    changed: Notify,
}

#[derive(Default)]
struct State {
    tracked: u64,
    by_id: BTreeMap<u64, Remote>,
    max_age: Option<Duration>,
    stop: Option<(CloseCode, String)>,
}

/// Kept by a connection: when it goes, it is no longer tracked.
pub(crate) struct Tracked {
    shared: Arc<Shared>,
    id: u64,
}

impl Tracker {
    /// A tracker.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives every connection that is tracked from now on a maximum age: it is closed with 1001 (going
    /// away) once it is so old, or up to a tenth younger, at random, so that those which came together
    /// do not go together. The age counts from when it is tracked.
    pub fn set_max_age(&self, age: Option<Duration>) {
        self.lock().max_age = age;
    }

    /// Tracks a socket until it is dropped, both halves of it. If a stop has begun, it is closed at once.
    pub fn track<S>(&self, socket: &WebSocket<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let remote = socket.remote();
        let mut state = self.lock();
        state.tracked += 1;
        let id = state.tracked;
        state.by_id.insert(id, remote.clone());
        let max_age = state.max_age;
        let stop = state.stop.clone();
        drop(state);
        if let Some(connection) = remote.connection() {
            connection.keep(Tracked { shared: self.shared.clone(), id });
        }
        // What they are closed with may be sent, and one that is closed already is left alone.
        if let Some((code, reason)) = stop {
            let _ = remote.close(code, &reason);
        } else if let Some(age) = max_age {
            let younger = age / 2560 * u32::from(random::masking_key()[0]);
            let _ = remote.close_in(age - younger, CloseCode::GOING_AWAY, "maximum age");
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a [stop](Self::stop) has begun: for the loop that accepts.
    ///
    /// *Cancel safety*: it may be dropped and called again.
    pub async fn stopping(&self) {
        self.wait_until(|state| state.stop.is_some()).await;
    }

    /// Stops the server: [`stopping`](Self::stopping) ends, all connections are sent a close frame, and
    /// those that are tracked later are closed at once. Returns when all sockets have been dropped, or
    /// patience is over; gives how many are left.
    ///
    /// The close frame goes out, and the peer's answer is received, by the task that waits on the
    /// socket, whichever half it has.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the code or the reason must not be sent; nothing is stopped then.
    ///
    /// *Cancel safety*: if it is dropped the stop goes on, and nobody waits for it.
    pub async fn stop(&self, stop: Stop) -> Result<usize, Error> {
        let Stop { code, reason, spread, patience } = stop;
        if !code.is_sendable() {
            return Err(Misuse::CloseCode(code).into());
        }
        if reason.len() > 123 {
            return Err(Misuse::LongReason(reason.len()).into());
        }
        let deadline = deadline(patience);
        let connections: Vec<_> = {
            let mut state = self.lock();
            state.stop = Some((code, reason.clone()));
            state.by_id.values().cloned().collect()
        };
        self.shared.changed.notify_waiters();
        let share = spread / u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
        let mut wait = Duration::ZERO;
        for connection in connections {
            connection.close_in(wait, code, &reason)?;
            wait += share;
        }
        let drained = self.wait_until(|state| state.by_id.is_empty());
        match deadline {
            Some(deadline) => drop(timeout_at(deadline, drained).await),
            None => drained.await,
        }
        Ok(self.len())
    }

    async fn wait_until(&self, reached: impl Fn(&State) -> bool) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if reached(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.by_id.remove(&self.id);
        let last = state.by_id.is_empty();
        drop(state);
        if last {
            self.shared.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("connections", &self.len()).finish_non_exhaustive()
    }
}
