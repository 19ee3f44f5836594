use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use wsconn::{
    CloseCode, CloseInfo, Config, Connection, Delivery, Disposition, OwnedMessage, Role, Time,
};

use super::{Body, config, message};
use crate::{
    alloc,
    drive::{Trace, connection},
    reference::{self, End, Limits},
};

/// The longest message that is accepted, the longest that is sent, and how much is queued.
const MESSAGE: u64 = 4096;
const SENT: usize = 3000;
const OUTGOING: usize = 4096;
/// What one connection may hold: a message, of which what is held may double, what is queued and may
/// double too, and what it keeps beside.
const HELD: i64 = 2 * 4096 + 2 * (4096 + 3100 + 300) + 2048;

#[derive(Arbitrary, Debug)]
enum Operation {
    Send {
        client: bool,
        text: bool,
        body: Body,
    },
    Ping {
        client: bool,
        body: Body,
    },
    Close {
        client: bool,
        code: u16,
        reason: String,
    },
    /// Some of what is on the way arrives.
    Arrive {
        to_client: bool,
        len: u16,
    },
    /// What is on the way is damaged.
    Flip {
        to_client: bool,
        at: u16,
        bit: u8,
    },
    Lose {
        to_client: bool,
        at: u16,
        len: u8,
    },
    Double {
        to_client: bool,
        at: u16,
        len: u8,
    },
    Insert {
        to_client: bool,
        at: u16,
        bytes: Vec<u8>,
    },
}

/// Two connections whose bytes are flipped, lost, doubled and inserted on the way. Neither panics or
/// holds more than its limits allow; each has one verdict, which stays; what each delivers is what the
/// naive receiver makes of the bytes that arrived; and once the streams end and time has passed, both
/// are over. Where nothing was damaged every message arrives, once and in order.
pub fn check_pair(input: &[u8]) {
    let Ok(operations) = Vec::<Operation>::arbitrary(&mut Unstructured::new(input)) else { return };
    let config = Arc::new(config(MESSAGE, MESSAGE, 100, OUTGOING));
    let mut pair = Pair {
        client: Side::new(Role::Client, &config),
        server: Side::new(Role::Server, &config),
        damaged: false,
    };
    for operation in operations.iter().take(200) {
        pair.run(operation);
    }
    pair.finish();
}

struct Pair {
    client: Side,
    server: Side,
    damaged: bool,
}

struct Side {
    role: Role,
    limits: Limits,
    connection: Connection,
    /// What is on the way to it.
    wire: Vec<u8>,
    arrived: Vec<u8>,
    trace: Trace,
    sent: Vec<OwnedMessage>,
    verdict: Option<CloseInfo>,
    held: i64,
}

