//! The run: windows of load on all processors, and between two of them, while all is quiet, the
//! checks.

use crate::bytes::{Bytes, Plan};
use crate::ledger::Mistake;
use crate::measure::{Window, exact, held_kib, resident_kib};
use crate::pairs::Pairs;
use crate::sessions::Sessions;
use crate::watch::{self, said};
use crate::worker::{Worker, latencies};
use crate::world::World;
use halfshake::{Delivery, Stats};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// After so many windows all caches are shut down and built anew.
const RENEWED_AFTER: u64 = 12;
/// Between two looks at the gauges of a window.
const GLANCE: Duration = Duration::from_millis(50);
/// After a violation, threads have this long to end.
const UNWINDS: Duration = Duration::from_secs(5);
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
    /// And in which world it is made.
    pub(crate) mistake: Option<(Mistake, &'static str)>,
    /// The only world that is put under load.
    pub(crate) only: Option<&'static str>,
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

/// As `LARGE`, and never renewed.
const KEPT: Plan = Plan { name: "bytes, kept", ..LARGE };

/// The names of all worlds.
pub(crate) const WORLDS: [&str; 6] =
    ["bytes", "bytes, delivered", "pairs", "sessions", "bytes, kept", "sessions, kept"];

/// A world, and how many bursts it gets of each turn.
struct Share {
    world: Box<dyn World>,
    bursts: u32,
    /// Whether it lives as long as the run.
    kept: bool,
}

impl Share {
    fn new(n: usize, mistake: Option<(Mistake, &str)>) -> Result<Self, String> {
        let name = WORLDS[n];
        let mistake = mistake.and_then(|(mistake, of)| (of == name).then_some(mistake));
        let world: (Box<dyn World>, u32) = match n {
            0 => (Box::new(Bytes::new(LARGE, mistake)?), 5),
            1 => (Box::new(Bytes::new(SMALL, mistake)?), 4),
            2 => (Box::new(Pairs::new(mistake)?), 4),
            3 => (Box::new(Sessions::new(name, mistake)?), 3),
            4 => (Box::new(Bytes::new(KEPT, mistake)?), 1),
            _ => (Box::new(Sessions::new(name, mistake)?), 1),
        };
        Ok(Self { world: world.0, bursts: world.1, kept: n >= 4 })
    }
}

/// Runs, and tells of each window. `Err`: the first violation, with all windows before it. The
/// caches are leaked then: their end might wait for ever.
pub(crate) fn run(
    length: Length,
    tell: impl FnMut(&Window),
) -> Result<Vec<Window>, (String, Vec<Window>)> {
    let (mut shares, mut windows) = (Vec::new(), Vec::new());
    match run_on(&mut shares, &mut windows, length, tell) {
        Ok(()) => Ok(windows),
        Err(violation) => {
            std::mem::forget(shares);
            Err((violation, windows))
        }
    }
}

fn run_on(
    shares: &mut Vec<Share>,
    windows: &mut Vec<Window>,
    length: Length,
    mut tell: impl FnMut(&Window),
) -> Result<(), String> {
    let begun = Instant::now();
    let mut workers: Vec<Worker> =
        (0..).take(length.threads).map(|number| Worker::new(number, length.seed)).collect();
    for round in 0.. {
        if round % RENEWED_AFTER == 0 {
            renew(shares, length.mistake)?;
            let spared = |share: &&mut Share| length.only.is_some_and(|n| n != share.world.name());
            shares.iter_mut().filter(spared).for_each(|share| share.bursts = 0);
        }
        let mut window = load(shares, &mut workers, length.window)?;
        for share in &*shares {
            checked(share.world.name(), || share.world.check())?;
        }
        window.seconds = begun.elapsed().as_secs_f64();
        window.operations = workers.iter().map(|worker| worker.operations).sum();
        window.resident_kib = resident_kib();
        window.held_kib = held_kib();
        let before = windows.last().map_or(0, |last| last.operations);
        window.rate = exact(window.operations - before) / length.window.as_secs_f64();
        tell(&window);
        let enough = length.operations.is_none_or(|least| window.operations >= least);
        windows.push(window);
        if enough && begun.elapsed() >= length.time {
            break;
        }
    }
    for share in &*shares {
        checked(share.world.name(), || share.world.end())?;
    }
    Ok(())
}

fn renew(shares: &mut Vec<Share>, mistake: Option<(Mistake, &str)>) -> Result<(), String> {
    for (n, _) in WORLDS.iter().enumerate() {
        match shares.get_mut(n) {
            None => shares.push(Share::new(n, mistake)?),
            Some(share) if share.kept => {}
            Some(share) => {
                checked(share.world.name(), || share.world.end())?;
                *share = Share::new(n, mistake)?;
            }
        }
    }
    Ok(())
}

/// A check that panics has found something, too.
fn checked(name: &str, check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    watch::now_at(name);
    let ended = catch_unwind(AssertUnwindSafe(check));
    let result = ended.unwrap_or_else(|panic| Err(said(&*panic)));
    result.map_err(|what| format!("{name}: {what}"))
}

/// One window of load: every thread goes round all worlds. The threads end with it.
fn load(shares: &[Share], workers: &mut [Worker], time: Duration) -> Result<Window, String> {
    watch::now_at("under load");
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
            // The threads may wait for what will not come: they would be joined in vain.
            let found = violation.lock().unwrap_or_else(|e| e.into_inner()).clone();
            if let Some(what) = found.filter(|_| ended.elapsed() > UNWINDS) {
                watch::violation(&what);
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
    use crate::watch::silence_injected;

    fn length(mistake: Option<(Mistake, &'static str)>) -> Length {
        Length {
            time: Duration::from_secs(1),
            operations: None,
            window: Duration::from_millis(400),
            threads: 3,
            seed: 1,
            mistake,
            only: None,
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
    fn every_mistake_ends_the_run_and_is_named_in_whichever_world_it_is_made() {
        silence_injected();
        for name in WORLDS {
            let mistakes = [
                (Mistake::Lost, "the law"),
                (Mistake::Twice, "the law"),
                (Mistake::Swapped, "the law"),
                (Mistake::Wrong, "on purpose"),
            ];
            for (mistake, says) in mistakes {
                // In which window it is made is up to how fast the machine is.
                let (violation, _) = run(length(Some((mistake, name))), |_| ()).unwrap_err();
                assert!(violation.contains(says), "{mistake:?} in {name}: {violation}");
            }
        }
    }
}
