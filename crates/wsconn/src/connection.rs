use alloc::{boxed::Box, string::String, sync::Arc};

use wsframe::{CloseBody, CloseCode, Header, OpCode, Role};

use crate::{
    CloseCause, CloseInfo, Config, Kind, Misuse, Side, Time, Timeout, Violation, receive::Input,
    send::Output,
};

/// Where a client's masking keys come from: each call gives four bytes that nobody can predict (RFC
/// 6455 §5.3, §10.3).
pub type MaskKeys = fn() -> [u8; 4];

/// One side of a WebSocket connection, after the opening handshake.
///
/// ```text
///          close()                  peer's Close
///   Open ───────────────► Closing ───────────────► Closed
///    │ peer's Close (it is answered)                 ▲
///    ├───────────────────────────────────────────────┤
///    │ violation (a Close is queued), end of the     │
///    │ byte stream, timeout                          │
///    └───────────────────────────────────────────────┘
/// ```
///
/// Where [writing fails](Self::write_failed) before that, nothing more can be sent, but what the peer has
/// sent is still received, and its Close ends the connection.
///
/// # How to drive it
///
/// - *Bytes in*: [`receive`](Self::receive), [`direct_read`](Self::direct_read) with
///   [`direct_advance`](Self::direct_advance), [`receive_eof`](Self::receive_eof).
/// - *What the application wants*: [`send`](Self::send) and its like, [`ping`](Self::ping),
///   [`close`](Self::close).
/// - *Time*: [`poll_timeout`](Self::poll_timeout) tells when to call
///   [`handle_timeout`](Self::handle_timeout). All waits are absolute.
/// - *After each of these* (contract *Drain*): write [`outgoing`](Self::outgoing) and say so with
///   [`advance`](Self::advance), or [`blocked`](Self::blocked) where the transport would have to
///   wait; then do as [`disposition`](Self::disposition) says.
///
/// # Contracts
///
/// - *Split-invariance*: any way of cutting the input gives the same events in the same order.
/// - *Caller's bytes, caller's clock*: no I/O, no clock, no randomness of its own.
/// - *Nothing is believed before it has arrived*: a declared length allocates nothing. What is held
///   grows with the bytes received, at most doubling, never past the limits of [`Config`].
/// - *One verdict*: what the peer does wrong is never an `Err`. The close frame that answers it is
///   queued, nothing more is delivered, and [`close_info`](Self::close_info) tells. It is set once
///   and never changes. What the caller does wrong is a [`Misuse`], and changes nothing.
/// - *Fail fast*: a header is judged by itself, text at the first byte that cannot continue it.
/// - *Bounded*: every queue, buffer and wait has a limit in [`Config`].
pub struct Connection {
    pub(crate) config: Arc<Config>,
    /// `Some` for a client.
    mask_keys: Option<MaskKeys>,
    pub(crate) input: Input,
    pub(crate) output: Output,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Box<crate::deflate::State>>,
    state: State,
    /// How the connection ended; while it is closing, what this side closed it with.
    ending: Option<Box<CloseInfo>>,
    /// The kind of the message that is being sent in fragments.
    pub(crate) fragmented: Option<Kind>,
    /// When the peer last gave a sign of life.
    heard: Time,
    /// When the keepalive ping went out that nothing has been heard since.
    pinged: Option<Time>,
    /// The transport has been blocked since then, so that the ping may have waited behind other bytes.
    pub(crate) ping_waited: bool,
    /// Counts keepalive pings; the payload of the last one.
    ping: u32,
    /// When `Closing` ends in a timeout, and `Closed` in [`Disposition::Close`].
    deadline: Option<Time>,
}

/// See the diagram on [`Connection`]. Closed is told apart by whether the byte stream may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is queued, the peer's has not come.
    Closing,
    /// Nothing can be written any more; the peer's close frame may still come.
    Mute,
    /// It is known how the connection ended; the byte stream is still to be ended in order.
    Closed,
    /// Nothing is left to wait for.
    Over,
}

/// What the transport is to do with the byte stream once it has written what is
/// [outgoing](Connection::outgoing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Go on reading and writing.
    KeepOpen,
    /// End the writing direction (TCP FIN, TLS close_notify) and go on reading. What comes is
    /// discarded: closing at once would make TCP reset the connection and lose the last bytes sent.
    ShutdownWrite,
    /// Close it.
    Close,
}

impl Connection {
    /// The server's side of a connection whose opening handshake is over.
    pub fn server(config: Arc<Config>, now: Time) -> Self {
        Self::new(config, None, now)
    }

    /// The client's side. Every frame it sends is masked with a fresh key from `mask_keys`.
    pub fn client(config: Arc<Config>, mask_keys: MaskKeys, now: Time) -> Self {
        Self::new(config, Some(mask_keys), now)
    }

    fn new(config: Arc<Config>, mask_keys: Option<MaskKeys>, now: Time) -> Self {
        Self {
            config,
            mask_keys,
            input: Input::default(),
            output: Output::default(),
            #[cfg(feature = "deflate")]
            deflate: None,
            state: State::Open,
            ending: None,
            fragmented: None,
            heard: now,
            pinged: None,
            ping_waited: false,
            ping: 0,
            deadline: None,
        }
    }

