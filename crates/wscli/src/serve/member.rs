//! One member's connection.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use wstokio::{CloseCode, Error, Message, WebSocket};

use super::{
    protocol::{self, MAX_TEXT, Notice, Request},
    rooms::{Mailbox, Rooms, Seat},
    stopped,
};

/// Why the server closes a connection.
type Goodbye = (CloseCode, &'static str);

/// Has the member in the room until either side closes.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mut ws: WebSocket<S>,
    rooms: &Rooms,
    room: &str,
    nick: String,
    stopping: watch::Receiver<bool>,
) {
    let (seat, mailbox) = rooms.join(room, &nick);
    // How a connection ends is its client's business; `None` is its end.
    let goodbye = talk(&mut ws, &seat, mailbox, stopping).await.ok().flatten();
    drop(seat);
    if let Some((code, reason)) = goodbye {
        let _ = ws.close(code, reason).await;
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut WebSocket<S>,
    seat: &Seat<'_>,
    mut mailbox: Mailbox,
    stopping: watch::Receiver<bool>,
) -> Result<Option<Goodbye>, Error> {
    let (rx, tx) = ws.halves();
    let mut stop = stopping.clone();
    loop {
        tokio::select! {
            message = rx.recv() => {
                let complaint = match message? {
                    None => return Ok(None),
                    Some(Message::Text(text)) => obey(seat, text),
                    Some(Message::Binary(_)) => {
                        return Ok(Some((CloseCode::UNSUPPORTED_DATA, "this chat is text only")));
                    }
                };
                if let Some(message) = complaint {
                    tx.feed(&Notice::Error { message }.to_json()).await?;
                }
            }
            notice = mailbox.notices.recv() => match notice {
                // It leaves with the next wait, together with those that come meanwhile.
                Some(notice) => {
                    let mut stopping = stopping.clone();
                    tokio::select! {
                        fed = tx.feed(&*notice) => fed?,
                        _ = &mut mailbox.overflowed => return Ok(Some(TOO_SLOW)),
                        () = stopped(&mut stopping) => return Ok(Some(GOING_AWAY)),
                    }
                }
                None => return Ok(Some(TOO_SLOW)),
            },
            () = stopped(&mut stop) => return Ok(Some(GOING_AWAY)),
        }
    }
}

const GOING_AWAY: Goodbye = (CloseCode::GOING_AWAY, "the server stops");
const TOO_SLOW: Goodbye = (CloseCode::TRY_AGAIN_LATER, "messages came faster than you read them");

/// Does what the page asks for, or says why not.
fn obey(seat: &Seat<'_>, request: &str) -> Option<&'static str> {
    match serde_json::from_str(request) {
        Ok(Request::Say { text }) if text.trim().is_empty() => None,
        Ok(Request::Say { text }) if text.len() > MAX_TEXT => Some("that was longer than 16 KiB"),
        Ok(Request::Say { text }) => {
            seat.say(text);
            None
        }
        Ok(Request::Typing { on }) => {
            seat.typing(on);
            None
        }
        Ok(Request::Nick { nick }) => match protocol::nick(&nick) {
            Some(nick) => {
                seat.rename(&nick);
                None
            }
            None => Some("a nickname has 1 to 32 characters"),
        },
        Err(_) => Some("that is not something this chat understands"),
    }
}
