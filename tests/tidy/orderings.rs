//! Orderings above relaxed: each has a mutant that weakens it by one step, or a reason here why
//! nothing but an argument holds it.

use crate::File;
use crate::models::STAND_INS;
use crate::source::{Finding, Source};
use std::fmt::Write;

const MUTANTS: &str = "loom-tests/mutants/";

/// What no mutant weakens.
struct Unproved {
    path: &'static str,
    /// The line, without what surrounds it.
    line: &'static str,
    reason: &'static str,
}

const UNPROVED: &[Unproved] = &[
    Unproved {
        path: "src/cache/mod.rs",
        line: "let last = self.core.extra.handles.fetch_sub(1, Ordering::AcqRel) == 1;",
        reason: "the count of an `Arc`, used as one; `tests/races.rs` reads at the end what \
                 another handle's owner wrote",
    },
    Unproved {
        path: "src/session/outcome.rs",
        line: "self.woken.store(true, Ordering::Release);",
        reason: "it parks a thread of the system, which loom has not; `tests/races.rs` reads when \
                 it is polled what was written before it was woken",
    },
    Unproved {
        path: "src/session/outcome.rs",
        line: "if unpark.woken.swap(false, Ordering::Acquire) {",
        reason: "the other side of the same",
    },
];

/// One ordering of one line.
struct Site {
    path: String,
    /// From 0.
    line: usize,
    code: String,
    order: &'static str,
    /// The mutants that weaken it, for each way to do so.
    mutants: Vec<(&'static str, Vec<String>)>,
    reason: &'static str,
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

/// Every ordering above relaxed that has neither mutants nor a reason; reasons that are stale.
pub(crate) fn findings(files: &[File]) -> Vec<Finding> {
    findings_with(files, UNPROVED)
}

fn findings_with(files: &[File], unproved: &[Unproved]) -> Vec<Finding> {
    let sites = sites(files, unproved);
    let mut found = Vec::new();
    for site in &sites {
        let mut wrong = |what: String| {
            found.push(Finding { path: site.path.clone(), line: site.line + 1, message: what });
        };
        if !site.reason.is_empty() {
            continue;
        }
        if site.mutants.is_empty() {
            wrong(format!("{}: models can't tell it from AcqRel: weaken it", site.order));
        }
        for (to, mutants) in &site.mutants {
            if mutants.is_empty() {
                wrong(format!("{}: no mutant makes it {to}, and no reason why", site.order));
            }
        }
    }
    for Unproved { path, line, .. } in unproved {
        let is_used = |site: &Site| site.path == *path && site.code == *line;
        if !sites.iter().any(|site| !site.reason.is_empty() && is_used(site)) {
            let message = format!("{line:?} has a reason in tests/tidy/orderings.rs for nothing");
            found.push(Finding { path: (*path).to_owned(), line: 1, message });
        }
    }
    found
}

/// The part of docs/MODELS.md.
pub(crate) fn section(files: &[File]) -> String {
    let sites = sites(files, UNPROVED);
    let mut out = "\n## Orderings\n\nEvery one above relaxed, but for those of stand-ins: the \
        mutants that weaken it by one step, or what it rests on.\n\n| in | code | mutants |\n\
        | --- | --- | --- |\n"
        .to_owned();
    for Site { path, code, mutants, reason, .. } in &sites {
        let names: Vec<&str> =
            mutants.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
        let proof = if reason.is_empty() { names.join(", ") } else { format!("none: {reason}") };
        let code = code.replace('|', "\\|");
        let _infallible = writeln!(out, "| `{path}` | `{code}` | {proof} |");
    }
    out
}

fn sites(files: &[File], unproved: &[Unproved]) -> Vec<Site> {
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
    for site in &mut found {
        let is_proved = !site.mutants.is_empty() && site.mutants.iter().all(|m| !m.1.is_empty());
        let reason = unproved.iter().find(|u| u.path == site.path && u.line == site.code);
        if let (Some(Unproved { reason, .. }), false) = (reason, is_proved) {
            site.reason = reason;
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
                    reason: "",
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

    fn wrong(files: &[File], unproved: &[Unproved]) -> Vec<(usize, String)> {
        let found = findings_with(files, unproved);
        found.into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn orderings_that_have_all_their_mutants_are_fine() {
        assert_eq!(wrong(&all(), &[]), []);
    }

    #[test]
    fn each_ordering_needs_a_mutant_of_its_own_for_each_step() {
        for (without, line, says) in [(1, 3, "Relaxed"), (2, 7, "Relaxed"), (3, 8, "Release")] {
            let mut files = all();
            files.remove(without);
            let found = wrong(&files, &[]);
            assert!(found.len() == 1 && found[0].0 == line, "{found:?}");
            assert!(found[0].1.contains(&format!("makes it {says}")), "{found:?}");
        }
        let mut files = all();
        files[0].text = TEXT.replace("AcqRel", "SeqCst");
        let found = wrong(&files, &[]);
        assert!(found.iter().any(|found| found.1.contains("can't tell it")), "{found:?}");
        files[0].text = format!("#[cfg(test)]\nmod tests {{\n{TEXT}}}\n");
        assert_eq!(wrong(&files, &[]), [], "not in tests");
    }

    #[test]
    fn reason_stands_for_a_mutant_and_must_be_needed() {
        let line = "x.store(1, Ordering::Release);";
        let unproved = || [Unproved { path: "src/a.rs", line, reason: "so" }];
        let mut files = all();
        assert_eq!(wrong(&files, &unproved()).len(), 1, "it has a mutant");
        files.remove(1);
        assert_eq!(wrong(&files, &unproved()), []);
        assert_eq!(sites(&files, &unproved())[0].reason, "so");
        assert_eq!(sites(&files, &unproved())[1].reason, "", "the same line elsewhere");
    }
}
