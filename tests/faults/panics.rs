//! Class 5: user code that panics: the clock at its n-th call, and all callbacks at random.
//! (`contract_panics.rs`: each callback at its n-th call; `panics.rs`: `Drop`, `Eq`, `Hash`.)

use crate::tried::{INJECTED, Random, amount, bears, silence_injected, tried};
use halfshake::session::{
    Answer, Modes, Namespace, Session, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{Cache, Clock, Maintenance, ManualClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Panics once in so many calls, or at one of them.
#[derive(Debug, Default)]
struct Fuse {
    calls: AtomicU64,
    at: AtomicU64,
    /// 0: never.
    once_in: AtomicU64,
    panics: AtomicU64,
}

impl Fuse {
    fn call(&self) {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        let once_in = self.once_in.load(SeqCst);
        let random = once_in != 0 && Random(call ^ once_in << 40).below(once_in) == 0;
        if call == self.at.load(SeqCst) || random {
            self.panics.fetch_add(1, SeqCst);
            std::panic::panic_any(INJECTED);
        }
    }

    fn disarm(&self) {
        self.at.store(0, SeqCst);
        self.once_in.store(0, SeqCst);
    }
}

#[derive(Debug)]
struct Fragile(Arc<ManualClock>, Arc<Fuse>);

impl Clock for Fragile {
    fn now(&self) -> Duration {
        self.1.call();
        self.0.now()
    }
}

fn step(cache: &Cache<u64, u64>, clock: &ManualClock, n: u64) {
    let key = n * 7 % 40;
    match n % 16 {
        0..=4 => _ = cache.insert(key, n),
        5 => _ = cache.insert_with_timeout(key, n, Duration::from_millis(3)),
        6 => _ = cache.insert_many((0..5).map(|i| (key + i, n))),
        7 => drop(cache.get(&key)),
        8 => drop(cache.get_many(&[&key, &(key + 1)])),
        9 => drop(cache.take(&key)),
        10 => _ = cache.remove(&key),
        11 => _ = cache.insert_if_absent(key, n),
        12 => _ = cache.run_maintenance(usize::MAX),
        13 => _ = cache.flush(Duration::from_millis(n)),
        14 => cache.retain(|key, _| key % 5 != 0),
        _ => clock.advance(Duration::from_millis(1)),
    }
}

#[test]
fn the_clock_may_panic_at_any_call() {
    silence_injected();
    let most = amount(100, 5_000);
    for at in 1..=most {
        let (hands, fuse) = (ManualClock::new(), Arc::new(Fuse::default()));
        let told = Arc::new(AtomicU64::new(0));
        let counts = told.clone();
        let cache = Cache::<u64, u64>::builder()
            .capacity(20)
            .clock(Arc::new(Fragile(hands.clone(), fuse.clone())))
            .maintenance(Maintenance::Embedder)
            .removal_listener(move |_| _ = counts.fetch_add(1, SeqCst))
            .build()
            .unwrap();
        fuse.at.store(fuse.calls.load(SeqCst) + at, SeqCst);
        let mut panics = 0;
        for n in 0.. {
            panics += u64::from(bears(|| step(&cache, &hands, n)));
            if fuse.calls.load(SeqCst) > fuse.at.load(SeqCst) + 20 {
                break;
            }
        }
        // It may come where nobody could be told, and then is not: it never comes twice.
        assert!(panics <= 1 && fuse.panics.load(SeqCst) == 1, "call {at}: {panics} panics");
        fuse.disarm();
        cache.run_maintenance(usize::MAX);
        let stats = cache.stats();
        assert_eq!(stats.inserts, told.load(SeqCst) + stats.entries, "call {at}");
        cache.validate();
        // The end comes in any case, also if the clock never answers again.
        fuse.once_in.store(1, SeqCst);
        assert!(!bears(|| cache.shutdown()), "call {at}: the clock broke the end off");
        assert_eq!(stats.inserts, told.load(SeqCst), "call {at}");
    }
    tried(
        "5",
        "the clock panics at its n-th call",
        &format!("every n up to {most}"),
        "at most one caller hears of it; each entry is told of once",
    );
}

const IDS: u64 = 12;

fn session(cache: &SessionCache<u64>, of: u64, number: u64) -> Session {
    let id = SessionId::new(&[of.to_le_bytes()[0]; 32]).unwrap();
    cache.make(&Namespace::new(b"www").unwrap(), id, 0x0303, &number.to_le_bytes())
}

/// A cache whose new, get and remove callbacks and clock are each a fuse.
fn plan(
    fuses: &[Arc<Fuse>; 4],
    told: &Arc<AtomicU64>,
    hands: &Arc<ManualClock>,
) -> SessionCache<u64> {
    let [new, get, remove, clock] = fuses.clone();
    let counts = told.clone();
    SessionCache::<u64>::builder()
        .capacity(6)
        .timeout(Duration::from_millis(50))
        .modes(Modes::SERVER | Modes::UPDATE_TIME)
        .maintenance(Maintenance::Embedder)
        .breaker(0, Duration::ZERO)
        .clock(Arc::new(Fragile(hands.clone(), clock)))
        .wall_clock(hands.clone())
        .new_callback(move |number, _| {
            new.call();
            if number % 5 == 0 { Verdict::Refuse } else { Verdict::Keep }
        })
        .get_callback(move |number, asked| {
            get.call();
            match number % 3 {
                0 => Answer::unknown(),
                _ => Answer::handed_over(session(asked.cache(), asked.id()[0].into(), *number)),
            }
        })
        .remove_callback(move |_| {
            counts.fetch_add(1, SeqCst);
            remove.call();
        })
        .build()
        .unwrap()
}

fn use_sessions(cache: &SessionCache<u64>, hands: &ManualClock, random: &mut Random, n: u64) {
    let (of, name) = (random.below(IDS), Namespace::new(b"www").unwrap());
    let id = [of.to_le_bytes()[0]; 32];
    match random.below(32) {
        0..=9 => _ = cache.new_session(&n, Side::Server, &session(cache, of, n)),
        10..=12 => _ = cache.add(&session(cache, of, n)),
        13..=20 => drop(cache.resume(&n, &name, &id)),
        21..=24 => drop(cache.take(&n, &name, &id)),
        25..=26 => _ = cache.remove(&name, &id),
        27 => _ = cache.connection_failed(&name, &id),
        28 => _ = cache.flush_all(),
        29 => _ = cache.run_maintenance(usize::MAX),
        30 => _ = cache.set_capacity(1 + random.below(6)),
        _ => hands.advance(Duration::from_millis(random.below(30))),
    }
}

#[test]
fn callbacks_and_clock_that_panic_at_random_lose_nothing() {
    silence_injected();
    let plans = amount(300, 100_000);
    let mut injected = 0;
    for seed in 0..plans {
        let mut random = Random(seed);
        let hands = ManualClock::new();
        hands.set(Duration::from_secs(1_800_000_000));
        let fuses: [Arc<Fuse>; 4] = std::array::from_fn(|_| Arc::default());
        let told = Arc::new(AtomicU64::new(0));
        let cache = plan(&fuses, &told, &hands);
        for fuse in &fuses {
            // Some never, some at each second call.
            let once_in = [0, 2, 3, 10, 40][usize::try_from(random.below(5)).unwrap()];
            fuse.once_in.store(once_in, SeqCst);
        }
        for n in 0..120 {
            bears(|| use_sessions(&cache, &hands, &mut random, n));
        }
        injected += fuses.iter().map(|fuse| fuse.panics.load(SeqCst)).sum::<u64>();
        fuses.iter().for_each(|fuse| fuse.disarm());
        cache.run_maintenance(usize::MAX);
        let stats = cache.stats();
        let told_now = told.load(SeqCst);
        assert_eq!(stats.engine.inserts, told_now + cache.len(), "plan {seed}");
        assert_eq!(stats.in_flight, 0, "plan {seed}");
        cache.validate();
        cache.shutdown();
        assert_eq!(stats.engine.inserts, told.load(SeqCst), "plan {seed}");
    }
    assert!(injected > plans, "{injected} panics of {plans} plans");
    tried(
        "5",
        "new, get and remove callbacks and the clock panic at random",
        &format!("{plans} plans, {injected} panics"),
        "each session that was stored is told of once; nothing is half-way",
    );
}
