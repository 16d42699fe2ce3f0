//! Everything expires within a second, each removal is told, and somebody reads what stays.

use super::{Scale, fresh_salt};
use crate::clock::{Watch, thread_time};
use crate::contestants::TIMEOUT;
use crate::contestants::each::MokaEach;
use crate::keys::{Key, Sequence, key, value, word};
use crate::rounds::{Entrant, Sample};
use halfshake::{BytesCache, Maintenance, ManualClock};
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What stays, for the reader.
const STAYING: u64 = 65_536;
const SECOND: Duration = Duration::from_secs(1);
/// How long the reader reads before the storm.
const QUIET: Duration = Duration::from_millis(1000);
/// From one pass of the sweeper to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// Removals in one call of maintenance.
const SLICE: usize = 512;

pub(super) fn entrants(scale: Scale) -> Vec<Entrant> {
    let entries = scale.entries;
    vec![
        Entrant::new("halfshake, bytes, listener", move || rounds(Ours::new(entries), entries)),
        Entrant::new("moka, Arc, listener", move || {
            rounds(MokaEach::new(room(entries), true), entries)
        }),
    ]
}

/// A cache each of whose entries has a timeout of its own.
trait Stormy: Sync {
    /// Fills the cache with entries that expire within a second from the answer on.
    fn fill(&self, salt: u64, entries: u64) -> Instant;
    /// Inserts what stays.
    fn stay(&self, salt: u64);
    /// A reader, for a thread.
    fn reader(&self) -> impl FnMut(&Key) -> bool;
    /// Removes what has expired at this moment after the beginning.
    fn sweep(&self, since: Duration);
    /// Entries that are still there.
    fn live(&self) -> u64;
    /// Events of expiry that were heard so far.
    fn heard(&self) -> u64;
}

fn rounds(cache: impl Stormy, entries: u64) -> impl FnMut(u64) -> Sample {
    let staying = fresh_salt();
    cache.stay(staying);
    move |seed| {
        let begin = cache.fill(fresh_salt(), entries);
        let (raging, over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let reader = Reader { cache: &cache, begin, staying, raging: &raging, over: &over };
            let reading = scope.spawn(move || reader.read(seed));
            while !raging.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let (before, watch) = (cache.heard(), Watch::start());
            while cache.live() > STAYING {
                std::thread::sleep(PAUSE);
                cache.sweep(begin.elapsed());
            }
            let mut spent = watch.spent();
            let operations = cache.heard() - before;
            over.store(true, Relaxed);
            let read = reading.join().expect("no look-up panics");
            spent.thread += read.surplus_ns;
            let figures = read.figures();
            let latencies = Some(read.stormy);
            Sample { operations, spent, latencies, figures, ..Sample::default() }
        })
    }
}

/// Somebody who reads what stays, before the storm and during it.
struct Reader<'c, C> {
    cache: &'c C,
    begin: Instant,
    staying: u64,
    raging: &'c AtomicBool,
    over: &'c AtomicBool,
}

/// What the reader saw.
struct Read {
    quiet: Histogram<u64>,
    stormy: Histogram<u64>,
    /// Processor time beyond what as many reads take in quiet: work of the storm that fell to the
    /// reader.
    surplus_ns: u64,
}

impl<C: Stormy> Reader<'_, C> {
    fn read(&self, seed: u64) -> Read {
        let (mut get, mut numbers) = (self.cache.reader(), Sequence::new(seed));
        let mut pass = |until: &dyn Fn() -> bool| {
            let before = thread_time();
            let single = read(&mut get, self.staying, &mut numbers, until);
            (single, thread_time() - before)
        };
        pass(&|| Instant::now() + QUIET > self.begin);
        let (quiet, quiet_ns) = pass(&|| Instant::now() >= self.begin);
        self.raging.store(true, Relaxed);
        let (stormy, stormy_ns) = pass(&|| self.over.load(Relaxed));
        let alike = u128::from(quiet_ns) * u128::from(stormy.len());
        let alike = u64::try_from(alike / u128::from(quiet.len().max(1))).unwrap_or(u64::MAX);
        Read { quiet, stormy, surplus_ns: stormy_ns.saturating_sub(alike) }
    }
}

impl Read {
    fn figures(&self) -> Vec<(&'static str, f64)> {
        let p999 = |h: &Histogram<u64>| {
            f64::from(u32::try_from(h.value_at_quantile(0.999)).unwrap_or(u32::MAX))
        };
        let (quiet, stormy) = (p999(&self.quiet), p999(&self.stormy));
        vec![
            ("reader's p99.9 before, ns", quiet),
            ("reader's p99.9 meanwhile, ns", stormy),
            ("reader's p99.9, meanwhile to before", stormy / quiet.max(1.0)),
        ]
    }
}