impl Pair {
    fn end(&mut self, client: bool) -> &mut Side {
        if client { &mut self.client } else { &mut self.server }
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Send { client, text, body } => {
                let bytes = body.bytes(SENT);
                let message = message(*text, &bytes);
                let side = self.end(*client);
                if side.call(|connection| connection.send(message)).is_ok() {
                    side.sent.push(message.to_owned());
                }
            }
            Operation::Ping { client, body } => {
                let payload = body.bytes(125);
                let _full = self.end(*client).call(|connection| connection.ping(&payload));
            }
            Operation::Close { client, code, reason } => {
                let code = CloseCode::new(*code).unwrap_or(CloseCode::NORMAL);
                let close =
                    |connection: &mut Connection| connection.close(code, reason, Time::ZERO);
                let _closed = self.end(*client).call(close);
            }
            Operation::Arrive { to_client, len } => self.arrive(*to_client, (*len).into()),
            Operation::Flip { to_client, at, bit } => self.damage(*to_client, *at, |wire, at| {
                if let Some(byte) = wire.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }),
            Operation::Lose { to_client, at, len } => self.damage(*to_client, *at, |wire, at| {
                let end = wire.len().min(at + usize::from(*len));
                wire.drain(at..end);
            }),
            Operation::Double { to_client, at, len } => self.damage(*to_client, *at, |wire, at| {
                let end = wire.len().min(at + usize::from(*len));
                let again = wire[at..end].to_vec();
                wire.splice(end..end, again);
            }),
            Operation::Insert { to_client, at, bytes } => {
                self.damage(*to_client, *at, |wire, at| {
                    wire.splice(at..at, bytes.iter().copied());
                });
            }
        }
    }

    /// What was written is on the way, and some of it arrives.
    fn arrive(&mut self, to_client: bool, len: usize) {
        self.write();
        let side = self.end(to_client);
        let len = len.min(side.wire.len());
        let mut piece: Vec<u8> = side.wire.drain(..len).collect();
        side.receive(&mut piece);
    }

    fn damage(&mut self, to_client: bool, at: u16, how: impl FnOnce(&mut Vec<u8>, usize)) {
        self.write();
        let wire = &mut self.end(to_client).wire;
        let at = usize::from(at) % (wire.len() + 1);
        how(wire, at);
        self.damaged = true;
    }

    fn write(&mut self) {
        let bytes = self.client.written();
        self.server.wire.extend(bytes);
        let bytes = self.server.written();
        self.client.wire.extend(bytes);
    }

    /// All arrives, then the streams end, then time passes.
    fn finish(mut self) {
        loop {
            self.write();
            if self.client.wire.is_empty() && self.server.wire.is_empty() {
                break;
            }
            self.arrive(true, usize::MAX);
            self.arrive(false, usize::MAX);
        }
        let (client, server) = (&self.client, &self.server);
        if !self.damaged {
            assert_eq!(client.trace.messages(), server.sent);
            assert_eq!(server.trace.messages(), client.sent);
            assert_eq!(client.verdict.is_some(), server.verdict.is_some());
            let clean = |side: &Side| side.verdict.as_ref().is_none_or(|info| info.clean);
            assert!(clean(client) && clean(server));
        }
        for side in [&mut self.client, &mut self.server] {
            side.call(Connection::receive_eof);
            side.written();
            let far = Time::from_origin(Duration::from_secs(3600));
            side.call(|connection| connection.handle_timeout(far));
            assert_eq!(side.connection.disposition(), Disposition::Close);
            side.check();
        }
    }
}

impl Side {
    fn new(role: Role, config: &Arc<Config>) -> Self {
        Self {
            role,
            limits: Limits::from(&**config),
            connection: connection(role, config),
            wire: Vec::new(),
            arrived: Vec::new(),
            trace: Trace::default(),
            sent: Vec::new(),
            verdict: None,
            held: 0,
        }
    }

    /// Calls the connection, and sees what it holds then and that its verdict stays.
    fn call<T>(&mut self, call: impl FnOnce(&mut Connection) -> T) -> T {
        let before = alloc::live();
        let result = call(&mut self.connection);
        self.held += alloc::live() - before;
        assert!(self.held <= HELD, "{} bytes held by the {:?}", self.held, self.role);
        let now = self.connection.close_info().cloned();
        assert!(self.verdict.is_none() || self.verdict == now, "{:?}, then {now:?}", self.verdict);
        self.verdict = now;
        result
    }

    /// What it writes.
    fn written(&mut self) -> Vec<u8> {
        let mut written = Vec::new();
        while !self.connection.outgoing().is_empty() {
            let bytes = self.connection.outgoing().to_vec();
            self.call(|connection| connection.advance(bytes.len()));
            written.extend(bytes);
        }
        written
    }

    fn receive(&mut self, mut rest: &mut [u8]) {
        self.arrived.extend_from_slice(rest);
        loop {
            let received =
                self.call(|connection| connection.receive(rest, Delivery::Messages, Time::ZERO));
            let done = received.event.is_none() && received.consumed == rest.len();
            if let Some(location) = received.event {
                self.trace.push(self.connection.event(rest, location));
            }
            rest = rest.split_at_mut(received.consumed).1;
            if done {
                return;
            }
        }
    }

    /// What was delivered is what the naive receiver makes of all that arrived, and so is the verdict.
    fn check(&self) {
        let model = reference::receive(self.role, &self.limits, &self.arrived);
        assert_eq!(self.trace.events, model.events, "{:?}", self.role);
        let info = self.verdict.as_ref().expect("the stream has ended");
        match model.end {
            End::Open => assert_eq!(info.code, CloseCode::ABNORMAL, "{info}"),
            End::Failed(code) => assert!(!info.clean && info.code.get() == code, "{info}"),
            End::Closed { .. } => assert!(info.clean, "{info}"),
        }
    }
}
