//! PERFORMANCE.md: its prose is written by people, its tables are made here, from the records.

use super::goals::{Bound, Goal, Verdict, goals};
use super::table::{grouped, markdown_table, number, spread, workload_name};
use super::{Handshakes, Record, Row, Spread, Table, sizes};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// All records, by their file names without the ending; those of the rows are called `rows/W1`, and
/// `rows-X/W1` where they were made for comparison: with values of 200 bytes, with AES for the
/// hash, with look-ups that fetch no cells in advance (`lean`), on another machine (`again`).
#[derive(Debug, Default)]
pub struct Records {
    tables: BTreeMap<String, Record>,
    /// `end-to-end`, which is of a kind of its own.
    handshakes: Option<Handshakes>,
}

/// Those that PERFORMANCE.md tells of.
const ROWS: &str = "rows/";

/// Those of another run of all goals, on another machine.
const AGAIN: &str = "rows-again/";

const BEGIN: &str = "<!-- made: ";
const END: &str = "<!-- /made -->";

impl Records {
    /// Reads a folder and the folders of rows in it.
    ///
    /// # Errors
    /// If a record can't be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut all = BTreeMap::new();
        for part in ["", ROWS, "rows-200/", "rows-aes/", "rows-lean/", AGAIN] {
            let folder = folder.join(part);
            let Ok(listed) = std::fs::read_dir(&folder) else { continue };
            for entry in listed {
                let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
                let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                // Others keep records of their own kinds here, too.
                let ours = !part.is_empty() || stem.starts_with("memory-");
                if ours && path.extension().is_some_and(|e| e == "json") {
                    all.insert(format!("{part}{stem}"), Record::read(&path)?);
                }
            }
        }
        let handshakes = Some(folder.join("end-to-end.json")).filter(|path| path.exists());
        let handshakes = handshakes.as_deref().map(Handshakes::read).transpose()?;
        Ok(Self { tables: all, handshakes })
    }

    /// The record of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Record> {
        self.tables.get(name)
    }

    /// The records of the rows of a run, in the order of the rows.
    fn rows_of(&self, run: &str) -> impl Iterator<Item = (&str, &Record)> {
        let rank = |name: &str| name.trim_start_matches('W').parse().unwrap_or(u32::MAX);
        let rows = self.tables.iter().filter_map(|(name, r)| Some((name.strip_prefix(run)?, r)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(name, _)| (rank(name), *name));
        rows.into_iter()
    }

    /// The records of the rows, in the order of the rows.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.rows_of(ROWS)
    }

    /// What is of another machine, compiler or library than the first of its run, if anything is.
    #[must_use]
    pub fn strangers(&self) -> Vec<String> {
        let same = |a: &Record, b: &Record| {
            let [a, b] = [&a.setting, &b.setting];
            (&a.machine, &a.rustc, &a.versions) == (&b.machine, &b.rustc, &b.versions)
        };
        let of_run = |run| {
            let first = self.rows_of(run).next();
            let others =
                self.rows_of(run).filter(move |(_, r)| first.is_some_and(|f| !same(f.1, r)));
            others.map(move |(name, _)| format!("{run}{name}"))
        };
        [ROWS, AGAIN].into_iter().flat_map(of_run).collect()
    }

    /// What came of every goal that was measured, those that are missed most first.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.verdicts_of(ROWS)
    }

    fn verdicts_of(&self, run: &str) -> Vec<Verdict> {
        let tables = |row: &str| self.get(&format!("{run}{row}")).map_or(&[][..], |r| &r.tables);
        let judged = |goal: Goal| {
            let tables = tables(&format!("{:?}", goal.row));
            tables.iter().filter_map(move |table| goal.judge(table))
        };
        let mut all: Vec<Verdict> = goals().into_iter().flat_map(judged).collect();
        all.sort_by(|a, b| b.short_by().total_cmp(&a.short_by()));
        all
    }

    /// The record of a row: `W1`, or `200/W1` for one that is for comparison.
    fn row(&self, name: &str) -> Option<&Record> {
        let (folder, row) = name.split_once('/').unwrap_or(("", name));
        let dash = if folder.is_empty() { "" } else { "-" };
        self.get(&format!("rows{dash}{folder}/{row}"))
    }

    /// The document with every table made anew.
    ///
    /// # Errors
    /// If it names a table that can't be made, or has a beginning without an end.
    pub fn fill(&self, document: &str) -> Result<String> {
        let (mut filled, mut rest) = (String::new(), document);
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (name, after) = after.split_once(" -->").context("a table without a name")?;
            let (_, after) = after.split_once(END).with_context(|| format!("{name} has no end"))?;
            let table = self.block(name).with_context(|| format!("no record gives {name:?}"))?;
            filled += &format!("{before}{BEGIN}{name} -->\n{}\n{END}", table.trim_end());
            rest = after;
        }
        Ok(filled + rest)
    }

    fn block(&self, name: &str) -> Option<String> {
        let mut words = name.split(' ');
        let first = words.next()?;
        let second = words.next();
        match first {
            "goals" => Some(self.goals()),
            "runs" => match second {
                None => Some(self.runs(ROWS)),
                Some("again") => Some(self.runs(AGAIN)),
                Some(_) => None,
            },
            "row" => {
                let tables = &self.row(second?)?.tables;
                Some(tables.iter().map(row_table).collect::<Vec<_>>().join("\n"))
            }
            "sizes" => sizes::tables(&self.row(second?)?.tables),
            "own-memory" => self.own_memory(),
            "layouts" => self.layouts(),
            "handshakes" => self.handshakes.as_ref().map(Handshakes::costs),
            "handshakes-lost" => self.handshakes.as_ref().map(Handshakes::losses),
            _ => None,
        }
    }

    fn goals(&self) -> String {
        let (verdicts, again) = (self.verdicts(), self.verdicts_of(AGAIN));
        let missed = |verdicts: &[Verdict]| verdicts.iter().filter(|v| !v.met()).count();
        let mut summary = format!("{} of {} goals are missed", missed(&verdicts), verdicts.len());
        if !again.is_empty() {
            summary += &format!("; in the other run {} of {}", missed(&again), again.len());
        }
        summary += ".\n\n";
        let same = |v: &Verdict, goal: &Goal| {
            (v.goal.row, v.goal.workload, v.goal.entries) == (goal.row, goal.workload, goal.entries)
                && v.goal.claim == goal.claim
        };
        let head = ["row", "entries", "goal", "measured", "", "in the other run", ""];
        let head = if again.is_empty() { &head[..5] } else { &head };
        let lines = verdicts.iter().map(|verdict| {
            let mut line = goal_line(verdict);
            if !again.is_empty() {
                let other = again.iter().find(|other| same(other, &verdict.goal));
                line.extend(other.map_or_else(Default::default, |v| [measured(v), said(v)]));
            }
            line
        });
        let mut missing: Vec<String> = goals()
            .iter()
            .filter(|goal| !verdicts.iter().any(|v| same(v, goal)))
            .map(|goal| {
                let workload = workload_name(goal.workload);
                format!("{:?} (`{workload}`, {} entries)", goal.row, grouped(goal.entries))
            })
            .collect();
        missing.dedup();
        let missing = match &missing[..] {
            [] => String::new(),
            some => format!("\nNot measured: {}.\n", some.join(", ")),
        };
        summary + &markdown_table(head, lines) + &missing
    }

    /// When, where and how each record of a row was made.
    fn runs(&self, run: &str) -> String {
        let mut lines: Vec<Vec<String>> = Vec::new();
        for (name, record) in self.rows_of(run) {
            let setting = &record.setting;
            let huge = record.tables.iter().map(|t| t.memory.anon_huge_kib).max().unwrap_or(0);
            let rss = record.tables.iter().map(|t| t.memory.rss_kib).max().unwrap_or(0);
            let cell = |text: &str| format!("`{text}`");
            lines.push(vec![
                name.to_owned(),
                cell(setting.command.split(" (seed").next().unwrap_or_default()),
                setting.commit.chars().take(10).collect(),
                setting.load.clone(),
                format!("{} of {}", huge / 1024, rss / 1024),
            ]);
        }
        let head = ["row", "command", "commit", "load at the start", "MiB on huge pages"];
        let first = self.rows_of(run).next().map_or_else(String::new, |(_, r)| setting_text(r));
        first + &markdown_table(&head, lines)
    }
}

