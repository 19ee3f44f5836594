//! Byte-level vectors: what a peer sends, and what must come of it. Written once, run over every
//! transport.
//!
//! A transport implements [`Subject`] and calls [`check`].

use std::sync::Arc;

use wsconn::{CloseCause, CloseInfo, Config, OwnedMessage, Role, Side};

use crate::{
    alloc::measure,
    drive::{Driver, connection, pieces},
    reference::{self, Frame},
};

mod closing;
mod control;
mod examples;
mod lengths;
mod messages;

pub use examples::{Example, Send, examples};

/// What a peer sends, before it ends its side of the byte stream; and what must come of it.
#[derive(Clone, Debug)]
pub struct Vector {
    /// A sentence.
    pub name: String,
    /// The class of advisories that it stands for, as in SECURITY.md; `-` for none.
    pub class: char,
    /// Our role.
    pub role: Role,
    /// Our limits.
    pub config: Config,
    /// All bytes that the peer sends. The byte stream ends after them.
    pub input: Vec<u8>,
    /// What must come of it.
    pub expect: Expect,
}

/// What must come of a [`Vector`], however its input is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The messages delivered, in order.
    pub messages: Vec<OwnedMessage>,
    /// The payloads of the pongs we write, in order.
    pub pongs: Vec<Vec<u8>>,
    /// The close frame we write, as the last of all.
    pub close: Sent,
    /// [`CloseInfo::code`].
    pub code: u16,
    /// [`CloseInfo::by`].
    pub by: Side,
    /// [`CloseInfo::clean`].
    pub clean: bool,
    /// [`CloseInfo::cause`].
    pub cause: Cause,
    /// [`CloseInfo::reason`], where the cause is a handshake.
    pub reason: String,
}

/// The close frame that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// None.
    Nothing,
    /// One without a body.
    Empty,
    /// One with this code, whatever the reason.
    Code(u16),
}

/// A [`CloseCause`] without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A closing handshake.
    Handshake,
    /// The peer's fault.
    Violation,
    /// The end of the byte stream.
    Eof,
    /// Another: none of the vectors expects it.
    Other,
}

/// What a transport made of a [`Vector`].
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The messages that the application received.
    pub messages: Vec<OwnedMessage>,
    /// All bytes that were written to the peer.
    pub written: Vec<u8>,
    /// How the connection ended.
    pub close: Option<CloseInfo>,
}

/// A transport, or a bare connection.
pub trait Subject {
    /// Runs a connection in `vector.role` with `vector.config`. Its byte stream gives
    /// `vector.input`, cut at `cuts` (ascending; see [`pieces`]), then ends; what it takes goes to
    /// [`Outcome::written`]. The application only receives, until it is told that nothing more comes.
    fn run(&self, vector: &Vector, cuts: &[usize]) -> Outcome;
}

/// How many cuts [`check`] tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// None, between any two bytes, and one in the middle.
    Few,
    /// Also every single cut, where the input has at most 4 KiB.
    All,
}

/// Runs every vector over `subject`, and panics with the names of those that fail.
pub fn check(subject: &dyn Subject, cuts: Cuts) {
    check_each(&vectors(), |vector| check_vector(subject, vector, cuts));
}

/// Runs the vectors of a class of advisories over `subject`, and panics with the names of those that fail,
/// or for which more is held than has come and 4 KiB. The connection has to be on this thread, whose
/// allocator must be a [`CountingAllocator`](crate::alloc::CountingAllocator).
pub fn check_class(subject: &dyn Subject, class: char) {
    let mut vectors = vectors();
    vectors.retain(|vector| vector.class == class);
    assert!(vectors.len() > 5, "class {class}");
    check_each(&vectors, |vector| {
        check_vector(subject, vector, Cuts::Few)?;
        let nothing = Vector { input: Vec::new(), ..vector.clone() };
        let peak = |vector: &Vector| {
            let usage = measure(|| drop(subject.run(vector, &[]))).1;
            assert!(usage.allocations > 0, "nobody counts");
            usage.peak
        };
        let held = peak(vector) - peak(&nothing);
        // What has come is here, in the connection, in what was delivered, and in what was written.
        let bound = 4 * vector.input.len() as i64 + 4096;
        if held <= bound { Ok(()) } else { Err(format!("{held} bytes were held, and not {bound}")) }
    });
}

