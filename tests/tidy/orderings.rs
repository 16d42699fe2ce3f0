//! Orderings above relaxed: each has a mutant that weakens it, for each way to do so by one step.

use crate::File;
use crate::models::STAND_INS;
use crate::source::{Finding, Source};
use std::fmt::Write;

const MUTANTS: &str = "loom-tests/mutants/";

/// One ordering of one line.
struct Site {
    path: String,
    /// From 0.
    line: usize,
    code: String,
    order: &'static str,
    /// The mutants that weaken it, for each way to do so.
    mutants: Vec<(&'static str, Vec<String>)>,
}

/// What each ordering becomes when it is weakened by one step. For loom the strongest one is the
/// same as the next: nothing would notice.
fn weaker(order: &str) -> &'static [&'static str] {
    match order {
        "AcqRel" => &["Acquire", "Release"],
        "Acquire" | "Release" => &["Relaxed"],
        _ => &[],
    }
}

/// Every ordering above relaxed that lacks a mutant.
pub(crate) fn findings(files: &[File]) -> Vec<Finding> {
    let mut found = Vec::new();
    for site in sites(files) {
        let mut wrong = |what: String| {
            found.push(Finding { path: site.path.clone(), line: site.line + 1, message: what });
        };
        if site.mutants.is_empty() {
            wrong(format!("{}: models can't tell it from AcqRel: weaken it", site.order));
        }
        for (to, mutants) in &site.mutants {
            if mutants.is_empty() {
                wrong(format!("{}: no mutant makes it {to}", site.order));
            }
        }
    }
    found
}

/// The part of docs/MODELS.md.
pub(crate) fn section(files: &[File]) -> String {
    let mut out = "\n## Orderings\n\nEvery one above relaxed, but for those of stand-ins: the \
        mutants that weaken it by one step.\n\n| in | code | mutants |\n\
        | --- | --- | --- |\n"
        .to_owned();
    for Site { path, code, mutants, .. } in sites(files) {
        let names: Vec<&str> =
            mutants.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
        let names = names.join(", ");
        let code = code.replace('|', "\\|");
        let _infallible = writeln!(out, "| `{path}` | `{code}` | {names} |");
    }
    out
}

fn sites(files: &[File]) -> Vec<Site> {
    let patches: Vec<&File> = files.iter().filter(|file| file.path.starts_with(MUTANTS)).collect();
    let is_ours = |file: &&File| {
        let is_source = file.path.starts_with("src/") && file.path.ends_with(".rs");
        is_source && !STAND_INS.contains(&file.path.as_str())
    };
    let mut found: Vec<Site> = files
        .iter()
        .filter(is_ours)
        .flat_map(|file| sites_of(&Source::parse(&file.path, &file.text)))
        .collect();
    for file in files.iter().filter(is_ours) {
        let lines: Vec<&str> = file.text.lines().collect();
        for patch in &patches {
            for (line, added) in removed_lines(&patch.text, &file.path, &lines) {
                let name = patch.path.trim_start_matches(MUTANTS).trim_end_matches(".patch");
                let of_line = |site: &&mut Site| site.path == file.path && site.line == line;
                for site in found.iter_mut().filter(of_line) {
                    site.weakened_by(name, &added);
                }
            }
        }
    }
    found
}

impl Site {
    /// A mutant has other lines in the place of this one.
    fn weakened_by(&mut self, name: &str, added: &[String]) {
        let is_fence = self.code.starts_with("fence(");
        for (to, mutants) in &mut self.mutants {
            let from = format!("Ordering::{}", self.order);
            let weakened = self.code.replacen(&from, &format!("Ordering::{to}"), 1);
            let weakens = added.iter().any(|line| line.trim() == weakened);
            if weakens || (is_fence && added.is_empty()) {
                mutants.push(name.to_owned());
            }
        }
    }
}

