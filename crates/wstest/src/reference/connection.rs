//! A whole connection, the simplest that one can write: it keeps all of its input and judges it anew
//! whenever more has come. It has no clock.

use wsconn::{CloseCode, Config, Disposition, Kind, Misuse, Role, Side};

use super::{End, Event, Limits, encode_frame, receive};
use crate::drive::KEY;

/// The model of a connection whose masking key, if it is a client, is always [`KEY`].
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    max_outgoing: usize,
    input: Vec<u8>,
    /// How many events of the input have been delivered.
    delivered: usize,
    /// What is to be written.
    pub outgoing: Vec<u8>,
    /// The newest ping that could not be answered yet.
    pong: Option<Vec<u8>>,
    /// What is to be written before it.
    before_pong: usize,
    blocked: bool,
    fragmented: Option<Kind>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Open,
    /// With the verdict if the peer answers.
    Closing(Verdict),
    Closed(Verdict),
    /// Closed, and the byte stream has ended before it was.
    Lost(Verdict),
    /// Closed, and the byte stream has ended since.
    Ended(Verdict),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The code.
    pub code: u16,
    /// The reason.
    pub reason: String,
    /// Who ended it.
    pub by: Side,
    /// Whether by a closing handshake.
    pub clean: bool,
}

impl Connection {
    /// One that has received and sent nothing.
    pub fn new(role: Role, config: &Config) -> Self {
        Self {
            role,
            limits: config.into(),
            max_outgoing: config.max_outgoing,
            input: Vec::new(),
            delivered: 0,
            outgoing: Vec::new(),
            pong: None,
            before_pong: 0,
            blocked: false,
            fragmented: None,
            state: State::Open,
        }
    }

    /// How it ended, if it has.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.state {
            State::Open | State::Closing(_) => None,
            State::Closed(verdict) | State::Lost(verdict) | State::Ended(verdict) => Some(verdict),
        }
    }

    /// Whether neither side has begun to close.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// What is to become of the byte stream.
    pub fn disposition(&self) -> Disposition {
        match &self.state {
            State::Open | State::Closing(_) => Disposition::KeepOpen,
            State::Lost(_) => Disposition::Close,
            _ if !self.outgoing.is_empty() => Disposition::KeepOpen,
            State::Ended(_) => Disposition::Close,
            // §7.1.1: the server ends the stream first. §7.1.7: so does who fails the connection.
            State::Closed(verdict) if self.role == Role::Server || !verdict.clean => {
                Disposition::ShutdownWrite
            }
            State::Closed(_) => Disposition::KeepOpen,
        }
    }

    /// What is delivered of more bytes. If they break a rule, `reason` is told to the peer: the words
    /// are no part of the model.
    pub fn receive(&mut self, bytes: &[u8], reason: &str) -> Vec<Event> {
        if self.verdict().is_some() {
            return Vec::new();
        }
        self.input.extend(bytes);
        let outcome = receive(self.role, &self.limits, &self.input);
        let events = outcome.events[self.delivered..].to_vec();
        self.delivered = outcome.events.len();
        for event in &events {
            if let Event::Ping(payload) = event {
                self.answer(payload);
            }
        }
        let state = self.state.clone();
        match (outcome.end, state) {
            (End::Open, _) => {}
            (End::Closed { .. }, State::Closing(ours)) => self.state = State::Closed(ours),
            (End::Closed { code, reason }, _) => {
                let body = code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default();
                self.close_frame(&body);
                let code = code.unwrap_or(1005);
                let by = Side::Peer;
                self.state = State::Closed(Verdict { code, reason, by, clean: true });
            }
            (End::Failed(code), before) => {
                if matches!(before, State::Open) {
                    self.close_frame(&[&code.to_be_bytes(), reason.as_bytes()].concat());
                }
                let (reason, by) = (reason.to_owned(), Side::Local);
                self.state = State::Closed(Verdict { code, reason, by, clean: false });
            }
        }
        events
    }

    /// The end of the byte stream.
    pub fn end(&mut self) {
        self.state = match self.state.clone() {
            State::Open | State::Closing(_) => {
                let (code, by) = (1006, Side::Peer);
                State::Lost(Verdict { code, reason: String::new(), by, clean: false })
            }
            State::Closed(verdict) => State::Ended(verdict),
            other => other,
        };
    }

    /// Sends a message.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Misuse> {
        self.check()?;
        if self.fragmented.is_some() {
            return Err(Misuse::MessageUnderWay);
        }
        self.frame(true, opcode(kind), payload);
        Ok(())
    }

    /// Sends a part of a message.
    pub fn send_fragment(&mut self, kind: Kind, part: &[u8], fin: bool) -> Result<(), Misuse> {
        self.check()?;
        let opcode = match self.fragmented {
            None => opcode(kind),
            Some(first) if first == kind => 0,
            Some(_) => return Err(Misuse::MessageUnderWay),
        };
        self.fragmented = if fin { None } else { Some(kind) };
        self.frame(fin, opcode, part);
        Ok(())
    }

    /// Sends a ping.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Misuse> {
        if payload.len() > 125 {
            return Err(Misuse::LongControl(payload.len()));
        }
        self.check()?;
        self.frame(true, 9, payload);
        Ok(())
    }

    /// Begins to close.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        let number = code.get();
        let without_body = number == 1005 && reason.is_empty();
        if !without_body && [1005, 1006, 1015].contains(&number) {
            return Err(Misuse::CloseCode(code));
        }
        if reason.len() > 123 {
            return Err(Misuse::LongReason(reason.len()));
        }
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        let body = [&number.to_be_bytes(), reason.as_bytes()].concat();
        self.close_frame(if without_body { &[] } else { &body });
        let reason = reason.to_owned();
        self.state = State::Closing(Verdict { code: number, reason, by: Side::Local, clean: true });
        Ok(())
    }

    /// So much of what is outgoing has been written.
    pub fn advance(&mut self, len: usize) {
        self.outgoing.drain(..len.min(self.outgoing.len()));
        self.before_pong = self.before_pong.saturating_sub(len);
        if len > 0 || self.outgoing.is_empty() {
            self.blocked = false;
        }
        if self.before_pong == 0
            && let Some(payload) = self.pong.take()
        {
            self.frame(true, 10, &payload);
        }
    }

    /// Nothing can be written now.
    pub fn block(&mut self) {
        self.blocked = true;
    }

    fn check(&self) -> Result<(), Misuse> {
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        if self.outgoing.len() >= self.max_outgoing {
            return Err(Misuse::QueueFull { limit: self.max_outgoing });
        }
        Ok(())
    }

    /// Answers a ping: at once, or the newest when all has been written that was to be before the first.
    fn answer(&mut self, payload: &[u8]) {
        if !self.is_open() {
            return;
        }
        let full = self.outgoing.len() >= self.max_outgoing;
        if self.blocked || full || self.pong.is_some() {
            if self.pong.is_none() {
                self.before_pong = self.outgoing.len();
            }
            self.pong = Some(payload.to_vec());
        } else {
            self.frame(true, 10, payload);
        }
    }

    fn close_frame(&mut self, body: &[u8]) {
        // §5.5.1: nothing is sent after a close frame.
        self.pong = None;
        self.frame(true, 8, body);
    }

    fn frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        let key = (self.role == Role::Client).then_some(KEY);
        self.outgoing.extend(encode_frame(fin, 0, opcode, key, payload));
    }
}

fn opcode(kind: Kind) -> u8 {
    match kind {
        Kind::Text => 1,
        Kind::Binary => 2,
    }
}