/// Panics unless each frame that a client writes over `subject` has a masking key of its own.
pub fn check_keys(subject: &dyn Subject) {
    let pings = vec![Frame::new(9, "ping"); KEYS];
    let mut list = List { class: 'G', vectors: Vec::new() };
    list.frames("Each answer of a client has a key of its own", &pings, Expect::eof());
    let mut vectors = list.vectors.iter();
    let vector = vectors.find(|vector| vector.role == Role::Client).unwrap();
    assert_fresh_keys(&subject.run(vector, &[]).written);
}

/// Panics unless `written` is at least [`KEYS`] frames of a client, each with a masking key of its own.
pub fn assert_fresh_keys(written: &[u8]) {
    let mut keys: Vec<_> = reference::decode(written).iter().map(|it| it.mask.unwrap()).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    // Two of so few are alike by chance once in 20 million times.
    assert!(count >= KEYS && keys.len() == count, "{} keys of {count} frames", keys.len());
}

/// How many frames show that their keys differ.
pub const KEYS: usize = 20;

/// A test for each class of advisories that frames alone show, over the subject that `$over` gives to what it
/// is called with.
#[macro_export]
macro_rules! advisory_classes {
    ($over:expr) => {
        #[test]
        fn class_a_declared_lengths() {
            $over(|subject| $crate::conformance::check_class(subject, 'A'));
        }

        #[test]
        fn class_b_reassembly() {
            $over(|subject| $crate::conformance::check_class(subject, 'B'));
        }

        #[test]
        fn class_g_masking() {
            $over(|subject| $crate::conformance::check_class(subject, 'G'));
        }

        #[test]
        fn class_h_control_frames() {
            $over(|subject| $crate::conformance::check_class(subject, 'H'));
        }

        #[test]
        fn class_i_lifecycle() {
            $over(|subject| $crate::conformance::check_class(subject, 'I'));
        }
    };
}

fn check_each(vectors: &[Vector], check: impl Fn(&Vector) -> Result<(), String>) {
    let mut failed = String::new();
    for vector in vectors {
        if let Err(error) = check(vector) {
            failed.push_str(&format!("- {} (we are {:?}): {error}\n", vector.name, vector.role));
        }
    }
    assert!(failed.is_empty(), "of {} vectors these fail:\n{failed}", vectors.len());
}

fn check_vector(subject: &dyn Subject, vector: &Vector, cuts: Cuts) -> Result<(), String> {
    let len = vector.input.len();
    let each: Vec<usize> = (1..len).collect();
    let mut ways = vec![vec![], each, vec![len / 2]];
    if cuts == Cuts::All && len <= 4096 {
        ways.extend((0..=len).map(|cut| vec![cut]));
    }
    for cuts in ways {
        let outcome = subject.run(vector, &cuts);
        let found = Expect::found(&outcome, vector.role)?;
        if found != vector.expect {
            let cuts = &cuts[..cuts.len().min(8)];
            return Err(format!(
                "cut at {cuts:?} …\n  found    {found:?}\n  expected {:?}",
                vector.expect
            ));
        }
    }
    Ok(())
}

impl Expect {
    /// An outcome in the terms of an expectation.
    fn found(outcome: &Outcome, role: Role) -> Result<Self, String> {
        let mut pongs = Vec::new();
        let mut close = Sent::Nothing;
        for Frame { fin, rsv, opcode, mask, payload, .. } in reference::decode(&outcome.written) {
            let ok = fin && rsv == 0 && mask.is_some() == (role == Role::Client);
            if !ok || close != Sent::Nothing {
                return Err(format!("wrote {:02x?}", outcome.written));
            }
            match (opcode, payload.as_slice()) {
                (10, _) => pongs.push(payload),
                (8, []) => close = Sent::Empty,
                (8, [a, b, reason @ ..]) if std::str::from_utf8(reason).is_ok() => {
                    close = Sent::Code(u16::from(*a) << 8 | u16::from(*b));
                }
                _ => return Err(format!("wrote opcode {opcode} with {payload:02x?}")),
            }
        }
        let info = outcome.close.as_ref().ok_or("no close info at the end")?;
        let cause = match info.cause {
            CloseCause::Handshake => Cause::Handshake,
            CloseCause::Violation(_) => Cause::Violation,
            CloseCause::Eof => Cause::Eof,
            _ => Cause::Other,
        };
        Ok(Self {
            messages: outcome.messages.clone(),
            pongs,
            close,
            code: info.code.get(),
            by: info.by,
            clean: info.clean,
            cause,
            reason: if cause == Cause::Handshake { info.reason.clone() } else { String::new() },
        })
    }

