//! Instructions per message, counted by callgrind: they do not depend on the noise of the machine.
//!
//! Each piece of work runs twice, with two numbers of passes: the difference is what passes cost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::Result;
use crate::process::{find, run as run_command};
use crate::wire;
use crate::workspace::Workspace;

/// How much a count may rise above the stored one.
const TOLERANCE: f64 = 0.03;

/// The most instructions that a header may take.
const HEADER_LIMIT: f64 = 40.0;

const SIZES: [u32; 4] = [20, 125, 1 << 10, 64 << 10];
const PEERS: [&str; 3] = ["sockudo-ws", "yawc", "fastwebsockets"];

/// The instances of the kernels: what they do, and the most instructions per byte. Without
/// vector instructions it would be one or more.
const KERNELS: [(&str, f64); 8] = [
    ("apply-portable", 0.3),
    ("apply-avx2", 0.15),
    ("copy-portable", 0.3),
    ("copy-avx2", 0.15),
    ("text-portable", 0.4),
    ("text-avx2", 0.2),
    ("valid-portable", 0.2),
    ("valid-avx2", 0.1),
];
const KERNEL_BYTES: u32 = 16 << 10;

/// What hostile peers send, of which twice as much is to be twice the work: see benches/src/bin/linear.rs.
const LINEAR: [&str; 8] = [
    "request byte by byte",
    "response byte by byte",
    "too many header lines",
    "too many subprotocols",
    "commas",
    "malformed extensions",
    "text in fragments, server",
    "text in fragments, client",
];
const LINEAR_BYTES: u32 = 8_000;
const LINEAR_LIMIT: f64 = 2.2;

#[derive(Args)]
pub(crate) struct Options {
    /// Store what was counted, to compare with from now on
    #[arg(long)]
    save: bool,
}

impl Options {
    /// Compare, and store nothing.
    pub(crate) fn compare() -> Self {
        Self { save: false }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    if find("valgrind").is_none() {
        return Err("counting instructions needs valgrind: `apt-get install valgrind`".to_owned());
    }
    if !cfg!(target_arch = "x86_64") {
        return Err("the stored counts are for x86-64: run this there".to_owned());
    }
    run_command(workspace.cargo().args([
        "build",
        "--release",
        "--package",
        "benches",
        "--bin",
        "counts",
        "--bin",
        "linear",
    ]))?;
    let counter = |program| Counter { program: workspace.target.join("release").join(program) };
    let counts = counter("counts").all()?;
    let path = workspace.root.join("benches/results/counts.txt");
    let stored = load(&path);
    print(&counts, &stored);
    let mut problems = limits(&counts);
    problems.extend(counter("linear").not_linear()?);
    if options.save {
        save(&path, &counts)?;
    } else {
        problems.extend(rises(&counts, &stored));
    }
    if !problems.is_empty() {
        return Err(problems.join("\n       "));
    }
    wire::counted::check(workspace)
}

/// By name, such as `ours 20`.
type Counts = BTreeMap<String, f64>;

struct Counter {
    program: PathBuf,
}

impl Counter {
    fn all(&self) -> Result<Counts> {
        let mut counts = Counts::new();
        // What the loop around the header functions costs.
        let call = self.per_pass("call", 20, 1000)?;
        for name in ["decode", "encode"] {
            counts.insert(format!("{name} 20"), self.per_pass(name, 20, 1000)? - call);
        }
        for size in SIZES {
            // As in `benches::frames::Frames`.
            let messages = f64::from((8192 / size).clamp(2, 32));
            let filling = self.per_pass("nothing", size, 20)?;
            for name in ["ours", "our connection"].into_iter().chain(PEERS) {
                let count = self.per_pass(name, size, 20)?;
                counts.insert(format!("{name} {size}"), (count - filling) / messages);
            }
        }
        for (name, _) in KERNELS {
            let count = self.per_pass(name, KERNEL_BYTES, 20)?;
            counts.insert(format!("{name} {KERNEL_BYTES}"), count);
        }
        Ok(counts)
    }

