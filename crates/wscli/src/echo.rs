//! `ws echo`: the bare server that conformance and load tools talk to.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, thread, time::Duration};

use clap::Args;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    runtime::{Builder, Runtime},
};
use wstokio::{
    Acceptor, Config, Error, Stop, Tracker,
    opening::{OriginPolicy, ServerOptions},
    tls::TlsAcceptor,
};

use crate::{
    Transport, cannot_listen, deflate::Deflate, interrupt::Interrupt, size, tls::ServerTls,
};

#[derive(Args)]
#[command(after_help = "\
Pages of any origin may connect. Try it with `ws connect ws://127.0.0.1:9001`.
Ctrl-C closes every connection with 1001 (going away).")]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9001", value_parser = crate::address)]
    addr: SocketAddr,
    /// How many threads serve, each with connections of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// The longest message to take, as in 64MiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "16MiB")]
    max_message: u64,
    /// The longest frame to take [default: as the longest message]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_frame: Option<u64>,
    /// The most fragments to take in one message
    #[arg(long, value_name = "N", default_value_t = Config::default().max_fragments)]
    max_fragments: u32,
    #[command(flatten)]
    deflate: Deflate,
    #[command(flatten)]
    tls: ServerTls,
    /// What moves the bytes
    #[arg(long, value_enum, default_value_t = Transport::Tokio)]
    transport: Transport,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let mut config = Config::default();
    config.max_message_size = arguments.max_message;
    config.max_frame_size = arguments.max_frame.unwrap_or(arguments.max_message);
    config.max_fragments = arguments.max_fragments;
    let mut options = ServerOptions::default();
    options.config = Arc::new(config);
    options.origin = OriginPolicy::Any;
    options.deflate = arguments.deflate.options();
    match arguments.transport {
        Transport::Tokio => over_tokio(arguments, options),
        #[cfg(unix)]
        Transport::Mio => over_mio(arguments, options),
    }
}

#[cfg(unix)]
fn over_mio(arguments: &Arguments, options: ServerOptions) -> Result<ExitCode, String> {
    struct Echo;

    impl wsmio::Handler for Echo {
        type State = ();

        fn message(&mut self, peer: &mut wsmio::Peer<'_, ()>, message: wsmio::Message<'_>) {
            if peer.send(message) == wsmio::Sent::Refused {
                // It may be closing already.
                let _ = peer.close(wsmio::CloseCode::TRY_AGAIN_LATER, "you read too slowly");
            }
        }
    }

    let addr = arguments.addr;
    if arguments.tls.is_asked_for() {
        return Err("TLS is for --transport tokio only".to_owned());
    }
    let server = wsmio::Server::bind_with(addr, arguments.threads.into(), options)
        .map_err(|error| cannot_listen(addr, &error))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let mut interrupted = runtime
        .block_on(async { Interrupt::new() })
        .map_err(|error| format!("cannot start: {error}"))?;
    let remote = server.remote();
    thread::spawn(move || {
        runtime.block_on(interrupted.wait());
        remote.stop(Stop::default().patience);
    });
    println!("listening on ws://{}", server.local_addr());
    server.run(|| Echo).map_err(|error| format!("a serving thread has failed: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn over_tokio(arguments: &Arguments, options: ServerOptions) -> Result<ExitCode, String> {
    let acceptor = Acceptor::new(options);
    let mut addr = arguments.addr;
    let tls = arguments.tls.acceptor(addr.ip(), &["http/1.1"])?;
    let shared = arguments.threads > 1;
    let mut threads = Vec::new();
    for _ in 0..arguments.threads {
        // One loop per thread, each with a listener of its own that the kernel shares out to.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        if shared && threads.is_empty() {
            // Sharing it with another program would go unnoticed.
            listen(&runtime, addr, false).map_err(|error| cannot_listen(addr, &error))?;
        }
        let listener =
            listen(&runtime, addr, shared).map_err(|error| cannot_listen(addr, &error))?;
        addr = listener.local_addr().map_err(|error| error.to_string())?;
        threads.push((runtime, listener));
    }
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    println!("listening on {scheme}://{addr}");
    let threads: Vec<_> = threads
        .into_iter()
        .map(|(runtime, listener)| {
            let (tls, acceptor) = (tls.clone(), acceptor.clone());
            thread::spawn(move || runtime.block_on(serve(listener, tls, acceptor)))
        })
        .collect();
    for thread in threads {
        let ended = thread.join().map_err(|_| "a serving thread has failed".to_owned())?;
        ended.map_err(|error| format!("a serving thread has failed: {error}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn listen(runtime: &Runtime, addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let _entered = runtime.enter();
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(shared)?;
    #[cfg(not(unix))]
    let _ = shared;
    socket.bind(addr)?;
    socket.listen(1024)
}

/// Serves until it is interrupted, and then closes every connection with 1001.
async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    acceptor: Acceptor,
) -> io::Result<()> {
    let mut interrupted = Interrupt::new()?;
    let tracker = Tracker::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    let (tls, acceptor, tracker) = (tls.clone(), acceptor.clone(), tracker.clone());
                    tokio::spawn(async move {
                        let _ = tcp.set_nodelay(true);
                        // How a connection ends is its client's business.
                        let _ = match tls {
                            None => echo(tcp, acceptor, tracker).await,
                            Some(tls) => match tls.accept(tcp).await {
                                Ok(tls) => echo(tls, acceptor, tracker).await,
                                Err(error) => Err(error),
                            },
                        };
                    });
                }
                // Out of descriptors, most likely: some will be free again.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            () = interrupted.wait() => break,
        }
    }
    drop(listener);
    tracker.stop(Stop::default()).await.map_err(io::Error::other)?;
    Ok(())
}

async fn echo<S>(stream: S, acceptor: Acceptor, tracker: Tracker) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut ws = acceptor.accept(stream).await?;
    tracker.track(&ws);
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        match tx.feed(message).await {
            // Closing has begun: `recv` sees it through.
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