    /// Nothing delivered, and the end of the byte stream without a closing handshake.
    fn eof() -> Self {
        Self {
            messages: Vec::new(),
            pongs: Vec::new(),
            close: Sent::Nothing,
            code: 1006,
            by: Side::Peer,
            clean: false,
            cause: Cause::Eof,
            reason: String::new(),
        }
    }

    /// A violation that is answered with `code`.
    fn failed(code: u16) -> Self {
        let close = Sent::Code(code);
        Self { close, code, by: Side::Local, cause: Cause::Violation, ..Self::eof() }
    }

    /// The peer closed with `code` and `reason`: the code is echoed, the reason not.
    fn closed(code: u16, reason: &str) -> Self {
        let reason = reason.to_owned();
        let close = Sent::Code(code);
        Self { close, code, clean: true, cause: Cause::Handshake, reason, ..Self::eof() }
    }

    /// The same, with messages delivered.
    fn with(self, messages: &[OwnedMessage]) -> Self {
        Self { messages: messages.to_vec(), ..self }
    }

    /// The same, with pings answered.
    fn with_pongs(self, pongs: &[&[u8]]) -> Self {
        Self { pongs: pongs.iter().map(|pong| pong.to_vec()).collect(), ..self }
    }
}

/// Every vector.
pub fn vectors() -> Vec<Vector> {
    let mut list = List { class: '-', vectors: Vec::new() };
    examples::add(&mut list);
    list.class = 'A';
    lengths::add(&mut list);
    list.class = 'B';
    messages::add(&mut list);
    list.class = 'H';
    control::add(&mut list);
    closing::add(&mut list);
    list.vectors
}

/// Where the vectors are written down. `from` and those like it take the frames unmasked, and mask
/// them where they come from a client.
struct List {
    /// The class of those that are added now.
    class: char,
    vectors: Vec<Vector>,
}

impl List {
    /// Bytes as they are.
    fn raw(&mut self, name: &str, role: Role, config: Config, input: Vec<u8>, expect: Expect) {
        let class = self.class;
        self.vectors.push(Vector { name: name.to_owned(), class, role, config, input, expect });
    }

    /// Frames, in both roles.
    fn frames(&mut self, name: &str, frames: &[Frame], expect: Expect) {
        self.frames_with(name, Config::default(), frames, expect);
    }

    /// Frames, in both roles, with other limits than the default.
    fn frames_with(&mut self, name: &str, config: Config, frames: &[Frame], expect: Expect) {
        for role in [Role::Client, Role::Server] {
            let input = wire(role, frames);
            self.raw(name, role, config.clone(), input, expect.clone());
        }
    }
}

/// The bytes of `frames` as a receiver in `role` gets them: masked for a server, each with another
/// key.
fn wire(role: Role, frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        let key = [0x37, 0xfa, 0x21 ^ i as u8, 0x3d];
        let key = (role == Role::Server).then_some(key);
        bytes.extend(frame.clone().masked(key).encode());
    }
    bytes
}

fn text(text: &str) -> OwnedMessage {
    OwnedMessage::Text(text.to_owned())
}

fn binary(bytes: &[u8]) -> OwnedMessage {
    OwnedMessage::Binary(bytes.to_vec())
}

impl Subject for Driver {
    fn run(&self, vector: &Vector, cuts: &[usize]) -> Outcome {
        let mut connection = connection(vector.role, &Arc::new(vector.config.clone()));
        let pieces = pieces(&vector.input, cuts);
        let trace = Driver::run(*self, &mut connection, &pieces, true);
        Outcome { messages: trace.messages(), written: trace.written, close: trace.close }
    }
}
