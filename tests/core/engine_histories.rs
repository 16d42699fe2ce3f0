//! The engine under everything at once, one key at a time: there is an order of all that was done
//! in which every answer is right, and an entry leaves with its event, and with nothing else.
//!
//! Short ones, of the operations on one key; `ci/histories` plays long ones, of all operations.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

use crate::history::{Action, Event, How, NEVER, Operation, check};
use crate::seeded::{OneSet, Random, seed, times};
use crate::world::{lock, until};
use halfshake::{Cache, Clock, Delivery, Maintenance, ManualClock, RemovalCause};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

/// What one round of the linearizability test is set up with.
#[derive(Clone, Copy, Debug)]
struct Round {
    capacity: u64,
    keys: u64,
    expires: bool,
    delivery: Delivery,
    readers: bool,
}

const WORKERS: u64 = 4;
const OPERATIONS: u64 = 40;

type Log = Vec<(u64, Operation)>;

struct Recorder<'c, S: Clone + Send + Sync + 'static> {
    cache: &'c Cache<u64, u64, S>,
    time: &'c AtomicU64,
    clock: &'c ManualClock,
    log: Log,
}

fn tick(clock: &ManualClock) -> u64 {
    u64::try_from(clock.now().as_millis()).unwrap()
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Recorder<'_, S> {
    fn record(&mut self, key: u64, operate: impl FnOnce(&Cache<u64, u64, S>) -> Option<Action>) {
        self.record_with_timeout(key, NEVER, operate);
    }

    fn record_with_timeout(
        &mut self,
        key: u64,
        timeout: u64,
        operate: impl FnOnce(&Cache<u64, u64, S>) -> Option<Action>,
    ) {
        let (called, begun) = (self.time.fetch_add(1, SeqCst), tick(self.clock));
        let action = operate(self.cache);
        let (clock, returned) = ((begun, tick(self.clock)), self.time.fetch_add(1, SeqCst));
        let done = |action| (key, Operation { called, returned, clock, timeout, action });
        // A refused insert has changed nothing.
        self.log.extend(action.map(done));
    }

    fn step(&mut self, round: Round, random: &mut Random, id: u64) {
        let key = random.below(round.keys);
        let ticks = 1 + random.below(5);
        match random.below(12) {
            0..=1 if round.expires => self.record_with_timeout(key, ticks, |cache| {
                let timeout = Duration::from_millis(ticks);
                cache.insert_with_timeout(key, id, timeout).ok().map(|()| Action::Insert(id))
            }),
            0..=2 => {
                self.record(key, |c| c.insert(key, id).ok().map(|()| Action::Insert(id)));
            }
            3 => self.record(key, |cache| {
                let back = cache.insert_if_absent(key, id).ok()?;
                Some(Action::InsertIfAbsent(id, back.is_none()))
            }),
            4 => self.record(key, |cache| {
                let back = cache.replace(key, id).ok()?;
                Some(Action::Replace(id, back.is_none()))
            }),
            5..=6 => self.record(key, |c| Some(Action::Take(c.take(&key).map(|t| *t)))),
            7 => self.record(key, |cache| Some(Action::Remove(cache.remove(&key)))),
            8 if round.readers => {
                let mut reader = self.cache.reader();
                self.record(key, |_| Some(Action::Get(reader.get(&key).map(|r| *r))));
                self.record(key, |_| Some(Action::Get(reader.get(&key).map(|r| *r))));
            }
            _ => self.record(key, |cache| Some(Action::Get(cache.get(&key).map(|r| *r)))),
        }
    }
}

/// One cache, some threads, and the check of what they saw.
fn linearizable<S>(round: Round, seed: u64)
where
    S: BuildHasher + Clone + Default + Send + Sync + 'static,
{
    let (clock, time) = (ManualClock::new(), Arc::new(AtomicU64::new(1)));
    let events = Arc::new(Mutex::new(Vec::<(u64, Event)>::new()));
    let (now, log, ticks) = (time.clone(), events.clone(), clock.clone());
    let cache = Cache::<u64, u64, S>::builder_with_hasher(S::default())
        .capacity(round.capacity)
        // Half of them in memory of the cache's own.
        .preallocate(seed % 2)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .delivery(round.delivery)
        .removal_listener(move |r| {
            let how = match r.cause() {
                RemovalCause::Expired => How::Expired,
                RemovalCause::Replaced => How::Replaced,
                RemovalCause::Taken => How::Taken,
                RemovalCause::Removed => How::Removed,
                _ => How::Vanished,
            };
            let (at, clock) = (now.fetch_add(1, SeqCst), tick(&ticks));
            let (value, at_once) = (*r.value(), round.delivery == Delivery::Caller);
            lock(&log).push((*r.key(), Event { value, since: 0, at, clock, how, at_once }));
        })
        .build()
        .unwrap();
    let begin = Barrier::new(usize::try_from(WORKERS).unwrap());
    let logs: Vec<Log> = std::thread::scope(|scope| {
        let work = |worker: u64| {
            let (cache, time, begin, clock) = (&cache, &*time, &begin, &clock);
            move || {
                let mut random = Random(seed ^ worker);
                let mut recorder = Recorder { cache, time, clock, log: Log::new() };
                begin.wait();
                for n in 0..OPERATIONS {
                    recorder.step(round, &mut random, worker * OPERATIONS + n + 1);
                    if worker == 0 && random.below(8) == 0 {
                        clock.advance(Duration::from_millis(1));
                        cache.run_maintenance(usize::MAX);
                    }
                    if worker == 1 && random.below(30) == 0 {
                        cache.clear();
                    }
                }
                recorder.log
            }
        };
        let threads: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    until("all events are delivered", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().undelivered == 0
    });
    cache.validate();
    let mut histories: HashMap<u64, (Vec<Operation>, Vec<Event>)> = HashMap::new();
    for (key, operation) in logs.into_iter().flatten() {
        histories.entry(key).or_default().0.push(operation);
    }
    for (key, event) in std::mem::take(&mut *lock(&events)) {
        histories.entry(key).or_default().1.push(event);
    }
    for (key, (history, events)) in histories {
        if let Err(why) = check(&history, &events) {
            panic!("key {key}, {round:?}: {why}");
        }
    }
}

#[test]
fn every_history_has_an_order_that_explains_it() {
    let seed = seed();
    let mut random = Random(seed);
    for _ in 0..times(250) {
        let keys = 3 + random.below(4);
        let round = Round {
            keys,
            // Of some rounds, all keys fit.
            capacity: 1 + random.below(keys + 2),
            expires: random.below(2) == 0,
            delivery: [Delivery::Caller, Delivery::Caller, Delivery::Thread]
                [usize::try_from(random.below(3)).unwrap()],
            readers: random.below(2) == 0,
        };
        let seed = random.next();
        if random.below(2) == 0 {
            linearizable::<BuildHasherDefault<OneSet>>(round, seed);
        } else {
            linearizable::<BuildHasherDefault<DefaultHasher>>(round, seed);
        }
    }
}
