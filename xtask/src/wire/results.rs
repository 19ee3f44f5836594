//! What was measured: as lines of a table, and as data with the machine and the versions.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::suites::{Suite, raw};
use crate::Result;
use crate::process::output;
use crate::workspace::Workspace;

/// What one contender did under one load.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) server: String,
    pub(crate) mode: String,
    pub(crate) kind: String,
    /// By name: `rate`, `user_ns`, `system_ns`, `busy`; or `heap`, `resident`.
    pub(crate) figures: BTreeMap<String, Spread>,
}

/// The median of some turns, and the extremes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    mean: f64,
}

impl Spread {
    pub(crate) fn of(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        let at = |place: usize| all.get(place).copied().unwrap_or_default();
        Self {
            median: at(all.len() / 2),
            low: at(0),
            high: at(all.len().saturating_sub(1)),
            mean: all.iter().sum::<f64>() / all.len().max(1) as f64,
        }
    }

    /// What stands for all turns. The kernel divides CPU time into user's and its own by ticks, too few in
    /// one turn for a median.
    fn figure(&self, name: &str) -> f64 {
        if name.ends_with("_ns") { self.mean } else { self.median }
    }
}

/// The columns of figures: their headings, and what is in them with how many digits.
fn columns(suite: Suite) -> &'static [(&'static str, &'static str, usize)] {
    match suite {
        Suite::Memory => &[("heap", "heap", 0), ("resident", "resident", 0)],
        Suite::Counted => &[
            ("instructions", "instructions", 0),
            ("allocations", "allocations", 2),
            ("reads", "reads", 2),
            ("writes", "writes", 2),
        ],
        _ => {
            &[("user ns", "user_ns", 0), ("system ns", "system_ns", 0), ("server busy", "busy", 2)]
        }
    }
}

/// Whether the figures are rates, in the first place.
fn has_rates(suite: Suite) -> bool {
    !matches!(suite, Suite::Memory | Suite::Counted)
}

pub(crate) fn head(suite: Suite) -> String {
    let rates: &[&str] =
        if has_rates(suite) { &["median (lowest–highest)", "of raw TCP"] } else { &[] };
    let figures = columns(suite).iter().map(|(heading, ..)| *heading);
    let figures: Vec<_> = rates.iter().copied().chain(figures).collect();
    format!(
        "| load | | | {} |\n|---|---|---|{}",
        figures.join(" | "),
        "---:|".repeat(figures.len())
    )
}

/// The rows as lines of a table.
pub(crate) fn lines(suite: Suite, rows: &[Row]) -> String {
    let rate_of = |server: &str, workload: &str| {
        let row = rows.iter().find(|row| row.server == server && row.workload == workload)?;
        Some(row.figures.get("rate")?.median)
    };
    let line = |row: &Row| {
        let Row { workload, server, mode, kind, .. } = row;
        let what = if kind == "text" { format!("{mode}, text") } else { mode.clone() };
        let mut cells = vec![workload.clone(), server.clone(), what];
        if has_rates(suite) {
            let rate = row.figures.get("rate");
            cells.push(rate.map_or("failed".to_owned(), |rate| {
                format!("{:.0} ({:.0}–{:.0})", rate.median, rate.low, rate.high)
            }));
            let of_raw = rate.zip(rate_of(raw(server), workload));
            cells.push(of_raw.map_or(String::new(), |(it, raw)| format!("{:.2}", it.median / raw)));
        }
        for (_, name, digits) in columns(suite) {
            let figure = row.figures.get(*name);
            cells
                .push(figure.map_or(String::new(), |it| format!("{:.*}", digits, it.figure(name))));
        }
        format!("| {} |\n", cells.join(" | "))
    };
    rows.iter().map(line).collect()
}

/// The best row of each server under this load, the raw echoes first.
pub(crate) fn best<'r>(rows: &'r [Row], workload: &str) -> Vec<&'r Row> {
    best_by(rows, workload, |row| Some(row.figures.get("rate")?.median))
        .into_iter()
        .map(|(row, _)| row)
        .collect()
}

/// The same by any figure of a row, which is given too; the highest is best.
pub(crate) fn best_by<'r>(
    rows: &'r [Row],
    workload: &str,
    figure: impl Fn(&Row) -> Option<f64>,
) -> Vec<(&'r Row, f64)> {
    let mut bests: Vec<(&Row, f64)> = Vec::new();
    for row in rows.iter().filter(|row| row.workload == workload) {
        let Some(figure) = figure(row) else { continue };
        match bests.iter_mut().find(|(other, _)| other.server == row.server) {
            Some(best) if best.1 < figure => *best = (row, figure),
            Some(_) => {}
            None => bests.push((row, figure)),
        }
    }
    bests
}

/// The rows of a suite as they are stored; none, if it never was.
pub(crate) fn load(workspace: &Workspace, suite: Suite) -> Result<Vec<Row>> {
    let stored = stored(workspace)?;
    let rows = stored.get(suite.name()).and_then(|suite| suite["rows"].as_array());
    Ok(rows.into_iter().flatten().map(from_json).collect())
}