fn setting_text(record: &Record) -> String {
    let setting = &record.setting;
    let machine = setting.machine.iter().map(|(name, value)| format!("{name}: {value}"));
    let versions = setting.versions.iter().map(|(name, version)| format!("{name} {version}"));
    format!(
        "{}. {}. Transparent huge pages: {}. Values of {} bytes.\n\nVersions: {}.\n\n",
        machine.collect::<Vec<_>>().join("; "),
        setting.rustc,
        setting.huge_pages,
        setting.value_bytes,
        versions.collect::<Vec<_>>().join(", "),
    )
}

fn goal_line(verdict: &Verdict) -> Vec<String> {
    let goal = &verdict.goal;
    let bound = match goal.bound {
        Bound::AtMost(bound) => format!("{}: at most {bound}", goal.claim),
        Bound::AtLeast(bound) => format!("{}: at least {bound}", goal.claim),
    };
    let size = if verdict.entries == goal.entries {
        grouped(goal.entries)
    } else {
        format!("{} (meant for {})", grouped(verdict.entries), grouped(goal.entries))
    };
    vec![format!("{:?}", goal.row), size, bound, measured(verdict), said(verdict)]
}

fn measured(verdict: &Verdict) -> String {
    let rival = verdict.rival.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    let finds = verdict.finds.map_or_else(String::new, |found| {
        format!(" (which finds {:.1} % of what is asked for)", 100.0 * found)
    });
    precise(verdict.value) + &rival + &finds
}