fn read(
    get: &mut impl FnMut(&Key) -> bool,
    salt: u64,
    numbers: &mut Sequence,
    over: &dyn Fn() -> bool,
) -> Histogram<u64> {
    let mut single = Histogram::new(3).expect("three digits");
    while !over() {
        // It must not be busy all the time, or its own work would hide that of the storm.
        std::thread::sleep(Duration::from_micros(100));
        for _ in 0..32 {
            let wanted = key(salt + numbers.below(STAYING, 0));
            let before = Instant::now();
            std::hint::black_box(get(&wanted));
            let took = u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX);
            single.record(took).expect("it grows");
        }
    }
    single
}

fn room(entries: u64) -> u64 {
    entries + entries / 8 + STAYING
}

/// Ours, on a clock that the sweeping thread moves with time.
struct Ours {
    cache: BytesCache,
    clock: Arc<ManualClock>,
    heard: Arc<AtomicU64>,
    begun: Mutex<Duration>,
}

impl Ours {
    fn new(entries: u64) -> Self {
        let (clock, heard) = (ManualClock::new(), Arc::new(AtomicU64::new(0)));
        let counts = heard.clone();
        let cache = BytesCache::builder()
            .capacity(room(entries))
            .time_to_live(TIMEOUT)
            .clock(clock.clone())
            .maintenance(Maintenance::Embedder)
            .removal_listener(move |r| {
                std::hint::black_box(word(r.value()));
                // What was replaced or evicted has not expired.
                let expired = r.cause() == halfshake::RemovalCause::Expired;
                counts.fetch_add(u64::from(expired), Relaxed);
            })
            .build()
            .expect("good settings");
        Self { cache, clock, heard, begun: Mutex::default() }
    }
}

impl Stormy for Ours {
    fn fill(&self, salt: u64, entries: u64) -> Instant {
        let mut refused = 0;
        for n in salt..salt + entries {
            let part = Duration::from_millis(n % 1000);
            let stored = self.cache.insert_with_timeout(&key(n), &value(n), SECOND + part);
            refused += u64::from(stored.is_err());
        }
        assert_eq!(refused, 0, "one thread alone is never refused");
        *self.begun.lock().expect("nobody panics") = Duration::ZERO;
        Instant::now() + QUIET + QUIET
    }
    fn stay(&self, salt: u64) {
        for n in salt..salt + STAYING {
            self.cache.insert(&key(n), &value(n)).expect("one thread alone is never refused");
        }
    }
    fn reader(&self) -> impl FnMut(&Key) -> bool {
        let mut reader = self.cache.reader();
        move |wanted| reader.get(&wanted[..]).is_some()
    }
    fn sweep(&self, since: Duration) {
        // Their first second, in which none expires, is skipped.
        let mut begun = self.begun.lock().expect("nobody panics");
        let due = (SECOND + since).min(3 * SECOND);
        self.clock.advance(due.saturating_sub(*begun));
        *begun = due;
        while !self.cache.run_maintenance(SLICE).complete {}
    }
    fn live(&self) -> u64 {
        self.cache.len()
    }
    fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }
}

impl Stormy for MokaEach {
    #[expect(clippy::cast_precision_loss, reason = "fewer entries than a double has digits")]
    fn fill(&self, salt: u64, entries: u64) -> Instant {
        // Its clock can't be moved: the storm begins when all should be there.
        let mut each = Duration::from_micros(8);
        loop {
            let begin = Instant::now() + 2 * QUIET + each.mul_f64(entries as f64);
            for n in salt..salt + entries {
                let part = Duration::from_millis(n % 1000);
                let life = begin.saturating_duration_since(Instant::now()) + part;
                self.insert_for(key(n), n, life);
            }
            self.cache.run_pending_tasks();
            if Instant::now() + QUIET < begin {
                return begin;
            }
            // The machine was busy: once more, slower, when these are gone.
            each *= 2;
            while self.live() > STAYING {
                std::thread::sleep(PAUSE);
                self.sweep(Duration::ZERO);
            }
        }
    }
    fn stay(&self, salt: u64) {
        for n in salt..salt + STAYING {
            self.insert_for(key(n), n, 10 * TIMEOUT);
        }
    }
    fn reader(&self) -> impl FnMut(&Key) -> bool {
        |wanted| self.cache.get(wanted).is_some()
    }
    fn sweep(&self, _: Duration) {
        self.cache.run_pending_tasks();
    }
    fn live(&self) -> u64 {
        self.cache.entry_count()
    }
    fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }
}
