//! Talking over mio: a thread for each direction.

use std::thread;

use tokio::sync::mpsc;
use wsmio::{CloseCode, CloseInfo, Connector, Error, Sender};

use super::{Console, Talk, cannot_connect, lost, show};

pub(super) fn run(talk: &Talk) -> Result<Option<CloseInfo>, String> {
    if talk.proxy.is_some() {
        return Err("--proxy is for --transport tokio only".to_owned());
    }
    let mut connector = Connector::new(talk.options.clone());
    if let Some(tls) = &talk.tls {
        connector = connector.tls(tls.clone());
    }
    let ws = connector.connect(&talk.url).map_err(|error| cannot_connect(&talk.url, &error))?;
    talk.connected(ws.subprotocol());
    let (mut rx, mut tx) = ws.split();
    let (mut console, input) = Console::open()?;
    let sending = talk.clone();
    // It is left alone in the end: it may wait for a line that will not come. The receiving half tells
    // how the connection ended.
    thread::spawn(move || drop(send(&mut tx, &sending, input)));
    let received = loop {
        match rx.recv_event() {
            Ok(Some(event)) => match show(event, &mut console) {
                Ok(true) => {}
                ended => break ended,
            },
            Ok(None) => break Ok(true),
            Err(error) => break Err(lost(&error)),
        }
    };
    console.close();
    match received? {
        true => rx.close_info().cloned().map(Some).ok_or_else(|| "the connection was lost".into()),
        false => Ok(None),
    }
}

/// Sends what is put in, and closes some time after the end of it.
fn send(tx: &mut Sender, talk: &Talk, mut input: mpsc::Receiver<Vec<u8>>) -> Result<(), Error> {
    let mut number = 0;
    while let Some(line) = input.blocking_recv() {
        number += 1;
        let Some(message) = talk.message(number, &line) else { continue };
        tx.feed(message)?;
        if input.is_empty() {
            tx.flush()?;
        }
    }
    tx.flush()?;
    thread::sleep(talk.linger);
    tx.close(CloseCode::NORMAL, "")
}
