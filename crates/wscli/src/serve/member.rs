//! One member's connection.

use tokio::io::{AsyncRead, AsyncWrite};
use wstokio::{CloseCode, Error, Message, WebSocket};

use super::{
    protocol::{self, MAX_TEXT, Notice, Request},
    rooms::{Rooms, Seat},
};

/// Has the member in the room until either side closes. What happens in the room is sent to it meanwhile.
pub(super) async fn run<S>(mut ws: WebSocket<S>, rooms: &Rooms, room: &str, nick: &str)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let seat = rooms.join(room, nick, &ws.remote());
    // How a connection ends is its client's business.
    let _ = talk(&mut ws, &seat).await;
}

async fn talk<S>(ws: &mut WebSocket<S>, seat: &Seat<'_>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (rx, tx) = ws.halves();
    while let Some(message) = rx.recv().await? {
        let Message::Text(text) = message else {
            return ws.close(CloseCode::UNSUPPORTED_DATA, "this chat is text only").await;
        };
        if let Some(message) = obey(seat, text) {
            tx.feed(&Notice::Error { message }.to_json()).await?;
        }
    }
    Ok(())
}

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
