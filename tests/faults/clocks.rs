//! Class 9: clocks that step back, jump ahead, stand still, or do so at each call.

use crate::tried::{Random, amount, tried};
use halfshake::session::{Namespace, SessionCache, SessionId};
use halfshake::{Cache, Clock, Maintenance, ManualClock, RemovalCause};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const YEARS_10: Duration = Duration::from_secs(10 * 365 * 86_400);
const KEYS: u64 = 8;

/// One step of a clock that cannot be relied on.
fn stepped(now: Duration, random: &mut Random) -> Duration {
    match random.below(16) {
        0 => now.saturating_sub(Duration::from_secs(3600)),
        1 => now.saturating_add(YEARS_10),
        2 => Duration::ZERO,
        // It stands still.
        3..=7 => now,
        8 => now.saturating_sub(MS * u32::try_from(random.below(20)).unwrap()),
        _ => now + MS * u32::try_from(random.below(20)).unwrap(),
    }
}

/// What the cache must hold, by a clock that is never set back.
#[derive(Default)]
struct Model {
    seen: Duration,
    /// Value and deadline.
    entries: HashMap<u64, (u64, Duration)>,
    told: Vec<(u64, bool)>,
}

impl Model {
    fn live(&self, key: u64) -> Option<u64> {
        let (value, deadline) = self.entries.get(&key)?;
        (self.seen < *deadline).then_some(*value)
    }

    /// An entry leaves: it is told of, as expired or not.
    fn leave(&mut self, key: u64) {
        if let Some((value, deadline)) = self.entries.remove(&key) {
            self.told.push((value, self.seen >= deadline));
        }
    }
}

fn script(seed: u64) {
    let mut random = Random(seed);
    let (clock, mut model) = (ManualClock::new(), Model::default());
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(100)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |gone| {
            let expired = gone.cause() == RemovalCause::Expired;
            log.lock().unwrap().push((*gone.value(), expired));
        })
        .build()
        .unwrap();
    for value in 0..60 {
        clock.set(stepped(clock.now(), &mut random));
        model.seen = model.seen.max(clock.now());
        let key = random.below(KEYS);
        let timeout = MS * u32::try_from(1 + random.below(40)).unwrap();
        match random.below(8) {
            0..=2 => {
                cache.insert_with_timeout(key, value, timeout).unwrap();
                model.leave(key);
                model.entries.insert(key, (value, model.seen + timeout));
            }
            3 => {
                let taken = cache.take(&key).map(|taken| *taken);
                assert_eq!(taken, model.live(key), "seed {seed}, step {value}");
                if taken.is_some() {
                    model.leave(key);
                }
            }
            4 => {
                let due = |(_, (_, deadline)): &(&u64, &(u64, Duration))| model.seen >= *deadline;
                let gone: Vec<u64> = model.entries.iter().filter(due).map(|(k, _)| *k).collect();
                cache.run_maintenance(usize::MAX);
                gone.into_iter().for_each(|key| model.leave(key));
                assert_eq!(cache.len(), model.entries.len() as u64, "seed {seed}, step {value}");
            }
            _ => {
                let found = cache.get(&key).map(|found| *found);
                assert_eq!(found, model.live(key), "seed {seed}, step {value}");
            }
        }
    }
    cache.validate();
    let (mut told, mut right) = (std::mem::take(&mut *events.lock().unwrap()), model.told.clone());
    // Who takes or replaces what has expired may be told of it as such, or as it was meant.
    told.sort_unstable();
    right.sort_unstable();
    let values = |list: &[(u64, bool)]| list.iter().map(|(value, _)| *value).collect::<Vec<_>>();
    // What has expired may have been told of earlier than the model's sweep; and nothing else.
    let missing: Vec<u64> =
        values(&right).into_iter().filter(|v| !values(&told).contains(v)).collect();
    assert!(missing.is_empty(), "seed {seed}: {missing:?} were not told of");
    let unique: HashSet<u64> = values(&told).into_iter().collect();
    assert_eq!(unique.len(), told.len(), "seed {seed}: told of twice");
    let early = told.iter().filter(|event| !right.contains(event));
    for (value, expired) in early {
        let expires = model.entries.values().any(|(v, d)| v == value && model.seen >= *d);
        assert!(*expired && expires, "seed {seed}: {value} left for no reason");
    }
    cache.shutdown();
}