    /// What takes more than twice the work if there is twice as much of it.
    fn not_linear(&self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        println!("\n{:<28} {:>12} {:>12} {:>6}", "instructions", "8 kB", "16 kB", "times");
        for name in LINEAR {
            let once = self.per_pass(name, LINEAR_BYTES, 1)?;
            let twice = self.per_pass(name, 2 * LINEAR_BYTES, 1)?;
            let times = twice / once;
            println!("{name:<28} {once:>12} {twice:>12} {times:>6.2}");
            if times > LINEAR_LIMIT {
                problems.push(format!(
                    "{name}: {LINEAR_BYTES} bytes take {once} instructions and twice as many {twice}, which is \
                     {times:.2} times the work: it is no longer linear"
                ));
            }
        }
        Ok(problems)
    }

    fn per_pass(&self, name: &str, size: u32, passes: u32) -> Result<f64> {
        let few = self.instructions(name, size, passes)?;
        let many = self.instructions(name, size, 2 * passes)?;
        Ok((many - few) / f64::from(passes))
    }

    fn instructions(&self, name: &str, size: u32, passes: u32) -> Result<f64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&self.program)
            .args([name, &size.to_string(), &passes.to_string()])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("valgrind cannot be started: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected = text.lines().find_map(|line| line.split("Collected : ").nth(1));
        collected
            .filter(|_| output.status.success())
            .and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| {
                format!(
                    "callgrind of `{} {name} {size} {passes}` failed:\n{text}",
                    self.program.display()
                )
            })
    }
}

fn is_ours(name: &str) -> bool {
    !PEERS.iter().any(|peer| name.starts_with(peer))
}

/// What is over a limit that holds whatever was stored.
fn limits(counts: &Counts) -> Vec<String> {
    let mut problems = Vec::new();
    for name in ["decode 20", "encode 20"] {
        let count = counts.get(name).copied().unwrap_or_default();
        if count > HEADER_LIMIT {
            problems.push(format!("{name} takes {count:.0} instructions, over {HEADER_LIMIT}"));
        }
    }
    for (name, limit) in KERNELS {
        let count = counts.get(&format!("{name} {KERNEL_BYTES}")).copied().unwrap_or_default();
        let per_byte = count / f64::from(KERNEL_BYTES);
        if per_byte > limit {
            problems.push(format!(
                "{name} takes {per_byte:.2} instructions per byte, over {limit}: it is no longer \
                 vectorised"
            ));
        }
    }
    problems
}

/// What has risen since the counts were stored.
fn rises(counts: &Counts, stored: &Counts) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, count) in counts.iter().filter(|(name, _)| is_ours(name)) {
        match stored.get(name) {
            Some(stored) if *count > stored * (1.0 + TOLERANCE) => problems.push(format!(
                "{name} takes {count:.1} instructions and took {stored:.1}: find out why, or store \
                 it with `cargo xtask counts --save`"
            )),
            Some(_) => {}
            None => problems
                .push(format!("{name} is not stored: store it with `cargo xtask counts --save`")),
        }
    }
    problems
}

fn print(counts: &Counts, stored: &Counts) {
    println!("{:<24} {:>12} {:>12}", "instructions", "counted", "stored");
    for (name, count) in counts {
        let stored = stored.get(name).map_or("-".to_owned(), |stored| format!("{stored:.1}"));
        println!("{name:<24} {count:>12.1} {stored:>12}");
    }
}

fn load(path: &Path) -> Counts {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, count) = line.rsplit_once('=')?;
            Some((name.trim().to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}

fn save(path: &Path, counts: &Counts) -> Result {
    let mut text = String::from(
        "# Instructions per message in memory, per header, and per 16 KiB masked, under callgrind.\n\
         # Written by `cargo xtask counts --save`; `cargo xtask counts` fails where ours rise by 3 %.\n",
    );
    for (name, count) in counts {
        text.push_str(&format!("{name} = {count:.1}\n"));
    }
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_of_more_than_three_percent_is_a_problem_but_not_of_a_peer() {
        let counts =
            |ours, yawc| Counts::from([("ours 20".to_owned(), ours), ("yawc 20".to_owned(), yawc)]);
        assert!(rises(&counts(103.0, 200.0), &counts(100.0, 100.0)).is_empty());
        assert_eq!(rises(&counts(104.0, 100.0), &counts(100.0, 100.0)).len(), 1);
        assert_eq!(rises(&counts(1.0, 1.0), &Counts::new()).len(), 1);
    }
}
