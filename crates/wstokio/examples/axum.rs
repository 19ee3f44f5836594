//! A chat with the server, inside axum: `cargo run --example axum --features axum,http2`.
#![forbid(unsafe_code)]

use axum::{Router, extract::State, response::Response, routing, serve::ListenerExt};
use tokio::net::TcpListener;
use wstokio::{
    Acceptor, Message,
    axum::{Refused, Upgrade},
    opening::ServerOptions,
};

async fn echo(State(acceptor): State<Acceptor>, upgrade: Upgrade) -> Result<Response, Refused> {
    upgrade.accept(&acceptor, async |mut ws| {
        let (rx, tx) = ws.halves();
        while let Some(message) = rx.recv().await? {
            match message {
                Message::Text(text) => tx.feed(&format!("you said: {text}")).await?,
                message => tx.feed(message).await?,
            }
        }
        Ok(())
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut options = ServerOptions::default();
    options.subprotocols = vec!["chat".into()];
    let app = Router::new()
        .route("/", routing::get(async || "the WebSocket is at /echo\n"))
        // GET over HTTP/1.1, CONNECT over HTTP/2.
        .route("/echo", routing::any(echo))
        .with_state(Acceptor::new(options));
    let listener = TcpListener::bind("127.0.0.1:9002").await?;
    println!("connect to ws://{}/echo", listener.local_addr()?);
    // A small message is not to wait for the answer to the last one.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    axum::serve(listener, app).await
}
