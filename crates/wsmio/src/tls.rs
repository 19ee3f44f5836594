//! TLS by [rustls], feature `tls`.
//!
//! A client needs nothing of this for `wss://` URLs: it trusts the authorities that its system trusts.
//! Whoever wants others gives [`Connector::tls`](crate::Connector::tls) a configuration:
//!
//! ```no_run
//! use wsmio::{Connector, tls};
//!
//! let roots = tls::roots_from_pem(&std::fs::read("our-authority.pem")?)?;
//! let connector = Connector::default().tls(tls::client_config(roots));
//! let ws = connector.connect("wss://intranet.example/chat")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server accepts TLS first, with a [`TlsAcceptor`], and then the WebSocket over it:
//!
//! ```no_run
//! use wsmio::{Acceptor, tls};
//!
//! let config = tls::server_config(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
//! let (tls, acceptor) = (tls::TlsAcceptor::new(config), Acceptor::default());
//!
//! let listener = std::net::TcpListener::bind("0.0.0.0:443")?;
//! for tcp in listener.incoming() {
//!     let (tcp, tls, acceptor) = (tcp?, tls.clone(), acceptor.clone());
//!     tcp.set_nodelay(true)?;
//!     std::thread::spawn(move || {
//!         let mut ws = acceptor.accept(tls.accept(tcp)?)?;
//!         ws.send("hello")
//!     });
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Server`](crate::Server), the event loop, has no TLS: let something in front of it end that, such
//! as a proxy, or take `wstokio`.
//!
//! # How a connection ends
//!
//! A side that ends the byte stream sends a close_notify first. One that is missing is an end like any
//! other: whether something was cut off, the closing handshake of the WebSocket tells. Before both close
//! frames the close is abnormal, after them it is clean.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(feature = "webpki-roots")]
pub use wsconn::transport::tls::bundled_roots;
pub use wsconn::transport::tls::{
    TlsFailure, client_config, client_config_without_verification, platform_roots, provider,
    roots_from_pem, rustls, server_config,
};
use wsconn::{
    Timeout,
    transport::{Error, Url, tls},
};

use crate::{Stream, handshake::Handshake};

/// So often a read takes what has come of records before it says that it was interrupted, which is more often
/// than the longest record needs: a peer that sends records with nothing in them does not keep it from the
/// deadlines.
const ROUNDS: usize = 8;

/// Accepts TLS on streams that a client has just opened. Cheap to clone: make one, and use it for all.
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    config: Arc<rustls::ServerConfig>,
    handshake_timeout: Duration,
}

impl TlsAcceptor {
    /// An acceptor with this configuration, from [`server_config`] or of your own.
    pub fn new(config: impl Into<Arc<rustls::ServerConfig>>) -> Self {
        Self { config: config.into(), handshake_timeout: Duration::from_secs(10) }
    }

    /// How long the TLS handshake may take, however the bytes come. Default: 10 seconds.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Does the TLS handshake.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the client does not speak TLS, or the two have nothing in common; the client has
    /// been told in an alert. [`Error::Timeout`] if it was not over in time, [`Error::Io`] if the stream
    /// failed.
    pub fn accept<S: Stream>(&self, stream: S) -> Result<TlsStream<S>, Error> {
        let deadline = Instant::now().checked_add(self.handshake_timeout);
        let session = rustls::ServerConnection::new(self.config.clone()).map_err(protocol)?;
        TlsStream::open(stream, session.into(), deadline)
    }
}

/// A byte stream within TLS.
///
/// Each direction is free of the other: it is read though what is to be written has to wait, and what
/// TLS has to answer to what was read, such as new keys, goes out with the next call of either kind. A read fails
/// with [`ErrorKind::Interrupted`] after some records that bring no byte: there may be more.
#[derive(Debug)]
pub struct TlsStream<S = TcpStream> {
    stream: S,
    session: rustls::Connection,
}

/// Does the TLS handshake with the server of `url`.
pub(crate) fn connect<S: Stream>(
    config: Option<Arc<rustls::ClientConfig>>,
    stream: S,
    url: &Url,
    deadline: Option<Instant>,
) -> Result<TlsStream<S>, Error> {
    let name = tls::server_name(url)?;
    let config = config.map_or_else(tls::default_client_config, Ok)?;
    TlsStream::connect(stream, config, name, deadline)
}

impl<S> TlsStream<S> {
    /// The stream below TLS.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// What was agreed, and the peer's certificates.
    pub fn session(&self) -> &rustls::Connection {
        &self.session
    }
}

impl<S: Stream> TlsStream<S> {
    /// Does the TLS handshake of a client, until `deadline`, with a server that has to have a
    /// certificate for `name`. [`Connector`](crate::Connector) does that for `wss://` URLs.
    ///
    /// Errors as for [`TlsAcceptor::accept`].
    pub fn connect(
        stream: S,
        config: Arc<rustls::ClientConfig>,
        name: rustls::pki_types::ServerName<'static>,
        deadline: Option<Instant>,
    ) -> Result<Self, Error> {
        let session = rustls::ClientConnection::new(config, name).map_err(protocol)?;
        Self::open(stream, session.into(), deadline)
    }

    fn open(
        stream: S,
        session: rustls::Connection,
        deadline: Option<Instant>,
    ) -> Result<Self, Error> {
        let mut this = Self { stream, session };
        match Handshake::new(&mut this, deadline, Timeout::Tls)?.block(Self::shake_hands) {
            Ok(()) => Ok(this),
            Err(Error::Io(error)) => Err(TlsFailure::of_handshake(error)),
            Err(error) => Err(error),
        }
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        loop {
            self.send()?;
            if !self.session.is_handshaking() {
                return Ok(());
            }
            if self.receive()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads some bytes of records, and takes those that are whole.
    fn receive(&mut self) -> io::Result<usize> {
        let len = self.session.read_tls(&mut self.stream)?;
        self.session.process_new_packets().map_err(|error| {
            // The peer is told in an alert, if it takes it.
            let _ = self.send();
            io::Error::new(ErrorKind::InvalidData, error)
        })?;
        Ok(len)
    }

    /// Writes the records that wait to be written.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes records with `write`, once there is none that has to wait, and writes what of them is
    /// taken: so no more than one write waits here.
    fn write_with(
        &mut self,
        write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.send()?;
        let len = write(&mut self.session.writer())?;
        match self.send() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(len),
        }
    }
}

impl<S: Stream> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..ROUNDS {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            // Whether that works, whoever writes will see.
            let _ = self.send();
            self.receive()?;
        }
        Err(ErrorKind::Interrupted.into())
    }
}

impl<S: Stream> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|writer| writer.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|writer| writer.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.stream.flush()
    }
}

impl<S: Stream> AsRawFd for TlsStream<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn set_nonblocking(&self) -> io::Result<()> {
        self.stream.set_nonblocking()
    }

    /// Says so with a close_notify first.
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        self.send()?;
        self.stream.shutdown_write()
    }
}

fn protocol(error: rustls::Error) -> Error {
    TlsFailure::Protocol(error).into()
}
