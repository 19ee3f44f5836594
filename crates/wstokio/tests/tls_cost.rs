//! What an idle connection over TLS costs, beside a bare TLS stream. The figure gates.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod tls_support;

use std::{
    future::{Future, poll_fn},
    io::{Read, Write},
    pin::Pin,
    sync::{Arc, mpsc},
    thread,
};

use tls_support::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedSender, unbounded_channel},
};
use wsconn::transport::tls::rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use wstest::{
    alloc::{CountingAllocator, measure},
    drive::KEY,
    reference::Frame,
};
use wstokio::{Acceptor, tls::TlsAcceptor};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const CONNECTIONS: usize = 300;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const ECHO: &[u8] = b"\x81\x05hello";

/// Clients in a thread of their own, so that their heap is not counted: one more for each word, until
/// there are no more to come. They tell when they have had their echo.
fn clients(
    authority: &Authority,
    port: u16,
    more: mpsc::Receiver<()>,
    echoed: UnboundedSender<()>,
) -> thread::JoinHandle<()> {
    let config = Arc::new(authority.client());
    thread::spawn(move || {
        let mut all = Vec::new();
        while more.recv().is_ok() {
            let name = ServerName::try_from("localhost").unwrap();
            let tls = ClientConnection::new(config.clone(), name).unwrap();
            let tcp = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut stream = StreamOwned::new(tls, tcp);
            let hello = Frame::new(1, "hello").masked(Some(KEY)).encode();
            stream.write_all(&[REQUEST.as_bytes(), &hello].concat()).unwrap();
            let mut read = vec![0; RESPONSE.len() + ECHO.len()];
            stream.read_exact(&mut read).unwrap();
            assert!(read.ends_with(ECHO));
            all.push(stream);
            echoed.send(()).unwrap();
        }
    })
}

/// The heap that each connection holds once it has echoed and waits, with its task and what the runtime
/// keeps for it, if `serve` does that; and how much of it are the variables of `serve`.
fn heap_per_connection<F>(serve: impl Fn(TlsAcceptor, TcpStream) -> F) -> (i64, i64)
where
    F: Future<Output = ()> + Send + 'static,
{
    let authority = Authority::new();
    let acceptor = TlsAcceptor::new(authority.server("localhost"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (more, wanted) = mpsc::channel();
    let (told, mut echoed) = unbounded_channel();
    let clients = clients(&authority, listener.local_addr().unwrap().port(), wanted, told);
    let mut frame = 0;
    let mut connect = || {
        more.send(()).unwrap();
        runtime.block_on(async {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let task = serve(acceptor.clone(), tcp);
            frame = size_of_val(&task) as i64;
            tokio::spawn(task);
            echoed.recv().await.unwrap();
            // Lets the task go on until it waits.
            tokio::task::yield_now().await;
        });
    };
    // The first one fills the pool of this thread, and the configuration's caches.
    connect();
    let ((), usage) = measure(|| (0..CONNECTIONS).for_each(|_| connect()));
    drop(more);
    clients.join().unwrap();
    (usage.live / CONNECTIONS as i64, frame)
}

#[test]
fn an_idle_connection_over_tls_costs_at_most_1_kib_more_than_a_bare_tls_stream() {
    let (ours, our_frame) = heap_per_connection(|tls, tcp| async move {
        let mut ws = Acceptor::default().accept(tls.accept(tcp).await.unwrap()).await.unwrap();
        let (rx, tx) = ws.halves();
        while let Ok(Some(message)) = rx.recv().await {
            tx.feed(message).await.unwrap();
        }
    });
    // The same bytes over rustls alone, which then is all that the task holds.
    let (bare, bare_frame) = heap_per_connection(|tls, tcp| {
        // In a box, or the task would be as large as the handshake too.
        let mut ready: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let mut stream = tls.accept(tcp).await.unwrap();
            let mut read = vec![0; REQUEST.len() + 11];
            stream.read_exact(&mut read).await.unwrap();
            stream.write_all(RESPONSE.as_bytes()).await.unwrap();
            stream.write_all(ECHO).await.unwrap();
            stream.flush().await.unwrap();
            stream
        });
        async move {
            let mut stream = poll_fn(|cx| ready.as_mut().poll(cx)).await;
            drop(ready);
            let _ = stream.read_u8().await;
        }
    });
    println!("{ours} B of heap per idle connection over TLS, {our_frame} B of them the program's");
    println!("{bare} B of heap per bare TLS stream, {bare_frame} B of them the program's");
    // A buffer would be 4 KiB or more.
    let more = (ours - our_frame) - (bare - bare_frame);
    assert!((0..=1024).contains(&more), "{more} B more");
}
