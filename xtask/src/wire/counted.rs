//! What an echoed message costs, counted: instructions under callgrind, allocations, reads and writes. It does not
//! depend on the noise of the machine.
//!
//! Each contender runs twice, with two numbers of batches: the difference is what the batches cost.

use std::path::Path;
use std::process::Command;

use super::results::{self, Row};
use super::suites::{Contender, Suite, Workload};
use crate::Result;
use crate::process::find;
use crate::workspace::Workspace;

/// `rep movsb` copies any number of bytes and would be an instruction for each under callgrind, so that copies are
/// done with vectors, whatever their length. The thresholds are of the C library.
const NO_REP: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
    glibc.cpu.x86_rep_stosb_threshold=0x40000000";

/// How much instructions may rise above the stored ones, and anything else.
const TOLERANCE: [f64; 2] = [0.03, 0.0];

/// Names and numbers, for one message.
pub(super) fn turn(
    programs: &Path,
    workload: &Workload,
    contender: &Contender,
) -> Result<Vec<(String, f64)>> {
    if find("valgrind").is_none() {
        return Err("counting instructions needs valgrind: `apt-get install valgrind`".to_owned());
    }
    let batches = workload.batches();
    let few = count(programs, workload, contender, batches)?;
    let many = count(programs, workload, contender, 2 * batches)?;
    let messages = (batches * workload.in_flight) as f64;
    let each = few.into_iter().zip(many).map(|((name, few), (_, many))| {
        // Of an event loop, a thread that does something else may allocate, once.
        let more = if many - few < 5.0 { 0.0 } else { many - few };
        (name, more / messages)
    });
    Ok(each.collect())
}

/// What the whole program did.
fn count(
    programs: &Path,
    workload: &Workload,
    contender: &Contender,
    batches: usize,
) -> Result<Vec<(String, f64)>> {
    let mut command = Command::new("valgrind");
    command.env("GLIBC_TUNABLES", NO_REP);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    if !contender.name.ends_with("mio") {
        // What comes before is of different length each time.
        command.arg("--toggle-collect=*counted*measured*");
    }
    command
        .arg(programs.join("counted"))
        .args([contender.name, contender.mode])
        .args([workload.bytes, workload.in_flight, batches].map(|number| number.to_string()));
    let output =
        command.output().map_err(|error| format!("valgrind cannot be started: {error}"))?;
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let instructions = stderr.lines().find_map(|line| line.split("Collected : ").nth(1));
    let instructions = instructions.filter(|_| output.status.success());
    let instructions = instructions.and_then(|count| count.trim().parse().ok());
    let mut counts = vec![("instructions".to_owned(), instructions.ok_or(&*stderr)?)];
    for line in stdout.lines() {
        let pair = line
            .split_once(' ')
            .and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        counts.push(pair.ok_or_else(|| format!("`counted` printed {line:?}"))?);
    }
    Ok(counts)
}

/// Compares what ours cost with what is stored, but for large batches over loopback: in how many pieces they are
/// read depends on the kernel.
pub(crate) fn check(workspace: &Workspace) -> Result {
    let programs = super::build(workspace)?;
    let stored = results::load(workspace, Suite::Counted)?;
    let mut problems = Vec::new();
    for workload in Suite::Counted.workloads() {
        for contender in Suite::Counted.contenders().iter().filter(|it| it.name.starts_with("ws")) {
            if contender.name == "wsmio" && workload.bytes * workload.in_flight > 16 << 10 {
                continue;
            }
            let counted = turn(&programs, &workload, contender)?;
            let stored = stored.iter().find(|row| {
                let names = (&*row.workload, &*row.server, &*row.mode);
                names == (&*workload.name, contender.name, contender.mode)
            });
            problems.extend(rises(&counted, stored, &workload.name, contender));
        }
    }
    if problems.is_empty() {
        println!("no echo costs more than what is stored");
        return Ok(());
    }
    Err(problems.join("\n       "))
}

fn rises(
    counted: &[(String, f64)],
    stored: Option<&Row>,
    workload: &str,
    contender: &Contender,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, count) in counted {
        let what = format!("{workload}, {}: {count:.2} {name}", contender.title());
        let tolerance = TOLERANCE[usize::from(name != "instructions")];
        match stored.and_then(|row| row.figures.get(name)) {
            Some(stored) if *count > stored.median * (1.0 + tolerance) + 0.01 => problems.push(format!(
                "{what}, and there were {:.2}: find out why, or store it with `cargo xtask bench wire counted --save`",
                stored.median
            )),
            Some(_) => {}
            None => problems.push(format!(
                "{what} are not stored: store them with `cargo xtask bench wire counted --save`"
            )),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_a_problem_of_instructions_by_more_than_three_percent() {
        let contender = Contender { name: "wstokio", mode: "each", kind: "binary" };
        let stored = Row {
            workload: String::new(),
            server: String::new(),
            mode: String::new(),
            kind: String::new(),
            figures: [("instructions", 100.0), ("reads", 1.0)]
                .map(|(name, value)| (name.to_owned(), results::Spread::of(vec![value])))
                .into(),
        };
        let rises = |instructions, reads| {
            let counted = [("instructions".to_owned(), instructions), ("reads".to_owned(), reads)];
            rises(&counted, Some(&stored), "", &contender).len()
        };
        assert_eq!([rises(103.0, 1.0), rises(104.0, 1.0), rises(50.0, 1.1)], [0, 1, 1]);
    }
}
