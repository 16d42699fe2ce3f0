//! Tables of experiments: what a step of the layout brought.

use super::document::Records;
use super::table::{grouped, markdown_table, spread, workload_name};
use super::{Row, Spread, Table};
use crate::workloads::Workload;

impl Records {
    /// What others take as a multiple of our time, with entries in the allocator's memory and in
    /// the cache's own.
    pub(super) fn own_memory(&self) -> Option<String> {
        let both = ["memory-allocators", "memory-own"].map(|name| self.get(name));
        let [Some(allocators), Some(own)] = both else { return None };
        let cell = |table: &Table, other: &str, ours: &str| {
            let (other, ours) = (find(table, other)?, find(table, ours)?);
            let rounds = other.rounds.iter().zip(&ours.rounds);
            Some(spread(Spread::of(rounds.map(|((other, _), (ours, _))| other / ours))))
        };
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
                cell(before, other, ours)?,
                cell(after, other, ours)?,
            ])
        };
        let head = ["work", "entries", "who", "allocator's memory", "the cache's own"];
        Some(markdown_table(&head, allocators.tables.iter().zip(&own.tables).filter_map(line)))
    }
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Row> {
    table.rows.iter().find(|row| row.name == name)
}
