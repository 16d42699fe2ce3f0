//! Tables of experiments: what a step of the layout brought.

use super::document::{Records, row_table};
use super::table::{grouped, markdown_table, spread, workload_name};
use super::{Row, Spread, Table};
use crate::contestants::layouts::{A, B2, Layout};
use crate::workloads::{REFUSED, Workload};

impl Records {
    /// What others take as a multiple of our time, with entries in the allocator's memory and in
    /// the cache's own.
    pub(super) fn own_memory(&self) -> Option<String> {
        let both = ["memory-allocators", "memory-own"].map(|name| self.get(name));
        let [Some(allocators), Some(own)] = both else { return None };
        let line = |(before, after): (&Table, &Table)| {
            let lookups = matches!(before.workload, Workload::Hit | Workload::Batch);
            let (other, ours) = if lookups {
                ("papaya, guard held", "halfshake pinned, bytes")
            } else {
                ("16 mutexes of lru", "halfshake, bytes")
            };
            Some(vec![
                workload_name(before.workload),
                grouped(before.entries),
                other.to_owned(),
                multiple(before, other, ours)?,
                multiple(after, other, ours)?,
            ])
        };
        let head = ["work", "entries", "who", "allocator's memory", "the cache's own"];
        Some(markdown_table(&head, allocators.tables.iter().zip(&own.tables).filter_map(line)))
    }

    /// Entries in place beside the layout that ships, and what both take of memory.
    pub(super) fn layouts(&self) -> Option<String> {
        let tables = &self.get("rows/B")?.tables;
        let (spaces, times): (Vec<_>, Vec<_>) =
            tables.iter().partition(|table| table.workload == Workload::Footprint);
        let head = [
            "work",
            "entries",
            "halfshake, ns",
            "A's stand-in takes",
            "B2's takes",
            "B2's, of A's time",
            "found, stored: halfshake",
            "A's",
            "B2's",
            "refused by B2's",
        ];
        let times = markdown_table(&head, times.into_iter().filter_map(layouts_line));
        let spaces = spaces.into_iter().map(row_table);
        Some(std::iter::once(times).chain(spaces).collect::<Vec<_>>().join("\n"))
    }
}

fn layouts_line(table: &Table) -> Option<Vec<String>> {
    let (a, b2) = (find(table, A::NAME)?, find(table, B2::NAME)?);
    let ours = find(table, &b2.reference)?;
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let found = |row: &Row| row.found.map_or(String::new(), percent);
    let refused = b2.figures.get(REFUSED).map_or(0.0, |all| {
        // Of rounds in which nothing was refused there is no figure.
        all.iter().sum::<f64>() / f64::from(u32::try_from(b2.rounds.len()).unwrap_or(u32::MAX))
    });
    Some(vec![
        workload_name(table.workload),
        grouped(table.entries),
        spread(ours.thread_ns),
        spread(a.ratio),
        spread(b2.ratio),
        multiple(table, B2::NAME, A::NAME)?,
        found(ours),
        found(a),
        found(b2),
        percent(refused),
    ])
}

/// What one takes as a multiple of another's time in the same round.
fn multiple(table: &Table, one: &str, other: &str) -> Option<String> {
    let (one, other) = (find(table, one)?, find(table, other)?);
    let rounds = one.rounds.iter().zip(&other.rounds);
    Some(spread(Spread::of(rounds.map(|((one, _), (other, _))| one / other))))
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Row> {
    table.rows.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Spent;
    use crate::memory::Memory;
    use crate::rounds::{Outcome, Sample};

    #[test]
    fn layouts_are_compared_round_by_round_and_refusals_with_all_rounds() {
        let sample = |nanos: u64, refused: Option<f64>| Sample {
            operations: 100,
            spent: Spent { thread: 100 * nanos, wall: 100 * nanos, process: 100 * nanos },
            asked: 100,
            found: 99,
            figures: refused.map(|share| (REFUSED, share)).into_iter().collect(),
            ..Sample::default()
        };
        let samples = vec![
            vec![sample(10, None), sample(20, None)],
            vec![sample(5, None), sample(40, None)],
            vec![sample(10, Some(0.01)), sample(20, None)],
        ];
        let names = ["halfshake, bytes", A::NAME, B2::NAME].map(|name| (name.to_owned(), 0));
        let outcome = Outcome { samples, memory: Memory::default() };
        let table = Table::new(Workload::Insert, 1000, &names, &outcome);
        let line = layouts_line(&table).expect("all are there");
        let ratios = line.iter().map(|cell| cell.split(' ').next().unwrap_or_default());
        let expected =
            ["insert", "1,000", "15.0", "1.25", "1.00", "1.25", "99.00", "99.00", "99.00", "0.50"];
        assert!(ratios.eq(expected), "{line:?}");
        assert_eq!(multiple(&table, A::NAME, "lru"), None);
    }
}
