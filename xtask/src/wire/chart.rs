//! A bar chart of the echo race, as SVG, for README. It brings its own background, so that its text can be
//! read on any page, and follows the reader's choice of light or dark.

use std::fmt::Write;

use super::results::{Row, best};

const PANEL: (usize, usize) = (440, 246);
const MARGIN: usize = 16;
const LABEL: usize = 128;
const BAR: usize = 220;
const STEP: usize = 23;

const STYLE: &str = "\
    .card{fill:#ffffff;stroke:#d0d7de}text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
    .title{font-weight:600;font-size:13px}.raw{fill:#afb8c1}.ours{fill:#0969da}.peer{fill:#c9a26b}\
    .spread{stroke:#57606a;stroke-width:1}.value{font-variant-numeric:tabular-nums}\
    @media (prefers-color-scheme:dark){.card{fill:#161b22;stroke:#30363d}text{fill:#e6edf3}\
    .raw{fill:#6e7681}.ours{fill:#4493f8}.peer{fill:#a5824f}.spread{stroke:#c9d1d9}}";

/// One panel for each workload, one bar for each server.
pub(super) fn draw(rows: &[Row]) -> String {
    let mut workloads: Vec<&str> = rows.iter().map(|row| &*row.workload).collect();
    workloads.dedup();
    let width = 2 * PANEL.0 + MARGIN;
    let height = workloads.len().div_ceil(2) * PANEL.1 + 2 * MARGIN + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Echoed messages per second, by workload and server</title>\n<style>{STYLE}</style>\n\
         <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n\
         <text x=\"{MARGIN}\" y=\"26\">Messages echoed per second, server on one core; the line is from the \
         slowest round to the fastest</text>\n",
        width - 1,
        height - 1
    );
    for (index, workload) in workloads.iter().enumerate() {
        let (x, y) = (MARGIN + index % 2 * PANEL.0, MARGIN + 28 + index / 2 * PANEL.1);
        let bars = best(rows, workload);
        panel(&mut svg, workload, &bars, (x, y));
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, workload: &str, bars: &[&Row], (x, y): (usize, usize)) {
    let rates = bars.iter().filter_map(|row| Some((*row, *row.figures.get("rate")?)));
    let rates: Vec<_> = rates.collect();
    let most = rates.iter().fold(1.0, |most: f64, (_, rate)| most.max(rate.high));
    let length = |rate: f64| rate / most * BAR as f64;
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{x}\" y=\"{}\">{} (connections × bytes × in flight)</text>",
        y + 14,
        workload
    );
    for (place, (row, rate)) in rates.iter().enumerate() {
        let top = y + 24 + place * STEP;
        let class = match &*row.server {
            "raw-mio" | "raw-tokio" => "raw",
            "wsmio" | "wstokio" => "ours",
            _ => "peer",
        };
        let left = x + LABEL;
        let middle = top + 8;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>\
             <line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{}\">{}</text>",
            left - 6,
            top + 12,
            row.server,
            length(rate.median),
            left as f64 + length(rate.low),
            left as f64 + length(rate.high),
            left as f64 + length(rate.high) + 6.0,
            top + 12,
            per_second(rate.median)
        );
    }
}

/// A rate in three digits.
pub(super) fn per_second(rate: f64) -> String {
    let (value, unit) = match rate {
        1e6.. => (rate / 1e6, " M"),
        1e3.. => (rate / 1e3, " k"),
        _ => (rate, ""),
    };
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::per_second;

    #[test]
    fn rates_have_three_digits() {
        let rates = [2_345_678.0, 123_456.0, 98_765.0, 2_790.0, 42.0];
        assert_eq!(rates.map(per_second), ["2.35 M", "123 k", "98.8 k", "2.79 k", "42.0"]);
    }
}
