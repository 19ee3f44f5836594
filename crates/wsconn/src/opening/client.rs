use alloc::{borrow::Cow, string::String};

use wshandshake::{
    Accepted, HandshakeError, Header, HeaderSlots, InvalidInput, Key, Response, Upgrade,
};

use super::{ClientOptions, HandshakeFailure, Head, Progress};
use crate::{Connection, MaskKeys, Time};

/// A client's half of an opening handshake: write the [request](Self::request),
/// [receive](Self::receive) until the head of the response is complete, then [finish](Self::finish).
///
/// Over HTTP/2, an HTTP library sends an extended CONNECT (RFC 8441) with the
/// [headers](Self::connect_headers), and its answer is judged by
/// [`finish_connect`](Self::finish_connect).
pub struct ClientOpening {
    options: ClientOptions,
    host: String,
    target: String,
    key: Key,
    request: String,
    extensions: Option<String>,
    head: Head,
    deadline: Time,
}

/// What a client's opening handshake ended in.
pub struct ClientOpened {
    /// The connection.
    pub connection: Connection,
    /// The subprotocol that the server chose.
    pub subprotocol: Option<String>,
}

impl ClientOpening {
    /// Asks `host`, as in `example.org` or `[::1]:8080`, for `target`, as in `/chat?room=1`. The
    /// `nonce` is to be random.
    ///
    /// Fails if the options have something that must not be sent.
    pub fn new(
        options: ClientOptions,
        host: String,
        target: String,
        nonce: [u8; 16],
        now: Time,
    ) -> Result<Self, InvalidInput> {
        #[cfg(feature = "deflate")]
        let extensions = options.deflate.as_ref().map(super::deflate::offer);
        #[cfg(not(feature = "deflate"))]
        let extensions = None;
        let mut opening = Self {
            extensions,
            head: Head::of_response(options.max_head),
            deadline: now.after(options.handshake_timeout),
            options,
            host,
            target,
            key: Key::new(nonce),
            request: String::new(),
        };
        let mut request = String::new();
        opening.upgrade().write(&mut request)?;
        opening.request = request;
        Ok(opening)
    }

    /// The request, to be written first.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// When the handshake has to be over. The transport gives the connection up then.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Takes bytes that have arrived; interim responses, as 103, are passed over. Once the response is
    /// complete, which it also is when it cannot become a valid one any more, finish.
    pub fn receive(&mut self, input: &[u8]) -> Progress {
        self.head.receive(input)
    }

    /// Judges the response. Its frames are masked with keys from `mask_keys`.
    pub fn finish(self, mask_keys: MaskKeys, now: Time) -> Result<ClientOpened, HandshakeFailure> {
        let mut slots = HeaderSlots::new();
        let response = Response::parse(self.head.bytes()?, &mut slots)?;
        let accepted = response.verify(&self.upgrade());
        self.open(&response, accepted, mask_keys, now)
    }

    /// The headers of an extended CONNECT, without the pseudo-headers. Their names are in lower case but
    /// for those that the options add.
    pub fn connect_headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let options = &self.options;
        let own = [
            ("sec-websocket-version", Some("13".into())),
            ("origin", options.origin.as_deref().map(Cow::from)),
            (
                "sec-websocket-protocol",
                (!options.subprotocols.is_empty()).then(|| options.subprotocols.join(", ").into()),
            ),
            ("sec-websocket-extensions", self.extensions.as_deref().map(Cow::from)),
        ];
        let added = options.headers.iter().map(|(name, value)| (name.as_str(), value.into()));
        own.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(added)
    }

    /// Judges the answer to an extended CONNECT, as [`finish`](Self::finish).
    pub fn finish_connect(
        self,
        status: u16,
        headers: &[Header<'_>],
        mask_keys: MaskKeys,
        now: Time,
    ) -> Result<ClientOpened, HandshakeFailure> {
        let response = Response::from_parts(status, "", false, headers)?;
        let accepted = response.verify_connect(&self.upgrade());
        self.open(&response, accepted, mask_keys, now)
    }

    fn open(
        &self,
        response: &Response<'_, '_>,
        accepted: Result<Accepted<'_, '_>, HandshakeError>,
        mask_keys: MaskKeys,
        now: Time,
    ) -> Result<ClientOpened, HandshakeFailure> {
        let accepted = accepted.map_err(|error| match error {
            HandshakeError::UnexpectedStatus(status) => HandshakeFailure::Status {
                status,
                reason: String::from(response.reason()),
                location: response
                    .header("location")
                    .map(|location| String::from_utf8_lossy(location).into_owned()),
            },
            error => HandshakeFailure::Peer(error),
        })?;
        let subprotocol = accepted.subprotocol().map(String::from);
        #[cfg(feature = "deflate")]
        if let Some(wanted) = &self.options.deflate {
            let agreed = super::deflate::agree(wanted, accepted.extensions())
                .map_err(|super::deflate::BadResponse| HandshakeFailure::Deflate)?;
            let mut connection = Connection::client(self.options.config.clone(), mask_keys, now);
            if let Some(agreed) = agreed {
                connection.enable_deflate(agreed);
            }
            return Ok(ClientOpened { connection, subprotocol });
        }
        let connection = Connection::client(self.options.config.clone(), mask_keys, now);
        Ok(ClientOpened { connection, subprotocol })
    }

    fn upgrade(&self) -> Upgrade<'_, String> {
        Upgrade {
            host: &self.host,
            target: &self.target,
            key: self.key,
            origin: self.options.origin.as_deref(),
            subprotocols: &self.options.subprotocols,
            extensions: self.extensions.as_deref(),
            headers: &self.options.headers,
        }
    }
}
