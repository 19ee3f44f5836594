//! Judging a report: what failed, and what the list of exceptions says about it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;

/// A case that is known not to pass, with the reason.
pub(super) struct Exception {
    role: String,
    case: CaseId,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CaseId(Vec<u32>);

struct Outcome {
    behavior: String,
    close: String,
    report: String,
}

impl Exception {
    pub(super) fn read(path: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        parse_exceptions(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Prints a table and every line that is not as it should be, and says how many those are.
pub(super) fn judge(
    role: &str,
    folder: &Path,
    sections: &[(&str, usize)],
    exceptions: &[Exception],
) -> Result<usize> {
    let index = folder.join("index.json");
    let text = fs::read_to_string(&index)
        .map_err(|error| format!("Autobahn left no report at {}: {error}", index.display()))?;
    let json: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", index.display()))?;
    let outcomes = parse_report(&json)?;

    println!("\n{role}: {} cases\n  section  cases  passed", outcomes.len());
    for (section, expected) in sections {
        let ran = || outcomes.iter().filter(|(case, _)| case.section() == *section);
        let passed = ran().filter(|(_, outcome)| outcome.passed()).count();
        println!(
            "  {section:>7}  {:>5}  {passed:>6}{}",
            ran().count(),
            if passed == *expected { "" } else { "  !" }
        );
    }
    let problems = problems(role, &outcomes, sections, exceptions);
    for problem in &problems {
        println!("  {problem}");
    }
    println!("  the reports are in {}, from index.html on", folder.display());
    Ok(problems.len())
}

fn problems(
    role: &str,
    outcomes: &BTreeMap<CaseId, Outcome>,
    sections: &[(&str, usize)],
    exceptions: &[Exception],
) -> Vec<String> {
    let excepted = |case: &CaseId| exceptions.iter().any(|it| it.role == role && it.case == *case);
    let mut problems = Vec::new();
    for (section, expected) in sections {
        let ran = outcomes.keys().filter(|case| case.section() == *section).count();
        if ran != *expected {
            problems.push(format!("section {section} ran {ran} cases, and has {expected}"));
        }
    }
    for (case, outcome) in outcomes {
        let Outcome { behavior, close, report } = outcome;
        match (outcome.passed(), excepted(case)) {
            (true, false) | (false, true) => {}
            (false, false) => {
                problems
                    .push(format!("case {case}: {behavior}, its closing {close}: see {report}"));
            }
            (true, true) => {
                problems.push(format!("case {case} passes: take it out of the list of exceptions"));
            }
        }
    }
    for Exception { role: its_role, case } in exceptions {
        if its_role == role && !outcomes.contains_key(case) {
            problems.push(format!("case {case} is in the list of exceptions, and did not run"));
        }
    }
    problems
}

impl Outcome {
    fn passed(&self) -> bool {
        [&self.behavior, &self.close].into_iter().all(|it| it == "OK" || it == "INFORMATIONAL")
    }
}

impl CaseId {
    fn parse(text: &str) -> Option<Self> {
        text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>().map(Self)
    }

    fn section(&self) -> String {
        self.0.first().map(u32::to_string).unwrap_or_default()
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
    }
}

/// `{agent: {case: {behavior, behaviorClose, reportfile}}}`, with one agent.
fn parse_report(json: &Value) -> Result<BTreeMap<CaseId, Outcome>> {
    let agents = json.as_object().ok_or("the report is not a JSON object")?;
    let [cases] = agents.values().collect::<Vec<_>>()[..] else {
        return Err(format!("the report has {} agents, and should have one", agents.len()));
    };
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    let cases = cases.as_object().ok_or("the report's agent is not a JSON object")?;
    let outcome = |(name, case): (&String, &Value)| {
        let id =
            CaseId::parse(name).ok_or_else(|| format!("the report has a case named {name:?}"))?;
        let report = text(&case["reportfile"]).replace(".json", ".html");
        Ok((
            id,
            Outcome {
                behavior: text(&case["behavior"]),
                close: text(&case["behaviorClose"]),
                report,
            },
        ))
    };
    cases.iter().map(outcome).collect()
}

/// A line is `role case-id reason`; empty lines and those that start with # say nothing.
fn parse_exceptions(text: &str) -> Result<Vec<Exception>> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parse = |line: &str| {
        let mut words = line.splitn(3, char::is_whitespace);
        let role = words.next().filter(|role| matches!(*role, "server" | "client"));
        let case = words.next().and_then(CaseId::parse);
        let reason = words.next().map(str::trim).filter(|reason| !reason.is_empty());
        match (role, case, reason) {
            (Some(role), Some(case), Some(_)) => Ok(Exception { role: role.to_owned(), case }),
            _ => Err(format!("{line:?} should read `server|client CASE-ID REASON`")),
        }
    };
    lines.map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTIONS: [(&str, usize); 1] = [("1", 2)];

    fn outcomes(second: &str) -> BTreeMap<CaseId, Outcome> {
        let case = |behavior: &str| serde_json::json!({"behavior": behavior, "behaviorClose": "OK", "reportfile": "x.json"});
        parse_report(
            &serde_json::json!({"agent": {"1.1.1": case("INFORMATIONAL"), "1.1.2": case(second)}}),
        )
        .unwrap()
    }

    fn problems_with(second: &str, exceptions: &str) -> Vec<String> {
        problems("server", &outcomes(second), &SECTIONS, &parse_exceptions(exceptions).unwrap())
    }

    #[test]
    fn ok_and_informational_pass() {
        assert!(problems_with("OK", "# none").is_empty());
    }

    #[test]
    fn non_strict_is_a_failure() {
        assert_eq!(problems_with("NON-STRICT", "client 1.1.2 because").len(), 1);
    }

    #[test]
    fn a_listed_failure_is_excused() {
        assert!(problems_with("FAILED", "server 1.1.2 because").is_empty());
    }

    #[test]
    fn a_listed_case_that_passes_is_drift() {
        assert_eq!(problems_with("OK", "server 1.1.2 because").len(), 1);
    }

    #[test]
    fn a_listed_case_that_did_not_run_is_drift() {
        assert_eq!(problems_with("OK", "server 1.9.9 because").len(), 1);
    }

    #[test]
    fn a_missing_case_is_noticed() {
        let report = parse_report(&serde_json::json!({"agent": {}})).unwrap();
        assert_eq!(problems("server", &report, &SECTIONS, &[]).len(), 1);
    }

    #[test]
    fn an_exception_needs_a_reason() {
        assert!(parse_exceptions("server 1.1.2").is_err());
    }
}
