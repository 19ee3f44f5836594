//! The pages that show what was measured: each has a part between two marks that is made from the data, and
//! nothing of it by hand.

use std::fs;
use std::path::Path;

use super::results::{self, Row, best_by};
use super::suites::Suite;
use super::{chart, suites};
use crate::Result;
use crate::workspace::Workspace;

const BEGIN: &str = "<!-- made by cargo xtask bench wire: begin -->";
const END: &str = "<!-- made by cargo xtask bench wire: end -->";

/// The suites, in the order of the page.
const SUITES: [Suite; 8] = [
    Suite::Echo,
    Suite::Text,
    Suite::Matrix,
    Suite::Handshakes,
    Suite::Broadcast,
    Suite::Client,
    Suite::Memory,
    Suite::Counted,
];

/// Writes what the data makes of the pages.
pub(super) fn write(workspace: &Workspace) -> Result {
    for (path, text) in all(workspace)? {
        let path = workspace.root.join(path);
        fs::write(&path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// What differs from what the data makes of it.
pub(crate) fn problems(workspace: &Workspace) -> Result<Vec<String>> {
    let differ = all(workspace)?.into_iter().filter(|(path, text)| {
        fs::read_to_string(workspace.root.join(path)).unwrap_or_default() != *text
    });
    let problem = |(path, _)| {
        format!(
            "{path} is not what benches/results/wire.json makes of it: `cargo xtask bench wire --render`"
        )
    };
    Ok(differ.map(problem).collect())
}

/// The pages, and what should be in them.
fn all(workspace: &Workspace) -> Result<Vec<(&'static str, String)>> {
    let echo = results::load(workspace, Suite::Echo)?;
    let mut pages = vec![
        ("README.md", between(&workspace.root, "README.md", &summary(workspace, &echo)?)?),
        (
            "docs/benchmarks.md",
            between(&workspace.root, "docs/benchmarks.md", &tables(workspace)?)?,
        ),
    ];
    if !echo.is_empty() {
        pages.push(("docs/wire.svg", chart::draw(&echo)));
    }
    Ok(pages)
}

/// The page with its part between the marks replaced.
fn between(root: &Path, page: &str, made: &str) -> Result<String> {
    let text = fs::read_to_string(root.join(page))
        .map_err(|error| format!("cannot read {page}: {error}"))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| format!("{page} has lost the marks {BEGIN} and {END}"))?;
    Ok(format!("{before}{BEGIN}\n{made}{END}{after}"))
}

/// For README: the chart, or nothing.
fn summary(workspace: &Workspace, echo: &[Row]) -> Result<String> {
    let mut text = String::new();
    if !echo.is_empty() {
        text += "![Messages echoed per second by wsmio, wstokio, raw TCP and five other libraries](docs/wire.svg)\n\n";
    }
    let memory = results::load(workspace, Suite::Memory)?;
    let counted = results::load(workspace, Suite::Counted)?;
    text += "| counted | wsmio | wstokio | tokio-tungstenite | fastwebsockets | tokio-websockets | yawc | sockudo-ws |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|\n";
    let libraries = suites::LIBRARIES;
    let heap = libraries.map(|name| {
        let row = memory.iter().find(|row| row.server == name);
        row.and_then(|row| row.figures.get("heap"))
            .map_or("–".to_owned(), |it| format!("{:.0}", it.median))
    });
    text += &format!("| heap of an idle connection, bytes | {} |\n", heap.join(" | "));
    for workload in ["64 × 20 B × 16", "16 × 1 KiB × 16"] {
        let least = libraries.map(|name| {
            let rows = counted.iter().filter(|row| row.workload == workload && row.server == name);
            let counts = rows.filter_map(|row| Some(row.figures.get("instructions")?.median));
            counts.min_by(f64::total_cmp).map_or("–".to_owned(), |count| format!("{count:.0}"))
        });
        text += &format!("| instructions for an echo, {workload} | {} |\n", least.join(" | "));
    }
    Ok(text)
}

/// For the page on method: all tables, and where a peer is ahead.
fn tables(workspace: &Workspace) -> Result<String> {
    let mut text = String::new();
    for suite in SUITES {
        let rows = results::load(workspace, suite)?;
        if rows.is_empty() {
            continue;
        }
        let how = results::how(workspace, suite)?;
        text += &format!("\n### {}\n\n{how}\n\n{}\n", suite.title(), results::head(suite));
        text += &results::lines(suite, &rows);
    }
    text += "\n### Where a peer is ahead\n\n";
    let ahead = ahead(workspace)?;
    if ahead.is_empty() {
        text += "Nowhere in these tables is one ahead of wstokio.\n";
    }
    for line in ahead {
        text += &format!("- {line}\n");
    }
    text += "\n";
    Ok(text)
}

/// A line for each load under which a peer does better than wstokio.
fn ahead(workspace: &Workspace) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for suite in SUITES {
        let rows = results::load(workspace, suite)?;
        let mut loads: Vec<_> =
            rows.iter().map(|row| (row.workload.clone(), row.kind.clone())).collect();
        loads.sort();
        loads.dedup();
        for (workload, kind) in loads {
            let rows: Vec<_> = rows.iter().filter(|row| row.kind == kind).cloned().collect();
            let (figure, more_is_better) = suite.main_figure();
            let of = |row: &Row| {
                let figure = row.figures.get(figure).map(|it| it.median);
                figure.map(|it| if more_is_better { it } else { -it })
            };
            let bars = best_by(&rows, &workload, of);
            let ours = bars.iter().find(|(row, _)| row.server == "wstokio");
            let peers = bars.iter().filter(|(row, _)| {
                !row.server.starts_with("raw-") && !row.server.starts_with("ws")
            });
            let peer = peers.max_by(|(_, a), (_, b)| a.total_cmp(b));
            if let (Some((_, ours)), Some((row, theirs))) = (ours, peer)
                && theirs > ours
            {
                let [ours, theirs] = [ours.abs(), theirs.abs()].map(chart::per_second);
                lines.push(format!(
                    "{}, {workload}{}: {} with {theirs}, wstokio with {ours}",
                    suite.title(),
                    if kind == "text" { ", text" } else { "" },
                    row.server
                ));
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_but_what_is_between_the_marks_is_replaced() {
        let folder = std::env::temp_dir().join(format!("xtask-pages-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let page = format!("before\n{}\nold\n{}\nafter\n", super::BEGIN, super::END);
        std::fs::write(folder.join("page.md"), page).unwrap();
        let made = super::between(&folder, "page.md", "new\n").unwrap();
        assert_eq!(made, format!("before\n{}\nnew\n{}\nafter\n", super::BEGIN, super::END));
        std::fs::write(folder.join("page.md"), "nothing").unwrap();
        assert!(super::between(&folder, "page.md", "").is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
