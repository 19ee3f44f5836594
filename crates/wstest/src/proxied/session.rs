//! A session through a proxy, and what both sides are told of it.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use wsconn::{
    CloseCause, CloseCode, CloseInfo, Config, Event, Message, OwnedMessage, Role, Side, Timeout,
    opening::{ClientOptions, ServerOptions},
};

use crate::proxy::{Plan, Proxy};

/// A transport, with all that runs it.
pub trait Transport: Sync {
    /// A server that has been started.
    type Server;

    /// Whether its server tells of opening handshakes that fail.
    const TELLS_FAILED_OPENINGS: bool;

    /// Starts a server that echoes on one connection, and closes it when it is asked for
    /// [`PLEASE_CLOSE`].
    fn serve(&self, waits: Waits) -> (SocketAddr, Self::Server);

    /// Waits for the end of that connection; `opened` says whether its opening handshake succeeds.
    fn served(&self, server: Self::Server, opened: bool) -> Log;

    /// Connects over `tcp`, does these steps, and receives to the end of the connection.
    fn talk(&self, tcp: TcpStream, waits: Waits, steps: &[Step]) -> Log;

    /// Panics if a task is left.
    fn assert_idle(&self) {}
}

/// The message that has the server close the connection, with [`CLOSE`].
pub const PLEASE_CLOSE: &str = "please close";

/// The code and the reason that a connection is closed with.
pub const CLOSE: (CloseCode, &str) = (CloseCode::GOING_AWAY, "done");

/// How long one side waits.
#[derive(Clone, Debug)]
pub struct Waits {
    /// For the connection.
    pub config: Config,
    /// For the opening handshake.
    pub handshake: Duration,
}

impl Waits {
    /// All are longer than anything takes, but for this one.
    fn new(short: Option<Timeout>) -> Self {
        const LONG: Duration = Duration::from_secs(60);
        const SHORT: Duration = Duration::from_millis(50);
        let wait = |timeout| if short == Some(timeout) { SHORT } else { LONG };
        let mut config = Config::default();
        config.keepalive = (short == Some(Timeout::Keepalive)).then_some(SHORT);
        config.keepalive_timeout = wait(Timeout::Keepalive);
        config.close_timeout = wait(Timeout::Close);
        config.write_timeout = wait(Timeout::Write);
        config.fin_timeout = LONG;
        Self { config, handshake: wait(Timeout::Handshake) }
    }

    /// The options of a server that waits so long.
    pub fn server_options(self) -> ServerOptions {
        let mut options = ServerOptions::default();
        options.config = self.config.into();
        options.handshake_timeout = self.handshake;
        options
    }

    /// The options of a client that waits so long.
    pub fn client_options(self) -> ClientOptions {
        let mut options = ClientOptions::default();
        options.config = self.config.into();
        options.handshake_timeout = self.handshake;
        options
    }
}

/// What the client does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends a message.
    Send(OwnedMessage),
    /// Sends a binary message in these fragments.
    SendFragments(Vec<Vec<u8>>),
    /// Sends a ping.
    Ping,
    /// Receives a message or a pong.
    Receive,
    /// Closes the connection, with [`CLOSE`].
    Close,
}

/// What the application on one side was told.
#[derive(Debug, Default)]
pub struct Log {
    /// The opening handshake succeeded.
    pub opened: bool,
    /// The messages received.
    pub messages: Vec<OwnedMessage>,
    /// The pongs received.
    pub pongs: usize,
    /// What each word about the end named as its cause.
    pub ends: Vec<CloseCause>,
    /// What it says of the end when all is over.
    pub info: Option<CloseInfo>,
}

