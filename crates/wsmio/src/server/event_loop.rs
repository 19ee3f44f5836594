use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use wsconn::{CloseCode, PreparedMessage, Time, opening::ServerOptions};

use super::{
    ConnectionId, Handler,
    entry::{Common, Entry, Rest},
    mailbox::{Command, Mailbox},
    slots::Slots,
    wheel::Wheel,
};

pub(super) const WAKE: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

/// The size of the buffer that the connections of a loop share, in bytes.
const INPUT: usize = 256 << 10;

/// How many connections are accepted before those that are there have their turn.
const ACCEPTS: usize = 64;

/// How long to wait after the system had no descriptor for a new connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

pub(super) struct EventLoop<H: Handler> {
    poll: Poll,
    listener: Option<TcpListener>,
    mailbox: Arc<Mailbox>,
    connections: Connections<H>,
    origin: Instant,
    /// When to accept again, after the system had no descriptor left or a turn was over.
    accept_at: Option<Time>,
    /// When to end though connections are left, once it has been told to stop.
    stop_at: Option<Time>,
}

/// The connections and their timers.
struct Connections<H: Handler> {
    common: Common<H>,
    slots: Slots<Entry<H::State>>,
    wheel: Wheel,
    /// Those that have more to do, though it will not be told again.
    unread: BTreeMap<u32, Unread>,
}

/// What a connection has to read, to handle or to tell the handler in its next turn.
#[derive(Default)]
struct Unread {
    rest: Rest,
    /// The end of its stream has been seen behind that.
    to_the_end: bool,
}

impl<H: Handler> EventLoop<H> {
    pub(super) fn new(
        poll: Poll,
        listener: TcpListener,
        mailbox: Arc<Mailbox>,
        options: Arc<ServerOptions>,
        handler: H,
    ) -> io::Result<Self> {
        let mut source = SourceFd(&listener.as_raw_fd());
        poll.registry().register(&mut source, LISTENER, Interest::READABLE)?;
        let input = vec![0; INPUT].into();
        Ok(Self {
            poll,
            listener: Some(listener),
            mailbox: mailbox.clone(),
            connections: Connections {
                common: Common { handler, options, mailbox, input, now: Time::ZERO },
                slots: Slots::new(),
                wheel: Wheel::new(),
                unread: BTreeMap::new(),
            },
            origin: Instant::now(),
            accept_at: None,
            stop_at: None,
        })
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.has_stopped() {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    /// Waits for events, and does what they ask for.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let wait = self.wait();
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        self.connections.common.now = Time::from_origin(self.origin.elapsed());
        self.connections.read_on();
        for event in &*events {
            match event.token() {
                // After the batch: a new connection may take the place of one that has gone, of which
                // an event may be left in it.
                LISTENER => self.accept_at = Some(self.connections.common.now),
                WAKE => self.obey(),
                Token(index) => self.connections.ready(index, event),
            }
        }
        self.connections.expire();
        if self.accept_at.is_some_and(|at| at <= self.connections.common.now) {
            self.accept();
        }
        Ok(())
    }

    fn has_stopped(&self) -> bool {
        let late = self.stop_at.is_some_and(|at| at <= self.connections.common.now);
        late || (self.stop_at.is_some() && self.connections.slots.len() == 0)
    }

    /// How long to wait for events.
    fn wait(&self) -> Option<Duration> {
        if !self.connections.unread.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.connections.wheel.next(), self.accept_at, self.stop_at];
        let next = deadlines.into_iter().flatten().min()?;
        // Deadlines come late by what this turn took, which spares reading the clock once more.
        Some(next.since(self.connections.common.now))
    }

