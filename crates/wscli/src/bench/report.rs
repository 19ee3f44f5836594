use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde_json::{Value, json};

use super::{Arguments, load::Load};

/// What was measured.
pub(super) struct Report {
    connecting: Duration,
    /// How long messages counted.
    seconds: f64,
    messages: u64,
    /// In nanoseconds, by the percentile.
    latencies: Vec<(&'static str, u64)>,
    mean: f64,
    under_way: u64,
    interrupted: bool,
    /// Why connections were lost, and how many for the same reason.
    pub(super) lost: BTreeMap<String, u32>,
}

impl Report {
    pub(super) fn new(
        load: &Load,
        connecting: Duration,
        seconds: f64,
        interrupted: bool,
        lost: Vec<String>,
    ) -> Self {
        let mut reasons = BTreeMap::new();
        for reason in lost {
            *reasons.entry(reason).or_default() += 1;
        }
        let all = load.latencies();
        let at = |quantile| all.value_at_quantile(quantile);
        let latencies = vec![
            ("min", all.min()),
            ("p50", at(0.5)),
            ("p90", at(0.9)),
            ("p99", at(0.99)),
            ("p99.9", at(0.999)),
            ("p99.99", at(0.9999)),
            ("max", all.max()),
        ];
        Self {
            connecting,
            seconds,
            messages: all.len(),
            latencies,
            mean: all.mean(),
            under_way: load.under_way(),
            interrupted,
            lost: reasons,
        }
    }

    fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.messages as f64 / self.seconds } else { 0.0 }
    }

    /// For people.
    pub(super) fn text(&self, arguments: &Arguments) -> String {
        let mut text = String::new();
        let kind = if arguments.text { "text" } else { "binary" };
        let how = match arguments.rate {
            Some(rate) => format!("{rate} messages per second due"),
            None => format!("{} in flight on each", arguments.in_flight),
        };
        let mib = self.rate() * arguments.size as f64 / f64::from(1 << 20);
        let _ = writeln!(
            text,
            "{} connections, opened in {:.3} s; {how}; {kind} messages of {} bytes; {:.3} s\n",
            arguments.connections,
            self.connecting.as_secs_f64(),
            arguments.size,
            self.seconds
        );
        let _ = writeln!(
            text,
            "echoes     {:>12}   {:.0} per second, {mib:.2} MiB/s each way",
            self.messages,
            self.rate()
        );
        let since = if arguments.rate.is_some() { "it was due" } else { "it was sent" };
        let _ = writeln!(text, "latency, from when {since}");
        for (name, nanoseconds) in &self.latencies {
            let name =
                name.strip_prefix('p').map_or((*name).to_owned(), |rank| format!("{rank} %"));
            let _ = writeln!(text, "  {name:<9}{:>12.3} ms", *nanoseconds as f64 / 1e6);
        }
        let _ = writeln!(text, "  {:<9}{:>12.3} ms", "mean", self.mean / 1e6);
        if self.under_way > 0 {
            let _ = writeln!(text, "{} messages have not come back", self.under_way);
        }
        if self.interrupted {
            let _ = writeln!(text, "stopped early");
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self, arguments: &Arguments) -> Value {
        let mut latency = json!({ "mean": self.mean });
        if let Value::Object(latency) = &mut latency {
            for (name, nanoseconds) in &self.latencies {
                latency.insert((*name).to_owned(), (*nanoseconds).into());
            }
        }
        json!({
            "url": arguments.url,
            "connections": arguments.connections,
            "connecting_seconds": self.connecting.as_secs_f64(),
            "in_flight": arguments.rate.is_none().then_some(arguments.in_flight),
            "rate": arguments.rate,
            "kind": if arguments.text { "text" } else { "binary" },
            "size": arguments.size,
            "seconds": self.seconds,
            "messages": self.messages,
            "messages_per_second": self.rate(),
            "latency_ns": latency,
            "not_come_back": self.under_way,
            "interrupted": self.interrupted,
            "lost": self.lost,
        })
    }
}
