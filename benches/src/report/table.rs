//! Tables for people.

use super::{Row, Spread, Table};
use crate::workloads::Workload;

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
    match n.abs() {
        large if large >= 100.0 => format!("{n:.0}"),
        large if large >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

pub(super) fn markdown_table<S: AsRef<str>>(
    head: &[S],
    lines: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let head: Vec<&str> = head.iter().map(AsRef::as_ref).collect();
    let rule = "| --- ".to_owned() + &"| ---: ".repeat(head.len() - 1);
    let mut text = format!("| {} |\n{rule}|\n", head.join(" | "));
    for line in lines {
        text += &format!("| {} |\n", line.join(" | "));
    }
    text
}

/// With a comma after each three digits.
#[must_use]
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i != 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A workload's name, as the command line has it.
#[must_use]
pub(super) fn workload_name(workload: Workload) -> String {
    let name = serde_json::to_value(workload).ok();
    name.as_ref().and_then(|n| n.as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [64, 1000, 65_536, 4_000_000].map(grouped),
            ["64", "1,000", "65,536", "4,000,000"]
        );
    }

    #[test]
    fn workloads_are_named_as_on_the_command_line() {
        assert_eq!(workload_name(Workload::CycleTimed), "cycle-timed");
    }
}