fn said(verdict: &Verdict) -> String {
    match (verdict.met(), verdict.short_by()) {
        (true, _) => "met".to_owned(),
        (false, by) if by.is_finite() && by > 0.0 => format!("**missed by {}**", number(by)),
        (false, _) => "**missed**".to_owned(),
    }
}

/// What is the most of a round is the most of all rounds.
fn over_rounds(name: &str, values: &[f64]) -> Spread {
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    Spread::of(if name.contains("at most") { vec![most] } else { values.to_vec() })
}

/// Small shares need more digits, and so does what is almost one.
fn precise(s: Spread) -> String {
    let digits = |n: f64| match n.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.1 => format!("{n:.5}"),
        _ => number(n),
    };
    if (0.995..1.0).contains(&s.median) {
        format!("{:.4}", s.median)
    } else if s.q1 == s.q3 {
        digits(s.median)
    } else if s.median.abs() < 0.1 {
        format!("{} [{}-{}]", digits(s.median), digits(s.q1), digits(s.q3))
    } else {
        spread(s)
    }
}

/// Everybody in a table of a row: time, ratio, and what else there is.
pub(super) fn row_table(table: &Table) -> String {
    let figures: Vec<&String> = {
        let mut all: Vec<&String> = table.rows.iter().flat_map(|r| r.figures.keys()).collect();
        all.sort();
        all.dedup();
        all
    };
    let timed = table.rows.iter().any(|r| r.thread_ns.median > 0.0);
    let looks = table.rows.iter().any(|r| r.found.is_some());
    let tails = table.rows.iter().any(|r| r.worst_ns.is_some());
    let curves = table.rows.iter().any(|r| r.latency.is_some());
    let mut head: Vec<&str> = vec!["contestant"];
    head.extend(timed.then_some(["ns", "ratio"]).into_iter().flatten());
    head.extend(looks.then_some("found, stored"));
    head.extend(tails.then_some(["p99.9, ns", "p99.99, ns", "worst, µs"]).into_iter().flatten());
    let names = ["p50, ns", "p99, ns", "p99.9, ns", "p99.99, ns", "max, µs"];
    head.extend(curves.then_some(names).into_iter().flatten());
    head.extend(figures.iter().map(|name| name.as_str()));
    let line = |row: &Row| {
        let mut cells = vec![row.name.clone()];
        if timed {
            cells.extend([spread(row.thread_ns), spread(row.ratio)]);
        }
        cells.extend(looks.then(|| row.found.map_or(String::new(), |f| format!("{f:.4}"))));
        if tails {
            let micro = |s: Spread| spread(s.scaled(1e-3));
            cells.extend([row.p999_ns, row.p9999_ns].map(|n| n.map_or(String::new(), number)));
            cells.push(row.worst_ns.map_or(String::new(), micro));
        }
        if curves {
            cells.extend(row.latency.as_ref().map_or_else(|| vec![String::new(); 5], curve_cells));
        }
        let figure = |name: &&String| {
            row.figures
                .get(*name)
                .map_or(String::new(), |values| precise(over_rounds(name, values)))
        };
        cells.extend(figures.iter().map(figure));
        cells
    };
    let title = workload_name(table.workload);
    let meant = match table.nominal {
        Some(n) if n != table.entries => format!(" (meant for {})", grouped(n)),
        _ => String::new(),
    };
    let title = format!("`{title}`, {} entries{meant}:\n\n", grouped(table.entries));
    title + &markdown_table(&head, table.rows.iter().map(line))
}

