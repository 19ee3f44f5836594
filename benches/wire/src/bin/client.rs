//! `client NAME BYTES PORT`: sends binary messages as fast as the library takes them, until it is killed.

#![forbid(unsafe_code)]

use std::env;

use bytes::Bytes;
use futures_util::{Sink, SinkExt};
use http_body_util::Empty;
use tokio::net::TcpStream;
use wire::Result;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, bytes, port] = &arguments[..] else { return Err("client NAME BYTES PORT".into()) };
    let payload = Bytes::from(vec![b'x'; bytes.parse()?]);
    let url = format!("ws://127.0.0.1:{port}/");
    let tcp = || async {
        let tcp = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
        tcp.set_nodelay(true)?;
        Result::Ok(tcp)
    };
    match &**name {
        "wsmio" => {
            let mut ws = wsmio::connect(&url)?;
            loop {
                ws.feed(&payload[..])?;
            }
        }
        "wstokio" => {
            let mut ws = wstokio::connect(&url).await?;
            loop {
                ws.feed(&payload[..]).await?;
            }
        }
        "tokio-tungstenite" => {
            let (ws, _) = tokio_tungstenite::client_async(&url, tcp().await?).await?;
            send(ws, tokio_tungstenite::tungstenite::Message::Binary(payload)).await
        }
        "tokio-websockets" => {
            let builder = tokio_websockets::ClientBuilder::new().uri(&url)?;
            let (ws, _) = builder.connect_on(tcp().await?).await?;
            send(ws, tokio_websockets::Message::binary(payload)).await
        }
        "yawc" => {
            let options = yawc::Options::default().with_no_delay();
            let ws = yawc::WebSocket::connect(url.parse()?).with_options(options).await?;
            send(ws, yawc::Frame::binary(payload)).await
        }
        "sockudo-ws" => {
            let client = sockudo_ws::client::WebSocketClient::new(sockudo_ws::Config::default());
            let (ws, _) = client.connect(tcp().await?, "localhost", "/", None).await?;
            send(ws, sockudo_ws::Message::Binary(payload)).await
        }
        "fastwebsockets" => {
            use fastwebsockets::{Frame, Payload, handshake};
            let request = hyper::Request::builder()
                .uri(&url)
                .header("Host", "localhost")
                .header("Upgrade", "websocket")
                .header("Connection", "Upgrade")
                .header("Sec-WebSocket-Key", handshake::generate_key())
                .header("Sec-WebSocket-Version", "13")
                .body(Empty::<Bytes>::new())?;
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut ws, _) = handshake::client(&executor, request, tcp().await?).await?;
            loop {
                ws.write_frame(Frame::binary(Payload::Borrowed(&payload))).await?;
            }
        }
        _ => Err(format!("there is no client {name}").into()),
    }
}

/// Writes when the library is of the opinion that there is enough to write.
async fn send<W, M>(mut ws: W, message: M) -> Result
where
    W: Sink<M, Error: std::error::Error + Send + Sync + 'static> + Unpin,
    M: Clone,
{
    loop {
        ws.feed(message.clone()).await?;
    }
}
