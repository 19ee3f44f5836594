use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mio::{Registry, Waker};
use wsconn::{CloseCode, OwnedMessage};

use super::{event_loop::WAKE, slots};

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
/// comes until it looks.
#[derive(Clone)]
pub struct Remote {
    loops: Arc<[Arc<Mailbox>]>,
}

/// The connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What a loop is asked to do.
pub(super) enum Command {
    Send(ConnectionId, Arc<OwnedMessage>),
    Broadcast(Arc<OwnedMessage>),
    Close(ConnectionId, CloseCode, Box<str>),
    Stop(Duration),
}

/// Where a loop finds what it is asked to do.
pub(super) struct Mailbox {
    pub(super) index: u16,
    /// `None` once the loop has ended.
    commands: Mutex<Option<Vec<Command>>>,
    waker: Waker,
    /// The generation of the connection in each slot; odd while there is one.
    generations: RwLock<Vec<AtomicU32>>,
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
    /// [`Gone`] if the connection has ended. It may still end before the message is written.
    pub fn send(
        &self,
        id: ConnectionId,
        message: impl Into<Arc<OwnedMessage>>,
    ) -> Result<(), Gone> {
        self.ask(id, Command::Send(id, message.into()))
    }

    /// Sends a message to all connections but those that do not keep up.
    pub fn broadcast(&self, message: impl Into<Arc<OwnedMessage>>) {
        let message = message.into();
        for mailbox in self.loops.iter() {
            // One that has ended has no connections.
            let _ = mailbox.put(Command::Broadcast(message.clone()));
        }
    }

    /// Begins to close a connection. A code or a reason that must not be sent closes it with 1011.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the connection has ended.
    pub fn close(&self, id: ConnectionId, code: CloseCode, reason: &str) -> Result<(), Gone> {
        self.ask(id, Command::Close(id, code, reason.into()))
    }

    /// Stops the server: no new connections, a close frame with 1001 (going away) to all. The server
    /// ends once all have ended, or `patience` is over.
    pub fn stop(&self, patience: Duration) {
        for mailbox in self.loops.iter() {
            let _ = mailbox.put(Command::Stop(patience));
        }
    }

    fn ask(&self, id: ConnectionId, command: Command) -> Result<(), Gone> {
        let mailbox = self.loops.get(usize::from(id.in_loop)).ok_or(Gone)?;
        if !mailbox.has(id) {
            return Err(Gone);
        }
        mailbox.put(command)
    }
}

impl Mailbox {
    pub(super) fn new(index: usize, registry: &Registry) -> io::Result<Self> {
        let index = u16::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self {
            index,
            commands: Mutex::new(Some(Vec::new())),
            waker: Waker::new(registry, WAKE)?,
            generations: RwLock::default(),
        })
    }

    /// Takes all that is to be done.
    pub(super) fn take(&self) -> Vec<Command> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nothing is taken any more.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// Notes the generation of a slot.
    pub(super) fn note(&self, index: u32, generation: u32) {
        let index = index as usize;
        let known = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = known.get(index) {
            slot.store(generation, Ordering::Relaxed);
            return;
        }
        drop(known);
        let mut known = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        while known.len() <= index {
            slots::grow(&mut known);
            known.push(AtomicU32::default());
        }
        if let Some(slot) = known.get(index) {
            slot.store(generation, Ordering::Relaxed);
        }
    }

    fn has(&self, id: ConnectionId) -> bool {
        let known = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let slot = known.get(id.index as usize);
        slot.is_some_and(|slot| slot.load(Ordering::Relaxed) == id.generation)
    }

    /// Fails once the loop has ended.
    fn put(&self, command: Command) -> Result<(), Gone> {
        let mut slot = self.lock();
        let commands = slot.as_mut().ok_or(Gone)?;
        let first = commands.is_empty();
        commands.push(command);
        drop(slot);
        if first {
            // It can only fail where the loop has ended.
            let _ = self.waker.wake();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.in_loop, self.index, self.generation)
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended")
    }
}

impl std::error::Error for Gone {}
