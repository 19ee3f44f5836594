use std::{fmt, sync::Arc, time::Duration};

use wsconn::{CloseCode, PreparedMessage};

use super::mailbox::{Command, LIMIT, Mailbox};

/// Which connection of a [`Server`](super::Server): never reused for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(super) index: u32,
    pub(super) generation: u32,
    pub(super) in_loop: u16,
}

/// A handle to a [`Server`](super::Server) for other threads, and for its own handlers. Cheap to
/// clone.
///
/// What it is asked for is done by the loop that has the connection, which is woken once for all that
/// comes until it looks. No call waits: once 16 MiB wait for a loop it takes nothing more until it
/// has looked, and the answer is [`RemoteError::Full`]. A message that is sent to many in a row counts
/// once, and one may be longer.
#[derive(Clone)]
pub struct Remote {
    loops: Arc<[Arc<Mailbox>]>,
}

/// Why a [`Remote`] did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// The connection has ended.
    Gone,
    /// The loop is asked for more than it does: 16 MiB wait for it. It will have room again when it
    /// has looked, which it does between two turns of its connections.
    Full,
}

impl Remote {
    pub(super) fn new(loops: Arc<[Arc<Mailbox>]>) -> Self {
        Self { loops }
    }

    /// Sends a message to a connection. If that does not keep up, so that
    /// [`Config::max_outgoing`](wsconn::Config::max_outgoing) bytes wait to be written, the message is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Gone`] if the connection has ended; it may still end before the message is
    /// written. [`RemoteError::Full`]: try again later.
    pub fn send(&self, id: ConnectionId, message: &PreparedMessage) -> Result<(), RemoteError> {
        self.ask(id, || Command::Send(id, message.clone()))
    }

    /// Sends a message to all connections but those that do not keep up. It is encoded and compressed
    /// once for all.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Full`] if one of the loops is: then it is sent to no connection at all.
    pub fn broadcast(&self, message: &PreparedMessage) -> Result<(), RemoteError> {
        // All are locked before one is told, in the same order by everyone.
        let rooms = self.loops.iter().map(|mailbox| match mailbox.room() {
            Ok(room) => Ok(Some(room)),
            // It has no connections any more.
            Err(RemoteError::Gone) => Ok(None),
            Err(full) => Err(full),
        });
        for room in rooms.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            room.put(Command::Broadcast(message.clone()));
        }
        Ok(())
    }

    /// Begins to close a connection. A code or a reason that must not be sent closes it with 1011.
    ///
    /// Errors as for [`send`](Self::send).
    pub fn close(
        &self,
        id: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), RemoteError> {
        self.ask(id, || Command::Close(id, code, reason.into()))
    }

    /// Stops the server: no new connections, a close frame with 1001 (going away) to all. The server
    /// ends once all have ended, or `patience` is over.
    pub fn stop(&self, patience: Duration) {
        for mailbox in self.loops.iter() {
            mailbox.stop(patience);
        }
    }

    fn ask(&self, id: ConnectionId, command: impl FnOnce() -> Command) -> Result<(), RemoteError> {
        let mailbox = self.loops.get(usize::from(id.in_loop)).ok_or(RemoteError::Gone)?;
        if !mailbox.has(id) {
            return Err(RemoteError::Gone);
        }
        mailbox.room()?.put(command());
        Ok(())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("loops", &self.loops.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.in_loop, self.index, self.generation)
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the connection has ended"),
            Self::Full => write!(
                f,
                "{LIMIT} bytes wait for the server's loop already, which does less than it is asked \
                 for: try again later"
            ),
        }
    }
}

impl std::error::Error for RemoteError {}
