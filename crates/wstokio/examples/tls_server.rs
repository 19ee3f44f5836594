//! An echo server over TLS, with a certificate from PEM files, or one made for this run:
//!
//! ```sh
//! cargo run -p wstokio --features tls --example tls_server -- [CHAIN.pem KEY.pem]
//! ```
#![allow(clippy::unwrap_used)] // this is an example

use std::{env, fs};

use tokio::net::{TcpListener, TcpStream};
use wstokio::{
    Acceptor, Error,
    tls::{self, TlsAcceptor},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<_> = env::args().skip(1).collect();
    let (chain, key) = if let [chain, key] = &files[..] {
        (fs::read(chain)?, fs::read(key)?)
    } else {
        let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
        let file = env::temp_dir().join("tls_server.pem");
        fs::write(&file, made.cert.pem())?;
        println!("the certificate is in {}", file.display());
        (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes())
    };
    let tls = TlsAcceptor::new(tls::server_config(&chain, &key)?);
    let acceptor = Acceptor::default();

    let listener = TcpListener::bind("127.0.0.1:9443").await?;
    println!("listening on wss://{}/", listener.local_addr()?);
    loop {
        let (tcp, address) = listener.accept().await?;
        let (tls, acceptor) = (tls.clone(), acceptor.clone());
        tokio::spawn(async move {
            match serve(tcp, tls, acceptor).await {
                Ok(how) => println!("{address}: {how}"),
                Err(error) => println!("{address}: {error}"),
            }
        });
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, acceptor: Acceptor) -> Result<String, Error> {
    tcp.set_nodelay(true)?;
    let mut ws = acceptor.accept(tls.accept(tcp).await?).await?;
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        tx.feed(message).await?;
    }
    Ok(ws.close_info().unwrap().to_string())
}
