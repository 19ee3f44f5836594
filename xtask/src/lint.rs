//! Facts that a machine can check, so that nobody has to keep them by hand.

mod figures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::succeeds;
use crate::wire;
use crate::workspace::Workspace;

const NO_STD: [&str; 3] = ["wsframe", "wshandshake", "wsconn"];
/// The only published crate that may hold `unsafe`, and how many times.
const UNSAFE_CRATE: &str = "wsframe";
const UNSAFE_LIMIT: usize = 8;
const LONG_FILE: usize = 500;
const TOO_LONG_FILE: usize = 900;

pub(crate) fn run(workspace: &Workspace) -> Result {
    let mut problems = Vec::new();
    problems.extend(msrv(workspace)?);
    problems.extend(crate_table(workspace)?);
    problems.extend(figures(workspace)?);
    problems.extend(crate_attributes(workspace)?);
    problems.extend(unsafe_count(workspace)?);
    problems.extend(links(workspace)?);
    problems.extend(tests_named(workspace)?);
    problems.extend(lock_file(workspace));
    problems.extend(file_lengths(workspace)?);
    problems.extend(wire::pages::problems(workspace)?);
    if problems.is_empty() {
        println!("lint: nothing to complain about");
        return Ok(());
    }
    for problem in &problems {
        eprintln!("lint: {problem}");
    }
    Err(format!("lint found {}: mend what is listed above", count(problems.len(), "problem")))
}

/// The oldest Rust is stated once, in the workspace's Cargo.toml; every crate inherits it and README repeats it.
fn msrv(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let manifest = read(&workspace.root.join("Cargo.toml"))?;
    let Some(msrv) = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")) else {
        return Ok(vec!["Cargo.toml states no rust-version under [workspace.package]".to_owned()]);
    };
    let msrv = msrv.trim_matches('"');
    for package in &workspace.packages {
        if !read(&package.manifest)?.lines().any(|line| line == "rust-version.workspace = true") {
            problems.push(format!(
                "{}: add `rust-version.workspace = true`",
                show(workspace, &package.manifest)
            ));
        }
    }
    let readme = read(&workspace.root.join("README.md"))?;
    let stated = rust_versions(&readme);
    if stated.is_empty() {
        problems
            .push(format!("README.md does not say which Rust is needed: write \"Rust {msrv}\""));
    }
    for version in stated.iter().filter(|version| *version != msrv) {
        problems.push(format!("README.md speaks of Rust {version}, and Cargo.toml of {msrv}"));
    }
    Ok(problems)
}

/// Each `1.N` that follows the word Rust.
fn rust_versions(text: &str) -> Vec<String> {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split("Rust 1.")
        .skip(1)
        .map(digits)
        .filter(|minor| !minor.is_empty())
        .map(|minor| format!("1.{minor}"))
        .collect()
}

/// README's table of crates lists the published ones, all of them and no others.
fn crate_table(workspace: &Workspace) -> Result<Vec<String>> {
    let listed = table_names(&read(&workspace.root.join("README.md"))?);
    let published: BTreeSet<_> =
        workspace.published().map(|package| package.name.clone()).collect();
    let missing = published
        .difference(&listed)
        .map(|name| format!("README.md: the crate table lacks {name}"));
    let extra = listed.difference(&published).map(|name| {
        format!("README.md: the crate table lists {name}, which is not a published crate")
    });
    Ok(missing.chain(extra).collect())
}

/// The names in the first column of the table whose first heading is "crate".
fn table_names(markdown: &str) -> BTreeSet<String> {
    let first_cell = |line: &str| {
        line.trim().trim_start_matches('|').split('|').next().unwrap_or_default().trim().to_owned()
    };
    markdown
        .lines()
        .skip_while(|line| {
            !(line.starts_with('|') && first_cell(line).eq_ignore_ascii_case("crate"))
        })
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| first_cell(line).split('`').nth(1).map(str::to_owned))
        .collect()
}

/// README's figures are those in benches/results.
fn figures(workspace: &Workspace) -> Result<Vec<String>> {
    let results: Result<Vec<_>> = files(&workspace.root.join("benches/results"), "md")?
        .iter()
        .map(|path| read(path))
        .collect();
    Ok(figures::problems(&read(&workspace.root.join("README.md"))?, &results?))
}

/// `#![forbid(unsafe_code)]` in every published crate but one, and `#![no_std]` where it is promised.
fn crate_attributes(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in &workspace.packages {
        for root in &package.roots {
            let source = read(root)?;
            let has = |word: &str| {
                source.lines().any(|line| line.starts_with("#![") && line.contains(word))
            };
            // An allocator that counts, for tests, cannot do without: there `deny` with one exception will do.
            let denied =
                has("forbid(unsafe_code)") || !package.published && has("deny(unsafe_code)");
            if package.name != UNSAFE_CRATE && !denied {
                problems.push(format!("{}: add `#![forbid(unsafe_code)]`", show(workspace, root)));
            }
            if NO_STD.contains(&&*package.name) && !has("no_std") {
                problems.push(format!("{}: add `#![no_std]`", show(workspace, root)));
            }
        }
    }
    Ok(problems)
}

