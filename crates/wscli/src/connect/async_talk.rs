//! Talking over tokio.

use tokio::{sync::mpsc, time::sleep};
use wstokio::{CloseCode, CloseInfo, Connector, Error, Receiver, Sender};

use super::{Console, Talk, cannot_connect, lost, show};

pub(super) fn run(talk: &Talk) -> Result<Option<CloseInfo>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(both_ways(talk))
}

async fn both_ways(talk: &Talk) -> Result<Option<CloseInfo>, String> {
    let mut connector = Connector::new(talk.options.clone());
    if let Some(tls) = &talk.tls {
        connector = connector.tls(tls.clone());
    }
    if let Some(proxy) = &talk.proxy {
        connector = connector.proxy(proxy.clone());
    }
    let ws = connector.connect(&talk.url).await;
    let ws = ws.map_err(|error| cannot_connect(&talk.url, &error))?;
    talk.connected(ws.subprotocol());
    let (mut rx, mut tx) = ws.split();
    let (mut console, mut input) = Console::open()?;
    let received = {
        let receiving = receive(&mut rx, &mut console);
        let sending = send(&mut tx, talk, &mut input);
        tokio::pin!(receiving, sending);
        tokio::select! {
            received = &mut receiving => received,
            // The receiving half tells how the connection ended.
            _ = &mut sending => receiving.await,
        }
    };
    console.close();
    match received? {
        true => rx.close_info().cloned().map(Some).ok_or_else(|| "the connection was lost".into()),
        false => Ok(None),
    }
}

/// Sends what is put in, and closes some time after the end of it.
async fn send(
    tx: &mut Sender,
    talk: &Talk,
    input: &mut mpsc::Receiver<Vec<u8>>,
) -> Result<(), Error> {
    let mut number = 0;
    while let Some(line) = input.recv().await {
        number += 1;
        let Some(message) = talk.message(number, &line) else { continue };
        tx.feed(message).await?;
        if input.is_empty() {
            tx.flush().await?;
        }
    }
    tx.flush().await?;
    sleep(talk.linger).await;
    tx.close(CloseCode::NORMAL, "").await
}

/// Shows what comes until the connection ends, as long as somebody looks.
async fn receive(rx: &mut Receiver, console: &mut Console) -> Result<bool, String> {
    while let Some(event) = rx.recv_event().await.map_err(|error| lost(&error))? {
        if !show(event, console)? {
            return Ok(false);
        }
    }
    Ok(true)
}
