//! Tables in brief: of one workload, ratios alone, a column for each size.

use super::document::{grouped, markdown_table, workload_name};
use super::table::spread;
use super::{Row, Table};
use crate::workloads::Workload;

/// All workloads of a record, in their order.
pub(super) fn tables(all: &[Table]) -> Option<String> {
    let of_one: Vec<String> =
        all.chunk_by(|a, b| a.workload == b.workload).filter_map(table).collect();
    (!of_one.is_empty()).then(|| of_one.join("\n"))
}

fn table(sizes: &[Table]) -> Option<String> {
    let first = sizes.first()?;
    let head: Vec<String> = std::iter::once(format!("`{}`", workload_name(first.workload)))
        .chain(sizes.iter().map(|table| format!("{} entries", grouped(table.entries))))
        .collect();
    let misses = matches!(first.workload, Workload::Miss | Workload::MissBatch);
    let cell = |row: &Row| cell(row) + &found(row).filter(|_| !misses).unwrap_or_default();
    // The largest size may have fewer contestants.
    let line = |name: &String| {
        let cells = sizes.iter().map(|table| find(table, name).map_or(String::new(), &cell));
        std::iter::once(name.clone()).chain(cells).collect()
    };
    Some(markdown_table(&head, first.rows.iter().map(|row| &row.name).map(line)))
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Row> {
    table.rows.iter().find(|row| row.name == name)
}

/// The reference's time, and everybody else's ratio to it.
fn cell(row: &Row) -> String {
    if row.name == row.reference {
        format!("**{} ns**", spread(row.thread_ns))
    } else {
        spread(row.ratio)
    }
}

/// What is found, unless it is nearly all.
fn found(row: &Row) -> Option<String> {
    let found = row.found.filter(|found| *found < 0.995)?;
    Some(format!(", found {:.1} %", 100.0 * found))
}
