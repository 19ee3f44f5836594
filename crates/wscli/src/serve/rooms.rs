//! Who is in which room, and what was said there.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use wstokio::{Group, Member as Membership, PreparedMessage, Remote, SlowPolicy};

use super::protocol::{Notice, Said, Who};

/// What late comers get to see of a room: this many messages, and no more than so many bytes.
const HISTORY: usize = 100;
const HISTORY_BYTES: usize = 256 << 10;

/// Rooms that are remembered though no one is there; beyond that the one longest quiet is forgotten.
const QUIET_ROOMS: usize = 256;

/// Notices that wait for a member who reads slowly, behind what the system holds for it; beyond that it
/// has to go.
const MAX_WAITING: usize = 256;

/// All rooms.
#[derive(Default)]
pub(super) struct Rooms {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<String, Room>,
    /// Counts members, over all rooms: their ids.
    members: u64,
}

struct Room {
    group: Group,
    members: BTreeMap<u64, Member>,
    history: VecDeque<Said>,
    history_bytes: usize,
    /// When something last happened, in milliseconds since 1970.
    at: u64,
}

struct Member {
    nick: String,
    typing: bool,
    in_group: Membership,
}

/// A member's place in a room. Dropping it leaves.
pub(super) struct Seat<'r> {
    rooms: &'r Rooms,
    room: String,
    id: u64,
}

impl Rooms {
    /// Joins a room. The connection gets the welcome first, then all that happens; it is closed if its
    /// reader does not keep up.
    pub(super) fn join(&self, name: &str, nick: &str, connection: &Remote) -> Seat<'_> {
        let mut state = self.lock();
        state.members += 1;
        let id = state.members;
        let room = state.rooms.entry(name.to_owned()).or_default();
        room.at = now();
        room.tell(&Notice::Joined { id, nick, at: room.at });
        let in_group = room.group.join(connection);
        room.members.insert(id, Member { nick: nick.to_owned(), typing: false, in_group });
        let members = room.members.iter().map(|(id, member)| Who { id: *id, nick: &member.nick });
        let welcome = Notice::Welcome {
            you: id,
            nick,
            room: name,
            members: members.collect(),
            history: room.history.iter().collect(),
        };
        let welcome = PreparedMessage::new(&welcome.to_json());
        if let Some(member) = room.members.get(&id) {
            member.in_group.send(&welcome);
        }
        Seat { rooms: self, room: name.to_owned(), id }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// Says something to the room.
    pub(super) fn say(&self, text: String) {
        self.with(|id, room| {
            let Some(member) = room.members.get_mut(&id) else { return };
            member.typing = false;
            let said = Said { id, nick: member.nick.clone(), text, at: now() };
            room.at = said.at;
            room.tell(&Notice::Said(&said));
            room.remember(said);
        });
    }

    /// Shows that the member types, or that it has stopped.
    pub(super) fn typing(&self, on: bool) {
        self.with(|id, room| {
            let Some(member) = room.members.get_mut(&id) else { return };
            if on || member.typing {
                member.typing = on;
                let nick = member.nick.clone();
                room.tell(&Notice::Typing { id, nick: &nick, on });
            }
        });
    }

    /// Changes the member's nickname.
    pub(super) fn rename(&self, nick: &str) {
        self.with(|id, room| {
            let Some(member) = room.members.get_mut(&id) else { return };
            let old = std::mem::replace(&mut member.nick, nick.to_owned());
            room.tell(&Notice::Renamed { id, old: &old, nick, at: now() });
        });
    }

    fn with(&self, change: impl FnOnce(u64, &mut Room)) {
        if let Some(room) = self.rooms.lock().rooms.get_mut(&self.room) {
            change(self.id, room);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.rooms.lock();
        if let Some(room) = state.rooms.get_mut(&self.room)
            && let Some(member) = room.members.remove(&self.id)
        {
            room.at = now();
            room.tell(&Notice::Left { id: self.id, nick: &member.nick, at: room.at });
        }
        state.forget();
    }
}

impl State {
    /// Forgets what was said in rooms where no one is, if there are many.
    fn forget(&mut self) {
        let quiet = |room: &Room| room.members.is_empty();
        self.rooms.retain(|_, room| !(quiet(room) && room.history.is_empty()));
        while self.rooms.values().filter(|room| quiet(room)).count() > QUIET_ROOMS {
            let oldest = self.rooms.iter().filter(|(_, room)| quiet(room));
            let Some(name) = oldest.min_by_key(|(_, room)| room.at).map(|(name, _)| name.clone())
            else {
                return;
            };
            self.rooms.remove(&name);
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self {
            group: Group::new(MAX_WAITING, SlowPolicy::Close),
            members: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            at: 0,
        }
    }
}

impl Room {
    /// Sends a notice to all members. It never waits.
    fn tell(&self, notice: &Notice<'_>) {
        self.group.try_send(&PreparedMessage::new(&notice.to_json()));
    }

