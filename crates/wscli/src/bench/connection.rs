use std::{collections::VecDeque, rc::Rc, time::Duration, time::Instant};

use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};
use wstokio::{CloseCode, Error, WebSocket};

use super::load::Load;

/// How long a server has for the closing handshake, once all is measured.
const CLOSING: Duration = Duration::from_secs(1);

/// With more bytes than these under way, messages that are due have to wait, and their latency tells.
const MAX_UNDER_WAY: usize = 4 << 20;

/// Sends messages and waits for their echoes, until there are no more to send and all have come back.
///
/// # Errors
///
/// Why the connection was lost, or the server cannot be measured.
pub(super) async fn talk(
    mut ws: WebSocket,
    due: Option<UnboundedReceiver<Instant>>,
    load: Rc<Load>,
) -> Result<(), String> {
    match due {
        None => closed_loop(&mut ws, &load).await?,
        Some(due) => open_loop(&mut ws, due, &load).await?,
    }
    // The server's manners do not matter any more.
    let _ = timeout(CLOSING, ws.close(CloseCode::NORMAL, "")).await;
    Ok(())
}

async fn closed_loop(ws: &mut WebSocket, load: &Load) -> Result<(), String> {
    let mut sent = VecDeque::new();
    for _ in 0..load.in_flight {
        let Some(message) = load.next() else { break };
        sent.push_back(Instant::now());
        feed(ws.feed(message).await)?;
    }
    while !sent.is_empty() {
        match ws.recv().await {
            Ok(Some(message)) => load.echo(&message, sent.pop_front())?,
            ended => return Err(lost(ended.err(), ws)),
        }
        if let Some(message) = load.next() {
            sent.push_back(Instant::now());
            feed(ws.feed(message).await)?;
        }
    }
    Ok(())
}

async fn open_loop(
    ws: &mut WebSocket,
    mut due: UnboundedReceiver<Instant>,
    load: &Load,
) -> Result<(), String> {
    let mut sent = VecDeque::new();
    let mut more = true;
    let at_most = MAX_UNDER_WAY / load.len().max(1);
    while more || !sent.is_empty() {
        let (rx, tx) = ws.halves();
        tokio::select! {
            next = due.recv(), if more && sent.len() <= at_most => {
                match next.and_then(|time| Some((time, load.next()?))) {
                    Some((time, message)) => {
                        sent.push_back(time);
                        // Receiving writes it: to wait for that here would leave echoes unread.
                        feed(tx.feed(message).await)?;
                    }
                    None => more = false,
                }
            }
            () = load.stopped(), if more => more = false,
            message = rx.recv() => match message {
                Ok(Some(message)) => load.echo(&message, sent.pop_front())?,
                ended => return Err(lost(ended.err(), ws)),
            },
        }
    }
    Ok(())
}

/// That the server has begun to close is seen by receiving.
fn feed(fed: Result<(), Error>) -> Result<(), String> {
    match fed {
        Ok(()) | Err(Error::Closed) => Ok(()),
        Err(error) => Err(format!("a connection was lost: {error}")),
    }
}

fn lost(error: Option<Error>, ws: &WebSocket) -> String {
    match (error, ws.close_info()) {
        (Some(error), _) => format!("a connection was lost: {error}"),
        (None, Some(info)) => format!("a connection has ended: {info}"),
        (None, None) => "a connection has ended".to_owned(),
    }
}
