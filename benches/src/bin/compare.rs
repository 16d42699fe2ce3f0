//! Runs the comparison, prints its tables and writes the raw record.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use halfshake_benches::report::{Record, Setting, Table, markdown};
use halfshake_benches::rounds::{self, Entrant};
use halfshake_benches::rows::{QUICK_ROUNDS, Row, Step, takes_part};
use halfshake_benches::workloads::{Scale, Workload, alone};
use std::path::PathBuf;

/// Halfshake beside other caches and maps, interleaved in one process.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rows of the comparison, in place of `--workloads` and `--entries`.
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    rows: Vec<Row>,
    /// The rows in little time: fewer rounds, fewer entries.
    #[arg(long)]
    quick: bool,
    /// What is measured; everything by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// How many entries the caches hold, from 64 on.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 65_536, 1_048_576])]
    entries: Vec<u64>,
    /// How often each contestant runs; 9, or what the row says.
    #[arg(long)]
    rounds: Option<usize>,
    /// Operations of each contestant in a round (fewer for the slowest).
    #[arg(long, default_value_t = 200_000)]
    operations: u64,
    /// Seed of the order and the keys; random by default, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only contestants whose name contains one of these. If that leaves out whom they are compared
    /// with, it is the first of ours, or the first of them.
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// Where the raw record goes.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Measures the memory of this contestant alone and says so in JSON.
    #[arg(long, hide = true)]
    alone: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let least = arguments.entries.iter().min().copied();
    anyhow::ensure!(least.is_some_and(|n| n >= 64), "--entries must be 64 or more");
    if let Some(name) = &arguments.alone {
        let entries = arguments.entries.first().copied().unwrap_or(64);
        println!("{}", serde_json::to_string(&alone(name, entries)?)?);
        return Ok(());
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}\n");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut record = Record { setting: Setting::now(), tables: Vec::new() };
    record.setting.command += &format!(" (seed {seed})");
    for part in parts(&arguments) {
        let table = measure(&part, &arguments.only, &mut random);
        println!("{}", markdown(&table));
        record.tables.push(table);
        if let Some(path) = &arguments.record {
            record.write(path).context("the raw record")?;
        }
    }
    Ok(())
}

/// One table of the run.
struct Part {
    workload: Workload,
    scale: Scale,
    rounds: usize,
    who: &'static [&'static str],
    nominal: Option<u64>,
}

fn parts(arguments: &Arguments) -> Vec<Part> {
    let quick = arguments.quick;
    let of_row = |step: Step| {
        let entries = if quick { step.quick_entries? } else { step.entries };
        let usual = if quick { step.rounds.min(QUICK_ROUNDS) } else { step.rounds };
        let rounds = arguments.rounds.unwrap_or(usual);
        let scale = Scale { entries, operations: step.operations };
        let nominal = Some(step.entries);
        Some(Part { workload: step.workload, scale, rounds, who: step.who, nominal })
    };
    if !arguments.rows.is_empty() {
        return arguments.rows.iter().flat_map(|row| row.steps()).filter_map(of_row).collect();
    }
    let all = Workload::value_variants().iter().filter(|w| w.to_possible_value().is_some());
    let workloads: Vec<Workload> = match &arguments.workloads[..] {
        [] => all.copied().collect(),
        some => some.to_vec(),
    };
    let of_size = |entries: &u64| {
        let scale = Scale { entries: *entries, operations: arguments.operations };
        let rounds = arguments.rounds.unwrap_or(9);
        let suitable: Vec<_> = workloads.iter().filter(|w| w.suits(scale.entries)).collect();
        let part =
            move |w: &Workload| Part { workload: *w, scale, rounds, who: &[], nominal: None };
        suitable.into_iter().map(part).collect::<Vec<_>>()
    };
    arguments.entries.iter().flat_map(of_size).collect()
}

fn measure(part: &Part, only: &[String], random: &mut fastrand::Rng) -> Table {
    let mut entrants = part.workload.entrants(part.scale);
    Entrant::retain(&mut entrants, |name| takes_part(name, part.who, only));
    let names: Vec<_> = entrants.iter().map(|e| (e.name.clone(), e.reference)).collect();
    let outcome = rounds::run(entrants, part.rounds, random);
    let mut table = Table::new(part.workload, part.scale.entries, &names, &outcome);
    table.nominal = part.nominal;
    table
}