fn unsafe_count(workspace: &Workspace) -> Result<Vec<String>> {
    let mut total = 0;
    for file in files(&workspace.root.join("crates").join(UNSAFE_CRATE).join("src"), "rs")? {
        let source = read(&file)?;
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        total += code
            .filter(|line| {
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .count();
    }
    Ok((total > UNSAFE_LIMIT)
        .then(|| {
            format!(
                "crates/{UNSAFE_CRATE} uses `unsafe` {total} times, and the limit is {UNSAFE_LIMIT}"
            )
        })
        .into_iter()
        .collect())
}

/// Relative links in Markdown files lead to files that exist.
fn links(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in files(&workspace.root, "md")? {
        let folder = file.parent().unwrap_or(&workspace.root);
        for link in relative_links(&read(&file)?) {
            if !folder.join(&link).exists() {
                problems.push(format!(
                    "{} links to {link}, which does not exist",
                    show(workspace, &file)
                ));
            }
        }
    }
    Ok(problems)
}

fn relative_links(markdown: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The tests that these pages name exist.
fn tests_named(workspace: &Workspace) -> Result<Vec<String>> {
    let mut functions = BTreeSet::new();
    for file in files(&workspace.root.join("crates"), "rs")? {
        functions.extend(read(&file)?.lines().filter_map(function).map(str::to_owned));
    }
    let mut problems = Vec::new();
    for page in ["SECURITY.md", "ARCHITECTURE.md"] {
        let text = read(&workspace.root.join(page))?;
        let missing = sentences(&text).filter(|name| !functions.contains(*name));
        problems.extend(
            missing.map(|name| format!("{page} names the test {name}, which does not exist")),
        );
    }
    Ok(problems)
}

/// The name of the function that this line begins.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    rest.split_once('(').map(|(name, _)| name)
}

/// What stands in backticks and is named as tests are. Nothing else has a name of three words or more.
fn sentences(markdown: &str) -> impl Iterator<Item = &str> {
    let is_sentence = |code: &&str| {
        let word = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        code.bytes().all(word) && code.matches('_').count() >= 2
    };
    markdown.split('`').skip(1).step_by(2).filter(is_sentence)
}

/// Cargo.lock is committed: a clone builds what was tested.
fn lock_file(workspace: &Workspace) -> Option<String> {
    let root = &workspace.root;
    let missing = if root.join(".git").exists() {
        !succeeds(Command::new("git").current_dir(root).args([
            "ls-files",
            "--error-unmatch",
            "Cargo.lock",
        ]))
    } else {
        !root.join("Cargo.lock").exists()
    };
    missing.then(|| "Cargo.lock is not committed: `git add Cargo.lock`".to_owned())
}

/// A file is one idea.
fn file_lengths(workspace: &Workspace) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in &workspace.packages {
        let folder = package.manifest.with_file_name("src");
        for file in if folder.exists() { files(&folder, "rs")? } else { Vec::new() } {
            let lines = read(&file)?.lines().count();
            let name = show(workspace, &file);
            if lines > TOO_LONG_FILE {
                problems.push(format!(
                    "{name} has {lines} lines, and the limit is {TOO_LONG_FILE}: split it by idea"
                ));
            } else if lines > LONG_FILE {
                println!("lint: warning: {name} has {lines} lines: is it still one idea?");
            }
        }
    }
    Ok(problems)
}

/// Every file below `folder` with this extension, in order, without hidden folders, build output and packages.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let listing = fs::read_dir(folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    for entry in listing.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !name.to_string_lossy().starts_with('.')
                && name != "target"
                && name != "node_modules"
            {
                found.extend(files(&path, extension)?);
            }
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn show(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_table_is_read_from_its_first_column() {
        let readme = "| bytes | ns |\n|---|---|\n| `x` | 1 |\n\n| crate | what |\n|---|---|\n| [`a`](crates/a) | one |\n| `b` | `c` |\n\ntext `d`";
        assert_eq!(table_names(readme), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn only_relative_links_outside_code_are_followed() {
        let text = "[a](A.md) [b](https://b) [c](#c) [d](d/e.md#f)\n```\n[g](g.md)\n```\n![h](h.png \"title\")";
        assert_eq!(relative_links(text), ["A.md", "d/e.md", "h.png"]);
    }

    #[test]
    fn tests_are_told_from_other_code_by_their_names() {
        let text = "`a_test_with_a_name`, `max_head`, `Config::max_message_size`\n`cargo xtask test`, `a_b_c`";
        assert!(sentences(text).eq(["a_test_with_a_name", "a_b_c"]));
        assert_eq!(function("    async fn a_b_c() {"), Some("a_b_c"));
    }

    #[test]
    fn rust_versions_are_found_in_prose() {
        assert_eq!(
            rust_versions("Needs Rust 1.88 or newer. Rust 2024. (Rust 1.90)"),
            ["1.88", "1.90"]
        );
    }
}