    fn remember(&mut self, said: Said) {
        self.history_bytes += said.text.len();
        self.history.push_back(said);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(forgotten) = self.history.pop_front() else { break };
            self.history_bytes -= forgotten.text.len();
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{DuplexStream, duplex};
    use wstokio::{CloseCode, Config, WebSocket};

    use super::*;

    type Socket = WebSocket<DuplexStream>;

    /// A page's socket, and what the server has of it.
    fn page() -> (Socket, Remote) {
        let (near, far) = duplex(1 << 20);
        let page = WebSocket::from_client_stream(far, Vec::new(), Arc::default());
        let mut ws = WebSocket::from_server_stream(near, Vec::new(), Arc::default());
        let remote = ws.remote();
        tokio::spawn(async move { while let Ok(Some(_)) = ws.recv().await {} });
        (page, remote)
    }

    async fn hear(page: &mut Socket) -> serde_json::Value {
        let message = page.recv().await.unwrap().unwrap();
        serde_json::from_str(message.as_text().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_is_said_reaches_the_room_and_no_other() {
        let rooms = Rooms::default();
        let [(mut ada, a), (mut bob, b), (mut eve, e)] = [page(), page(), page()];
        let seat = rooms.join("a", "ada", &a);
        let _bob = rooms.join("a", "bob", &b);
        let other = rooms.join("b", "eve", &e);
        seat.say("hello <b>".into());
        other.say("alone".into());
        for kind in ["welcome", "joined"] {
            assert_eq!(hear(&mut ada).await["type"], kind);
        }
        assert_eq!(hear(&mut bob).await["type"], "welcome");
        for page in [&mut ada, &mut bob] {
            let heard = hear(page).await;
            assert_eq!(heard["text"], "hello <b>");
            assert_eq!(heard["nick"], "ada");
        }
        assert_eq!(hear(&mut eve).await["type"], "welcome");
        assert_eq!(hear(&mut eve).await["text"], "alone");
    }

    #[tokio::test]
    async fn late_comers_see_the_last_hundred_messages() {
        let rooms = Rooms::default();
        let (_ada, remote) = page();
        let ada = rooms.join("a", "ada", &remote);
        for i in 0..150 {
            ada.say(i.to_string());
        }
        drop(ada);
        let (mut bob, remote) = page();
        let _bob = rooms.join("a", "bob", &remote);
        let welcome = hear(&mut bob).await;
        let history = welcome["history"].as_array().unwrap();
        assert_eq!(history.len(), HISTORY);
        assert_eq!(history[0]["text"], "50");
        assert_eq!(history[99]["text"], "149");
    }

    #[tokio::test]
    async fn a_member_that_does_not_read_is_closed_and_delays_no_one() {
        let rooms = Rooms::default();
        // The stream takes a part of the welcome, and nothing after it.
        let (near, _far) = duplex(64);
        let mut stuck = WebSocket::from_server_stream(near, Vec::new(), Config::default().into());
        let _stuck = rooms.join("a", "stuck", &stuck.remote());
        tokio::select! {
            biased;
            _ = stuck.recv() => {}
            () = std::future::ready(()) => {}
        }
        let rest = stuck.counters().bytes_queued;
        let (mut ada, remote) = page();
        let seat = rooms.join("a", "ada", &remote);
        assert_eq!(hear(&mut ada).await["type"], "welcome");
        for i in 0..2 * MAX_WAITING {
            seat.say(i.to_string());
            assert_eq!(hear(&mut ada).await["text"], i.to_string());
        }
        let counters = stuck.counters();
        assert_eq!((counters.messages_waiting, counters.messages_sent), (0, 1));
        assert_eq!(counters.messages_dropped as usize, MAX_WAITING + 1);
        assert_eq!(counters.bytes_queued - rest, {
            let frame = 4 + "messages came faster than you read them".len();
            assert_eq!(CloseCode::TRY_AGAIN_LATER.get(), 1013);
            frame
        });
    }

    #[tokio::test]
    async fn empty_rooms_are_forgotten_beyond_a_number() {
        let rooms = Rooms::default();
        let (_page, remote) = page();
        for i in 0..QUIET_ROOMS + 10 {
            rooms.join(&format!("room-{i}"), "ada", &remote).say("hi".into());
            rooms.join(&format!("silent-{i}"), "ada", &remote);
        }
        assert_eq!(rooms.lock().rooms.len(), QUIET_ROOMS);
    }
}
