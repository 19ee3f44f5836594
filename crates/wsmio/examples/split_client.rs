//! A client of two threads: one prints what comes whenever it comes, the other sends what is typed.
//!
//! `cargo run -p wsmio --example split_client -- ws://127.0.0.1:9001/`

use std::{io, thread};

use wsmio::{CloseCode, Error};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".to_owned());
    let (mut receiver, mut sender) = wsmio::connect(&url)?.split();
    let printing = thread::spawn(move || {
        while let Some(message) = receiver.recv()? {
            println!("{message:?}");
        }
        // How it ended is known to both halves.
        println!("{}", receiver.close_info().map(ToString::to_string).unwrap_or_default());
        Ok(())
    });
    for line in io::stdin().lines() {
        match sender.send(&line?) {
            // The peer has closed; the other thread says so.
            Err(Error::Closed) => break,
            sent => sent?,
        }
    }
    sender.close(CloseCode::NORMAL, "")?;
    printing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