    /// Which side this is.
    #[inline]
    pub fn role(&self) -> Role {
        if self.mask_keys.is_some() { Role::Client } else { Role::Server }
    }

    /// The limits and waits.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the connection ended, once that is known: `None` until then, and the same ever after.
    #[inline]
    pub fn close_info(&self) -> Option<&CloseInfo> {
        match self.state {
            State::Open | State::Closing | State::Mute => None,
            State::Closed | State::Over => self.ending.as_deref(),
        }
    }

    /// Whether messages can still be sent: neither side has begun to close.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// What to do with the byte stream once all that is outgoing has been written.
    #[inline]
    pub fn disposition(&self) -> Disposition {
        self.close_info().map_or(Disposition::KeepOpen, |info| self.disposition_of_end(info))
    }

    fn disposition_of_end(&self, info: &CloseInfo) -> Disposition {
        let pending = !self.outgoing().is_empty();
        match self.state {
            State::Over => Disposition::Close,
            _ if pending => Disposition::KeepOpen,
            _ if self.input.eof => Disposition::Close,
            // RFC 6455 §7.1.1: the server closes first, so that it is the one to hold the
            // TIME_WAIT state. Who fails the connection (§7.1.7) does not wait either.
            _ if self.role() == Role::Server || info.cause != CloseCause::Handshake => {
                Disposition::ShutdownWrite
            }
            _ => Disposition::KeepOpen,
        }
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2): queues a close frame, after which nothing can
    /// be sent. Messages of the peer are delivered until its own close frame comes, or
    /// [`Config::close_timeout`] is over.
    ///
    /// [`CloseCode::NO_STATUS`] stands for a close frame without a body. The reason may have 123
    /// bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Time) -> Result<(), Misuse> {
        let bare = Self::check_close(code, reason)?;
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        self.queue_close((!bare).then_some(CloseBody { code, reason }));
        self.state = State::Closing;
        self.deadline = Some(now.after(self.config.close_timeout));
        self.ending = Some(Box::new(CloseInfo {
            code,
            answer: None,
            reason: String::from(reason),
            by: Side::Local,
            clean: true,
            cause: CloseCause::Handshake,
        }));
        Ok(())
    }

    /// Whether it can be closed with this code and reason, and then whether the close frame has no body.
    pub(crate) fn check_close(code: CloseCode, reason: &str) -> Result<bool, Misuse> {
        let bare = code == CloseCode::NO_STATUS && reason.is_empty();
        if !bare && !code.is_sendable() {
            return Err(Misuse::CloseCode(code));
        }
        if reason.len() > CloseBody::MAX_REASON {
            return Err(Misuse::LongReason(reason.len()));
        }
        Ok(bare)
    }

    /// Tells that the byte stream has ended: the peer sends nothing more.
    pub fn receive_eof(&mut self) {
        self.input.eof = true;
        if self.close_info().is_none() {
            self.lost(Side::Peer, CloseCause::Eof);
        }
    }

    /// Tells that the byte stream has failed: nothing can be read or written any more.
    pub fn transport_failed(&mut self) {
        if self.close_info().is_none() {
            self.lost(Side::Peer, CloseCause::Transport);
        }
        self.state = State::Over;
    }

    /// Tells that nothing can be written any more, though something may be left to read. What is outgoing
    /// is dropped, and nothing more can be sent.
    ///
    /// Go on reading: a peer that closes says why before it does. If its close frame does not come
    /// before the end of the byte stream, nor within [`Config::fin_timeout`], the connection has ended
    /// as if [everything had failed](Self::transport_failed) at once.
    pub fn write_failed(&mut self, now: Time) {
        self.output = Output::default();
        match self.state {
            State::Open | State::Closing => {
                self.state = State::Mute;
                // A close frame of ours has not left.
                self.ending = None;
                self.deadline = Some(now.after(self.config.fin_timeout));
            }
            State::Mute => {}
            State::Closed | State::Over => self.state = State::Over,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something happens
    /// before. Ask again after each call on the connection.
    pub fn poll_timeout(&self) -> Option<Time> {
        let keepalive = match (self.state, self.config.keepalive, self.pinged) {
            // Whether a peer lives that is to take bytes, the deadline of writing tells.
            (State::Open, Some(_), Some(_)) if self.is_blocked() => None,
            (State::Open, Some(_), Some(pinged)) => {
                Some(pinged.after(self.config.keepalive_timeout))
            }
            (State::Open, Some(silence), None) => Some(self.heard.after(silence)),
            _ => None,
        };
        let write = self.write_deadline();
        let deadline = if self.state == State::Over { None } else { self.deadline };
        [keepalive, write, deadline].into_iter().flatten().min()
    }

    /// Whether the only deadline is that of a silence, which whatever comes from the peer moves away.
    #[cfg(feature = "transport")]
    #[inline]
    pub(crate) fn waits_for_silence(&self) -> bool {
        self.is_open() && self.pinged.is_none() && !self.is_blocked()
    }

    /// Does what is due at `now`; nothing if nothing is.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.state == State::Over {
            return;
        }
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if due(self.deadline) {
            if self.close_info().is_none() {
                self.lost(Side::Local, CloseCause::Timeout(Timeout::Close));
            }
            self.state = State::Over;
        } else if due(self.write_deadline()) {
            if self.close_info().is_none() {
                self.lost(Side::Local, CloseCause::Timeout(Timeout::Write));
            }
            self.state = State::Over;
        } else if self.is_open() && due(self.poll_timeout()) {
            let waited = self.ping_waited;
            self.ping_waited = self.is_blocked();
            if self.pinged.is_none() {
                self.ping = self.ping.wrapping_add(1);
                self.queue(Header::new(OpCode::Ping, 4), &self.ping.to_be_bytes());
                self.pinged = Some(now);
            } else if waited {
                // It has taken bytes meanwhile, of which the ping may have been the last.
                self.pinged = Some(now);
            } else {
                self.lost(Side::Local, CloseCause::Timeout(Timeout::Keepalive));
            }
        }
    }

    /// When the keepalive ping went out that nothing has been heard since.
    #[cfg(feature = "transport")]
    pub(crate) fn pinged(&self) -> Option<Time> {
        self.pinged
    }

    fn write_deadline(&self) -> Option<Time> {
        let stalled = self.output.stalled.filter(|_| self.state != State::Over)?;
        Some(stalled.after(self.config.write_timeout))
    }

    /// The peer gave a sign of life.
    #[inline]
    pub(crate) fn alive(&mut self, now: Time) {
        self.heard = now;
        self.pinged = None;
    }

    /// A pong is a sign of life only if it answers the last keepalive ping: RFC 6455 §5.5.3 allows
    /// unsolicited ones, which a peer can send without reading anything.
    pub(crate) fn pong(&mut self, payload: &[u8], now: Time) {
        if self.pinged.is_some() && payload == self.ping.to_be_bytes() {
            self.alive(now);
        }
    }

    /// The peer's close frame has come.
    pub(crate) fn peer_closed(&mut self, body: Option<CloseBody<'_>>, now: Time) {
        // What was sent before our close frame has its time, and the same time if the peer closes first.
        let written_by = match (self.outgoing().is_empty(), self.deadline) {
            (true, _) => now,
            (false, Some(deadline)) => deadline,
            (false, None) => now.after(self.config.close_timeout),
        };
        let info = match self.ending.take() {
            Some(ours) => {
                let answer = body.map_or(CloseCode::NO_STATUS, |body| body.code);
                CloseInfo { answer: Some(answer), ..*ours }
            }
            None => {
                // RFC 6455 §5.5.1: "When sending a Close frame in response, the endpoint typically
                // echos the status code it received."
                let answers = self.state != State::Mute;
                if answers {
                    self.queue_close(body.map(|body| CloseBody { reason: "", ..body }));
                }
                let body = body.unwrap_or(CloseBody { code: CloseCode::NO_STATUS, reason: "" });
                CloseInfo {
                    code: body.code,
                    // As it is echoed.
                    answer: answers.then_some(body.code),
                    reason: String::from(body.reason),
                    by: Side::Peer,
                    clean: answers,
                    cause: CloseCause::Handshake,
                }
            }
        };
        self.deadline = Some(written_by.after(self.config.fin_timeout));
        self.end(info);
    }

    /// Fails the connection (RFC 6455 §7.1.7).
    #[cold]
    pub(crate) fn fail(&mut self, violation: Violation, now: Time) {
        let code = violation.close_code();
        let mut reason = alloc::format!("{violation}");
        while reason.len() > CloseBody::MAX_REASON {
            reason.pop();
        }
        if self.is_open() {
            self.queue_close(Some(CloseBody { code, reason: &reason }));
        }
        self.deadline = Some(now.after(self.config.fin_timeout));
        let cause = CloseCause::Violation(violation);
        self.end(CloseInfo { code, answer: None, reason, by: Side::Local, clean: false, cause });
    }

    /// Ends without a closing handshake, and without anything left to do.
    #[cold]
    fn lost(&mut self, by: Side, cause: CloseCause) {
        let (by, cause) = match self.state {
            State::Mute => (Side::Peer, CloseCause::Transport),
            _ => (by, cause),
        };
        let code = CloseCode::ABNORMAL;
        let (answer, reason) = (None, String::new());
        self.end(CloseInfo { code, answer, reason, by, clean: false, cause });
        self.state = State::Over;
    }

    fn end(&mut self, info: CloseInfo) {
        self.ending = Some(Box::new(info));
        // Where nothing can be written there is nothing to end in order.
        self.state = if self.state == State::Mute { State::Over } else { State::Closed };
        self.input.discard();
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &mut self.deflate {
            deflate.discard();
        }
    }

    /// A fresh masking key, for a client.
    #[inline]
    pub(crate) fn masking_key(&self) -> Option<[u8; 4]> {
        self.mask_keys.map(|next| next())
    }
}
