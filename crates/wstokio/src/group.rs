use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use wsconn::PreparedMessage;

use crate::Remote;

/// Connections to which messages are sent together: the members of a room, the subscribers of a
/// ticker. Cheap to clone; all clones are one group.
///
/// A message is encoded once, by [`PreparedMessage`], and shared: for each member it costs a place in
/// its queue, and a write by the task that waits on its socket. All members get all messages in one
/// order. A member that does not keep up, so that as many messages wait for it as the group allows,
/// behind what its stream does not take, is dealt with as the [`SlowPolicy`] says. Pings, pongs and close
/// frames do not stand in that queue.
///
/// ```
/// use wstokio::{Group, PreparedMessage, SlowPolicy, WebSocket};
///
/// async fn serve(mut ws: WebSocket, room: Group) -> Result<(), wstokio::Error> {
///     let _member = room.join(&ws.remote()); // it leaves when this is dropped
///     while let Some(message) = ws.recv().await? {
///         room.send(&PreparedMessage::new(message)).await;
///     }
///     Ok(())
/// }
///
/// let room = Group::new(256, SlowPolicy::Close);
/// # assert!(room.is_empty());
/// ```
///
/// The messages leave while some call on the member's socket is awaited, normally
/// [`recv`](crate::WebSocket::recv). What the socket's owner sends itself may overtake those that wait.
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
}

/// What becomes of a message to a member for which as many wait as the group allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// The message waits until every member has room: the slowest sets the pace. A member whose peer
    /// takes nothing is lost after [`Config::write_timeout`](crate::Config::write_timeout), if its
    /// task waits on its socket: so none that is to do that may wait here, nor a task that others wait
    /// for to read. What is sent to [a member alone](Member::send) does not wait.
    Wait,
    /// The member does not get this message.
    DropNewest,
    /// The member does not get the message that has waited for longest.
    DropOldest,
    /// The member's connection is closed with 1013 (try again later), and what waits for it is dropped.
    Close,
}

/// What came of a message to a group, in members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Those that the message is on its way to.
    pub queued: usize,
    /// Those for which this message, or an older one in its place, was dropped.
    pub dropped: usize,
    /// Those that were closed because they did not keep up.
    pub closed: usize,
}

/// A connection's place in a [`Group`]. Dropping it leaves the group.
#[must_use = "dropping it leaves the group"]
pub struct Member {
    group: Group,
    id: u64,
    remote: Remote,
}

/// What came of a message to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Queued,
    Dropped,
    Closed,
    Gone,
}

struct Shared {
    limit: usize,
    slow: SlowPolicy,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    joined: u64,
    by_id: BTreeMap<u64, Remote>,
    /// Who waits for a member to have room: one may leave instead.
    waiting: Vec<Waker>,
}

impl Group {
    /// A group in which `limit` messages may wait for each member, at least one.
    pub fn new(limit: usize, slow: SlowPolicy) -> Self {
        let members = Mutex::default();
        Self { shared: Arc::new(Shared { limit: limit.max(1), slow, members }) }
    }

    /// Makes a connection a member, from the next message on. It may be in several groups; they share
    /// its queue, each with its own limit.
    pub fn join(&self, connection: &Remote) -> Member {
        let mut members = self.lock();
        members.joined += 1;
        let id = members.joined;
        members.by_id.insert(id, connection.clone());
        drop(members);
        Member { group: self.clone(), id, remote: connection.clone() }
    }

    /// Sends a message to all members. It waits only under [`SlowPolicy::Wait`], and then until it can
    /// be queued for all.
    ///
    /// *Cancel safety*: if dropped while it waits, the message is sent to no one.
    pub async fn send(&self, message: &PreparedMessage) -> Sent {
        poll_fn(|cx| match self.offer(message, cx.waker()) {
            Some(sent) => Poll::Ready(sent),
            None => Poll::Pending,
        })
        .await
    }

    /// As [`send`](Self::send), where nothing can be awaited. `None` if it would have to wait, and then
    /// the message is sent to no one; never but under [`SlowPolicy::Wait`].
    pub fn try_send(&self, message: &PreparedMessage) -> Option<Sent> {
        self.offer(message, Waker::noop())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn offer(&self, message: &PreparedMessage, waker: &Waker) -> Option<Sent> {
        let Shared { limit, slow, .. } = *self.shared;
        // Locked throughout, so that all members get all messages in one order.
        let mut members = self.lock();
        if slow == SlowPolicy::Wait {
            let room = |member: &Remote| {
                member.connection().is_none_or(|connection| connection.has_room(limit, waker))
            };
            if !members.by_id.values().all(room) {
                if !members.waiting.iter().any(|known| known.will_wake(waker)) {
                    members.waiting.push(waker.clone());
                }
                return None;
            }
        }
        let mut sent = Sent::default();
        for connection in members.by_id.values().filter_map(Remote::connection) {
            match connection.offer(message, limit, slow) {
                Offered::Queued => sent.queued += 1,
                Offered::Dropped => sent.dropped += 1,
                Offered::Closed => sent.closed += 1,
                Offered::Gone => {}
            }
        }
        // Whoever still has to wait says so again.
        wake_waiting(members);
        Some(sent)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Sends a message to this member alone, in the order of those to the group and by its policy. It
    /// never waits: under [`SlowPolicy::Wait`] it may be one more than the limit, and is dropped where
    /// that many wait.
    pub fn send(&self, message: &PreparedMessage) {
        let (limit, slow) = match *self.group.shared {
            Shared { limit, slow: SlowPolicy::Wait, .. } => {
                (limit.saturating_add(1), SlowPolicy::DropNewest)
            }
            Shared { limit, slow, .. } => (limit, slow),
        };
        // Locked, for the order.
        let _members = self.group.lock();
        if let Some(connection) = self.remote.connection() {
            connection.offer(message, limit, slow);
        }
    }

    /// The member's connection.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.group.lock();
        members.by_id.remove(&self.id);
        wake_waiting(members);
    }
}

/// Wakes whoever waits for room, once this is unlocked.
fn wake_waiting(mut members: MutexGuard<'_, Members>) {
    let waiting = mem::take(&mut members.waiting);
    drop(members);
    waiting.into_iter().for_each(Waker::wake);
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("limit", &self.shared.limit)
            .field("slow", &self.shared.slow)
            .field("members", &self.len())
            .finish()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("group", &self.group).finish_non_exhaustive()
    }
}