    fn accept(&mut self) {
        self.accept_at = None;
        let Some(listener) = &self.listener else { return };
        let now = self.connections.common.now;
        for _ in 0..ACCEPTS {
            let added = match listener.accept() {
                Ok((tcp, _)) => self.connections.add(&self.poll, tcp),
                Err(error) => Err(error),
            };
            match added {
                Ok(()) => {}
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    // Out of descriptors, most likely. It is not told again while the backlog is
                    // full: look again when some may be free.
                    _ => {
                        self.accept_at = Some(now.after(ACCEPT_AGAIN));
                        return;
                    }
                },
            }
        }
        // Those that still wait are not told again.
        self.accept_at = Some(now);
    }

    /// Does what other threads ask for.
    fn obey(&mut self) {
        let mut touched = Vec::new();
        let asked = self.mailbox.take();
        for command in asked.commands {
            match command {
                Command::Send(id, message) => self.connections.send(id, &message, &mut touched),
                Command::Broadcast(message) => {
                    for index in self.connections.slots.indices() {
                        if let Some(id) = self.connections.id(index) {
                            self.connections.send(id, &message, &mut touched);
                        }
                    }
                }
                Command::Close(id, code, reason) => {
                    self.connections.close(id, code, &reason, &mut touched);
                }
            }
        }
        if let Some(patience) = asked.stop {
            self.stop(patience, &mut touched);
        }
        touched.sort_unstable();
        touched.dedup();
        for index in touched {
            self.connections.settle(index, false);
        }
    }

    /// No new connections, and a close frame to all; those that are not open yet just end.
    fn stop(&mut self, patience: Duration, touched: &mut Vec<u32>) {
        self.listener = None;
        self.accept_at = None;
        self.stop_at = Some(self.connections.common.now.after(patience));
        for index in self.connections.slots.indices() {
            let Some(id) = self.connections.id(index) else { continue };
            if self.connections.open(id).is_some() {
                let reason = "the server stops";
                self.connections.close(id, CloseCode::GOING_AWAY, reason, touched);
            } else {
                self.connections.remove(index);
            }
        }
    }
}

impl<H: Handler> Drop for EventLoop<H> {
    fn drop(&mut self) {
        self.mailbox.end();
        self.connections.abort_all();
    }
}

impl<H: Handler> Connections<H> {
    fn add(&mut self, poll: &Poll, tcp: TcpStream) -> io::Result<()> {
        tcp.set_nonblocking(true)?;
        // Small messages leave at once; those that belong together are written together. Some systems
        // refuse it where the peer is gone already, which reading will tell.
        let _ = tcp.set_nodelay(true);
        let fd = tcp.as_raw_fd();
        let entry = Entry::new(tcp, &self.common.options, self.common.now);
        let (index, generation) = self.slots.insert(entry);
        self.common.mailbox.note(index, generation);
        // For both directions at once and once for all: no call to the system when one is wanted.
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = poll.registry().register(&mut SourceFd(&fd), Token(index as usize), both);
        match registered {
            Ok(()) => self.arm(index),
            Err(_) => self.remove(index),
        }
        registered
    }

