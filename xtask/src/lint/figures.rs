//! README's figures are those that were measured: its tables are excerpts of those in `benches/results`.

/// A table in Markdown, as its cells.
struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What README says and the results do not. A table is meant as an excerpt if its first heading is that
/// of one in the results; then each of its rows must stand in one of them, in some of its columns.
pub(super) fn problems(readme: &str, results: &[String]) -> Vec<String> {
    let results: Vec<Table> = results.iter().flat_map(|text| tables(text)).collect();
    let mut problems = Vec::new();
    for excerpt in tables(readme) {
        let sources: Vec<_> = results
            .iter()
            .filter(|table| table.headings.first() == excerpt.headings.first())
            .collect();
        if sources.is_empty() {
            continue;
        }
        for row in &excerpt.rows {
            if !sources.iter().any(|source| source.has(&excerpt.headings, row)) {
                problems.push(format!(
                    "README.md: the row `{}` is not what benches/results has: measure again, or copy it",
                    row.join(" | ")
                ));
            }
        }
    }
    problems
}

impl Table {
    /// Whether one of its rows has these cells under these headings.
    fn has(&self, headings: &[String], cells: &[String]) -> bool {
        let columns: Option<Vec<_>> = headings
            .iter()
            .map(|heading| self.headings.iter().position(|own| own == heading))
            .collect();
        columns.is_some_and(|columns| {
            self.rows.iter().any(|row| {
                columns.iter().zip(cells).all(|(column, cell)| row.get(*column) == Some(cell))
            })
        })
    }
}

fn tables(markdown: &str) -> Vec<Table> {
    let lines: Vec<&str> = markdown.lines().map(str::trim).collect();
    let blocks = lines.split(|line| !line.starts_with('|'));
    blocks
        .filter_map(|block| {
            let [head, _rule, rows @ ..] = block else { return None };
            Some(Table { headings: cells(head), rows: rows.iter().map(|row| cells(row)).collect() })
        })
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str =
        "| masked, bytes | ours | theirs |\n|---|---|---|\n| 20 | 1.00 | 2.00 |\n";

    fn count(readme: &str) -> usize {
        problems(readme, &[RESULTS.to_owned()]).len()
    }

    #[test]
    fn an_excerpt_has_the_figures_of_its_source() {
        assert_eq!(count("| masked, bytes | theirs |\n|---|---|\n| 20 | 2.00 |\n"), 0);
        assert_eq!(count("| masked, bytes | theirs |\n|---|---|\n| 20 | 1.00 |\n"), 1);
        assert_eq!(count("| masked, bytes | others |\n|---|---|\n| 20 | 2.00 |\n"), 1);
        assert_eq!(count("| masked, bytes | theirs |\n|---|---|\n| 64 | 2.00 |\n"), 1);
    }

    #[test]
    fn other_tables_are_none_of_its_business() {
        assert_eq!(count("| limit | default |\n|---|---|\n| frame | 16 MiB |\n"), 0);
    }
}
