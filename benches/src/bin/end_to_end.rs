//! Runs the plan of real handshakes and writes the record.

use anyhow::{Result, ensure};
use clap::Parser;
use halfshake_benches::end_to_end::plan::Plan;
use std::path::PathBuf;

/// Real handshakes with `halfshake serve`, over its cache and over rustls's own.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program, `halfshake`.
    #[arg(long)]
    program: PathBuf,
    /// In little time: fewer sessions, rounds and handshakes.
    #[arg(long)]
    quick: bool,
    /// Sessions in the cache.
    #[arg(long, value_delimiter = ',')]
    sizes: Option<Vec<u64>>,
    /// How often each server takes its turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// Handshakes of each kind in a turn.
    #[arg(long)]
    handshakes: Option<usize>,
    /// Seed of the orders; random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the record goes.
    #[arg(long)]
    record: PathBuf,
}

fn main() -> Result<()> {
    let given = Arguments::parse();
    let (largest, rounds, handshakes) =
        if given.quick { (10_000, 5, 500) } else { (100_000, 9, 1000) };
    let plan = Plan {
        program: given.program,
        sizes: given.sizes.unwrap_or_else(|| vec![1, 1000, largest]),
        rounds: given.rounds.unwrap_or(rounds),
        handshakes: given.handshakes.unwrap_or(handshakes),
        seed: given.seed.unwrap_or_else(|| fastrand::u64(..)),
    };
    ensure!(!plan.sizes.contains(&0), "a cache holds one session at least");
    plan.run(|record| record.write(&given.record))
}
