//! Sessions whose peer resets the stream behind any of its bytes.

use wsconn::{CloseCause, CloseInfo, OwnedMessage, Role, Side};

use crate::{drive::KEY, reference::Frame};

/// What the peer of an end in this role sends, to its close frame.
pub struct Session {
    role: Role,
    /// Its bytes.
    pub input: Vec<u8>,
    /// The messages, each with where its last frame ends.
    messages: [(OwnedMessage, usize); 3],
}

impl Session {
    /// The session of an end in this role.
    pub fn of(role: Role) -> Self {
        let frames = [
            Frame::new(1, "one"),
            Frame::new(9, "ping"),
            Frame::new(2, vec![1; 100]).unfinished(),
            Frame::new(0, vec![1; 200]),
            Frame::new(2, "last"),
            Frame::new(8, [&1000_u16.to_be_bytes(), &b"bye"[..]].concat()),
        ];
        let key = (role == Role::Server).then_some(KEY);
        let frames = frames.map(|frame| frame.masked(key).encode());
        let end = |count| frames[..count].concat().len();
        let messages = [
            ("one".into(), end(1)),
            (vec![1; 300].into(), end(4)),
            (b"last".to_vec().into(), end(5)),
        ];
        Self { role, input: frames.concat(), messages }
    }

    /// Panics unless these are the messages, the end and the number of errors of an end whose peer resets
    /// the stream behind `len` bytes.
    pub fn assert_verdict(
        &self,
        len: usize,
        messages: &[OwnedMessage],
        info: &CloseInfo,
        failures: usize,
    ) {
        let all = self.input.len();
        let case = format!("{:?}, {len} of {all} bytes: {info}, {messages:?}", self.role);
        // All that came whole: on Linux a reset takes back nothing that has arrived.
        let whole = self.messages.iter().filter(|(_, end)| *end <= len).count();
        let due = self.messages.iter().map(|(message, _)| message);
        assert!(messages.len() <= due.len() && due.zip(messages).all(|(a, b)| a == b), "{case}");
        assert!(messages.len() == whole || !cfg!(target_os = "linux"), "{case}");
        assert!(info.clean == (len == all) || !cfg!(target_os = "linux"), "{case}");
        let (cause, code, reason) = match info.clean {
            true => (CloseCause::Handshake, 1000, "bye"),
            false => (CloseCause::Transport, 1006, ""),
        };
        assert_eq!((info.cause, info.code.get(), &*info.reason), (cause, code, reason), "{case}");
        assert_eq!(info.by, Side::Peer, "{case}");
        assert_eq!(failures, usize::from(!info.clean), "{case}");
    }
}
