//! Two connections joined by a simulated wire, and a virtual clock.
//!
//! ```
//! use std::time::Duration;
//! use wsconn::{Config, Role};
//! use wstest::{pair::Pair, reference::Event};
//!
//! let mut pair = Pair::new(Config::default(), Config::default());
//! pair.latency = Duration::from_millis(10);
//! pair.client.connection.send("hello").unwrap();
//! pair.run();
//! assert_eq!(pair.server.events, [Event::Message("hello".into())]);
//! ```

use std::{collections::VecDeque, sync::Arc, time::Duration};

use wsconn::{
    CloseCode, CloseInfo, Config, Connection, Delivery, Disposition, Misuse, Role, Time, Timeout,
};

use crate::{
    drive::{Trace, connection},
    reference::{self, Event},
};

/// A client and a server, the wire between them, and the clock of both.
pub struct Pair {
    /// The client's end.
    pub client: End,
    /// The server's end.
    pub server: End,
    /// How long bytes are on the way. Default: no time.
    pub latency: Duration,
    /// The most bytes that arrive in one read. Default: all.
    pub cut: usize,
    now: Time,
}

/// One end of a [`Pair`]: a connection, and the direction of the wire that it writes to.
pub struct End {
    /// The connection. After calls on it, run the pair.
    pub connection: Connection,
    /// What it has received.
    pub events: Vec<Event>,
    /// All bytes that the wire took from it.
    pub written: Vec<u8>,
    /// How many more bytes the wire takes from it; `None` is any number. At `Some(0)` it is blocked.
    pub window: Option<usize>,
    /// Whether what it writes is lost on the way.
    pub drops: bool,
    /// When it ended its writing direction.
    pub shut: Option<Time>,
    /// When it closed the byte stream.
    pub closed: Option<Time>,
    /// What is on the way from it; `None` is the end of the stream.
    wire: VecDeque<(Time, Option<Vec<u8>>)>,
}

impl Pair {
    /// Two connections after the opening handshake, at time zero.
    pub fn new(client: Config, server: Config) -> Self {
        Self {
            client: End::new(connection(Role::Client, &Arc::new(client))),
            server: End::new(connection(Role::Server, &Arc::new(server))),
            latency: Duration::ZERO,
            cut: usize::MAX,
            now: Time::ZERO,
        }
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The end in `role`.
    pub fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// The end that is not in `role`.
    pub fn other(&mut self, role: Role) -> &mut End {
        self.end(opposite(role))
    }

    /// Begins the closing handshake at one end.
    pub fn close(&mut self, role: Role, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        let now = self.now;
        self.end(role).connection.close(code, reason, now)
    }

    /// Moves bytes, and the clock with them, until none is on the way. No timer is fired.
    pub fn run(&mut self) {
        self.write();
        while let Some(arrival) = self.next_arrival() {
            self.now = self.now.max(arrival);
            self.arrive();
        }
    }

    /// Moves bytes and fires timers until `until` after time zero.
    pub fn run_until(&mut self, until: Duration) {
        let until = Time::from_origin(until);
        loop {
            self.write();
            let timers = [&self.client, &self.server].map(End::next_timeout);
            let next = timers.into_iter().chain([self.next_arrival()]).flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.arrive();
            let now = self.now;
            for end in [&mut self.client, &mut self.server] {
                if end.next_timeout().is_some_and(|timeout| timeout <= now) {
                    end.connection.handle_timeout(now);
                    let again = end.next_timeout();
                    assert!(again.is_none_or(|again| again > now), "due again at once");
                }
            }
        }
        self.now = self.now.max(until);
    }

    /// As [`run_until`](Self::run_until), for a time from now.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now.since_origin() + time);
    }

    fn next_arrival(&self) -> Option<Time> {
        let first = |end: &End| end.wire.front().map(|(at, _)| *at);
        [first(&self.client), first(&self.server)].into_iter().flatten().min()
    }

    /// Both write what they have.
    fn write(&mut self) {
        let arrival = self.now.after(self.latency);
        self.client.write(self.now, arrival);
        self.server.write(self.now, arrival);
    }

    /// What is due arrives; whoever reads it writes what comes of it.
    fn arrive(&mut self) {
        let (now, cut) = (self.now, self.cut);
        for role in [Role::Client, Role::Server] {
            while let Some(piece) = self.other(role).take_arrived(now) {
                self.end(role).read(piece, cut, now);
                self.write();
            }
        }
    }
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            events: Vec::new(),
            written: Vec::new(),
            window: None,
            drops: false,
            shut: None,
            closed: None,
            wire: VecDeque::new(),
        }
    }

    /// How the connection ended. Panics if it has not.
    pub fn close_info(&self) -> &CloseInfo {
        self.connection.close_info().expect("the connection has not ended")
    }

    /// The timeout that ended the connection, if one did.
    pub fn timeout(&self) -> Option<Timeout> {
        match self.connection.close_info()?.cause {
            wsconn::CloseCause::Timeout(timeout) => Some(timeout),
            _ => None,
        }
    }

    /// The frames that the wire took from it.
    pub fn frames(&self) -> Vec<reference::Frame> {
        reference::decode(&self.written)
    }

    /// The byte stream breaks without a word, as if the process were killed.
    pub fn kill(&mut self, now: Time) {
        self.closed.get_or_insert(now);
        self.wire.push_back((now, None));
    }

    fn next_timeout(&self) -> Option<Time> {
        if self.closed.is_some() { None } else { self.connection.poll_timeout() }
    }

    fn write(&mut self, now: Time, arrival: Time) {
        if self.closed.is_some() {
            return;
        }
        loop {
            let outgoing = self.connection.outgoing();
            if outgoing.is_empty() {
                break;
            }
            let len = outgoing.len().min(self.window.unwrap_or(usize::MAX));
            if len == 0 {
                self.connection.blocked(now);
                break;
            }
            assert!(self.shut.is_none(), "writes after the end of its stream");
            if !self.drops {
                self.wire.push_back((arrival, Some(outgoing[..len].to_vec())));
            }
            self.written.extend(&outgoing[..len]);
            self.window = self.window.map(|window| window - len);
            self.connection.advance(len);
        }
        let disposition = self.connection.disposition();
        if disposition == Disposition::KeepOpen {
            return;
        }
        if self.shut.is_none() {
            self.shut = Some(now);
            if !self.drops {
                self.wire.push_back((arrival, None));
            }
        }
        if disposition == Disposition::Close {
            self.closed = Some(now);
        }
    }

    fn take_arrived(&mut self, now: Time) -> Option<Option<Vec<u8>>> {
        if self.wire.front()?.0 > now {
            return None;
        }
        self.wire.pop_front().map(|(_, piece)| piece)
    }

    fn read(&mut self, piece: Option<Vec<u8>>, cut: usize, now: Time) {
        if self.closed.is_some() {
            return;
        }
        let Some(mut piece) = piece else {
            self.connection.receive_eof();
            return;
        };
        for read in piece.chunks_mut(cut) {
            let mut rest = read;
            loop {
                let received = self.connection.receive(rest, Delivery::Messages, now);
                let done = received.event.is_none() && received.consumed == rest.len();
                if let Some(location) = received.event {
                    let mut trace = Trace::default();
                    trace.push(self.connection.event(rest, location));
                    self.events.append(&mut trace.events);
                }
                if done {
                    break;
                }
                rest = rest.split_at_mut(received.consumed).1;
            }
        }
    }
}

/// The other role.
pub fn opposite(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}