#[test]
fn clocks_that_step_freeze_and_jump_neither_resurrect_nor_end_anything() {
    let scripts = amount(500, 100_000);
    (0..scripts).for_each(script);
    tried(
        "9",
        "clocks that step back an hour, ahead ten years, to 0, stand still",
        &format!("{scripts} scripts of 60 steps"),
        "what is found is what a model finds by the latest time that was seen",
    );
}

/// A clock that tells something else at each call.
#[derive(Debug)]
struct Jumpy(AtomicU64);

impl Clock for Jumpy {
    fn now(&self) -> Duration {
        Duration::from_millis(Random(self.0.fetch_add(1, SeqCst)).below(5_000))
    }
}

#[test]
fn with_a_clock_that_jumps_at_each_call_nothing_that_was_gone_comes_back() {
    let scripts = amount(200, 20_000);
    for seed in 0..scripts {
        let told = Arc::new(AtomicU64::new(0));
        let counts = told.clone();
        let cache = Cache::<u64, u64>::builder()
            .capacity(20)
            .clock(Arc::new(Jumpy(AtomicU64::new(seed << 20))))
            .maintenance(Maintenance::Embedder)
            .removal_listener(move |_| _ = counts.fetch_add(1, SeqCst))
            .build()
            .unwrap();
        let (mut random, mut gone, mut last) = (Random(seed), HashSet::new(), HashMap::new());
        for value in 0..200 {
            let key = random.below(KEYS);
            if random.below(3) == 0 {
                let timeout = Duration::from_millis(random.below(2_000));
                cache.insert_with_timeout(key, value, timeout).unwrap();
                gone.extend(last.insert(key, value));
            } else {
                match cache.get(&key) {
                    Some(found) => assert!(!gone.contains(&*found), "seed {seed}: {}", *found),
                    None => gone.extend(last.remove(&key)),
                }
            }
        }
        let stats = cache.stats();
        assert_eq!(stats.inserts, stats.entries + told.load(SeqCst), "seed {seed}");
        cache.validate();
    }
    tried(
        "9",
        "a clock that jumps at each call",
        &format!("{scripts} scripts of 200 steps"),
        "what was gone does not come back; each entry is told of once",
    );
}

#[test]
fn a_wall_clock_that_steps_neither_ends_nor_prolongs_what_is_inside() {
    let scripts = amount(200, 20_000);
    let (name, begin) = (Namespace::new(b"www").unwrap(), Duration::from_secs(1_800_000_000));
    for seed in 0..scripts {
        let (mono, wall, mut random) = (ManualClock::new(), ManualClock::new(), Random(seed));
        wall.set(begin);
        let timeout = Duration::from_secs(100);
        let cache = SessionCache::<u64>::builder()
            .capacity(100)
            .timeout(timeout)
            .max_lifetime(timeout)
            .maintenance(Maintenance::Embedder)
            .clock(mono.clone())
            .wall_clock(wall.clone())
            .build()
            .unwrap();
        for of in 0..20u8 {
            let id = [of; 32];
            let session = cache.make(&name, SessionId::new(&id).unwrap(), 0x0303, &id);
            cache.add(&session).unwrap();
            let deadline = mono.now() + timeout;
            for _ in 0..10 {
                mono.advance(Duration::from_secs(random.below(30)));
                // By an hour, by ten years, back and forth: what is inside goes by the other one.
                wall.set(begin + Duration::from_secs(random.below(7_200)));
                if random.below(8) == 0 {
                    wall.set(begin.saturating_sub(YEARS_10));
                }
                let found = cache.resume(&1, &name, &id).is_some();
                assert_eq!(found, mono.now() < deadline, "seed {seed}, session {of}");
                cache.run_maintenance(usize::MAX);
                assert_eq!(!cache.is_empty(), mono.now() < deadline, "seed {seed}, session {of}");
            }
            cache.flush_all();
        }
        cache.validate();
    }
    tried(
        "9",
        "a wall clock that steps under a monotonic one that does not",
        &format!("{} sessions, 10 look-ups each", scripts * 20),
        "a session ends with the monotonic clock: no mass expiry, none is immortal",
    );
}
