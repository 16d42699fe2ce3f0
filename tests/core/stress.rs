//! Real threads. Each test prints its seed; `HALFSHAKE_SEED=N` plays the same operations again (not
//! the same interleaving), and `HALFSHAKE_STRESS=N` makes the tests N times as long.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

use crate::seeded::{OneSet, Random, seed, times};
use crate::world::{Alive, until};
use halfshake::{Cache, Delivery, Maintenance, ManualClock, Refused, Removal, RemovalCause};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// A value that knows its key, its identity, and who is alive.
#[derive(Clone, Debug)]
struct Value {
    key: u64,
    id: u64,
    _alive: Alive,
}

#[test]
fn of_many_takers_exactly_one_wins() {
    const TAKERS: usize = 4;
    let cache = Cache::<u64, u64>::builder()
        .capacity(4)
        .preallocate(1)
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    let rounds = times(3_000);
    let together = Barrier::new(TAKERS);
    let won: u64 = std::thread::scope(|scope| {
        let take = |taker: usize| {
            let (cache, together) = (&cache, &together);
            move || {
                let mut won = 0;
                for round in 0..rounds {
                    if together.wait().is_leader() {
                        cache.insert(round % 4, round).unwrap();
                    }
                    together.wait();
                    let key = round % 4;
                    // Half of them by other ways in.
                    won += match taker {
                        0 => u64::from(cache.reader().take(&key).is_some()),
                        1 => u64::from(cache.remove(&key)),
                        _ => u64::from(cache.take(&key).is_some_and(|taken| *taken == round)),
                    };
                }
                won
            }
        };
        let threads: Vec<_> = (0..TAKERS).map(|taker| scope.spawn(take(taker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((won, cache.len()), (rounds, 0));
    cache.validate();
}

#[test]
fn no_limit_is_passed_at_any_instant() {
    const LIMIT: u64 = 5;
    const BYTES: u64 = 60;
    let seed = seed();
    let hasher = BuildHasherDefault::<OneSet>::default();
    let cache = Cache::<u64, u64, _>::builder_with_hasher(hasher)
        .capacity(LIMIT)
        .capacity_bytes(BYTES)
        .weigher(|_, weight| *weight)
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) {
                // All keys are in one set, of which the predicate sees one snapshot.
                let (mut entries, mut bytes) = (0, 0);
                cache.retain(|_, weight| {
                    entries += 1;
                    bytes += weight;
                    true
                });
                assert!(entries <= LIMIT && bytes <= BYTES, "{entries} entries, {bytes} bytes");
                looks.fetch_add(1, SeqCst);
            }
        });
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (cache, looks, mut random) = (&cache, &looks, Random(seed ^ worker));
                scope.spawn(move || {
                    let enough = |n| n >= times(4_000) && looks.load(SeqCst) > 100;
                    for _ in (0..).take_while(|n| !enough(*n)) {
                        let key = random.below(12);
                        match random.below(4) {
                            0 => _ = cache.remove(&key),
                            _ => _ = cache.insert(key, 1 + random.below(30)).is_ok(),
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, SeqCst);
    });
    cache.validate();
}

/// What has happened to each identity.
struct Ledger {
    next: AtomicU64,
    stored: Vec<AtomicU32>,
    told: Vec<AtomicU32>,
    taken: Vec<AtomicU32>,
    told_taken: AtomicU64,
}

impl Ledger {
    fn new(most: u64) -> Arc<Self> {
        let zeros = || (0..=most).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self {
            next: AtomicU64::new(1),
            stored: zeros(),
            told: zeros(),
            taken: zeros(),
            told_taken: AtomicU64::new(0),
        })
    }

    fn add(list: &[AtomicU32], id: u64) {
        list[usize::try_from(id).unwrap()].fetch_add(1, SeqCst);
    }

    fn listener(self: &Arc<Self>) -> impl Fn(&Removal<'_, u64, Value>) + Send + Sync + 'static {
        let ledger = self.clone();
        move |r| {
            assert_eq!(*r.key(), r.value().key);
            Self::add(&ledger.told, r.value().id);
            if r.cause() == RemovalCause::Taken {
                ledger.told_taken.fetch_add(1, SeqCst);
            }
        }
    }
}

struct Worker<'c> {
    cache: &'c Cache<u64, Value>,
    ledger: &'c Arc<Ledger>,
    clock: &'c ManualClock,
    alive: &'c Alive,
    random: Random,
}

impl Worker<'_> {
    fn value(&self, key: u64) -> Value {
        let id = self.ledger.next.fetch_add(1, SeqCst);
        Value { key, id, _alive: self.alive.clone() }
    }

    fn stored(&self, id: u64, answer: Result<Option<(u64, Value)>, Refused<u64, Value>>) {
        match answer {
            Ok(None) => Ledger::add(&self.ledger.stored, id),
            Ok(Some((key, value))) => assert_eq!((key, value.id), (value.key, id), "handed back"),
            Err(back) => assert_eq!((back.key, back.value.id), (back.value.key, id), "refused"),
        }
    }

    fn insert(&mut self, key: u64) {
        let value = self.value(key);
        let id = value.id;
        let timeout = Duration::from_millis(1 + self.random.below(20));
        let answer = match self.random.below(8) {
            0 => self.cache.insert_if_absent(key, value),
            1 => self.cache.replace(key, value),
            2 => self.cache.insert_with_timeout(key, value, timeout).map(|()| None),
            3 => {
                let other = self.value((key + 1) % KEYS);
                let other_id = other.id;
                let mut answers = self.cache.insert_many([(key, value), (other.key, other)]);
                self.stored(other_id, answers.pop().unwrap().map(|()| None));
                answers.pop().unwrap().map(|()| None)
            }
            _ => self.cache.insert(key, value).map(|()| None),
        };
        self.stored(id, answer);
    }

    fn look(&mut self, key: u64) {
        let other = (key * 7 + 1) % KEYS;
        match self.random.below(3) {
            0 => assert!(self.cache.get(&key).is_none_or(|r| r.key == key)),
            1 => {
                let found = self.cache.get_many(&[&key, &other]);
                assert!(found.get(0).is_none_or(|v| v.key == key));
                assert!(found.get(1).is_none_or(|v| v.key == other));
            }
            _ => {
                let mut reader = self.cache.reader();
                assert!(reader.get(&key).is_none_or(|r| r.key == key));
                assert!(reader.get(&other).is_none_or(|r| r.key == other && *r.key() == other));
            }
        }
    }

    fn disturb(&mut self) {
        match self.random.below(12) {
            // What others are paying is pending: see `conserves`.
            0 => _ = self.cache.set_capacity(40 + self.random.below(60)).unwrap(),
            1 => self.cache.set_removal_listener(Some(self.ledger.listener())),
            2 => _ = self.cache.flush(self.cache.now() + Duration::from_millis(2)),
            3 => self.cache.retain(|key, value| {
                assert_eq!(*key, value.key);
                key % 10 != 0
            }),
            4 => assert!(self.cache.iter().all(|r| *r.key() == r.key)),
            5 => _ = self.cache.run_maintenance(10),
            _ => self.clock.advance(Duration::from_millis(1)),
        }
    }

    fn work(&mut self, steps: u64) {
        for _ in 0..steps {
            let key = self.random.below(KEYS);
            match self.random.below(100) {
                0..=39 => self.insert(key),
                40..=79 => self.look(key),
                80..=91 => {
                    if let Some(taken) = self.cache.take(&key) {
                        assert_eq!(taken.key, key);
                        Ledger::add(&self.ledger.taken, taken.id);
                    }
                }
                92..=96 => _ = self.cache.remove(&key),
                _ => self.disturb(),
            }
        }
    }
}

const KEYS: u64 = 200;

fn conserves(delivery: Delivery, maintenance: Maintenance, seed: u64) {
    const THREADS: u64 = 5;
    let steps = times(6_000);
    let (clock, alive) = (ManualClock::new(), Alive::default());
    let ledger = Ledger::new(THREADS * steps * 2);
    let cache = Cache::<u64, Value>::builder()
        .capacity(100)
        .preallocate(seed % 2)
        .capacity_bytes(5_000)
        .weigher(|key, _| 20 + *key)
        .clock(clock.clone())
        .maintenance(maintenance)
        .delivery(delivery)
        .removal_listener(ledger.listener())
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, ledger, clock, alive) = (&cache, &ledger, &*clock, &alive);
            let random = Random(seed ^ (thread << 32));
            scope.spawn(move || Worker { cache, ledger, clock, alive, random }.work(steps));
        }
    });
    until("all is told and reclaimed", || {
        cache.run_maintenance(usize::MAX);
        let stats = cache.stats();
        // A debt that nobody pays would stay for ever.
        let is_paid = stats.entries <= stats.capacity;
        let is_quiet = is_paid && stats.undelivered == 0 && stats.retired_entries == 0;
        // What the cache's own thread has unlinked and not handed over yet lives no more, and is
        // not among the undelivered.
        let is_told = stats.entries == cache.iter().count() as u64;
        is_quiet && is_told && alive.count() as u64 == stats.entries
    });
    cache.validate();
    let live: Vec<_> = cache.iter().map(|r| r.id).collect();
    let count = |list: &[AtomicU32], id: u64| list[usize::try_from(id).unwrap()].load(SeqCst);
    let mut taken = 0;
    for id in 1..ledger.next.load(SeqCst) {
        let (stored, told) = (count(&ledger.stored, id), count(&ledger.told, id));
        let lives = u32::from(live.contains(&id));
        assert_eq!(stored, told + lives, "{id}: stored, told, lives");
        assert!(count(&ledger.taken, id) <= told, "{id} was taken twice, or not told");
        taken += u64::from(count(&ledger.taken, id));
    }
    assert_eq!(taken, ledger.told_taken.load(SeqCst), "each taker has an event of its own");
    assert_eq!(cache.stats().listener_panics, 0);
    cache.shutdown();
    assert!(live.iter().all(|id| count(&ledger.told, *id) == 1));
    cache.validate();
    drop(cache);
    assert_eq!(alive.count(), 0);
}

#[test]
fn every_entry_is_told_of_once_or_lives() {
    let seed = seed();
    conserves(Delivery::Caller, Maintenance::Embedder, seed);
    conserves(Delivery::Caller, Maintenance::Thread, seed);
    conserves(Delivery::Thread, Maintenance::Thread, seed);
}
