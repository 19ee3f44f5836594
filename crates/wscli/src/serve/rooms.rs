//! Who is in which room, and what was said there.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::{mpsc, oneshot};

use super::protocol::{Notice, Said, Who};

/// What late comers get to see of a room: this many messages, and no more than so many bytes.
const HISTORY: usize = 100;
const HISTORY_BYTES: usize = 256 << 10;

/// Rooms that are remembered though no one is there; beyond that the one longest quiet is forgotten.
const QUIET_ROOMS: usize = 256;

/// Notices that wait for a member who reads slowly; beyond that it has to go.
const MAILBOX: usize = 256;

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

#[derive(Default)]
struct Room {
    members: BTreeMap<u64, Member>,
    history: VecDeque<Said>,
    history_bytes: usize,
    /// When something last happened, in milliseconds since 1970.
    at: u64,
}

struct Member {
    nick: String,
    typing: bool,
    /// `None` once it has overflowed.
    mailbox: Option<(mpsc::Sender<Arc<str>>, oneshot::Sender<()>)>,
}

/// What happens in a room, for one member.
pub(super) struct Mailbox {
    pub(super) notices: mpsc::Receiver<Arc<str>>,
    /// Done when the mailbox has overflowed: the member has to go, however busy it is.
    pub(super) overflowed: oneshot::Receiver<()>,
}

/// A member's place in a room. Dropping it leaves.
pub(super) struct Seat<'r> {
    rooms: &'r Rooms,
    room: String,
    id: u64,
}

impl Rooms {
    /// Joins a room. The mailbox gets the welcome first, then all that happens; it overflows if its
    /// reader does not keep up.
    pub(super) fn join(&self, name: &str, nick: &str) -> (Seat<'_>, Mailbox) {
        let (mailbox, notices) = mpsc::channel(MAILBOX);
        let (keeps_up, overflowed) = oneshot::channel();
        let mut state = self.lock();
        state.members += 1;
        let id = state.members;
        let room = state.rooms.entry(name.to_owned()).or_default();
        room.at = now();
        room.tell(&Notice::Joined { id, nick, at: room.at });
        let way_in = Some((mailbox.clone(), keeps_up));
        let member = Member { nick: nick.to_owned(), typing: false, mailbox: way_in };
        room.members.insert(id, member);
        let members = room.members.iter().map(|(id, member)| Who { id: *id, nick: &member.nick });
        let welcome = Notice::Welcome {
            you: id,
            nick,
            room: name,
            members: members.collect(),
            history: room.history.iter().collect(),
        };
        let _ = mailbox.try_send(welcome.to_json().into());
        (Seat { rooms: self, room: name.to_owned(), id }, Mailbox { notices, overflowed })
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

impl Room {
    /// Puts a notice into every mailbox. It never waits: a member whose mailbox is full has not read
    /// for long, and loses it.
    fn tell(&mut self, notice: &Notice<'_>) {
        let notice: Arc<str> = notice.to_json().into();
        for member in self.members.values_mut() {
            if let Some((mailbox, _)) = &member.mailbox
                && mailbox.try_send(notice.clone()).is_err()
            {
                member.mailbox = None;
            }
        }
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
    use super::*;

    fn drain(mailbox: &mut Mailbox) -> Vec<serde_json::Value> {
        std::iter::from_fn(|| mailbox.notices.try_recv().ok())
            .map(|json| serde_json::from_str(&json).unwrap())
            .collect()
    }

    #[test]
    fn what_is_said_reaches_the_room_and_no_other() {
        let rooms = Rooms::default();
        let (ada, mut ada_hears) = rooms.join("a", "ada");
        let (_bob, mut bob_hears) = rooms.join("a", "bob");
        let (_eve, mut eve_hears) = rooms.join("b", "eve");
        drain(&mut ada_hears);
        drain(&mut bob_hears);
        drain(&mut eve_hears);
        ada.say("hello <b>".into());
        for hears in [&mut ada_hears, &mut bob_hears] {
            let heard = drain(hears);
            assert_eq!(heard.len(), 1);
            assert_eq!(heard[0]["text"], "hello <b>");
            assert_eq!(heard[0]["nick"], "ada");
        }
        assert!(drain(&mut eve_hears).is_empty());
    }

    #[test]
    fn late_comers_see_the_last_hundred_messages() {
        let rooms = Rooms::default();
        let (ada, _hears) = rooms.join("a", "ada");
        for i in 0..150 {
            ada.say(i.to_string());
        }
        drop(ada);
        let (_bob, mut hears) = rooms.join("a", "bob");
        let welcome = drain(&mut hears).remove(0);
        let history = welcome["history"].as_array().unwrap();
        assert_eq!(history.len(), HISTORY);
        assert_eq!(history[0]["text"], "50");
        assert_eq!(history[99]["text"], "149");
    }

    #[test]
    fn a_member_that_does_not_read_loses_its_mailbox_and_delays_no_one() {
        let rooms = Rooms::default();
        let (_stuck, mut stuck_hears) = rooms.join("a", "stuck");
        let (ada, mut ada_hears) = rooms.join("a", "ada");
        for i in 0..2 * MAILBOX {
            ada.say(i.to_string());
            assert!(!drain(&mut ada_hears).is_empty());
        }
        assert_eq!(drain(&mut stuck_hears).len(), MAILBOX);
        assert!(stuck_hears.notices.is_closed());
        assert!(matches!(
            stuck_hears.overflowed.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        ));
    }

    #[test]
    fn empty_rooms_are_forgotten_beyond_a_number() {
        let rooms = Rooms::default();
        for i in 0..QUIET_ROOMS + 10 {
            rooms.join(&format!("room-{i}"), "ada").0.say("hi".into());
            rooms.join(&format!("silent-{i}"), "ada");
        }
        assert_eq!(rooms.lock().rooms.len(), QUIET_ROOMS);
    }
}