    /// Something has happened on a connection.
    fn ready(&mut self, index: usize, event: &mio::event::Event) {
        let Ok(index) = u32::try_from(index) else { return };
        let Some(id) = self.id(index) else { return };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let to_the_end = event.is_read_closed() || event.is_error();
            match self.unread.get_mut(&index) {
                // It has had its turn, and goes on to read in the next.
                Some(unread) => unread.to_the_end |= to_the_end,
                None => self.read(id, Unread { rest: Rest::default(), to_the_end }),
            }
        }
        self.settle(index, event.is_writable());
    }

    /// Gives a connection its turn; what is left after it waits until all others had theirs.
    fn read(&mut self, id: ConnectionId, unread: Unread) {
        let Some((entry, _)) = self.slots.get_mut(id.index) else { return };
        let to_the_end = unread.to_the_end;
        if let Some(rest) = entry.readable(&mut self.common, id, unread.rest, to_the_end) {
            self.unread.insert(id.index, Unread { rest, to_the_end });
        }
    }

    /// Goes on with the connections that had more to do than one turn allows.
    fn read_on(&mut self) {
        for (index, unread) in std::mem::take(&mut self.unread) {
            if let Some(id) = self.id(index) {
                self.read(id, unread);
                self.settle(index, false);
            }
        }
    }

    /// Writes what a connection has to write, and removes it if it has ended. See [`Entry::settle`].
    fn settle(&mut self, index: u32, writable: bool) {
        let Some(id) = self.id(index) else { return };
        let Some((entry, _)) = self.slots.get_mut(index) else { return };
        if entry.settle(&mut self.common, id, writable) {
            if entry.has_drained() {
                self.unread.entry(index).or_default();
            }
            self.arm(index);
        } else {
            self.remove(index);
        }
    }

    /// Sees to it that a connection has its turn when something is due.
    fn arm(&mut self, index: u32) {
        let Some((entry, _)) = self.slots.get_mut(index) else { return };
        let Some(deadline) = entry.deadline() else { return };
        if Wheel::tick_of(deadline) < entry.tick {
            entry.tick = self.wheel.insert(index, deadline);
        }
    }

    /// Gives their turn to those for whom something may be due.
    fn expire(&mut self) {
        while let Some((tick, entries)) = self.wheel.due(self.common.now) {
            for index in entries {
                let Some(id) = self.id(index) else { continue };
                let Some((entry, _)) = self.slots.get_mut(index) else { continue };
                if entry.tick != tick {
                    continue;
                }
                entry.tick = u32::MAX;
                if entry.timeout(&mut self.common, id) {
                    self.arm(index);
                } else {
                    self.remove(index);
                }
            }
        }
    }

    fn send(&mut self, id: ConnectionId, message: &PreparedMessage, touched: &mut Vec<u32>) {
        if let Some((entry, generation)) = self.slots.get_mut(id.index)
            && generation == id.generation
        {
            entry.send_prepared(message, self.common.now);
            touched.push(id.index);
        }
    }

    fn close(&mut self, id: ConnectionId, code: CloseCode, reason: &str, touched: &mut Vec<u32>) {
        let now = self.common.now;
        if let Some(connection) = self.open(id) {
            if connection.is_open() && connection.close(code, reason, now).is_err() {
                let _ = connection.close(CloseCode::INTERNAL_ERROR, "", now);
            }
            touched.push(id.index);
        }
    }

    /// The connection with this id, if it is open.
    fn open(&mut self, id: ConnectionId) -> Option<&mut wsconn::Connection> {
        let (entry, generation) = self.slots.get_mut(id.index)?;
        if generation == id.generation { entry.connection() } else { None }
    }

    fn id(&mut self, index: u32) -> Option<ConnectionId> {
        let (_, generation) = self.slots.get_mut(index)?;
        Some(ConnectionId { index, generation, in_loop: self.common.mailbox.index })
    }

    fn remove(&mut self, index: u32) {
        let Some(id) = self.id(index) else { return };
        self.unread.remove(&index);
        if let Some(mut entry) = self.slots.remove(index) {
            self.common.mailbox.note(index, id.generation.wrapping_add(1));
            entry.abort(&mut self.common, id);
        }
    }

    fn abort_all(&mut self) {
        for index in self.slots.indices() {
            self.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // this is a test

    use std::net::SocketAddr;

    use wsconn::Message;

    use super::{super::Peer, *};

    struct Ignore;

    impl Handler for Ignore {
        type State = ();

        fn message(&mut self, _: &mut Peer<'_, ()>, _: Message<'_>) {}
    }

    fn serving() -> (EventLoop<Ignore>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let poll = Poll::new().unwrap();
        let mailbox = Arc::new(Mailbox::new(0, poll.registry()).unwrap());
        (EventLoop::new(poll, listener, mailbox, Arc::default(), Ignore).unwrap(), addr)
    }

    #[test]
    fn a_crowd_is_let_in_by_turns() {
        let (mut serving, addr) = serving();
        let crowd = [(); ACCEPTS + 1].map(|()| TcpStream::connect(addr).unwrap());
        serving.accept();
        assert_eq!(serving.connections.slots.len(), ACCEPTS);
        assert_eq!(serving.wait(), Some(Duration::ZERO), "the next turn comes at once");
        serving.accept();
        assert_eq!(serving.connections.slots.len(), crowd.len());
        assert!(serving.wait().unwrap() > Duration::ZERO);
    }

    #[test]
    fn an_event_of_a_connection_that_has_gone_is_not_taken_for_one_of_the_next() {
        let (mut serving, addr) = serving();
        let mut events = Events::with_capacity(8);
        let gone = TcpStream::connect(addr).unwrap();
        while serving.connections.slots.len() == 0 {
            serving.turn(&mut events).unwrap();
        }
        // That it can be written to.
        serving.turn(&mut events).unwrap();
        // It is seen to have ended before its event has its turn, and the next takes its place.
        serving.connections.unread.insert(0, Unread::default());
        let _next = TcpStream::connect(addr).unwrap();
        drop(gone);
        serving.turn(&mut events).unwrap();
        assert_eq!(serving.connections.slots.indices(), [0]);
        assert!(serving.wait().unwrap() > Duration::ZERO, "it has nothing to read");
    }
}
