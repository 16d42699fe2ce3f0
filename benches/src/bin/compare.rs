//! Runs the comparison, prints its tables and writes the raw record.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use halfshake_benches::report::{Record, Setting, Table, markdown};
use halfshake_benches::rounds;
use halfshake_benches::workloads::{Scale, Workload};
use std::path::PathBuf;

/// Halfshake beside other caches and maps, interleaved in one process.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured; everything by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// How many entries the caches hold: powers of two, from 64 on.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 65_536, 1_048_576])]
    entries: Vec<u64>,
    /// How often each contestant runs.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Operations of each contestant in a round (fewer for the slowest).
    #[arg(long, default_value_t = 200_000)]
    operations: u64,
    /// Seed of the order and the keys; random by default, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only contestants whose name contains one of these; the first of them is the reference.
    #[arg(long, value_delimiter = ';')]
    only: Vec<String>,
    /// Where the raw record goes.
    #[arg(long)]
    record: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.entries.iter().all(|n| n.is_power_of_two() && *n >= 64),
        "--entries must be powers of two, from 64 on"
    );
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}\n");
    let mut random = fastrand::Rng::with_seed(seed);
    let workloads = match &arguments.workloads[..] {
        [] => Workload::value_variants(),
        some => some,
    };
    let mut record = Record { setting: Setting::now(), tables: Vec::new() };
    record.setting.command += &format!(" (seed {seed})");
    for entries in &arguments.entries {
        for workload in workloads.iter().filter(|w| w.suits(*entries)) {
            let scale = Scale { entries: *entries, operations: arguments.operations };
            let (rounds, only) = (arguments.rounds, &arguments.only);
            let table = measure(*workload, scale, rounds, only, &mut random);
            println!("{}", markdown(&table));
            record.tables.push(table);
            if let Some(path) = &arguments.record {
                record.write(path).context("the raw record")?;
            }
        }
    }
    Ok(())
}

fn measure(
    workload: Workload,
    scale: Scale,
    rounds: usize,
    only: &[String],
    random: &mut fastrand::Rng,
) -> Table {
    let mut entrants = workload.entrants(scale);
    if !only.is_empty() {
        entrants.retain(|e| only.iter().any(|part| e.name.contains(part.as_str())));
        entrants.iter_mut().for_each(|e| e.reference = 0);
    }
    let names: Vec<_> = entrants.iter().map(|e| (e.name.clone(), e.reference)).collect();
    let samples = rounds::run(entrants, rounds, random);
    Table::new(workload, scale.entries, &names, &samples)
}
