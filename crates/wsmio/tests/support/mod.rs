//! What the tests of wsmio share: raw peers, servers whose handlers take notes, and bounded waits.
#![allow(dead_code, unreachable_pub)] // not every test uses all of it
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

mod cut;
#[cfg(feature = "tls")]
pub mod tls;

#[allow(unused_imports)] // each test binary uses a part of it
pub use cut::Cut;

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use wsconn::{OwnedMessage, Role};
use wsmio::{
    CloseInfo, Config, ConnectionId, Handler, Message, Peer, Remote, Server, Stream, WebSocket,
    opening::ServerOptions,
};
use wstest::{
    alloc::measure,
    drive::KEY,
    handshake::request,
    reference::{self, Frame},
};

/// Longer than anything here takes: when it is over, what is waited for does not come.
pub const LONG: Duration = Duration::from_secs(30);

pub const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// The bytes of `frames` as the peer of whoever is in `role` sends them.
pub fn from_peer_of(role: Role, frames: &[Frame]) -> Vec<u8> {
    let key = (role == Role::Server).then_some(KEY);
    frames.iter().flat_map(|frame| frame.clone().masked(key).encode()).collect()
}

/// The bytes of `frames` as a client sends them.
pub fn from_client(frames: &[Frame]) -> Vec<u8> {
    from_peer_of(Role::Server, frames)
}

