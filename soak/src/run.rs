//! The run: windows of load on all processors, and between two of them, while all is quiet, the
//! checks.

use crate::bytes::{Bytes, Plan};
use crate::ledger::Mistake;
use crate::measure::{Window, exact, resident_kib};
use crate::pairs::Pairs;
use crate::sessions::Sessions;
use crate::worker::{Worker, latencies};
use crate::world::{INJECTED, World};
use halfshake::{Delivery, Stats};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// After so many windows all caches are shut down and built anew.
const RENEWED_AFTER: u64 = 12;
/// Between two looks at the gauges of a window.
const GLANCE: Duration = Duration::from_millis(50);
/// A burst is over in microseconds: who takes this long hangs.
const HANGS: Duration = Duration::from_secs(300);
/// What inserts under way may add to the bytes of a cache.
const UNDER_WAY: u64 = 1 << 20;

/// How long a run is, and of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) time: Duration,
    pub(crate) operations: Option<u64>,
    pub(crate) window: Duration,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    pub(crate) mistake: Option<Mistake>,
}

/// In memory of its own (a large cache), and under a manual clock: what lives is checked.
const LARGE: Plan = Plan {
    name: "bytes",
    capacity: 20_000,
    bytes: 4 << 20,
    keys: 60_000,
    delivery: Delivery::Caller,
    system_time: false,
};
/// With the system's clock, as in production, and a thread that delivers.
const SMALL: Plan = Plan {
    name: "bytes, delivered",
    capacity: 2_000,
    bytes: 1 << 20,
    keys: 6_000,
    delivery: Delivery::Thread,
    system_time: true,
};

/// A world, and how many bursts it gets of each turn.
struct Share {
    world: Box<dyn World>,
    bursts: u32,
}

fn worlds(mistake: Option<Mistake>) -> Result<Vec<Share>, String> {
    let share = |world, bursts| Share { world, bursts };
    Ok(vec![
        share(Box::new(Bytes::new(LARGE, mistake)?), 5),
        share(Box::new(Bytes::new(SMALL, None)?), 4),
        share(Box::new(Pairs::new(None)?), 4),
        share(Box::new(Sessions::new(None)?), 3),
    ])
}

/// Panics that are part of the load say nothing.
pub(crate) fn silence_injected() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&INJECTED) {
            usual(panic);
        }
    }));
}

/// Runs, and tells of each window. `Err`: the first violation, with all windows before it.
pub(crate) fn run(
    length: Length,
    mut tell: impl FnMut(&Window),
) -> Result<Vec<Window>, (String, Vec<Window>)> {
    let begun = Instant::now();
    let mut windows: Vec<Window> = Vec::new();
    let mut workers: Vec<Worker> =
        (0..).take(length.threads).map(|number| Worker::new(number, length.seed)).collect();
    let mut shares = Vec::new();
    for round in 0.. {
        let mut done = || -> Result<Window, String> {
            if round % RENEWED_AFTER == 0 {
                renew(&mut shares, length.mistake)?;
            }
            let mut window = load(&shares, &mut workers, length.window)?;
            for share in &shares {
                checked(share.world.name(), || share.world.check())?;
            }
            window.seconds = begun.elapsed().as_secs_f64();
            window.operations = workers.iter().map(|worker| worker.operations).sum();
            window.resident_kib = resident_kib();
            let before = windows.last().map_or(0, |last| last.operations);
            window.rate = exact(window.operations - before) / length.window.as_secs_f64();
            Ok(window)
        };
        let window = match done() {
            Ok(window) => window,
            Err(violation) => return Err((violation, windows)),
        };
        tell(&window);
        let enough = length.operations.is_some_and(|most| window.operations >= most);
        windows.push(window);
        if enough || begun.elapsed() >= length.time {
            break;
        }
    }
    for share in &shares {
        if let Err(violation) = checked(share.world.name(), || share.world.end()) {
            return Err((violation, windows));
        }
    }
    Ok(windows)
}

fn renew(shares: &mut Vec<Share>, mistake: Option<Mistake>) -> Result<(), String> {
    for share in shares.drain(..) {
        checked(share.world.name(), || share.world.end())?;
    }
    *shares = worlds(mistake)?;
    Ok(())
}

/// What a panic says.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

/// A check that panics has found something, too.
fn checked(name: &str, check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let ended = catch_unwind(AssertUnwindSafe(check));
    let result = ended.unwrap_or_else(|panic| Err(said(&*panic)));
    result.map_err(|what| format!("{name}: {what}"))
}

