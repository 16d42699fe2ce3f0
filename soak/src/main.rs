//! Long runs of the caches under everything at once: all operations, callbacks that use the cache
//! and callbacks that panic, sweeps, callbacks that are swapped, capacities that change, flushes,
//! modes, a store outside that answers in every way. Every few seconds the threads end, all comes
//! to rest, and the books are checked: each entry that was stored lives or was told of once.

mod bytes;
mod ledger;
mod measure;
mod pairs;
mod plot;
mod run;
mod sessions;
mod watch;
mod worker;
mod world;

use cap::Cap;
use clap::Parser;
use ledger::Mistake;
use measure::{HELD, Memory, RESIDENT, Window, drift, exact};
use run::Length;
use std::alloc::System;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What is held of it, all of the process together.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Put the caches under load for minutes or hours, and stop at the first violation.
#[derive(Debug, Parser)]
#[command(after_help = "Exit status: 0 no violation; 1 a violation, which is told with its seed.")]
struct Arguments {
    /// For how long at least, in minutes.
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    minutes: f64,

    /// And until so many operations are done; a batch counts one for each key. It has to be told
    /// then that memory is flat: what is too short or too noisy for that has failed.
    #[arg(long, value_name = "N")]
    operations: Option<u64>,

    /// Tells how resident memory grows, and does not judge that: a sanitizer's own is most of it.
    #[arg(long)]
    sanitized: bool,

    /// Threads; as many as there are processors when not given.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Seconds between two checks.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    every: f64,

    /// Draws the same operations for each thread again (not the same interleaving).
    #[arg(long)]
    seed: Option<u64>,

    /// Folder for the table and the pictures of the run.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,

    /// Make a mistake, to see it found.
    #[arg(long, value_name = "MISTAKE", value_enum)]
    plant: Option<Mistake>,

    /// In which cache.
    #[arg(long, value_name = "CACHE", default_value = run::WORLDS[0], value_parser = run::WORLDS)]
    plant_in: String,

    /// Put only this cache under load.
    #[arg(long, value_name = "CACHE", value_parser = run::WORLDS)]
    only: Option<String>,

    /// What takes this many seconds, a window or a check, hangs, and that is a violation.
    #[arg(long, value_name = "S", default_value_t = 300.0)]
    patience: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let named = |name: &str| run::WORLDS.into_iter().find(|known| *known == name);
    let length = Length {
        time: Duration::from_secs_f64(arguments.minutes * 60.0),
        operations: arguments.operations,
        window: Duration::from_secs_f64(arguments.every),
        threads: arguments.threads.unwrap_or(processors),
        seed,
        mistake: arguments.plant.zip(named(&arguments.plant_in)),
        only: arguments.only.as_deref().and_then(named),
    };
    println!("soak: seed {seed}, {} threads, a check every {} s", length.threads, arguments.every);
    watch::begin(seed, Duration::from_secs_f64(arguments.every + arguments.patience));
    let (violation, windows) = match run::run(length, tell) {
        Ok(windows) => {
            let must_be_flat = arguments.operations.is_some();
            (growth(&windows, must_be_flat, arguments.sanitized), windows)
        }
        Err((violation, windows)) => (Some(violation), windows),
    };
    if let Some(violation) = &violation {
        watch::say(violation);
    }
    if let Some(folder) = &arguments.record
        && let Err(error) = record(&windows, folder)
    {
        eprintln!("soak: {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    if violation.is_some() {
        return ExitCode::FAILURE;
    }
    println!("{}", evidence(&windows, arguments.sanitized));
    ExitCode::SUCCESS
}

fn tell(window: &Window) {
    println!(
        "{:7.0} s  {:.3e} operations, {:.2} million/s  {} of {} MiB  p99.9 {:.1} µs  \
         retired {} KiB  {} events, {} refused",
        window.seconds,
        exact(window.operations),
        window.rate / 1e6,
        window.held_kib / 1024,
        window.resident_kib / 1024,
        exact(window.p999_ns) / 1000.0,
        window.retired_bytes / 1024,
        window.events,
        window.refused
    );
}

/// What is wrong with memory: that it grows or, in a run that has to show that it does not, that
/// nobody can say.
fn growth(windows: &[Window], must_be_flat: bool, sanitized: bool) -> Option<String> {
    let gauges = [("memory that is held", HELD), ("resident memory", RESIDENT)];
    let judged = &gauges[..if sanitized { 1 } else { 2 }];
    let wrong = judged.iter().map(|(what, gauge)| (what, Memory::of(windows, *gauge)));
    let mut wrong = wrong.filter(|(_, memory)| match memory {
        Memory::Flat(_) => false,
        Memory::Grows(_) => true,
        Memory::TooShort | Memory::TooNoisy(_) => must_be_flat,
    });
    wrong.next().map(|(what, memory)| format!("{what} {memory}"))
}

fn record(windows: &[Window], folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    measure::write(windows, &folder.join("windows.tsv")).map_err(|error| error.to_string())?;
    plot::draw(windows, folder)
}

/// The line of the table of evidence.
fn evidence(windows: &[Window], sanitized: bool) -> String {
    let last = windows.last().cloned().unwrap_or_default();
    let (from, to) = drift(windows);
    let (held, resident) = (Memory::of(windows, HELD), Memory::of(windows, RESIDENT));
    let whose = if sanitized { "with the sanitizer's, resident" } else { "resident" };
    format!(
        "EVIDENCE: nothing is lost under everything at once | soak | {} operations, {} checks, \
         {:.0} min | conservation error 0, memory: held {held}, {whose} {resident}, \
         p99.9 {:.1} to {:.1} µs",
        last.operations,
        windows.len(),
        last.seconds / 60.0,
        exact(from) / 1000.0,
        exact(to) / 1000.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_grows_is_a_violation_and_one_for_a_number_must_be_flat() {
        for must_be_flat in [false, true] {
            let fails = |windows, each, swing| {
                growth(&measure::growing(windows, each, swing), must_be_flat, false).is_some()
            };
            assert!(fails(90, 100, 0));
            assert!(!fails(90, 10, 0), "flat");
            assert_eq!(fails(20, 10, 0), must_be_flat, "too short");
            assert_eq!(fails(90, 10, 10_000), must_be_flat, "too noisy");
            // A sanitizer's own memory may grow, and nobody else's.
            let mut windows = measure::growing(90, 100, 0);
            windows.iter_mut().for_each(|window| window.held_kib = 50_000);
            assert!(growth(&windows, must_be_flat, false).is_some());
            assert_eq!(growth(&windows, must_be_flat, true), None);
            assert!(growth(&measure::growing(90, 100, 0), must_be_flat, true).is_some());
        }
    }

    #[test]
    fn the_record_has_a_line_for_each_window_and_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let windows: Vec<_> = (1..5u32)
            .map(|n| Window { seconds: f64::from(n), p999_ns: 100, ..Window::default() })
            .collect();
        record(&windows, folder.path()).unwrap();
        let table = std::fs::read_to_string(folder.path().join("windows.tsv")).unwrap();
        assert_eq!(table.lines().count(), 5);
        for picture in ["held.svg", "resident.svg", "latency.svg", "retired.svg", "rate.svg"] {
            let text = std::fs::read_to_string(folder.path().join(picture)).unwrap();
            assert!(text.contains("<polyline"), "{picture}");
        }
    }
}
