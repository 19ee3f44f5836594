use std::sync::{Arc, LazyLock};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use wsconn::{
    Role, Time, Timeout,
    opening::{Accept, Refusal, Request, ServerOpening, ServerOptions},
};

use crate::{Error, WebSocket, core::Core, handshake, trace};

/// Accepts a WebSocket connection on a stream that a client has just opened, with the default
/// options.
///
/// See [`Acceptor::accept`].
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<WebSocket<S>, Error> {
    Acceptor::default().accept(stream).await
}

/// Accepts connections. Cheap to clone: make one, and use it for all.
///
/// ```no_run
/// # async fn serve() -> std::io::Result<()> {
/// use wstokio::{Acceptor, opening::{Accept, Refusal, ServerOptions}};
///
/// let mut options = ServerOptions::default();
/// options.subprotocols = vec!["chat.v1".into()];
/// let acceptor = Acceptor::new(options);
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// loop {
///     let (tcp, _) = listener.accept().await?;
///     let acceptor = acceptor.clone();
///     tokio::spawn(async move {
///         // A small message is not to wait for the answer to the last one.
///         tcp.set_nodelay(true)?;
///         let socket = acceptor.accept_with(tcp, |request| match request.path() {
///             "/chat" => Ok(Accept::default()),
///             _ => Err(Refusal::new(404, "there is only /chat here\n")),
///         });
///         let mut ws = socket.await?;
///         let (rx, tx) = ws.halves();
///         while let Some(message) = rx.recv().await? {
///             tx.feed(message).await?;
///         }
///         Ok::<(), wstokio::Error>(())
///     });
/// }
/// # }
/// ```
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

    #[cfg(feature = "hyper")]
    pub(crate) fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Accepts a connection: reads the request, judges it by the options and answers it.
    ///
    /// On a TCP stream set `TCP_NODELAY` first, unless messages may wait to leave with the next.
    ///
    /// # Errors
    ///
    /// [`Error::Handshake`] if the request was refused; the client has been told why.
    /// [`Error::Timeout`] if it was not over in time, [`Error::Io`] if the stream failed.
    ///
    /// *Cancel safety*: dropping it drops the stream.
    pub async fn accept<S>(&self, stream: S) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_with(stream, |_| Ok(Accept::default())).await
    }

    /// As [`accept`](Self::accept), and lets `decide` look at the request: at its path, its cookies,
    /// the subprotocols it offers. It may choose one, add headers to the response, or refuse.
    pub async fn accept_with<S, D>(&self, stream: S, decide: D) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: FnOnce(&Request<'_, '_>) -> Result<Accept, Refusal>,
    {
        // In a box: a task keeps room for the largest of its waits as long as it lives.
        let accepted = Box::pin(self.handshake(stream, decide)).await;
        accepted.inspect_err(|error| trace::failed(Role::Server, error))
    }

    async fn handshake<S, D>(&self, mut stream: S, decide: D) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: FnOnce(&Request<'_, '_>) -> Result<Accept, Refusal>,
    {
        let mut opening = ServerOpening::new(self.options.clone(), Time::ZERO);
        let deadline = Instant::now().checked_add(opening.deadline().since_origin());
        let handshake = async {
            let inbox = handshake::read_head(&mut stream, |input| opening.receive(input)).await?;
            let answer = opening.respond(decide, Time::ZERO);
            handshake::write(&mut stream, answer.response.as_bytes()).await?;
            Ok((inbox, answer.result))
        };
        let (inbox, result) = handshake::until(deadline, Timeout::Handshake, handshake).await?;
        match result {
            Ok(opened) => {
                let core = Core::new(stream, opened.connection);
                Ok(WebSocket::new(core, inbox, opened.subprotocol.map(String::into)))
            }
            Err(failure) => {
                drop(inbox);
                handshake::linger(&mut stream, self.options.config.fin_timeout).await;
                Err(failure.into())
            }
        }
    }
}
