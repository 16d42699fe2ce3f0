//! A tally as a table for people and as JSON for scripts.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::plan::Plan;
use super::tally::Tally;

/// The percentiles of the report, with their names.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

pub(super) fn table(plan: &Plan, tally: &Tally) -> String {
    let mut table = Table::new();
    let mut header = vec!["handshakes".to_owned(), "count".into(), "share".into(), "mean".into()];
    header.extend(PERCENTILES.iter().map(|(name, _)| (*name).to_owned()));
    header.push("max".into());
    table.set_header(header);
    for (name, histogram) in
        [("full", &tally.full), ("resumed", &tally.resumed), ("together", &tally.both())]
    {
        table.add_row(row(name, histogram, tally.finished()));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }

    let mut text = format!("{table}\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "TLS {} to {}: {} handshakes in {:.2} s, {:.0} per second; latencies in ms",
        plan.version.name(),
        plan.target,
        tally.finished(),
        tally.elapsed.as_secs_f64(),
        tally.rate(),
    );
    let _ = writeln!(
        text,
        "offered a session: {} of {}; resumed: {}",
        tally.offered,
        tally.finished() + tally.failed(),
        tally.resumed.len(),
    );
    if tally.unclean > 0 {
        let _ = writeln!(text, "ended by the server without close_notify: {}", tally.unclean);
    }
    let _ = write!(text, "errors: {}", tally.failed());
    for (error, times) in &tally.errors {
        let _ = write!(text, "\n  {times} x {error}");
    }
    text
}

fn row(name: &str, histogram: &Histogram<u64>, all: u64) -> Vec<String> {
    let share = histogram.len() as f64 * 100.0 / all.max(1) as f64;
    let mut row = vec![name.to_owned(), histogram.len().to_string(), format!("{share:.1} %")];
    if histogram.is_empty() {
        row.extend((0..PERCENTILES.len() + 2).map(|_| "-".to_owned()));
        return row;
    }
    row.push(millis(histogram.mean()));
    row.extend(
        PERCENTILES
            .iter()
            .map(|&(_, quantile)| millis(histogram.value_at_quantile(quantile) as f64)),
    );
    row.push(millis(histogram.max() as f64));
    row
}

fn millis(micros: f64) -> String {
    format!("{:.2}", micros / 1000.0)
}

pub(super) fn json(plan: &Plan, tally: &Tally) -> Value {
    json!({
        "connect": plan.target,
        "tls": plan.version.name(),
        "resume_percent": plan.resume_percent,
        "connections": tally.finished() + tally.failed(),
        "offered": tally.offered,
        "full": tally.full.len(),
        "resumed": tally.resumed.len(),
        "failed": tally.failed(),
        "errors": tally.errors,
        "unclean_closes": tally.unclean,
        "elapsed_s": tally.elapsed.as_secs_f64(),
        "handshakes_per_s": tally.rate(),
        "latency_us": {
            "full": latencies(&tally.full),
            "resumed": latencies(&tally.resumed),
            "together": latencies(&tally.both()),
        },
    })
}

fn latencies(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let mut latencies = serde_json::Map::new();
    latencies.insert("mean".into(), histogram.mean().into());
    for (name, quantile) in PERCENTILES {
        latencies.insert(name.into(), histogram.value_at_quantile(quantile).into());
    }
    latencies.insert("max".into(), histogram.max().into());
    Value::Object(latencies)
}
