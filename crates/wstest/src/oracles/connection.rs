use arbitrary::{Arbitrary, Unstructured};
use wsconn::{CloseCode, Connection, Delivery, Message, Role, Time};

use super::{Body, config, message};
use crate::{
    drive::{Driver, KEY, Trace, connection, pieces},
    reference::{self, Frame, LengthForm, Verdict},
};

/// The longest payload: enough for direct reads.
const LONGEST: usize = 20_000;

#[derive(Arbitrary, Debug)]
struct Session {
    client: bool,
    /// The limits, where they are small.
    limits: Option<(u8, u16, u8)>,
    outgoing: u16,
    chunks: bool,
    direct: bool,
    take: bool,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    /// A frame comes, in up to three pieces.
    Frame {
        fin: bool,
        opcode: u8,
        body: Body,
        cuts: [u16; 2],
    },
    /// Something like a frame comes.
    Broken {
        first: u8,
        masked: bool,
        body: Body,
        length: Option<u64>,
        cuts: [u16; 2],
    },
    /// A close frame comes.
    CloseFrame {
        code: u16,
        reason: Body,
    },
    /// These bytes come.
    Bytes(Vec<u8>),
    Send {
        text: bool,
        direct: Option<u16>,
        body: Body,
    },
    Fragment {
        text: bool,
        fin: bool,
        body: Body,
    },
    Ping(Body),
    Close {
        code: u16,
        reason: String,
    },
    /// So much is written.
    Written(u16),
    WriteAll,
    Blocked,
    /// The buffers are taken back, as before a wait.
    Reclaim,
    End,
}

/// A session of structured operations, in either role, against the naive reference connection: after
/// each operation the same events have been delivered, the same bytes are outgoing, and the
/// connection is open, closing or closed with the same verdict.
pub fn check_connection(input: &[u8]) {
    let Ok(session) = Session::arbitrary(&mut Unstructured::new(input)) else { return };
    let role = if session.client { Role::Client } else { Role::Server };
    let (frame, message, fragments) = match session.limits {
        Some((frame, message, fragments)) => (frame.into(), message.into(), fragments.into()),
        None => (1 << 20, 1 << 20, 1000),
    };
    let config = config(frame, message, fragments, usize::from(session.outgoing).max(1));
    let driver = Driver {
        delivery: if session.chunks { Delivery::Chunks } else { Delivery::Messages },
        direct: session.direct,
        take: session.take,
        reclaim: false,
    };
    let mut both = Both {
        role,
        model: reference::Connection::new(role, &config),
        connection: connection(role, &config.into()),
        driver,
        trace: Trace { holds: true, ..Trace::default() },
    };
    for operation in session.operations.iter().take(64) {
        both.run(operation);
        both.check(operation);
    }
}

struct Both {
    role: Role,
    model: reference::Connection,
    connection: Connection,
    driver: Driver,
    trace: Trace,
}

