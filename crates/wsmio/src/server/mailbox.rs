//! How other threads tell a loop what to do.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mio::{Registry, Waker};
use wsconn::{CloseCode, PreparedMessage};

use super::{ConnectionId, RemoteError, event_loop::WAKE, slots};

/// Once this many bytes wait for a loop, it takes no further command until it has looked at them.
pub(super) const LIMIT: usize = 16 << 20;

/// What a loop is asked to do.
pub(super) enum Command {
    Send(ConnectionId, PreparedMessage),
    Broadcast(PreparedMessage),
    Close(ConnectionId, CloseCode, Box<str>),
}

/// Where a loop finds what it is asked to do.
pub(super) struct Mailbox {
    pub(super) index: u16,
    /// `None` once the loop has ended.
    queue: Mutex<Option<Queue>>,
    waker: Waker,
    /// The generation of the connection in each slot; odd while there is one.
    generations: RwLock<Vec<AtomicU32>>,
}

/// What a loop has not looked at yet.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) commands: Vec<Command>,
    /// What they hold.
    bytes: usize,
    /// To stop, and how long to wait for connections to end.
    pub(super) stop: Option<Duration>,
}

/// A queue that takes a command, and nobody else's before it.
pub(super) struct Room<'a> {
    queue: MutexGuard<'a, Option<Queue>>,
    waker: &'a Waker,
}

impl Mailbox {
    pub(super) fn new(index: usize, registry: &Registry) -> io::Result<Self> {
        let index = u16::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self {
            index,
            queue: Mutex::new(Some(Queue::default())),
            waker: Waker::new(registry, WAKE)?,
            generations: RwLock::default(),
        })
    }

    /// Takes all that is to be done.
    pub(super) fn take(&self) -> Queue {
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

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        let known = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let slot = known.get(id.index as usize);
        slot.is_some_and(|slot| slot.load(Ordering::Relaxed) == id.generation)
    }

    /// Room for a command.
    pub(super) fn room(&self) -> Result<Room<'_>, RemoteError> {
        let queue = self.lock();
        match &*queue {
            None => Err(RemoteError::Gone),
            Some(queue) if queue.bytes >= LIMIT => Err(RemoteError::Full),
            Some(_) => Ok(Room { queue, waker: &self.waker }),
        }
    }

    /// Tells the loop to stop.
    pub(super) fn stop(&self, patience: Duration) {
        let room = Room { queue: self.lock(), waker: &self.waker };
        room.note(|queue| queue.stop = Some(patience));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room<'_> {
    pub(super) fn put(self, command: Command) {
        self.note(|queue| {
            queue.bytes = queue.bytes.saturating_add(command.bytes(queue.commands.last()));
            queue.commands.push(command);
        });
    }

    fn note(mut self, change: impl FnOnce(&mut Queue)) {
        let Some(queue) = self.queue.as_mut() else { return };
        let first = queue.commands.is_empty() && queue.stop.is_none();
        change(queue);
        drop(self.queue);
        if first {
            // It can only fail where the loop has ended.
            let _ = self.waker.wake();
        }
    }
}

impl Command {
    /// What it holds in bytes, behind the command `last`: one message for many is held once.
    fn bytes(&self, last: Option<&Self>) -> usize {
        let payload = match self {
            Self::Send(..) | Self::Broadcast(_) => {
                let held = last.and_then(Self::payload).unwrap_or_default();
                let payload = self.payload().unwrap_or_default();
                if held.as_ptr() == payload.as_ptr() { 0 } else { payload.len() }
            }
            Self::Close(_, _, reason) => reason.len(),
        };
        payload.saturating_add(size_of::<Self>())
    }

    fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Send(_, message) | Self::Broadcast(message) => Some(message.as_bytes()),
            Self::Close(..) => None,
        }
    }
}
