//! Tables for people.

use super::{Row, Spread, Table};

/// The table in Markdown.
#[must_use]
pub fn markdown(table: &Table) -> String {
    let workload = serde_json::to_string(&table.workload).unwrap_or_default();
    let mut text = format!("### {}, {} entries\n\n", workload.trim_matches('"'), table.entries);
    let columns = Columns::of(table);
    text += &columns.head();
    for row in &table.rows {
        text += &columns.line(row);
    }
    text
}

/// Which columns the table has besides the first three.
struct Columns {
    figures: Vec<String>,
    elsewhere: bool,
    found: bool,
    tail: bool,
}

impl Columns {
    fn of(table: &Table) -> Self {
        let mut figures: Vec<String> =
            table.rows.iter().flat_map(|r| r.figures.keys()).cloned().collect();
        figures.sort();
        figures.dedup();
        Self {
            figures,
            elsewhere: table.rows.iter().any(|r| r.elsewhere_ns.median >= 0.5),
            found: table.rows.iter().any(|r| r.found.is_some()),
            tail: table.rows.iter().any(|r| r.worst_ns.is_some()),
        }
    }

    fn head(&self) -> String {
        let mut names = vec!["contestant", "ns of the thread", "ratio", "ns on the wall"];
        names.extend(self.elsewhere.then_some("ns of other threads"));
        names.extend(self.found.then_some("found, stored"));
        if self.tail {
            names.extend(["one: median", "99.9 %", "worst, µs"]);
        }
        names.extend(self.figures.iter().map(String::as_str));
        let rule = "| --- ".repeat(names.len());
        format!("| {} |\n{rule}|\n", names.join(" | "))
    }

    fn line(&self, row: &Row) -> String {
        let mut cells = vec![
            row.name.clone(),
            spread(row.thread_ns),
            spread(row.ratio),
            number(row.wall_ns.median),
        ];
        cells.extend(self.elsewhere.then(|| number(row.elsewhere_ns.median)));
        cells.extend(self.found.then(|| row.found.map_or(String::new(), |f| format!("{f:.4}"))));
        if self.tail {
            let micro = |s: Spread| spread(s.scaled(1e-3));
            cells.push(row.p50_ns.map_or(String::new(), number));
            cells.push(row.p999_ns.map_or(String::new(), number));
            cells.push(row.worst_ns.map_or(String::new(), micro));
        }
        let figure = |name: &String| {
            row.figures.get(name).map_or(String::new(), |values| {
                format!("{:.4}", Spread::of(values.iter().copied()).median)
            })
        };
        cells.extend(self.figures.iter().map(figure));
        format!("| {} |\n", cells.join(" | "))
    }
}

pub(super) fn spread(s: Spread) -> String {
    format!("{} [{}-{}]", number(s.median), number(s.q1), number(s.q3))
}

/// Three digits, or all before the point.
pub(super) fn number(n: f64) -> String {
    match n {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}
