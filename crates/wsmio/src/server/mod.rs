//! The event-loop server: a loop in each thread, one read buffer per loop.

mod entry;
mod event_loop;
mod handler;
mod mailbox;
mod open;
mod refused;
mod remote;
mod slots;
mod wheel;

pub use handler::{Handler, Peer, Sent};
pub use remote::{ConnectionId, Remote, RemoteError};

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    panic,
    sync::Arc,
    thread,
};

use mio::Poll;
use socket2::{Domain, Protocol, Socket, Type};
use wsconn::opening::ServerOptions;

use self::{event_loop::EventLoop, mailbox::Mailbox};

/// The connections that the system keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// A WebSocket server: one event loop per thread, each with connections of its own.
///
/// See the [crate's page](crate) for an example, and [`Handler`] for what it calls.
pub struct Server {
    addr: SocketAddr,
    options: Arc<ServerOptions>,
    loops: Vec<Loop>,
    remote: Remote,
}

/// Stops all loops when it is dropped, unless it is empty.
struct StopOthers<'a>(Option<&'a Remote>);

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if let Some(remote) = self.0 {
            remote.stop(std::time::Duration::ZERO);
        }
    }
}

/// A loop that has not begun.
struct Loop {
    poll: Poll,
    listener: TcpListener,
    mailbox: Arc<Mailbox>,
}

impl Server {
    /// Listens on an address; port 0 takes a free one. One loop, default options.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::bind_with(addr, 1, ServerOptions::default())
    }

    /// Listens with `threads` loops, at least one, and these options. With more than one, each has a
    /// listener of its own (`SO_REUSEPORT`), among which Linux shares out the connections. Other systems
    /// may give them all to one.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on; [`ErrorKind::InvalidInput`] if an entry of
    /// [`ServerOptions::origin`] is no origin.
    pub fn bind_with(addr: SocketAddr, threads: usize, options: ServerOptions) -> io::Result<Self> {
        options.origin.check().map_err(|wrong| io::Error::new(ErrorKind::InvalidInput, wrong))?;
        let threads = threads.max(1);
        let mut bound = addr;
        let mut loops = Vec::with_capacity(threads);
        if threads > 1 {
            // Sharing it with another program would go unnoticed.
            listen(addr, false)?;
        }
        for index in 0..threads {
            let listener = listen(bound, threads > 1)?;
            bound = listener.local_addr()?;
            let poll = Poll::new()?;
            let mailbox = Arc::new(Mailbox::new(index, poll.registry())?);
            loops.push(Loop { poll, listener, mailbox });
        }
        let remote = Remote::new(loops.iter().map(|one| one.mailbox.clone()).collect());
        Ok(Self { addr: bound, options: Arc::new(options), loops, remote })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// A handle for other threads: to send, to broadcast, to close and to stop.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Serves until [`Remote::stop`], with a handler for each loop. One of the loops runs on this
    /// thread.
    ///
    /// # Errors
    ///
    /// If the system does not let a loop wait for its connections. What fails on one connection ends
    /// that connection only.
    pub fn run<H: Handler>(self, handler: impl Fn() -> H + Sync) -> io::Result<()> {
        let Self { options, loops, remote, .. } = self;
        let serve = |one: Loop| {
            // If it fails, the others end too: its share of the port would starve.
            let mut others = StopOthers(Some(&remote));
            let options = options.clone();
            EventLoop::new(one.poll, one.listener, one.mailbox, options, handler())?.run()?;
            others.0 = None;
            Ok(())
        };
        let serve = &serve;
        let mut loops = loops.into_iter();
        let Some(first) = loops.next() else { return Ok(()) };
        thread::scope(|scope| {
            let running: Vec<_> = loops.map(|one| scope.spawn(move || serve(one))).collect();
            let mut result = serve(first);
            for one in running {
                let ended = one.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
                result = result.and(ended);
            }
            result
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr)
            .field("threads", &self.loops.len())
            .finish_non_exhaustive()
    }
}

fn listen(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
