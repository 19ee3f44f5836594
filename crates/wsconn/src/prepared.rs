use alloc::{sync::Arc, vec::Vec};
use core::fmt;

use wsframe::Header;

use crate::{Connection, Kind, Message, Misuse, Sending};

/// A message to send to many connections, encoded once. Cloning it shares it.
///
/// ```
/// use wsconn::{Config, Connection, PreparedMessage, Time};
///
/// let mut members: Vec<Connection> =
///     (0..3).map(|_| Connection::server(Config::default().into(), Time::ZERO)).collect();
/// let news = PreparedMessage::new("hello, all");
/// for member in &mut members {
///     member.send_prepared(&news)?;
/// }
/// # Ok::<(), wsconn::Misuse>(())
/// ```
///
/// A server's frames are the same bytes for every connection. A client masks each, so that it saves
/// nothing.
#[cfg_attr(
    feature = "deflate",
    doc = "\n",
    doc = "If permessage-deflate is in use the message is compressed at most once for each size of the",
    doc = "window, for all connections that send without context takeover; those that send with it are",
    doc = "sent the plain form, which needs no context and changes none."
)]
#[derive(Clone)]
pub struct PreparedMessage(Arc<Prepared>);

struct Prepared {
    kind: Kind,
    /// The whole frame of a server: header and payload.
    frame: Vec<u8>,
    /// Where the payload starts.
    payload: usize,
    /// The payload compressed with a window of 9 bits, of 10, and so on to 15; `None` where it would
    /// not be smaller.
    #[cfg(feature = "deflate")]
    compressed: [std::sync::OnceLock<Option<Vec<u8>>>; 7],
}

impl PreparedMessage {
    /// Encodes a message.
    pub fn new<'m>(message: impl Into<Message<'m>>) -> Self {
        let message = message.into();
        let bytes = message.as_bytes();
        let header = Header::new(message.kind().opcode(), bytes.len() as u64).encode();
        let mut frame = Vec::with_capacity(header.as_slice().len() + bytes.len());
        frame.extend_from_slice(header.as_slice());
        frame.extend_from_slice(bytes);
        Self(Arc::new(Prepared {
            kind: message.kind(),
            frame,
            payload: header.as_slice().len(),
            #[cfg(feature = "deflate")]
            compressed: Default::default(),
        }))
    }

    /// What the message is made of.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The bytes of the message, as they were given.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.frame.get(self.0.payload..).unwrap_or_default()
    }

    /// The message.
    pub fn as_message(&self) -> Message<'_> {
        match self.0.kind {
            Kind::Binary => Message::Binary(self.as_bytes()),
            Kind::Text => Message::Text(wsframe::from_utf8(self.as_bytes()).unwrap_or_default()),
        }
    }

    /// The frame that a connection in the role of a server sends: its header and its payload.
    fn frame(&self, connection: &Connection) -> (Header, &[u8]) {
        let opcode = self.0.kind.opcode();
        #[cfg(feature = "deflate")]
        if let Some(compressed) = self.compressed(connection) {
            let header = Header::new(opcode, compressed.len() as u64);
            return (Header { rsv: wsframe::Rsv::RSV1, ..header }, compressed);
        }
        let _ = connection;
        (Header::new(opcode, self.as_bytes().len() as u64), self.as_bytes())
    }

    /// The payload compressed, for a connection that may be sent it.
    #[cfg(feature = "deflate")]
    fn compressed(&self, connection: &Connection) -> Option<&[u8]> {
        let options = connection.deflate()?;
        if options.context_takeover || self.as_bytes().len() < options.min_size {
            return None;
        }
        let slot = usize::from(options.window_bits.min(15)).checked_sub(9)?;
        let slot = self.0.compressed.get(slot)?;
        slot.get_or_init(|| crate::deflate::compress_once(self.as_bytes(), options)).as_deref()
    }
}

impl Connection {
    /// Queues a message that was prepared; see [`PreparedMessage`].
    ///
    /// Fails as [`send`](Self::send) does.
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), Misuse> {
        self.send_prepared_direct(message).map(drop)
    }

    /// Sends a message that was prepared from where it lies; see [`send_direct`](Self::send_direct).
    pub fn send_prepared_direct<'m>(
        &mut self,
        message: &'m PreparedMessage,
    ) -> Result<Sending<'_, 'm>, Misuse> {
        self.check_message()?;
        let (header, payload) = message.frame(self);
        Ok(self.sending(header, payload))
    }
}

impl<'m> From<&'m PreparedMessage> for Message<'m> {
    fn from(message: &'m PreparedMessage) -> Self {
        message.as_message()
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedMessage")
            .field("kind", &self.kind())
            .field("len", &self.as_bytes().len())
            .finish_non_exhaustive()
    }
}