impl Log {
    /// Notes what was received. Says whether it is what [`Step::Receive`] waits for.
    pub fn event(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::Message(message) => self.message(message),
            Event::Pong(_) => self.pongs += 1,
            event => return !matches!(event, Event::Ping(_)),
        }
        true
    }

    /// Notes a message.
    pub fn message(&mut self, message: Message<'_>) {
        assert!(self.ends.is_empty(), "{message:?} comes after the end");
        self.messages.push(message.to_owned());
    }

    /// Notes that nothing more will be received.
    pub fn over(&mut self, info: &CloseInfo) {
        // An error has told it already, or this does.
        if self.ends.is_empty() {
            self.ends.push(info.cause);
        }
        self.info = Some(info.clone());
    }

    /// Panics unless it was told once: that it ended well, with all of `messages` received, or that the stream
    /// ended or failed.
    pub fn check(&self, messages: &[OwnedMessage], case: &str) {
        let case = format!("{case}: {:?}, {:?}", self.ends, self.info);
        assert!(messages.starts_with(&self.messages), "{case}");
        let [end] = self.ends[..] else { panic!("{case}") };
        let clean = end == CloseCause::Handshake;
        assert!(clean || matches!(end, CloseCause::Eof | CloseCause::Transport), "{case}");
        assert!(!clean || self.messages == messages, "{case}");
        assert_eq!(self.info.is_some(), self.opened, "{case}");
        let Some(info) = &self.info else { return };
        assert_eq!((info.cause, info.clean), (end, clean), "{case}");
        let code = if clean { CLOSE.0 } else { CloseCode::ABNORMAL };
        assert_eq!(info.code, code, "{case}");
    }
}

/// What one side must come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    opened: bool,
    cause: CloseCause,
    /// How many messages it has received.
    messages: usize,
}

impl Verdict {
    pub(super) fn new(cause: CloseCause, messages: usize) -> Self {
        Self { opened: true, cause, messages }
    }

    pub(super) fn unopened(cause: CloseCause) -> Self {
        Self { opened: false, cause, messages: 0 }
    }
}

/// What is sent through a proxy, and which side closes.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) messages: Vec<OwnedMessage>,
    pub(super) closer: Role,
    /// Whether the client sends all before it receives anything.
    pub(super) at_once: bool,
}

impl Session {
    pub(super) fn new(closer: Role) -> Self {
        let messages = vec!["grüße".into(), vec![1; 300].into(), vec![2; 66_000].into()];
        Self { messages, closer, at_once: false }
    }

    fn steps(&self) -> Vec<Step> {
        let mut send = vec![Step::Ping];
        for message in &self.messages {
            send.push(match Message::from(message).as_bytes() {
                // The one of 300 bytes, with a fragment of none.
                bytes if bytes.len() == 300 => Step::SendFragments(
                    [&bytes[..100], &[], &bytes[100..]].map(<[u8]>::to_vec).into(),
                ),
                _ => Step::Send(message.clone()),
            });
        }
        let receive = vec![Step::Receive; send.len()];
        let mut steps = if self.at_once {
            [send, receive].concat()
        } else {
            send.into_iter().zip(receive).flat_map(<[Step; 2]>::from).collect()
        };
        match self.closer {
            Role::Client => steps.push(Step::Close),
            // It is received to the end after the last step.
            Role::Server if self.at_once => {
                steps.insert(1 + self.messages.len(), Step::Send(PLEASE_CLOSE.into()));
            }
            Role::Server => steps.push(Step::Send(PLEASE_CLOSE.into())),
        }
        steps
    }

    /// What comes of it if nothing is in its way.
    pub(super) fn clean(&self) -> [Verdict; 2] {
        let all = self.messages.len();
        let asked = usize::from(self.closer == Role::Server);
        [all, all + asked].map(|messages| Verdict::new(CloseCause::Handshake, messages))
    }

    /// Runs it, and checks what both sides, the client first, were told. Gives the bytes that went on.
    pub(super) fn run<T: Transport>(
        &self,
        transport: &T,
        plans: [Plan; 2],
        short: [Option<Timeout>; 2],
        verdicts: [Verdict; 2],
    ) -> [Vec<u8>; 2] {
        let case = format!("closed by the {:?}, {plans:?}, short waits {short:?}", self.closer);
        // Whoever waits for what is stalled hears of the end only when the proxy goes away.
        let stuck = [(0, 1), (1, 0)].map(|(stuck, other)| {
            short[other].is_some() && verdicts[stuck].cause == CloseCause::Transport
        });
        let ([client, server], passed) =
            self.play(transport, plans, short, stuck, verdicts[1].opened, &case);
        self.check(Role::Client, &client, verdicts[0], &format!("client, {case}"));
        let told = T::TELLS_FAILED_OPENINGS || verdicts[1].opened;
        if told {
            self.check(Role::Server, &server, verdicts[1], &format!("server, {case}"));
        } else {
            assert!(!server.opened && server.ends.is_empty(), "{case}: {server:?}");
        }
        passed
    }

