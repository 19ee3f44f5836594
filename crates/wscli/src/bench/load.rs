use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::sync::watch;
use wstokio::Message;

use super::Arguments;

/// What all connections share: what to send, how much is left to send, what has come back.
pub(super) struct Load {
    /// Letters and digits, so that it can go as text.
    payload: String,
    text: bool,
    pub(super) in_flight: u32,
    left: Cell<u64>,
    stopped: watch::Sender<bool>,
    /// A message counts if it was sent, or due, from then on.
    counts_from: Instant,
    latencies: RefCell<Histogram<u64>>,
    under_way: Cell<u64>,
    last_echo: Cell<Instant>,
}

impl Load {
    pub(super) fn new(arguments: &Arguments, counts_from: Instant) -> Result<Self, String> {
        let size = usize::try_from(arguments.size).map_err(|_| "--size is too large".to_owned())?;
        let hour = 3_600_000_000_000;
        let latencies = Histogram::new_with_max(hour, 3).map_err(|error| error.to_string())?;
        Ok(Self {
            payload: ('a'..='z').chain('0'..='9').cycle().take(size).collect(),
            text: arguments.text,
            in_flight: arguments.in_flight,
            left: Cell::new(arguments.messages.unwrap_or(u64::MAX)),
            stopped: watch::Sender::new(false),
            counts_from,
            latencies: RefCell::new(latencies),
            under_way: Cell::new(0),
            last_echo: Cell::new(Instant::now()),
        })
    }

    /// The next message, unless there is none any more.
    pub(super) fn next(&self) -> Option<Message<'_>> {
        let left = self.left.get().checked_sub(1).filter(|_| !self.is_stopped())?;
        self.left.set(left);
        self.under_way.set(self.under_way.get().saturating_add(1));
        Some(if self.text {
            Message::Text(&self.payload)
        } else {
            Message::Binary(self.payload.as_bytes())
        })
    }

    /// Takes the echo of a message that was sent, or due, at this time.
    ///
    /// # Errors
    ///
    /// What has come, if that is no echo.
    pub(super) fn echo(&self, message: &Message<'_>, since: Option<Instant>) -> Result<(), String> {
        let is_text = matches!(message, Message::Text(_));
        let since = since.filter(|_| is_text == self.text);
        let Some(since) = since.filter(|_| message.as_bytes() == self.payload.as_bytes()) else {
            let kind = if is_text { "text" } else { "binary" };
            return Err(format!(
                "the server sent a {kind} message of {} bytes that is no echo; a server to measure \
                 sends back what it gets and nothing else, as `ws echo` does",
                message.as_bytes().len()
            ));
        };
        let now = Instant::now();
        self.last_echo.set(now);
        self.under_way.set(self.under_way.get().saturating_sub(1));
        if since >= self.counts_from {
            let latency = now.saturating_duration_since(since).as_nanos();
            let latency = u64::try_from(latency).unwrap_or(u64::MAX);
            self.latencies.borrow_mut().saturating_record(latency);
        }
        Ok(())
    }

    /// Bytes of a message.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// Nothing more is sent.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until nothing more is sent.
    pub(super) async fn stopped(&self) {
        // It cannot fail while the sender is here.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Messages that count, and have come back.
    pub(super) fn count(&self) -> u64 {
        self.latencies.borrow().len()
    }

    /// Messages that have not come back.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.get()
    }

    pub(super) fn latencies(&self) -> std::cell::Ref<'_, Histogram<u64>> {
        self.latencies.borrow()
    }

    /// Whether messages are under way, and none has come back for so long.
    pub(super) fn is_stalled(&self, timeout: Duration) -> bool {
        if self.under_way.get() == 0 {
            self.last_echo.set(Instant::now());
        }
        self.last_echo.get().elapsed() >= timeout
    }

    pub(super) fn stalled(&self, timeout: Duration) -> String {
        let seconds = timeout.as_secs_f64();
        let none =
            if self.count() == 0 { "; does the server echo, as `ws echo` does?" } else { "" };
        format!(
            "nothing came back for {seconds} s, and {} messages are under way{none}",
            self.under_way.get()
        )
    }
}
