//! The servers that take part, each written as the documentation of its library advises.

use std::{future::Future, io, net::SocketAddr};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

use crate::Result;

pub mod fastwebsockets;
mod hyper;
pub mod raw;
mod sink;
pub mod sockudo;
pub mod tokio_websockets;
pub mod tungstenite;
pub mod wsmio;
pub mod wstokio;
pub mod yawc;

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends it back at once.
    Each,
    /// Sends it back with the others that arrived with it, in one write if the library can.
    Batched,
    /// Sends it to all connections.
    Fan,
}

/// Runs a server until the process is killed. `listening` is told where, once.
///
/// # Errors
///
/// If there is no such server, or it cannot listen.
pub fn run(name: &str, mode: Mode, listening: impl FnOnce(SocketAddr) -> Result) -> Result {
    match name {
        "raw-mio" => raw::over_mio(listening),
        "wsmio" => wsmio::run(mode, listening),
        "raw-tokio" => over_tokio(listening, |tcp, _: &()| raw::connection(tcp)),
        "wstokio" => over_tokio(listening, move |tcp, all| wstokio::connection(tcp, mode, all)),
        "tokio-tungstenite" => {
            over_tokio(listening, move |tcp, all| tungstenite::connection(tcp, mode, all))
        }
        "fastwebsockets" => {
            over_tokio(listening, move |tcp, all| fastwebsockets::connection(tcp, mode, all))
        }
        "tokio-websockets" => {
            over_tokio(listening, move |tcp, all| tokio_websockets::connection(tcp, mode, all))
        }
        "yawc" => over_tokio(listening, move |tcp, all| yawc::connection(tcp, mode, all)),
        "sockudo-ws" => over_tokio(listening, move |tcp, all| sockudo::connection(tcp, mode, all)),
        _ => Err(format!("there is no server {name}").into()),
    }
}

/// What the connections of a server share.
pub trait All: Send + Sync + 'static {
    fn new() -> Self;
}

impl All for () {
    fn new() -> Self {}
}

/// Where messages to all are put; each connection subscribes.
impl<M: Clone + Send + 'static> All for broadcast::Sender<M> {
    fn new() -> Self {
        Self::new(64)
    }
}

/// Accepts on one thread, with a task for each connection.
fn over_tokio<A: All, F>(
    listening: impl FnOnce(SocketAddr) -> Result,
    connection: impl Fn(TcpStream, &A) -> F,
) -> Result
where
    F: Future<Output = Result> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen()?;
        listening(listener.local_addr()?)?;
        let all = A::new();
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            // How a connection ends is its client's business.
            tokio::spawn(connection(tcp, &all));
        }
    })
}

/// With room for all that connect at once.
fn listen() -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(4096)
}
