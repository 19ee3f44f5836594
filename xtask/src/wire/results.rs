//! What was measured: as lines of a table, and as data with the machine and the versions.

use std::collections::BTreeMap;
use std::fs;
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

pub(crate) const HEAD: &str = "\
    | load | | | median (lowest–highest) | of raw TCP | user ns | system ns | busy |\n\
    |---|---|---|---:|---:|---:|---:|---:|";

/// The rows of one workload as lines of a table.
pub(crate) fn lines(rows: &[Row]) -> String {
    let rate_of = |server: &str| {
        let row = rows.iter().find(|row| row.server == server)?;
        Some(row.figures.get("rate")?.median)
    };
    let line = |row: &Row| {
        let figure = |name: &str| row.figures.get(name).copied();
        let cell = |name: &str, digits: usize| {
            figure(name).map_or(String::new(), |it| format!("{:.digits$}", it.figure(name)))
        };
        let main = match (figure("rate"), figure("heap"), figure("resident")) {
            (Some(rate), ..) => {
                format!("{:.0} ({:.0}–{:.0})", rate.median, rate.low, rate.high)
            }
            (None, Some(heap), Some(resident)) => {
                format!("{:.0} of heap, {:.0} resident", heap.median, resident.median)
            }
            _ => "failed".to_owned(),
        };
        let of_raw = match (figure("rate"), rate_of(raw(&row.server))) {
            (Some(rate), Some(raw)) => format!("{:.2}", rate.median / raw),
            _ => String::new(),
        };
        let Row { workload, server, mode, kind, .. } = row;
        let what = if kind == "text" { format!("{mode}, text") } else { mode.clone() };
        let (user, system) = (cell("user_ns", 0), cell("system_ns", 0));
        let busy = cell("busy", 2);
        format!(
            "| {workload} | {server} | {what} | {main} | {of_raw} | {user} | {system} | {busy} |\n"
        )
    };
    rows.iter().map(line).collect()
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
    let mut suites: Map<String, Value> = fs::read_to_string(&path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
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