impl Both {
    fn run(&mut self, operation: &Operation) {
        let Self { model, connection, .. } = self;
        match operation {
            Operation::Frame { fin, opcode, body, cuts } => {
                let opcode = [0, 1, 2, 8, 9, 10][usize::from(*opcode % 6)];
                let longest = if opcode > 2 { 125 } else { LONGEST };
                let frame = Frame::new(opcode, body.bytes(longest));
                self.arrives(&Frame { fin: *fin || opcode > 2, ..frame }, false, *cuts);
            }
            Operation::Broken { first, masked, body, length, cuts } => {
                let frame = Frame {
                    fin: first & 0x80 != 0,
                    rsv: first >> 4 & 7,
                    length: match length {
                        None => LengthForm::Minimal,
                        Some(len) if len % 3 == 0 => LengthForm::Two,
                        Some(len) if len % 3 == 1 => LengthForm::Eight,
                        Some(len) => LengthForm::Lie(*len),
                    },
                    ..Frame::new(first & 15, body.bytes(LONGEST))
                };
                self.arrives(&frame, *masked, *cuts);
            }
            Operation::CloseFrame { code, reason } => {
                let body = [&code.to_be_bytes()[..], &reason.bytes(123)].concat();
                self.arrives(&Frame::new(8, body), false, [0, 1]);
            }
            Operation::Bytes(bytes) => self.receive(&[bytes]),
            Operation::Send { text, direct, body } => {
                let bytes = body.bytes(LONGEST);
                let message = message(*text, &bytes);
                let expected = model.send(message.kind(), &bytes);
                match direct {
                    None => assert_eq!(connection.send(message), expected),
                    Some(written) => {
                        let sent = sent_directly(connection, message, (*written).into());
                        assert_eq!(sent.map(drop), expected);
                        if let Ok(len) = sent {
                            model.advance(len);
                        }
                    }
                }
            }
            Operation::Fragment { text, fin, body } => {
                let bytes = body.bytes(LONGEST);
                let part = message(*text, &bytes);
                let expected = model.send_fragment(part.kind(), &bytes, *fin);
                assert_eq!(connection.send_fragment(part, *fin), expected);
            }
            Operation::Ping(body) => {
                let payload = body.bytes(130);
                assert_eq!(connection.ping(&payload), model.ping(&payload));
            }
            Operation::Close { code, reason } => {
                let code = CloseCode::new(*code).unwrap_or(match code % 2 {
                    0 => CloseCode::NO_STATUS,
                    _ => CloseCode::ABNORMAL,
                });
                let expected = model.close(code, reason);
                assert_eq!(connection.close(code, reason, Time::ZERO), expected);
            }
            Operation::Written(len) => self.written((*len).into()),
            Operation::WriteAll => self.written(usize::MAX),
            Operation::Blocked => {
                connection.blocked(Time::ZERO);
                model.block();
            }
            Operation::Reclaim => {
                connection.release();
                let buffer = connection.reclaim();
                connection.lend(buffer);
            }
            Operation::End => {
                connection.receive_eof();
                model.end();
            }
        }
    }

    fn arrives(&mut self, frame: &Frame, wrong: bool, cuts: [u16; 2]) {
        let masked = (self.role == Role::Server) != wrong;
        let bytes = frame.clone().masked(masked.then_some(KEY)).encode();
        let mut cuts = cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
        cuts.sort_unstable();
        self.receive(&pieces(&bytes, &cuts));
    }

    fn receive(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.driver.resume(&mut self.connection, &[piece], false, &mut self.trace);
            let info = self.connection.close_info();
            let reason = info.map(|info| info.reason.clone()).unwrap_or_default();
            let expected = self.model.receive(piece, &reason);
            assert_eq!(std::mem::take(&mut self.trace.events), expected);
        }
    }

    fn written(&mut self, len: usize) {
        let len = len.min(self.connection.outgoing().len());
        self.connection.advance(len);
        self.model.advance(len);
    }

    fn check(&self, operation: &Operation) {
        let Self { model, connection, .. } = self;
        let after = || format!("after {operation:?}");
        assert_eq!(connection.outgoing(), model.outgoing, "{}", after());
        assert_eq!(connection.is_open(), model.is_open(), "{}", after());
        assert_eq!(connection.disposition(), model.disposition(), "{}", after());
        let verdict = connection.close_info().map(|info| Verdict {
            code: info.code.get(),
            reason: info.reason.clone(),
            by: info.by,
            clean: info.clean,
        });
        assert_eq!(verdict.as_ref(), model.verdict(), "{}", after());
    }
}

/// Sends a message from where it lies, of which so many bytes are written, with what was queued
/// before. Tells how many there were to write, at most so many.
fn sent_directly(
    connection: &mut Connection,
    message: Message<'_>,
    written: usize,
) -> Result<usize, wsconn::Misuse> {
    let mut sending = connection.send_direct(message)?;
    let whole: usize = sending.slices().iter().map(|slice| slice.len()).sum();
    let written = written.min(whole);
    sending.advance(written / 2);
    let left: usize = sending.slices().iter().map(|slice| slice.len()).sum();
    assert_eq!(left, whole - written / 2);
    sending.advance(written - written / 2);
    assert_eq!(sending.is_done(), written == whole);
    Ok(written)
}
