//! A process that is killed says nothing more: whoever talks with it is told by the end of the stream, once
//! and at once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    process::{Child, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use support::{PATIENCE, Server, block_on, ws};
use tokio::io::{AsyncRead, AsyncWrite};
use wstokio::{
    CloseCause, CloseCode, CloseInfo, Config, Error, Event, Message, Side,
    opening::{ClientOptions, ServerOptions},
};

const TRANSPORTS: [&str; 2] = ["tokio", "mio"];

/// Nothing but the end of the stream can tell that the peer is gone.
fn config() -> Arc<Config> {
    let mut config = Config::default();
    config.keepalive = None;
    Arc::new(config)
}

fn server_options() -> ServerOptions {
    let mut options = ServerOptions::default();
    options.config = config();
    options
}

fn client_options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.config = config();
    options
}

/// A `ws connect` that says hello and then waits for more to say.
fn connect(transport: &str, addr: SocketAddr) -> Child {
    let url = format!("ws://{addr}/");
    let mut command = ws(&["connect", "--transport", transport, &url]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    child
}

/// On Unix this is SIGKILL.
fn kill(mut child: Child) {
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it has ended by itself");
}

/// The stream of a `ws connect`, and the process.
fn accept(transport: &str) -> (TcpStream, Child) {
    let (tcp, child) = block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let child = connect(transport, listener.local_addr().unwrap());
        (listener.accept().await.unwrap().0, child)
    });
    (tcp.into_std().unwrap(), child)
}

fn assert_abnormal(info: Option<&CloseInfo>) {
    let info = info.unwrap();
    assert_eq!((info.cause, info.code), (CloseCause::Eof, CloseCode::ABNORMAL), "{info}");
    assert!(!info.clean && info.by == Side::Peer, "{info}");
}

/// Has heard a hello from a process that is killed within a message to it, and is told.
async fn outlive<S>(mut ws: wstokio::WebSocket<S>, kill: impl FnOnce())
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    assert_eq!(ws.recv().await.unwrap(), Some(Message::Text("hello")));
    ws.feed_fragment("half of ", false).await.unwrap();
    ws.ping(b"all read?").await.unwrap();
    assert_eq!(ws.recv_event().await.unwrap(), Some(Event::Pong(b"all read?")));
    kill();
    for _ in 0..2 {
        assert_eq!(ws.recv().await.unwrap(), None);
        assert_abnormal(ws.close_info());
        assert!(matches!(ws.send("more").await, Err(Error::Closed)));
    }
}

/// The same over a blocking socket.
fn outlive_blocking<S: wsmio::Stream>(mut ws: wsmio::WebSocket<S>, kill: impl FnOnce()) {
    ws.set_read_timeout(Some(PATIENCE));
    assert_eq!(ws.recv().unwrap(), Some(Message::Text("hello")));
    ws.feed_fragment("half of ", false).unwrap();
    ws.ping(b"all read?").unwrap();
    assert_eq!(ws.recv_event().unwrap(), Some(Event::Pong(b"all read?")));
    kill();
    for _ in 0..2 {
        assert_eq!(ws.recv().unwrap(), None);
        assert_abnormal(ws.close_info());
        assert!(matches!(ws.send("more"), Err(Error::Closed)));
    }
}

#[test]
fn a_server_is_told_at_once_of_a_client_that_is_killed() {
    for transport in TRANSPORTS {
        let (tcp, child) = accept(transport);
        block_on(async {
            let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
            let ws = wstokio::Acceptor::new(server_options()).accept(tcp).await.unwrap();
            outlive(ws, || kill(child)).await;
        });
        let (tcp, child) = accept(transport);
        let ws = wsmio::Acceptor::new(server_options()).accept(tcp).unwrap();
        outlive_blocking(ws, || kill(child));
    }
}

#[test]
fn a_client_is_told_at_once_of_a_server_that_is_killed() {
    for transport in TRANSPORTS {
        let echo = Server::start(&["echo", "--transport", transport]);
        block_on(async {
            let tcp = tokio::net::TcpStream::connect(echo.addr).await.unwrap();
            let connector = wstokio::Connector::new(client_options());
            let mut ws = connector.connect_stream(tcp, &echo.url("/")).await.unwrap();
            ws.send("hello").await.unwrap();
            // To drop it kills it.
            outlive(ws, || drop(echo)).await;
        });
        let echo = Server::start(&["echo", "--transport", transport]);
        let tcp = TcpStream::connect(echo.addr).unwrap();
        let connector = wsmio::Connector::new(client_options());
        let mut ws = connector.connect_stream(tcp, &echo.url("/")).unwrap();
        ws.send("hello").unwrap();
        outlive_blocking(ws, || drop(echo));
    }
}

/// Tells of messages, and how connections end.
struct Telling(mpsc::Sender<Option<CloseInfo>>);

impl wsmio::Handler for Telling {
    type State = ();

    fn message(&mut self, _: &mut wsmio::Peer<'_, ()>, _: Message<'_>) {
        self.0.send(None).unwrap();
    }

    fn close(&mut self, _: wsmio::ConnectionId, (): (), info: &CloseInfo) {
        self.0.send(Some(info.clone())).unwrap();
    }
}

#[test]
fn an_event_loop_is_told_at_once_of_a_client_that_is_killed() {
    let addr = "127.0.0.1:0".parse().unwrap();
    let server = wsmio::Server::bind_with(addr, 1, server_options()).unwrap();
    let (addr, remote) = (server.local_addr(), server.remote());
    let (tell, told) = mpsc::channel();
    let running = thread::spawn(move || server.run(move || Telling(tell.clone())).unwrap());
    for transport in TRANSPORTS {
        let child = connect(transport, addr);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), None);
        kill(child);
        let info = told.recv_timeout(PATIENCE).unwrap();
        assert_abnormal(info.as_ref());
    }
    remote.stop(Duration::ZERO);
    running.join().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [], "each is told once");
}
