//! Tables in brief: of one workload, ratios alone, a column for each size.

use super::table::{grouped, markdown_table, spread, workload_name};
use super::{Row, Table};
use crate::workloads::Workload;

/// All workloads of a record that took time, in their order.
pub(super) fn tables(all: &[Table]) -> Option<String> {
    let timed = |table: &Table| table.rows.iter().any(|row| row.thread_ns.median > 0.0);
    let chunks = all.chunk_by(|a, b| a.workload == b.workload);
    let of_one: Vec<String> =
        chunks.filter(|some| some.iter().all(timed)).filter_map(table).collect();
    (!of_one.is_empty()).then(|| of_one.join("\n"))
}

/// Nothing if they are not compared with the same one.
fn table(sizes: &[Table]) -> Option<String> {
    let rows = || sizes.iter().flat_map(|table| &table.rows);
    let first = sizes.first()?;
    let reference = &rows().next()?.reference;
    if rows().any(|row| row.reference != *reference) {
        return None;
    }
    let head: Vec<String> = std::iter::once(format!("`{}`", workload_name(first.workload)))
        .chain(sizes.iter().map(|table| format!("{} entries", grouped(table.entries))))
        .collect();
    // Not everybody takes part in all sizes.
    let mut names: Vec<&String> = Vec::new();
    for row in rows() {
        if !names.contains(&&row.name) {
            names.push(&row.name);
        }
    }
    let line = |name: &&String| {
        let cells = sizes.iter().map(|table| {
            let row = table.rows.iter().find(|row| row.name == **name);
            row.map_or(String::new(), |row| cell(row) + &share(row, table.workload))
        });
        std::iter::once((*name).clone()).chain(cells).collect()
    };
    Some(markdown_table(&head, names.iter().map(line)))
}

/// The reference's time, and everybody else's ratio to it.
fn cell(row: &Row) -> String {
    if row.name == row.reference {
        format!("**{} ns**", spread(row.thread_ns))
    } else {
        spread(row.ratio)
    }
}

/// What is found or stored, unless it is nearly all; of misses it is nothing.
fn share(row: &Row, workload: Workload) -> String {
    use Workload::{Fill, Insert, InsertStalled, InsertTwo, Miss, MissBatch, Replace};
    let what = match workload {
        Miss | MissBatch => return String::new(),
        Fill | Insert | InsertStalled | InsertTwo | Replace => "stored",
        _ => "found",
    };
    let share = row.found.filter(|share| *share < 0.995);
    share.map_or(String::new(), |share| format!(", {what} {:.1} %", 100.0 * share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Spent;
    use crate::rounds::{Outcome, Sample};

    fn of(workload: Workload, entries: u64, names: &[&str], found: u64) -> Table {
        let names: Vec<_> = names.iter().map(|name| ((*name).to_owned(), 0)).collect();
        let sample = |nanos| Sample {
            operations: 100,
            spent: Spent { thread: nanos, wall: nanos, process: nanos },
            asked: 100,
            found,
            ..Sample::default()
        };
        let samples = (1..=names.len() as u64).map(|n| vec![sample(1000 * n)]).collect();
        let outcome = Outcome { samples, memory: crate::memory::Memory::default() };
        Table::new(workload, entries, &names, &outcome)
    }

    #[test]
    fn everybody_has_a_line_and_an_empty_cell_where_they_took_no_part() {
        let sizes =
            [of(Workload::Take, 64, &["a", "b"], 100), of(Workload::Take, 1000, &["a", "c"], 28)];
        let text = tables(&sizes).expect("they have one reference");
        let expected = "| `take` | 64 entries | 1,000 entries |\n\
                        | --- | ---: | ---: |\n\
                        | a | **10.0 ns** | **10.0 ns**, found 28.0 % |\n\
                        | b | 2.00 [2.00-2.00] |  |\n\
                        | c |  | 2.00 [2.00-2.00], found 28.0 % |\n";
        assert_eq!(text.replace(" [10.0-10.0]", ""), expected);
    }

    #[test]
    fn an_insert_stores_and_a_miss_finds_nothing() {
        let insert = tables(&[of(Workload::Insert, 64, &["a"], 28)]).expect("a table");
        assert!(insert.contains(", stored 28.0 %"), "{insert}");
        let miss = tables(&[of(Workload::Miss, 64, &["a"], 0)]).expect("a table");
        assert!(!miss.contains('%'), "{miss}");
    }

    #[test]
    fn ratios_to_different_ones_do_not_stand_in_one_table() {
        let sizes = [of(Workload::Take, 64, &["a"], 100), of(Workload::Take, 1000, &["b"], 100)];
        assert_eq!(tables(&sizes), None);
        assert_eq!(tables(&[]), None);
    }
}