/// On which machine a suite was measured, and how.
pub(crate) fn how(workspace: &Workspace, suite: Suite) -> Result<String> {
    let stored = stored(workspace)?;
    let how = stored.get(suite.name()).unwrap_or(&Value::Null);
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let machine = &how["machine"];
    let rounds = if suite.is_counted() {
        String::new()
    } else {
        format!("{} rounds of {} ms; ", how["rounds"], how["millis"])
    };
    let versions = how["versions"].as_object().into_iter().flatten();
    let versions: Vec<_> =
        versions.map(|(name, version)| format!("{name} {}", text(version))).collect();
    Ok(format!(
        "{rounds}{}, {} cores, Linux {}, {}; {}.",
        text(&machine["cpu"]),
        machine["cores"],
        text(&machine["kernel"]),
        text(&machine["rustc"]),
        versions.join(", ")
    ))
}

fn stored(workspace: &Workspace) -> Result<Map<String, Value>> {
    let path = path(workspace);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    serde_json::from_str(&text).map_err(|error| format!("{} is not JSON: {error}", path.display()))
}

fn from_json(row: &Value) -> Row {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let spread = |value: &Value| match value {
        Value::Array(all) => Spread::of(all.iter().filter_map(Value::as_f64).collect()),
        value => Spread::of(value.as_f64().into_iter().collect()),
    };
    let figures = row.as_object().into_iter().flatten().filter(|(_, value)| !value.is_string());
    Row {
        workload: text("workload"),
        server: text("server"),
        mode: text("mode"),
        kind: text("kind"),
        figures: figures.map(|(name, value)| (name.clone(), spread(value))).collect(),
    }
}

pub(crate) fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("benches/results/wire.json")
}

/// Writes the rows of a suite in the place of its former ones.
pub(crate) fn save(
    workspace: &Workspace,
    suite: Suite,
    rounds: usize,
    millis: u32,
    rows: &[Row],
) -> Result {
    let path = path(workspace);
    let mut suites = stored(workspace)?;
    let rows: Vec<Value> = rows.iter().map(to_json).collect();
    let suite_results = json!({
        "machine": machine()?,
        "versions": versions(workspace),
        "rounds": if suite.is_counted() { 1 } else { rounds },
        "millis": millis,
        "rows": rows,
    });
    suites.insert(suite.name().to_owned(), suite_results);
    let text = to_text(&suites);
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

/// One row to a line, so that a change can be read.
fn to_text(suites: &Map<String, Value>) -> String {
    let suite = |(name, suite): (&String, &Value)| {
        let fields = suite.as_object().into_iter().flatten().map(|(name, value)| match value {
            Value::Array(rows) => {
                let rows: Vec<_> = rows.iter().map(|row| format!("      {row}")).collect();
                format!("    {:?}: [\n{}\n    ]", name, rows.join(",\n"))
            }
            value => format!("    {name:?}: {value}"),
        });
        format!("  {name:?}: {{\n{}\n  }}", fields.collect::<Vec<_>>().join(",\n"))
    };
    format!("{{\n{}\n}}\n", suites.iter().map(suite).collect::<Vec<_>>().join(",\n"))
}

fn to_json(row: &Row) -> Value {
    let mut fields = Map::new();
    fields.insert("workload".to_owned(), row.workload.clone().into());
    fields.insert("server".to_owned(), row.server.clone().into());
    fields.insert("mode".to_owned(), row.mode.clone().into());
    fields.insert("kind".to_owned(), row.kind.clone().into());
    for (name, spread) in &row.figures {
        let rounded = |value: f64| {
            let unit = if value.abs() >= 100.0 { 1.0 } else { 1000.0 };
            json!((value * unit).round() / unit)
        };
        let value = match &**name {
            "rate" => json!([rounded(spread.low), rounded(spread.median), rounded(spread.high)]),
            _ => rounded(spread.figure(name)),
        };
        fields.insert(name.clone(), value);
    }
    Value::Object(fields)
}

/// The processor, the kernel and the compiler.
fn machine() -> Result<Value> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(json!({
        "cpu": format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model\t")),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": kernel.trim(),
        "rustc": output(Command::new("rustc").arg("--version"))?.trim(),
    }))
}

/// The versions of those that take part, from the lock file.
fn versions(workspace: &Workspace) -> Value {
    let lock = fs::read_to_string(workspace.root.join("benches/wire/Cargo.lock"));
    let lock = lock.unwrap_or_default();
    let version = |name: &str| {
        let rest = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1)?;
        Some(rest.split('"').next()?.to_owned())
    };
    let names = [
        "wsmio",
        "wstokio",
        "mio",
        "tokio",
        "tokio-tungstenite",
        "fastwebsockets",
        "tokio-websockets",
        "yawc",
        "sockudo-ws",
    ];
    names
        .iter()
        .filter_map(|name| Some((name.to_string(), version(name)?.into())))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_is_compared_with_raw_tcp_under_the_same_load() {
        let row = |workload: &str, server: &str, rate: f64| Row {
            workload: workload.to_owned(),
            server: server.to_owned(),
            mode: "batched".to_owned(),
            kind: "binary".to_owned(),
            figures: BTreeMap::from([("rate".to_owned(), Spread::of(vec![rate]))]),
        };
        let rows = [
            row("small", "raw-tokio", 100.0),
            row("small", "wstokio", 90.0),
            row("large", "raw-tokio", 10.0),
            row("large", "wstokio", 8.0),
        ];
        let lines = lines(Suite::Echo, &rows);
        let of_raw: Vec<_> = lines.lines().filter_map(|line| line.split(" | ").nth(4)).collect();
        assert_eq!(of_raw, ["1.00", "0.90", "1.00", "0.80"]);
    }
}