/// A close frame.
pub fn close(code: u16, reason: &str) -> Frame {
    Frame::new(8, [&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A socket over a stream that has been upgraded.
pub fn socket<S: Stream>(role: Role, stream: S, config: Config) -> WebSocket<S> {
    let socket = match role {
        Role::Server => WebSocket::from_server_stream(stream, Vec::new(), config.into()),
        Role::Client => WebSocket::from_client_stream(stream, Vec::new(), config.into()),
    };
    socket.unwrap()
}

/// A config without keepalive, that gives up on no peer within the time that a test may take.
pub fn quiet() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    (config.close_timeout, config.write_timeout) = (10 * LONG, 10 * LONG);
    config
}

/// Streams to test over, in connected pairs. The second one blocks.
pub trait Pair: Stream + Sized + 'static {
    fn pair() -> (Self, Self);
    /// Sets how long a read of the blocking end may take.
    fn bound(&self);
}

impl Pair for TcpStream {
    fn pair() -> (Self, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = Self::connect(listener.local_addr().unwrap()).unwrap();
        let other = listener.accept().unwrap().0;
        for end in [&one, &other] {
            end.set_nodelay(true).unwrap();
        }
        other.bound();
        (one, other)
    }

    fn bound(&self) {
        self.set_read_timeout(Some(LONG)).unwrap();
        self.set_write_timeout(Some(LONG)).unwrap();
    }
}

impl Pair for UnixStream {
    fn pair() -> (Self, Self) {
        let (one, other) = Self::pair().unwrap();
        other.bound();
        (one, other)
    }

    fn bound(&self) {
        self.set_read_timeout(Some(LONG)).unwrap();
        self.set_write_timeout(Some(LONG)).unwrap();
    }
}

/// Reads one frame from a blocking stream.
pub fn read_frame(stream: &mut impl Read) -> Frame {
    let mut bytes = vec![0; 2];
    stream.read_exact(&mut bytes).unwrap();
    let wide = match bytes[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut more = vec![0; wide];
    stream.read_exact(&mut more).unwrap();
    let len = match wide {
        0 => u64::from(bytes[1] & 0x7f),
        _ => more.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    bytes.extend(more);
    let mask = if bytes[1] & 0x80 == 0 { 0 } else { 4 };
    let mut rest = vec![0; len as usize + mask];
    stream.read_exact(&mut rest).unwrap();
    bytes.extend(rest);
    reference::decode(&bytes).pop().unwrap()
}

/// The frames to the end of a stream.
pub fn read_frames(stream: &mut impl Read) -> Vec<Frame> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    reference::decode(&bytes)
}

/// A blocking connection whose reads and writes fail when they take too long.
pub fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.bound();
    stream
}

/// Reads a response head, and no byte more.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A raw client whose opening handshake is over.
pub fn client(addr: SocketAddr) -> TcpStream {
    let mut stream = dial(addr);
    stream.write_all(request(&[]).as_bytes()).unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

/// A server on threads of its own.
pub struct Running {
    pub addr: SocketAddr,
    pub remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn new<H: Handler>(
        loops: usize,
        options: ServerOptions,
        handler: impl Fn() -> H + Sync + Send + 'static,
    ) -> Self {
        let server = Server::bind_with("127.0.0.1:0".parse().unwrap(), loops, options).unwrap();
        let (addr, remote) = (server.local_addr(), server.remote());
        let thread = thread::spawn(move || server.run(handler).unwrap());
        Self { addr, remote, thread: Some(thread) }
    }

    /// Waits until it has ended.
    pub fn join(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    /// Stops it, whoever is connected.
    pub fn stop(self) {
        self.remote.stop(Duration::ZERO);
        self.join();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.remote.stop(Duration::ZERO);
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}

/// Runs an event loop on this thread, and on another `talk`, of which it gives what comes.
pub fn on_this_thread<H: Handler, T: Send + 'static>(
    options: ServerOptions,
    handler: impl Fn() -> H + Sync,
    talk: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> T {
    let server = Server::bind_with("127.0.0.1:0".parse().unwrap(), 1, options).unwrap();
    let (addr, remote) = (server.local_addr(), server.remote());
    let talking = thread::spawn(move || {
        let talked = talk(addr);
        remote.stop(Duration::ZERO);
        talked
    });
    server.run(handler).unwrap();
    talking.join().unwrap()
}

/// What an event loop that echoes allocates while `talk` goes on.
pub fn allocations(options: ServerOptions, talk: impl FnOnce(SocketAddr) + Send + 'static) -> u64 {
    let echo = |peer: &mut Peer<'_, ()>, message: Message<'_>| {
        let _ = peer.send(message);
    };
    measure(|| on_this_thread(options, || OnMessage(echo), talk)).1.allocations
}

/// What a [`Notes`] handler was called with.
#[derive(Clone, Debug)]
pub enum Note {
    Open(ConnectionId),
    Message(ConnectionId, OwnedMessage),
    Drain(ConnectionId),
    Close(ConnectionId, CloseInfo),
}

/// A handler that echoes, and tells what it was called with.
pub struct Notes {
    pub notes: mpsc::Sender<Note>,
    pub echo: bool,
}

impl Handler for Notes {
    type State = ();

    fn open(&mut self, peer: &mut Peer<'_, ()>) {
        let _ = self.notes.send(Note::Open(peer.id()));
    }

    fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
        let _ = self.notes.send(Note::Message(peer.id(), message.to_owned()));
        if self.echo {
            let _ = peer.send(message);
        }
    }

    fn drain(&mut self, peer: &mut Peer<'_, ()>) {
        let _ = self.notes.send(Note::Drain(peer.id()));
    }

    fn close(&mut self, id: ConnectionId, (): (), info: &CloseInfo) {
        let _ = self.notes.send(Note::Close(id, info.clone()));
    }
}

/// An echo server of one loop that takes notes.
pub fn noting(options: ServerOptions) -> (Running, mpsc::Receiver<Note>) {
    let (notes, told) = mpsc::channel();
    let make = move || Notes { notes: notes.clone(), echo: true };
    (Running::new(1, options, make), told)
}

/// The next note.
pub fn next(told: &mpsc::Receiver<Note>) -> Note {
    told.recv_timeout(LONG).expect("the handler is called")
}

/// The id of the connection that opens next.
pub fn opened(told: &mpsc::Receiver<Note>) -> ConnectionId {
    match next(told) {
        Note::Open(id) => id,
        note => panic!("{note:?}"),
    }
}

/// Skips to the next end of a connection.
pub fn closed(told: &mpsc::Receiver<Note>) -> (ConnectionId, CloseInfo) {
    loop {
        if let Note::Close(id, info) = next(told) {
            return (id, info);
        }
    }
}

/// Waits until `condition` holds. Panics if it never does.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "it never comes: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The number of this thread, to look at from others.
pub fn thread_number() -> String {
    let link = fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Waits until a thread sleeps: in a system call that blocks, for it has nothing else to wait for.
pub fn wait_until_asleep(thread: &str) {
    wait_until("the thread sleeps", || {
        let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('S')
    });
}

/// Whether the other end is gone, without another byte: by an end of the stream or by a reset.
pub fn is_cut_off(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(len) => len == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Writes these bytes, and then the last of them over and over, one every millisecond, until the other
/// end is gone. Says whether it ever is.
pub fn drip(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let start = Instant::now();
    let again = bytes.iter().rev().take(1).cycle();
    for byte in bytes.iter().chain(again).take_while(|_| start.elapsed() < LONG) {
        if stream.write_all(&[*byte]).is_err() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Writes these bytes in ten pieces, within about a second: an event loop counts in quarters of one.
pub fn write_slowly(stream: &mut TcpStream, bytes: &[u8]) {
    for piece in bytes.chunks(bytes.len().div_ceil(10)) {
        stream.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(100));
    }
}

/// Options whose only long wait is that for the opening handshake.
pub fn patient_with_the_request() -> ServerOptions {
    let short = Duration::from_millis(50);
    let mut config = quiet();
    (config.write_timeout, config.close_timeout, config.fin_timeout) = (short, short, short);
    let mut options = ServerOptions::default();
    (options.config, options.handshake_timeout) = (config.into(), LONG);
    options
}

/// How many descriptors this process has.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many connections this process may have, both of whose ends are its own.
pub fn affordable() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    (soft.unwrap_or(256).saturating_sub(100) / 2).min(9_500)
}

/// A handler that only has something to do with messages.
pub struct OnMessage<F>(pub F);

impl<F: FnMut(&mut Peer<'_, ()>, Message<'_>)> Handler for OnMessage<F> {
    type State = ();

    fn message(&mut self, peer: &mut Peer<'_, ()>, message: Message<'_>) {
        (self.0)(peer, message);
    }
}
