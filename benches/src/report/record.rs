//! What is written to `record/`.

use super::{Setting, Spread};
use crate::memory::Memory;
use crate::rounds::{Outcome, Sample, Tail};
use crate::workloads::Workload;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Where and how.
    pub setting: Setting,
    /// One table for each workload and size.
    pub tables: Vec<Table>,
}

/// All contestants of one workload at one size.
#[derive(Debug, Serialize, Deserialize)]
pub struct Table {
    /// The workload.
    pub workload: Workload,
    /// Entries in the cache.
    pub entries: u64,
    /// For how many entries the row of the comparison is meant, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nominal: Option<u64>,
    /// What the process had at the end.
    #[serde(default)]
    pub memory: Memory,
    /// The contestants.
    pub rows: Vec<Row>,
}

/// One contestant. Times are in nanoseconds for each operation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// Who.
    pub name: String,
    /// With whom it is compared.
    pub reference: String,
    /// Operations in each round.
    pub operations: u64,
    /// Processor time of the measuring thread.
    pub thread_ns: Spread,
    /// The same, as a multiple of the reference's in the same round.
    pub ratio: Spread,
    /// Time on the wall.
    pub wall_ns: Spread,
    /// Processor time that other threads of the process spent meanwhile.
    pub elsewhere_ns: Spread,
    /// Found or stored, of what was tried.
    pub found: Option<f64>,
    /// The slowest single operation of each round.
    pub worst_ns: Option<Spread>,
    /// Single operations: the median of the rounds' figures.
    pub p50_ns: Option<f64>,
    /// See `p50_ns`.
    pub p999_ns: Option<f64>,
    /// See `p50_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p9999_ns: Option<f64>,
    /// Every round: processor time of the thread, wall time.
    pub rounds: Vec<(f64, f64)>,
    /// What else there is to tell, of every round.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, Vec<f64>>,
    /// Single operations of all rounds, on the wall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
}

/// How long single operations took, in nanoseconds on the wall.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// One in a hundred takes longer.
    pub p99: u64,
    /// One in a thousand.
    pub p999: u64,
    /// One in ten thousand.
    pub p9999: u64,
    /// The longest.
    pub max: u64,
    /// Points of the curve: a share of all, and what they took at most.
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        // Twice as fine with each nine.
        let quantiles = (0..=36u16).map(|i| 1.0 - 10f64.powf(-f64::from(i) / 6.0));
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max(),
            curve: quantiles.map(|q| (q, at(q))).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes are exact in a double")]
fn each(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Table {
    /// Sums up the rounds of a workload, from everybody's name and the index of whom it is
    /// compared with.
    #[must_use]
    pub fn new(
        workload: Workload,
        entries: u64,
        names: &[(String, usize)],
        outcome: &Outcome,
    ) -> Self {
        let samples = &outcome.samples;
        let row = |(i, (name, reference)): (usize, &(String, usize))| {
            Row::new(name, &names[*reference].0, &samples[i], &samples[*reference])
        };
        let rows = names.iter().enumerate().map(row).collect();
        Self { workload, entries, nominal: None, memory: outcome.memory, rows }
    }
}

impl Row {
    fn new(name: &str, reference: &str, samples: &[Sample], others: &[Sample]) -> Self {
        let thread = |s: &Sample| each(s.spent.thread, s.operations);
        let wall = |s: &Sample| each(s.spent.wall, s.operations);
        let asked: u64 = samples.iter().map(|s| s.asked).sum();
        let found: u64 = samples.iter().map(|s| s.found).sum();
        let tails: Vec<Tail> = samples.iter().filter_map(|s| s.tail).collect();
        let of_tails = |pick: fn(&Tail) -> u64| {
            (!tails.is_empty()).then(|| Spread::of(tails.iter().map(|t| each(pick(t), 1))))
        };
        Self {
            name: name.to_owned(),
            reference: reference.to_owned(),
            operations: samples.first().map_or(0, |s| s.operations),
            thread_ns: Spread::of(samples.iter().map(thread)),
            ratio: Spread::of(samples.iter().zip(others).map(|(s, o)| thread(s) / thread(o))),
            wall_ns: Spread::of(samples.iter().map(wall)),
            elsewhere_ns: Spread::of(
                samples
                    .iter()
                    .map(|s| each(s.spent.process.saturating_sub(s.spent.thread), s.operations)),
            ),
            found: (asked != 0).then(|| each(found, asked)),
            worst_ns: of_tails(|t| t.worst),
            p50_ns: of_tails(|t| t.p50).map(|s| s.median),
            p999_ns: of_tails(|t| t.p999).map(|s| s.median),
            p9999_ns: of_tails(|t| t.p9999).map(|s| s.median),
            figures: figures(samples),
            latency: latency(samples),
            rounds: samples.iter().map(|s| (thread(s), wall(s))).collect(),
        }
    }
}

/// Every round's figures, by name.
fn figures(samples: &[Sample]) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in samples.iter().flat_map(|s| &s.figures) {
        all.entry((*name).to_owned()).or_default().push(*value);
    }
    all
}

/// All rounds together.
fn latency(samples: &[Sample]) -> Option<Latency> {
    let mut all = samples.iter().filter_map(|s| s.latencies.as_ref());
    let mut sum = all.next()?.clone();
    for more in all {
        sum.add(more).expect("both grow as they must");
    }
    Some(Latency::of(&sum))
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// If the file can't be read or is none.
    pub fn read(path: &Path) -> Result<Self> {
        read(path)
    }

    /// Writes the record; called after each table, so that nothing is lost.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        // A line for each contestant: short enough to read, and to compare.
        write(self, path, &["name", "workload"])
    }
}

/// Reads a record of any kind.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))
}

/// Writes one; each object that begins with one of these fields has a line of its own.
pub(super) fn write(record: &impl Serialize, path: &Path, firsts: &[&str]) -> Result<()> {
    let text = serde_json::to_string(record)?;
    let text = firsts.iter().fold(text, |text, first| {
        let begins = format!("{{\"{first}\"");
        text.replace(&begins, &format!("\n{begins}"))
    });
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}
