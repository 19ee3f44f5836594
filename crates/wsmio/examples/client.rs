//! A blocking client: sends each line it reads and prints what comes back.
//!
//! `cargo run -p wsmio --example event_loop`, then `cargo run -p wsmio --example client`.

use std::io;

use wsmio::{CloseCode, Error, Message};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".to_owned());
    let mut ws = wsmio::connect(&url)?;
    for line in io::stdin().lines() {
        ws.send(&line?)?;
        match ws.recv()? {
            Some(Message::Text(text)) => println!("{text}"),
            Some(Message::Binary(bytes)) => println!("{} bytes", bytes.len()),
            None => break,
        }
    }
    ws.close(CloseCode::NORMAL, "")?;
    if let Some(info) = ws.close_info() {
        println!("{info}");
    }
    Ok(())
}