fn curve_cells(latency: &super::Latency) -> Vec<String> {
    let shown = |n: u64| n.to_string();
    let mut cells: Vec<String> =
        [latency.p50, latency.p99, latency.p999, latency.p9999].map(shown).into();
    cells.push(number(f64::from(u32::try_from(latency.max / 10).unwrap_or(u32::MAX)) / 100.0));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Spent;
    use crate::memory::Memory;
    use crate::report::Setting;
    use crate::rounds::{Outcome, Sample};
    use crate::workloads::Workload;

    #[test]
    fn a_table_that_no_record_gives_is_an_error() {
        let records = Records::default();
        assert!(records.fill("a <!-- made: row W1 -->\nold\n<!-- /made --> b").is_err());
        assert!(records.fill("a <!-- made: goals -->\nold").is_err());
        assert_eq!(records.fill("prose").expect("there is no table"), "prose");
    }

    /// A run of `hit`: by size, what ours and papaya take.
    fn run(sizes: &[(u64, [u64; 2])]) -> Record {
        let names = ["halfshake pinned, bytes", "papaya, guard held"];
        let names = names.map(|name| (name.to_owned(), 0));
        let sample = |nanos: u64| Sample {
            operations: 100,
            spent: Spent { thread: 100 * nanos, wall: 100 * nanos, process: 100 * nanos },
            ..Sample::default()
        };
        let table = |(entries, both): &(u64, [u64; 2])| {
            let samples = both.iter().map(|nanos| vec![sample(*nanos)]).collect();
            let outcome = Outcome { samples, memory: Memory::default() };
            let table = Table::new(Workload::Hit, *entries, &names, &outcome);
            Table { nominal: Some(*entries), ..table }
        };
        Record { setting: Setting::now(), tables: sizes.iter().map(table).collect() }
    }

    #[test]
    fn each_goal_has_its_other_run_beside_it() {
        let mut records = Records::default();
        let sizes = [(64, [20, 10]), (4_000_000, [10, 9])];
        records.tables.insert("rows/W1".to_owned(), run(&sizes));
        let alone = records.goals();
        assert!(alone.starts_with("2 of 2 goals are missed.\n"), "{alone}");
        assert!(alone.contains("| 2.00 | **missed by 1.67** |\n"), "{alone}");
        // Here the other one is missed by more.
        let sizes = [(64, [13, 10]), (4_000_000, [10, 5])];
        records.tables.insert("rows-again/W1".to_owned(), run(&sizes));
        let both = records.goals();
        assert!(both.starts_with("2 of 2 goals are missed; in the other run 2 of 2.\n"), "{both}");
        assert!(both.contains("**missed by 1.67** | 1.30 | **missed by 1.08** |\n"), "{both}");
        let other = "**missed by 1.39** | 0.50 (papaya, guard held) | **missed by 2.50** |\n";
        assert!(both.contains(other), "{both}");
        // One that the other run has not.
        records.tables.insert("rows-again/W1".to_owned(), run(&sizes[1..]));
        let both = records.goals();
        assert!(both.contains("| 2.00 | **missed by 1.67** |  |  |\n"), "{both}");
    }

    #[test]
    fn a_record_is_a_stranger_in_its_own_run_alone() {
        let record = |rustc: &str| {
            let setting = Setting { rustc: rustc.to_owned(), ..Setting::now() };
            Record { setting, tables: Vec::new() }
        };
        let mut records = Records::default();
        let all = [
            ("rows/W1", "1"),
            ("rows/W2", "4"),
            ("rows-again/W1", "2"),
            ("rows-again/W2", "3"),
            ("rows-again/W3", "2"),
        ];
        for (name, rustc) in all {
            records.tables.insert(name.to_owned(), record(rustc));
        }
        assert_eq!(records.strangers(), ["rows/W2", "rows-again/W2"]);
    }

    #[test]
    fn what_was_in_a_table_is_replaced() {
        let records = Records::default();
        let filled = records.fill("a\n<!-- made: goals -->\nold\n<!-- /made -->\nb");
        let filled = filled.expect("it can be made of nothing");
        assert!(
            filled.starts_with("a\n<!-- made: goals -->\n0 of 0 goals are missed."),
            "{filled}"
        );
        assert!(filled.ends_with("<!-- /made -->\nb") && !filled.contains("old"), "{filled}");
        assert_eq!(records.fill(&filled).expect("again"), filled);
    }
}
