//! The race over loopback: our servers and clients beside raw TCP and the peers, under one load generator.
//!
//! Server and generator have a core each. The contenders take turns in short runs, each with a process of
//! its own, so that what else the machine does hits all of them alike; what counts is the median.

mod chart;
pub(crate) mod counted;
pub(crate) mod pages;
mod results;
mod suites;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use self::results::{Row, Spread};
use self::suites::{Contender, Suite, Workload};
use crate::Result;
use crate::process::{find, output, run as run_command};
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum, default_values_t = [Suite::Echo])]
    suites: Vec<Suite>,
    /// How many turns each contender has
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long a turn takes, in milliseconds
    #[arg(long, default_value_t = 700)]
    millis: u32,
    /// Three short rounds, to see that everything runs
    #[arg(long, conflicts_with_all = ["rounds", "millis", "save"])]
    quick: bool,
    /// Only these contenders, as in wsmio,raw-mio
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Keep what was measured in benches/results/wire.json, and on the pages that show it
    #[arg(long, conflicts_with = "only")]
    save: bool,
    /// Measure nothing: make the pages of what was kept
    #[arg(long, conflicts_with_all = ["save", "only"])]
    render: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    if options.render {
        return pages::write(workspace);
    }
    let (rounds, millis) =
        if options.quick { (3, 100) } else { (options.rounds.max(1), options.millis) };
    let programs = build(workspace)?;
    let mut race = Race { programs, millis, pinned: find("taskset").is_some(), failures: 0 };
    if !race.pinned {
        println!(
            "taskset was not found: server and generator share the cores, and rates mean less"
        );
    }
    for suite in &options.suites {
        println!("\n## {}\n\n{}", suite.title(), results::head(*suite));
        let mut rows = Vec::new();
        for workload in suite.workloads() {
            let of_workload = race.workload(*suite, &workload, rounds, &options.only);
            print!("{}", results::lines(*suite, &of_workload));
            rows.extend(of_workload);
        }
        if options.save {
            results::save(workspace, *suite, rounds, millis, &rows)?;
            pages::write(workspace)?;
        }
    }
    match race.failures {
        0 => Ok(()),
        turns => Err(format!("{turns} turns have failed: the reasons are above")),
    }
}

/// Builds the programs of the race, and says where they are.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.target.join("wire");
    let manifest = workspace.root.join("benches/wire/Cargo.toml");
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--bins", "--manifest-path"]).arg(manifest);
    run_command(build.arg("--target-dir").arg(&target))?;
    Ok(target.join("release"))
}

struct Race {
    programs: PathBuf,
    millis: u32,
    pinned: bool,
    failures: usize,
}

impl Race {
    /// One row for each contender, in their order.
    fn workload(
        &mut self,
        suite: Suite,
        workload: &Workload,
        rounds: usize,
        only: &[String],
    ) -> Vec<Row> {
        let mut contenders = suite.contenders();
        contenders.retain(|it| only.is_empty() || only.iter().any(|name| name == it.name));
        let mut samples = vec![BTreeMap::<String, Vec<f64>>::new(); contenders.len()];
        for _ in 0..if suite.is_counted() { 1 } else { rounds } {
            for (samples, contender) in samples.iter_mut().zip(&contenders) {
                match self.turn(suite, workload, contender) {
                    Ok(measured) => {
                        for (name, value) in measured {
                            samples.entry(name).or_default().push(value);
                        }
                    }
                    // The others go on.
                    Err(problem) => {
                        self.failures += 1;
                        println!("{}, {}: {problem}", workload.name, contender.title());
                    }
                }
            }
        }
        let rows = contenders.iter().zip(samples).map(|(contender, samples)| Row {
            workload: workload.name.clone(),
            server: contender.name.to_owned(),
            mode: contender.mode.to_owned(),
            kind: contender.kind.to_owned(),
            figures: samples.into_iter().map(|(name, all)| (name, Spread::of(all))).collect(),
        });
        rows.collect()
    }

    /// What the load generator prints: names and numbers.
    fn turn(
        &self,
        suite: Suite,
        workload: &Workload,
        contender: &Contender,
    ) -> Result<Vec<(String, f64)>> {
        if suite == Suite::Counted {
            return counted::turn(&self.programs, workload, contender);
        }
        let mut load = self.command("1", &self.programs.join("load"));
        load.args(suite.load(workload, contender, self.millis));
        let subject = self.command("0", &self.programs.join(suite.program()));
        load.arg(subject.get_program()).args(subject.get_args());
        load.args(suite.subject(workload, contender));
        if suite.is_counted() {
            load.env("WIRE_COUNT", "1");
        }
        let printed = output(&mut load)?;
        let pairs = printed.lines().map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        pairs
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| format!("the load generator printed {printed:?}"))
    }

    /// A program on this core, if that can be had.
    fn command(&self, core: &str, program: &Path) -> Command {
        if !self.pinned {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(program);
        command
    }
}
