//! Class 7: callbacks that call their cache and replace each other, at random, inside of one
//! another, while other threads do the same. (`contract_reentrancy.rs`: each operation in each
//! callback, one at a time.)

use crate::tried::{Random, amount, tried};
use crate::world::{Alive, until};
use halfshake::session::{
    Answer, Modes, Namespace, Session, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{Delivery, Maintenance, ManualClock};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

type Sessions = SessionCache<u64>;

const THREADS: u64 = 4;
const STEPS: u64 = 60;
const IDS: u64 = 12;
/// So many callbacks inside of one another: the innermost call nothing.
const DEEPEST: u64 = 8;
/// Far beyond what any plan takes: a watchdog, not a measurement.
const WATCHDOG: Duration = Duration::from_secs(120);

thread_local! {
    static RANDOM: RefCell<Random> = const { RefCell::new(Random(0)) };
    static DEPTH: Cell<u64> = const { Cell::new(0) };
}

fn draw(below: u64) -> u64 {
    RANDOM.with_borrow_mut(|random| random.below(below))
}

fn name() -> Namespace {
    Namespace::new(b"www").unwrap()
}

fn session(cache: &Sessions, of: u64) -> Session {
    let id = SessionId::new(&[of.to_le_bytes()[0]; 32]).unwrap();
    cache.make(&name(), id, 0x0303, &of.to_le_bytes())
}

/// What callbacks did.
#[derive(Debug, Default)]
struct Counts {
    told: AtomicU64,
    /// Operations inside of callbacks, and how deep at most.
    inside: AtomicU64,
    deepest: AtomicU64,
    replaced: AtomicU64,
}

/// What each callback has.
#[derive(Clone)]
struct Seen {
    counts: Arc<Counts>,
    clock: Arc<ManualClock>,
    callbacks: Alive,
}

impl Seen {
    /// Inside of a callback: each second one does something, too.
    fn nest(&self, cache: &Sessions) {
        let depth = DEPTH.get();
        if depth == DEEPEST || draw(2) == 0 {
            return;
        }
        DEPTH.set(depth + 1);
        self.counts.inside.fetch_add(1, SeqCst);
        self.counts.deepest.fetch_max(depth + 1, SeqCst);
        self.act(cache);
        DEPTH.set(depth);
    }

    fn act(&self, cache: &Sessions) {
        let of = draw(IDS);
        let id = [of.to_le_bytes()[0]; 32];
        match draw(44) {
            0..=9 => _ = cache.new_session(&of, Side::Server, &session(cache, of)),
            10..=13 => _ = cache.add(&session(cache, of)),
            14..=20 => drop(cache.resume(&of, &name(), &id)),
            21..=25 => drop(cache.take(&of, &name(), &id)),
            26..=27 => _ = cache.remove(&name(), &id),
            28 => _ = cache.connection_failed(&name(), &id),
            29 => _ = cache.flush_all(),
            30 => _ = cache.flush_namespace(&name()),
            31 => _ = cache.flush_sessions(cache.wall_now()),
            32 => _ = cache.run_maintenance(usize::MAX),
            33 => _ = cache.set_capacity(1 + draw(6)),
            34 => _ = cache.set_modes([Modes::OFF, Modes::SERVER, Modes::BOTH][index(draw(3))]),
            35 => _ = cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME),
            36 => self.clock.advance(Duration::from_millis(draw(30))),
            37 => drop(cache.clear_new_callback()),
            38 => drop(cache.clear_get_callback()),
            39 if draw(30) == 0 => cache.shutdown(),
            _ => self.set(cache, draw(3)),
        }
    }

    /// Sets one of the three callbacks. The remove callback is never cleared: it counts.
    fn set(&self, cache: &Sessions, which: u64) {
        let seen = self.clone();
        self.counts.replaced.fetch_add(1, SeqCst);
        match which {
            0 => drop(cache.set_new_callback(move |_, new| {
                seen.nest(new.cache());
                if draw(5) == 0 { Verdict::Refuse } else { Verdict::Keep }
            })),
            1 => drop(cache.set_get_callback(move |_, asked| {
                seen.nest(asked.cache());
                match draw(3) {
                    0 => Answer::unknown(),
                    _ => Answer::handed_over(session(asked.cache(), asked.id()[0].into())),
                }
            })),
            _ => drop(cache.set_remove_callback(move |gone| {
                seen.counts.told.fetch_add(1, SeqCst);
                seen.nest(gone.cache());
            })),
        }
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

fn cache(seed: u64, clock: &Arc<ManualClock>) -> Sessions {
    let delivery = if seed.is_multiple_of(4) { Delivery::Thread } else { Delivery::Caller };
    let maintenance =
        if seed.is_multiple_of(3) { Maintenance::Thread } else { Maintenance::Embedder };
    Sessions::builder()
        .capacity(6)
        .timeout(Duration::from_millis(50))
        .modes(Modes::SERVER | Modes::UPDATE_TIME)
        .delivery(delivery)
        .maintenance(maintenance)
        .breaker(0, Duration::ZERO)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .build()
        .unwrap()
}

fn plan(seed: u64) -> Arc<Counts> {
    let clock = ManualClock::new();
    clock.set(Duration::from_secs(1_800_000_000));
    let cache = cache(seed, &clock);
    let seen = Seen { counts: Arc::default(), clock, callbacks: Alive::default() };
    (0..3).for_each(|which| seen.set(&cache, which));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, seen) = (&cache, &seen);
            scope.spawn(move || {
                RANDOM.set(Random(seed << 8 | thread));
                (0..STEPS).for_each(|_| seen.act(cache));
            });
        }
    });
    cache.shutdown();
    let stats = cache.stats();
    let engine = &stats.engine;
    assert_eq!(engine.inserts, seen.counts.told.load(SeqCst), "plan {seed}: {stats:?}");
    assert_eq!((engine.pinned_deliveries, stats.in_flight, cache.len()), (0, 0, 0), "plan {seed}");
    cache.validate();
    drop(cache);
    until("all callbacks are dropped", || seen.callbacks.count() == 0);
    seen.counts
}

#[test]
fn callbacks_that_call_and_replace_at_random_lose_nothing_and_hang_nowhere() {
    let plans = amount(60, 20_000);
    let (done, is_done) = channel();
    let thread = std::thread::spawn(move || {
        for seed in 0..plans {
            // The test may have given up.
            _ = done.send(plan(seed));
        }
    });
    let (mut inside, mut replaced, mut deepest, mut ended) = (0, 0, 0, 0);
    while ended < plans {
        let counts = match is_done.recv_timeout(WATCHDOG) {
            Ok(counts) => counts,
            Err(RecvTimeoutError::Timeout) => panic!("plan {ended} hangs"),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        inside += counts.inside.load(SeqCst);
        replaced += counts.replaced.load(SeqCst);
        deepest = deepest.max(counts.deepest.load(SeqCst));
        ended += 1;
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(inside > plans * 10 && deepest > 3, "{inside} of {plans} plans, {deepest} deep");
    tried(
        "7",
        "callbacks that call and replace at random, while other threads do",
        &format!(
            "{plans} plans of {THREADS} threads, {inside} operations inside of callbacks, up to \
             {deepest} deep, {replaced} callbacks replaced"
        ),
        "none hangs or runs pinned; each session is told of once; each callback is dropped",
    );
}
