use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Tells the connections, in turn, when a message is due: at a fixed rate, whatever becomes of the messages.
///
/// In a thread of its own, because the runtime's timers go by milliseconds.
pub(super) fn start(
    rate: f64,
    connections: usize,
    messages: Option<u64>,
) -> Vec<UnboundedReceiver<Instant>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..connections).map(|_| unbounded_channel()).unzip();
    thread::spawn(move || pace(rate, &senders, messages.unwrap_or(u64::MAX)));
    receivers
}

fn pace(rate: f64, connections: &[UnboundedSender<Instant>], messages: u64) {
    let begin = Instant::now();
    let turns = connections.iter().cycle();
    for (number, connection) in (0..messages).zip(turns) {
        let due = begin + Duration::from_secs_f64(number as f64 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // One that was lost gets no more, and that is told by then.
        if connection.send(due).is_err() && connections.iter().all(UnboundedSender::is_closed) {
            return;
        }
    }
}
