use alloc::{string::String, sync::Arc, vec::Vec};

use wshandshake::{HeaderSlots, Origin, Request, write_refusal};

use super::{Accept, HandshakeFailure, Head, OriginPolicy, Progress, Refusal, ServerOptions};
use crate::{Config, Connection, Time};

/// A server's half of an opening handshake: [receive](Self::receive) until the head is complete, then
/// [respond](Self::respond). What it may take is bounded by [`ServerOptions::max_head`] and, if the
/// transport keeps to [`deadline`](Self::deadline), in time.
pub struct ServerOpening {
    options: Arc<ServerOptions>,
    head: Head,
    deadline: Time,
}

/// A server's answer to an opening handshake.
pub struct Answer {
    /// The response, to be written whatever it says.
    pub response: String,
    /// The connection, or why there is none: then the byte stream is closed once the response has
    /// been written. What was pipelined behind the request is not answered.
    pub result: Result<ServerOpened, HandshakeFailure>,
}

/// What a server's opening handshake ended in.
pub struct ServerOpened {
    /// The connection.
    pub connection: Connection,
    /// The subprotocol agreed on.
    pub subprotocol: Option<String>,
}

impl ServerOpening {
    /// Waits for a request.
    pub fn new(options: Arc<ServerOptions>, now: Time) -> Self {
        Self {
            head: Head::of_request(options.max_head),
            deadline: now.after(options.handshake_timeout),
            options,
        }
    }

    /// When the handshake has to be over. The transport gives the connection up then.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Takes bytes that have arrived. Once it is complete, which it also is when it cannot become a
    /// valid request any more, respond.
    pub fn receive(&mut self, input: &[u8]) -> Progress {
        self.head.receive(input)
    }

    /// Answers the request: refuses it if it is wrong or comes from a page that may not connect, else
    /// lets `decide` look at it, choose a subprotocol, add headers or refuse.
    pub fn respond(
        self,
        decide: impl FnOnce(&Request<'_, '_>) -> Result<Accept, Refusal>,
        now: Time,
    ) -> Answer {
        let mut response = String::new();
        let result = match self.accept(&mut response, decide) {
            Ok(agreement) => {
                let connection = agreement.connection(self.options.config.clone(), now);
                Ok(ServerOpened { connection, subprotocol: agreement.subprotocol })
            }
            Err(failure) => Err(refuse(&mut response, failure)),
        };
        Answer { response, result }
    }

    fn accept(
        &self,
        response: &mut String,
        decide: impl FnOnce(&Request<'_, '_>) -> Result<Accept, Refusal>,
    ) -> Result<Agreement, HandshakeFailure> {
        let mut slots = HeaderSlots::new();
        let request = Request::parse(self.head.bytes()?, &mut slots)?;
        let agreement = negotiate(&self.options, &request, decide)?;
        request.write_accept(response, &agreement.response())?;
        Ok(agreement)
    }
}

/// What a server agrees to: subprotocol, extensions and all.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// The subprotocol.
    pub subprotocol: Option<String>,
    /// Headers to add to the response.
    pub headers: Vec<(String, String)>,
    extensions: Option<String>,
    #[cfg(feature = "deflate")]
    deflate: Option<crate::deflate::DeflateOptions>,
}

impl Agreement {
    /// What the response says.
    pub fn response(&self) -> wshandshake::Accept<'_, String> {
        wshandshake::Accept {
            subprotocol: self.subprotocol.as_deref(),
            extensions: self.extensions.as_deref(),
            headers: &self.headers,
        }
    }

    /// The connection that begins behind the response.
    pub fn connection(&self, config: Arc<Config>, now: Time) -> Connection {
        #[cfg(feature = "deflate")]
        if let Some(agreed) = self.deflate {
            let mut connection = Connection::server(config, now);
            connection.enable_deflate(agreed);
            return connection;
        }
        Connection::server(config, now)
    }
}

/// Judges a request by the options and by `decide`: what to agree to.
///
/// For servers that have their requests from an HTTP library; [`ServerOpening`] does it itself.
pub fn negotiate(
    options: &ServerOptions,
    request: &Request<'_, '_>,
    decide: impl FnOnce(&Request<'_, '_>) -> Result<Accept, Refusal>,
) -> Result<Agreement, HandshakeFailure> {
    options.origin.judge(request)?;
    let accept = decide(request).map_err(HandshakeFailure::Refused)?;
    let choose = || {
        let offered =
            |spoken: &&String| request.subprotocols().any(|offered| offered == spoken.as_str());
        options.subprotocols.iter().find(offered).cloned()
    };
    let agreement = Agreement {
        subprotocol: accept.subprotocol.or_else(choose),
        headers: accept.headers,
        extensions: None,
        #[cfg(feature = "deflate")]
        deflate: None,
    };
    #[cfg(feature = "deflate")]
    if let Some(wanted) = options.deflate.filter(|_| accept.deflate)
        && let Some((agreed, extensions)) = super::deflate::accept(&wanted, request.extensions())
    {
        let (deflate, extensions) = (Some(agreed), Some(extensions));
        return Ok(Agreement { deflate, extensions, ..agreement });
    }
    Ok(agreement)
}

impl OriginPolicy {
    /// Checks that each entry of a list is an origin. A request from a page does so too; this is for
    /// whoever would rather know at once.
    ///
    /// # Errors
    ///
    /// [`HandshakeFailure::OriginEntry`] with the first that is none.
    pub fn check(&self) -> Result<(), HandshakeFailure> {
        let Self::List(list) = self else { return Ok(()) };
        match list.iter().find(|entry| allowed(entry).is_none()) {
            Some(entry) => Err(HandshakeFailure::OriginEntry(entry.clone())),
            None => Ok(()),
        }
    }

    fn judge(&self, request: &Request<'_, '_>) -> Result<(), HandshakeFailure> {
        let Some(text) = request.origin() else { return Ok(()) };
        self.check()?;
        let origin = Origin::parse(text);
        let is_allowed = match self {
            Self::Any => true,
            Self::SameHost => origin.is_some_and(|origin| origin.same_host(request.host())),
            Self::List(list) => list
                .iter()
                .filter_map(|entry| allowed(entry))
                .any(|allowed| origin.is_some_and(|origin| origin.same_origin(&allowed))),
        };
        if is_allowed {
            return Ok(());
        }
        let (origin, host) = (text.into(), request.host().into());
        Err(HandshakeFailure::ForeignOrigin { origin, host })
    }
}

/// The origin that an entry of a list names; browsers show one with a `/`.
fn allowed(entry: &str) -> Option<Origin<'_>> {
    Origin::parse(entry.strip_suffix('/').unwrap_or(entry)).filter(|origin| !origin.is_opaque())
}

/// Writes the response that refuses a request. If what the application wants to say cannot be sent,
/// the peer is told no more than that.
fn refuse(response: &mut String, failure: HandshakeFailure) -> HandshakeFailure {
    response.clear();
    let Refusal { status, reason, headers } = failure.refusal();
    match write_refusal(response, status, &reason, &headers) {
        Ok(()) => failure,
        Err(input) => refuse(response, input.into()),
    }
}