    /// Runs it with a cut somewhere, and checks what holds wherever that is: each side is told of a clean end,
    /// or of this cause.
    pub(super) fn run_cut<T: Transport>(&self, transport: &T, plans: [Plan; 2], cause: CloseCause) {
        let case = format!("closed by the {:?}, {plans:?}", self.closer);
        let (logs, _) = self.play(transport, plans, [None; 2], [false; 2], true, &case);
        for ((role, log), clean) in
            [Role::Client, Role::Server].into_iter().zip(&logs).zip(self.clean())
        {
            let verdict = match log.ends[..] {
                [CloseCause::Handshake] => clean,
                _ => Verdict { opened: log.opened, cause, messages: log.messages.len() },
            };
            self.check(role, log, verdict, &format!("{role:?}, {case}"));
        }
    }

    /// Plays it to the end, and sees that nothing of it is left: what both sides, the client first, were told,
    /// and the bytes that went on. The proxy goes away when all but those who are stuck are done.
    fn play<T: Transport>(
        &self,
        transport: &T,
        plans: [Plan; 2],
        short: [Option<Timeout>; 2],
        [client_is_stuck, server_is_stuck]: [bool; 2],
        opens: bool,
        case: &str,
    ) -> ([Log; 2], [Vec<u8>; 2]) {
        let before = descriptors();
        let (addr, server) = transport.serve(Waits::new(short[1]));
        let (tcp, proxy) = Proxy::connect(addr, plans);
        let served = || transport.served(server, opens);
        let logs = thread::scope(|scope| {
            let talking = scope.spawn(|| transport.talk(tcp, Waits::new(short[0]), &self.steps()));
            let talked = || talking.join().unwrap();
            if client_is_stuck {
                let served = served();
                proxy.reset();
                return [talked(), served];
            }
            let talked = talked();
            if server_is_stuck {
                proxy.reset();
            }
            [talked, served()]
        });
        if short != [None; 2] {
            proxy.reset();
        }
        let passed = proxy.finish();
        transport.assert_idle();
        assert_eq!(descriptors(), before, "descriptors are left: {case}");
        (logs, passed)
    }

    /// Panics unless what one side was told is this verdict, once.
    fn check(&self, role: Role, log: &Log, verdict: Verdict, case: &str) {
        let case = format!("{case}: {:?} {:?}, wanted {verdict:?}", log.ends, log.info);
        assert_eq!(log.opened, verdict.opened, "{case}");
        assert_eq!(log.ends, [verdict.cause], "{case}");
        let mut messages = self.messages.clone();
        messages.push(PLEASE_CLOSE.into());
        assert_eq!(log.messages.len(), verdict.messages, "{case}");
        assert!(log.messages == messages[..verdict.messages], "{case}");
        if role == Role::Client && verdict.cause == CloseCause::Handshake {
            assert_eq!(log.pongs, 1, "{case}");
        }
        let Some(info) = &log.info else {
            assert!(!log.opened, "{case}");
            return;
        };
        assert_eq!(info.cause, verdict.cause, "{case}");
        assert_eq!(info.clean, verdict.cause == CloseCause::Handshake, "{case}");
        let by_us = match verdict.cause {
            CloseCause::Handshake => role == self.closer,
            cause => matches!(cause, CloseCause::Timeout(_)),
        };
        assert_eq!(info.by, if by_us { Side::Local } else { Side::Peer }, "{case}");
        let (code, reason) = if info.clean { CLOSE } else { (CloseCode::ABNORMAL, "") };
        assert_eq!((info.code, info.reason.as_str()), (code, reason), "{case}");
    }
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
