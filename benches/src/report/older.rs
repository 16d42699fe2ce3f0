//! Tables of the older records, which hold every operation by itself at three sizes.

use super::document::{Records, grouped, markdown_table};
use super::table::{number, spread};
use super::{Row, Spread, Table};
use crate::workloads::Workload;

const SIZES: [u64; 3] = [64, 65_536, 1 << 20];

impl Records {
    fn older(&self, workload: Workload, entries: u64) -> Option<&Table> {
        let tables = &self.get(&format!("entries-{entries}"))?.tables;
        tables.iter().find(|t| t.workload == workload && t.entries == entries)
    }

    fn older_sizes(&self, workload: Workload) -> Vec<&Table> {
        SIZES.iter().filter_map(|n| self.older(workload, *n)).collect()
    }

    /// One workload at all sizes: the reference's time, and ratios to it.
    pub(super) fn operations(&self, workload: Workload) -> Option<String> {
        let tables = self.older_sizes(workload);
        let first = tables.first()?;
        // Whoever is pinned had no batches of its own in these records.
        let (reference, without) = match workload {
            Workload::Batch => ("halfshake reader, bytes", "halfshake pinned"),
            _ => (first.rows.first()?.reference.as_str(), "nobody else"),
        };
        let mut names: Vec<&str> = vec![reference];
        let others = first.rows.iter().map(|row| row.name.as_str());
        names.extend(others.filter(|n| *n != reference && !n.starts_with(without)));
        let cell = |table: &&Table, name: &str| {
            let (row, other) = (find(table, name)?, find(table, reference)?);
            let rounds = row.rounds.iter().zip(&other.rounds);
            let ratios = rounds.map(|((thread, _), (others, _))| thread / others);
            Some(if name == reference {
                format!("**{}**", spread(row.thread_ns))
            } else {
                spread(Spread::of(ratios)) + &found(row, workload)
            })
        };
        let lines = names.iter().map(|name| {
            let first = if *name == reference { format!("**{name}, ns**") } else { (*name).into() };
            let cells = tables.iter().map(|t| cell(t, name).unwrap_or_default());
            std::iter::once(first).chain(cells).collect::<Vec<_>>()
        });
        Some(markdown_table(&head(&tables), lines))
    }

    /// Single operations of one workload at one size.
    pub(super) fn tails(&self, workload: Workload, entries: u64) -> Option<String> {
        let head = ["contestant", "median, ns", "99.9 %, ns", "worst of a round, µs"];
        let line = |row: &Row| {
            let single = |n: Option<f64>| n.map_or(String::new(), number);
            vec![row.name.clone(), single(row.p50_ns), single(row.p999_ns), micro(row.worst_ns)]
        };
        Some(markdown_table(&head, self.older(workload, entries)?.rows.iter().map(line)))
    }

    /// What expiry takes at one size.
    pub(super) fn expiry(&self, entries: u64) -> Option<String> {
        let head = ["contestant", "ns an entry", "longest slice, µs"];
        let line = |row: &Row| vec![row.name.clone(), spread(row.thread_ns), micro(row.worst_ns)];
        Some(markdown_table(&head, self.older(Workload::Expire, entries)?.rows.iter().map(line)))
    }

    /// Two threads as a multiple of one.
    pub(super) fn two_threads(&self, workload: Workload) -> Option<String> {
        let tables = self.older_sizes(workload);
        let names = tables.first()?.rows.iter().filter_map(|r| r.name.strip_suffix(", 2 threads"));
        let cell = |table: &Table, name: &str| {
            let row = find(table, &format!("{name}, 2 threads"))?;
            let refused = row.found.filter(|f| workload == Workload::InsertThreads && *f < 0.99995);
            let stored = refused.map(|f| format!(", stored {:.2} %", 100.0 * f));
            Some(spread(row.ratio) + &stored.unwrap_or_default())
        };
        let lines = names.map(|name| {
            let cells = tables.iter().map(|t| cell(t, name).unwrap_or_default());
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        });
        Some(markdown_table(&head(&tables), lines))
    }

    /// A resumption beside a look-up of the same bytes.
    pub(super) fn resumptions(&self) -> Option<String> {
        let head = ["entries", "bare hit, ns", "resumption, ns", "ratio"];
        let tables = &self.get("sessions-hit")?.tables;
        let line = |table: &Table| {
            let bare = find(table, "halfshake cache, a session's bytes")?;
            let resumed = find(table, "halfshake sessions")?;
            let cells = [bare.thread_ns, resumed.thread_ns, resumed.ratio].map(spread);
            Some(std::iter::once(grouped(table.entries)).chain(cells).collect())
        };
        Some(markdown_table(&head, tables.iter().filter_map(line)))
    }

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
            let workload = serde_json::to_string(&before.workload).ok()?;
            Some(vec![
                workload.trim_matches('"').to_owned(),
                grouped(before.entries),
                other.to_owned(),
                cell(before, other, ours)?,
                cell(after, other, ours)?,
            ])
        };
        let head = ["work", "entries", "who", "allocator's memory", "the cache's own"];
        Some(markdown_table(&head, allocators.tables.iter().zip(&own.tables).filter_map(line)))
    }

    /// The cycle through rustls's interface, over a session cache.
    pub(super) fn session_cycles(&self) -> Option<String> {
        let records = ["sessions-cycle", "sessions-cycle-1048576"].map(|name| self.get(name));
        let tables: Vec<&Table> =
            records.into_iter().flatten().filter_map(|record| record.tables.first()).collect();
        let names = tables.first()?.rows.iter().map(|row| &row.name);
        let lines = names.map(|name| {
            let cells = tables.iter().map(|t| find(t, name).map_or(String::new(), ratio));
            std::iter::once(name.clone()).chain(cells).collect::<Vec<_>>()
        });
        let sizes = tables.iter().map(|t| format!("ratio at {}", grouped(t.entries)));
        let head: Vec<String> = std::iter::once("contestant".to_owned()).chain(sizes).collect();
        Some(markdown_table(&head, lines))
    }
}

fn head(tables: &[&Table]) -> Vec<String> {
    let sizes = tables.iter().map(|t| format!("{} entries", grouped(t.entries)));
    std::iter::once("contestant".to_owned()).chain(sizes).collect()
}

fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Row> {
    table.rows.iter().find(|row| row.name == name)
}

fn ratio(row: &Row) -> String {
    if row.name == row.reference { "1.00".to_owned() } else { spread(row.ratio) }
}

fn micro(worst: Option<Spread>) -> String {
    worst.map_or(String::new(), |s| spread(s.scaled(1e-3)))
}

/// What is not said by every contestant alike.
fn found(row: &Row, workload: Workload) -> String {
    use Workload::{Cycle, CycleTimed, Take};
    let tells = matches!(workload, Take | Cycle | CycleTimed);
    match row.found {
        Some(found) if tells => format!(", found {:.1} %", 100.0 * found),
        _ => String::new(),
    }
}