/// One window of load: every thread goes round all worlds. The threads end with it.
fn load(shares: &[Share], workers: &mut [Worker], time: Duration) -> Result<Window, String> {
    let begun = Instant::now();
    let over = AtomicBool::new(false);
    let running = AtomicUsize::new(workers.len());
    let violation = Mutex::new(None);
    let mut window = Window::default();
    std::thread::scope(|scope| {
        for worker in &mut *workers {
            let (over, running, violation) = (&over, &running, &violation);
            scope.spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| turns(shares, worker, over)));
                if let Err(panic) = ended {
                    over.store(true, Relaxed);
                    let mut first = violation.lock().unwrap_or_else(|e| e.into_inner());
                    first.get_or_insert_with(|| said(&*panic));
                }
                running.fetch_sub(1, Relaxed);
            });
        }
        while begun.elapsed() < time && !over.load(Relaxed) {
            std::thread::sleep(GLANCE);
            if let Err(what) = glance(shares, &mut window) {
                let mut first = violation.lock().unwrap_or_else(|e| e.into_inner());
                first.get_or_insert(what);
                break;
            }
        }
        over.store(true, Relaxed);
        let ended = Instant::now();
        while running.load(Relaxed) > 0 {
            if ended.elapsed() > HANGS {
                // Nobody can be waited for: the threads are kept for whoever looks.
                eprintln!("VIOLATION: an operation hangs");
                std::process::exit(1);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    if let Some(what) = violation.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(what);
    }
    let mut all = latencies();
    for worker in workers {
        // Of the same bounds.
        all.add(&worker.latency).map_err(|error| error.to_string())?;
        worker.latency.reset();
    }
    [window.median_ns, window.p99_ns, window.p999_ns] =
        [0.5, 0.99, 0.999].map(|q| all.value_at_quantile(q));
    for share in shares {
        let stats = share.world.stats();
        window.entries += stats.entries;
        window.events += stats.removed_total();
        window.refused += stats.refused_total();
    }
    Ok(window)
}

fn turns(shares: &[Share], worker: &mut Worker, over: &AtomicBool) {
    let mut bursts: Vec<_> =
        shares.iter().map(|share| (share.world.burst(), share.bursts)).collect();
    while !over.load(Relaxed) {
        for (burst, times) in &mut bursts {
            (0..*times).for_each(|_| burst(worker));
        }
    }
}

/// An insert asks for both: that what lives, and what waits, be within the limit. Removals turn one
/// into the other.
fn passes_bound(stats: &Stats) -> bool {
    let most = stats.capacity_bytes.map_or(u64::MAX, |limit| 2 * limit + UNDER_WAY);
    stats.retired_bytes + stats.bytes > most
}

/// Looks at the gauges while all is under load.
fn glance(shares: &[Share], window: &mut Window) -> Result<(), String> {
    let mut retired = 0;
    for share in shares {
        let stats = share.world.stats();
        retired += stats.retired_bytes;
        // Gauges are sums over threads, read one after the other: who loses its processor in
        // between sees more than there is. What is too much in truth is so again and again.
        let again = || {
            std::thread::yield_now();
            passes_bound(&share.world.stats())
        };
        if passes_bound(&stats) && (0..100).all(|_| again()) {
            let name = share.world.name();
            return Err(format!("{name}: the bytes pass their bound: {stats:?}"));
        }
    }
    window.retired_bytes = window.retired_bytes.max(retired);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(mistake: Option<Mistake>) -> Length {
        Length {
            time: Duration::from_secs(1),
            operations: None,
            window: Duration::from_millis(400),
            threads: 3,
            seed: 1,
            mistake,
        }
    }

    #[test]
    fn a_short_run_finds_nothing_and_does_much() {
        silence_injected();
        let windows = run(length(None), |_| ()).unwrap();
        let last = windows.last().unwrap();
        assert!(last.operations > 10_000 && last.p999_ns > last.median_ns, "{last:?}");
        assert!(windows.iter().any(|window| window.retired_bytes > 0), "{windows:?}");
        assert!(last.events > 1000 && last.entries > 100, "{last:?}");
    }

    #[test]
    fn every_mistake_ends_the_run_and_is_named() {
        silence_injected();
        for (mistake, name) in [
            (Mistake::Lost, "the law"),
            (Mistake::Twice, "the law"),
            (Mistake::Swapped, "the law"),
            (Mistake::Wrong, "on purpose"),
        ] {
            let (violation, windows) = run(length(Some(mistake)), |_| ()).unwrap_err();
            assert!(violation.contains(name) && windows.is_empty(), "{mistake:?}: {violation}");
        }
    }
}