/// The orderings of a file, but for its tests and for what only models have.
fn sites_of(source: &Source) -> Vec<Site> {
    let mut found = Vec::new();
    let mut in_models = false;
    for (line, text) in source.lines.iter().enumerate().take(source.tests_at) {
        let code = text.code.trim();
        in_models = match code {
            "#[cfg(any(halfshake_loom, halfshake_shuttle))]" => {
                source.lines.get(line + 1).is_some_and(|next| next.code.starts_with("mod "))
            }
            _ => in_models && !text.code.starts_with('}'),
        };
        for order in ["Acquire", "Release", "AcqRel", "SeqCst"] {
            if !in_models && code.contains(&format!("Ordering::{order}")) {
                found.push(Site {
                    path: source.path.clone(),
                    line,
                    code: code.to_owned(),
                    order,
                    mutants: weaker(order).iter().map(|to| (*to, Vec::new())).collect(),
                });
            }
        }
    }
    found
}

/// Which lines of a file a patch takes away, and what it puts there.
fn removed_lines(patch: &str, path: &str, lines: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let Some((_, hunks)) = patch.split_once(&format!("+++ b/{path}\n")) else { return found };
    for hunk in hunks.split("@@ -").skip(1) {
        let told = hunk.split([',', ' ']).next().and_then(|n| n.parse::<usize>().ok());
        let changes: Vec<&str> = hunk.lines().skip(1).collect();
        let old: Vec<&str> = changes
            .iter()
            .filter(|l| !l.starts_with('+'))
            .map(|l| l.get(1..).unwrap_or(""))
            .collect();
        let is_here = |at: &usize| lines.get(*at..*at + old.len()) == Some(&old[..]);
        let told = told.unwrap_or(1).saturating_sub(1);
        let Some(begin) = (0..lines.len()).filter(is_here).min_by_key(|at| at.abs_diff(told))
        else {
            continue;
        };
        let added: Vec<String> = changes
            .iter()
            .filter_map(|line| line.strip_prefix('+'))
            .map(|line| line.trim().to_owned())
            .collect();
        let mut at = begin;
        for line in changes {
            if line.starts_with('-') {
                found.push((at, added.clone()));
            }
            at += usize::from(!line.starts_with('+'));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn f() {\n    // Release: pairs.\n    x.store(1, Ordering::Release);\n}\n\
        fn g() {\n    // Release: pairs.\n    x.store(1, Ordering::Release);\n    \
        y.swap(1, Ordering::AcqRel);\n}\n";

    fn file(path: &str, text: String) -> File {
        File { path: path.to_owned(), text }
    }

    /// A mutant of two lines of context.
    fn mutant(name: &str, line: usize, to: &str) -> File {
        let lines: Vec<&str> = TEXT.lines().collect();
        let (old, next) = (lines[line], lines[line + 1]);
        let new = old.replace("Ordering::Release", to).replace("Ordering::AcqRel", to);
        let hunk =
            format!("@@ -{line},3 +{line},3 @@\n {}\n-{old}\n+{new}\n {next}\n", lines[line - 1]);
        let text = format!("It.\n\n--- a/src/a.rs\n+++ b/src/a.rs\n{hunk}");
        file(&format!("{MUTANTS}{name}.patch"), text)
    }

    fn all() -> Vec<File> {
        vec![
            file("src/a.rs", TEXT.to_owned()),
            mutant("f", 2, "Ordering::Relaxed"),
            mutant("g", 6, "Ordering::Relaxed"),
            mutant("h", 7, "Ordering::Release"),
            mutant("i", 7, "Ordering::Acquire"),
        ]
    }

    fn wrong(files: &[File]) -> Vec<(usize, String)> {
        findings(files).into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn orderings_that_have_all_their_mutants_are_fine() {
        assert_eq!(wrong(&all()), []);
    }

    #[test]
    fn each_ordering_needs_a_mutant_of_its_own_for_each_step() {
        for (without, line, says) in [(1, 3, "Relaxed"), (2, 7, "Relaxed"), (3, 8, "Release")] {
            let mut files = all();
            files.remove(without);
            let found = wrong(&files);
            assert!(found.len() == 1 && found[0].0 == line, "{found:?}");
            assert!(found[0].1.contains(&format!("makes it {says}")), "{found:?}");
        }
        let mut files = all();
        files[0].text = TEXT.replace("AcqRel", "SeqCst");
        let found = wrong(&files);
        assert!(found.iter().any(|found| found.1.contains("can't tell it")), "{found:?}");
        files[0].text = format!("#[cfg(test)]\nmod tests {{\n{TEXT}}}\n");
        assert_eq!(wrong(&files), [], "not in tests");
    }
}
