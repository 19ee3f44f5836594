//! `ws serve`: a chat to open in a browser. HTTP is hyper's, the WebSockets are ours.

mod connection;
mod member;
mod page;
mod protocol;
mod rooms;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use wstokio::{
    Acceptor, Config, Stop, Tracker,
    deflate::DeflateOptions,
    opening::{Accept, Refusal, ServerOptions},
    tls::TlsAcceptor,
};

use self::{protocol::SUBPROTOCOL, rooms::Rooms};
use crate::{cannot_listen, interrupt::Interrupt, tls::ServerTls};

/// The longest message a browser may send, in bytes: the longest text as JSON, and room to spare.
const MAX_MESSAGE: u64 = 64 << 10;

/// What waits for a slow reader, in bytes, before messages wait in its mailbox.
const MAX_OUTGOING: usize = 256 << 10;

#[derive(Args)]
#[command(after_help = "\
Every room has an address of its own: /r/NAME. The last 100 messages of a room are kept in memory.
The default address is for this machine only; --addr 0.0.0.0:8080 lets in whoever can reach it.
Ctrl-C closes every connection with 1001 (going away).")]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = crate::address)]
    addr: SocketAddr,
    /// Do not compress, whatever browsers offer
    #[arg(long)]
    no_deflate: bool,
    #[command(flatten)]
    tls: ServerTls,
}

/// What all connections share.
#[derive(Clone)]
struct Server {
    rooms: Arc<Rooms>,
    tls: Option<TlsAcceptor>,
    acceptor: Acceptor,
    tracker: Tracker,
    /// Its count is of a connection over HTTP/2 and the WebSockets on it.
    users: Arc<()>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<ExitCode, String> {
    let addr = arguments.addr;
    let listener = TcpListener::bind(addr).await.map_err(|error| cannot_listen(addr, &error))?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    let mut interrupted = Interrupt::new().map_err(|error| format!("cannot start: {error}"))?;
    let tls = arguments.tls.acceptor(addr.ip(), &["h2", "http/1.1"])?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("open {scheme}://{addr}/ in a browser; Ctrl-C stops");

    let tracker = Tracker::new();
    let (rooms, acceptor) = (Arc::default(), acceptor(arguments));
    let users = Arc::default();
    let server = Server { rooms, tls, acceptor, tracker: tracker.clone(), users };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => drop(tokio::spawn(connection::serve(tcp, server.clone()))),
                // Out of descriptors, most likely: some will be free again.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            () = interrupted.wait() => break,
        }
    }
    // No new connections, 1001 to all, and a little time for their closing handshakes.
    drop(listener);
    let mut stop = Stop::default();
    stop.reason = "the server stops".to_owned();
    tracker.stop(stop).await.map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn acceptor(arguments: &Arguments) -> Acceptor {
    let mut config = Config::default();
    config.max_message_size = MAX_MESSAGE;
    config.max_frame_size = MAX_MESSAGE;
    config.max_outgoing = MAX_OUTGOING;
    let mut options = ServerOptions::default();
    options.config = Arc::new(config);
    options.subprotocols = vec![SUBPROTOCOL.to_owned()];
    options.deflate = (!arguments.no_deflate).then(DeflateOptions::default);
    Acceptor::new(options)
}

fn answer(mut request: Request<Incoming>, server: &Server) -> Response<String> {
    let path = request.uri().path().to_owned();
    if let Some(room) = path.strip_prefix("/ws/") {
        return upgrade(&mut request, room, server);
    }
    let is_page = path == "/" || path.strip_prefix("/r/").is_some_and(protocol::is_room);
    match (is_page, request.method()) {
        (true, &Method::GET | &Method::HEAD) => page::response(),
        (true, _) => text(StatusCode::METHOD_NOT_ALLOWED, "this page is read with GET\n"),
        (false, _) => text(StatusCode::NOT_FOUND, "nothing is here: the chat is at /\n"),
    }
}

fn upgrade(request: &mut Request<Incoming>, room: &str, server: &Server) -> Response<String> {
    let upgraded = server.acceptor.upgrade(request, |_| match protocol::is_room(room) {
        true => Ok(Accept::default()),
        false => Err(Refusal::new(404, "a room's name is 1 to 64 of A-Z, a-z, 0-9, - and _\n")),
    });
    match upgraded {
        Ok((response, socket)) => {
            let nick = protocol::nick_in(request.uri().query().unwrap_or_default());
            let (server, room) = (server.clone(), room.to_owned());
            tokio::spawn(async move {
                // As long as this runs.
                let _user = &server.users;
                if let Ok(ws) = socket.await {
                    server.tracker.track(&ws);
                    member::run(ws, &server.rooms, &room, &nick).await;
                }
            });
            response
        }
        Err(refused) => refused.into_response(),
    }
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}
