//! What an idle WebSocket on an HTTP/2 connection costs, for the server and for the client. The figures
//! gate.
#![cfg(all(feature = "http2", feature = "hyper"))]
#![allow(clippy::unwrap_used)] // this is a test

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Barrier},
    thread,
};

use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::Notify,
};
use wstest::alloc::{CountingAllocator, measure};
use wstokio::{Connector, WebSocket};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// With the one before them, fewer than the 200 streams that hyper allows at a time.
const SOCKETS: usize = 127;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn serve(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let (response, socket) = wstokio::hyper::upgrade(&mut request).unwrap();
    tokio::spawn(async move { echo(socket.await.unwrap()).await });
    Ok(response)
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocket<S>) {
    let (rx, tx) = ws.halves();
    while let Ok(Some(message)) = rx.recv().await {
        tx.feed(message).await.unwrap();
    }
}

/// The bytes of this thread's heap that each of the sockets holds which there are after `more`.
fn heap_per_socket(runtime: &Runtime, more: impl Future<Output = ()>) -> i64 {
    let ((), usage) = measure(|| {
        runtime.block_on(async {
            more.await;
            // Lets the tasks go on until they wait.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
    });
    usage.live / SOCKETS as i64
}

#[test]
fn an_idle_websocket_over_http2_costs_a_server_at_most_3_kib_and_a_client_2() {
    let (opened, both) = (Arc::new(Notify::new()), Arc::new(Barrier::new(2)));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn({
        let (opened, both) = (opened.clone(), both.clone());
        move || {
            let runtime = runtime();
            runtime.block_on(async {
                let (tcp, _) = TcpListener::from_std(listener).unwrap().accept().await.unwrap();
                tokio::spawn(async move {
                    let mut http = http2::Builder::new(TokioExecutor::new());
                    http.enable_connect_protocol();
                    let _ = http.serve_connection(TokioIo::new(tcp), service_fn(serve)).await;
                });
                // The first one fills the pools and tables.
                opened.notified().await;
            });
            both.wait();
            let heap = heap_per_socket(&runtime, opened.notified());
            both.wait();
            heap
        }
    });
    let runtime = runtime();
    let url = format!("ws://{address}/");
    let open = async |http2: &wstokio::http2::Http2| {
        let mut ws = http2.open(&url).await.unwrap();
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some("hello".into()));
        tokio::spawn(echo(ws));
    };
    let http2 = runtime.block_on(async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let http2 = Connector::default().connect_http2_stream(tcp, &url).await.unwrap();
        open(&http2).await;
        opened.notify_one();
        http2
    });
    both.wait();
    let client = heap_per_socket(&runtime, async {
        for _ in 0..SOCKETS {
            open(&http2).await;
        }
        opened.notify_one();
    });
    both.wait();
    let server = server.join().unwrap();
    println!(
        "{server} B of heap per idle WebSocket over HTTP/2 for a server, {client} B for a client"
    );
    // A buffer would be 4 KiB or more.
    assert!((1..=3072).contains(&server), "{server} B for a server");
    assert!((1..=2048).contains(&client), "{client} B for a client");
}
