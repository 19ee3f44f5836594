use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use wsconn::{
    Time, Timeout,
    opening::{Accept, Refusal, Request, ServerOpening, ServerOptions},
    transport::Error,
};

use crate::{Stream, WebSocket, handshake::Handshake, shared::Core};

/// Accepts a WebSocket connection on a stream that a client has just opened, with the default
/// options.
///
/// ```no_run
/// let listener = std::net::TcpListener::bind("127.0.0.1:8080")?;
/// for tcp in listener.incoming() {
///     std::thread::spawn(move || -> Result<(), wsmio::Error> {
///         let tcp = tcp?;
///         // A small message is not to wait for the answer to the last one.
///         tcp.set_nodelay(true)?;
///         let mut ws = wsmio::accept(tcp)?;
///         let (rx, tx) = ws.halves();
///         while let Some(message) = rx.recv()? {
///             tx.feed(message)?;
///         }
///         Ok(())
///     });
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// See [`Acceptor::accept`].
pub fn accept<S: Stream>(stream: S) -> Result<WebSocket<S>, Error> {
    Acceptor::default().accept(stream)
}

/// Accepts connections, each to be served by a thread of its own. For many connections per thread
/// there is [`Server`](crate::Server).
#[derive(Clone, Debug)]
pub struct Acceptor {
    options: Arc<ServerOptions>,
}

impl Default for Acceptor {
    /// An acceptor with the default options. All such share them, and so do their connections.
    fn default() -> Self {
        static OPTIONS: LazyLock<Arc<ServerOptions>> = LazyLock::new(Arc::default);
        Self { options: OPTIONS.clone() }
    }
}

impl Acceptor {
    /// An acceptor with these options.
    pub fn new(options: ServerOptions) -> Self {
        Self { options: Arc::new(options) }
    }

    /// Accepts a connection: reads the request, judges it by the options and answers it.
    ///
    /// On a TCP stream set `TCP_NODELAY` first, unless messages may wait to leave with the next.
    ///
    /// # Errors
    ///
    /// [`Error::Handshake`] if the request was refused; the client has been told why.
    /// [`Error::Timeout`] if it was not over in time, [`Error::Io`] if the stream failed.
    pub fn accept<S: Stream>(&self, stream: S) -> Result<WebSocket<S>, Error> {
        self.accept_with(stream, |_| Ok(Accept::default()))
    }

    /// As [`accept`](Self::accept), and lets `decide` look at the request: at its path, its cookies,
    /// the subprotocols it offers. It may choose one, add headers to the response, or refuse.
    pub fn accept_with<S: Stream>(
        &self,
        mut stream: S,
        decide: impl FnOnce(&Request<'_, '_>) -> Result<Accept, Refusal>,
    ) -> Result<WebSocket<S>, Error> {
        let mut opening = ServerOpening::new(self.options.clone(), Time::ZERO);
        let deadline = Instant::now().checked_add(opening.deadline().since_origin());
        let mut handshake = Handshake::new(&mut stream, deadline, Timeout::Handshake)?;
        let read = handshake.read_head(|input| opening.receive(input))?;
        let answer = opening.respond(decide, Time::ZERO);
        handshake.write(&answer.response)?;
        match answer.result {
            Ok(opened) => {
                let core = Core::new(stream, opened.connection);
                Ok(WebSocket::new(core, read, opened.subprotocol.map(String::into)))
            }
            Err(failure) => {
                handshake.linger(self.options.config.fin_timeout);
                Err(failure.into())
            }
        }
    }
}
