//! How fast the cache's own thread goes through its sets: twice in each interval, and no faster.
//! And that it rests where it can do nothing.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

use crate::world::{SECOND, gate, until};
use halfshake::{Cache, Clock, ManualClock};
use std::fmt::{Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const HALF: Duration = Duration::from_millis(500);

fn cache() -> (Cache<u64, u64>, Arc<ManualClock>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().capacity(1000).sweep_interval(SECOND).clock(clock.clone());
    (builder.build().unwrap(), clock)
}

/// Waits for so many passes, since the cache was built; more are too many.
#[track_caller]
fn passes(cache: &Cache<u64, u64>, passes: u64) {
    until("the pass is over", || cache.stats().sweeps >= passes);
    assert_eq!(cache.stats().sweeps, passes);
}

#[test]
fn every_set_is_looked_at_twice_in_an_interval_and_no_more() {
    let (cache, clock) = cache();
    for half in 1..=20 {
        clock.advance(HALF);
        passes(&cache, half);
    }
    cache.validate();
}

/// Sets that are looked at under one pin.
const STRIDE: u64 = 64;

#[test]
fn sets_are_looked_at_evenly() {
    let (cache, clock) = cache();
    clock.advance(HALF);
    passes(&cache, 1);
    let swept = || cache.stats().swept_sets;
    let sets = swept();
    for fifth in 6..=30 {
        clock.advance(HALF / 5);
        let due = sets * fifth / 5;
        until("what is due is swept", || swept() >= due);
        assert!(swept() < due + STRIDE, "{} rather than {due}", swept());
    }
    cache.validate();
}

#[test]
fn after_a_machine_slept_for_long_one_pass_is_enough() {
    let (cache, clock) = cache();
    clock.advance(HALF);
    passes(&cache, 1);
    clock.advance(100_000 * SECOND);
    passes(&cache, 2);
    clock.advance(HALF);
    passes(&cache, 3);
    clock.advance(HALF);
    passes(&cache, 4);
    cache.validate();
}

/// A clock that the cache's own thread asks once a round, and where another one can be stopped.
struct Stops<F> {
    rounds: AtomicU64,
    stops: AtomicBool,
    stop: F,
}

impl<F> Debug for Stops<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stops")
    }
}

impl<F: Fn() + Send + Sync + 'static> Clock for Stops<F> {
    fn now(&self) -> Duration {
        if std::thread::current().name() == Some("halfshake-time") {
            self.rounds.fetch_add(1, SeqCst);
        } else if self.stops.swap(false, SeqCst) {
            (self.stop)();
        }
        Duration::ZERO
    }
}

#[test]
fn while_another_one_pays_a_debt_the_thread_rests_between_its_rounds() {
    const LOOKS: u64 = 200;
    let (gate, stop) = gate();
    let (rounds, stops) = (AtomicU64::new(0), AtomicBool::new(false));
    let clock = Arc::new(Stops { rounds, stops, stop });
    let cache = Cache::<u64, u64>::builder().capacity(2).clock(clock.clone()).build().unwrap();
    cache.insert(1, 1).unwrap();
    cache.insert(2, 2).unwrap();
    std::thread::scope(|scope| {
        clock.stops.store(true, SeqCst);
        let pays = scope.spawn(|| cache.set_capacity(1).unwrap());
        // It has lowered the limit, and is about to look for a victim.
        gate.entered.recv().unwrap();
        assert_eq!((cache.capacity(), cache.len()), (1, 2));
        let before = clock.rounds.load(SeqCst);
        // This thread rests between two looks; one that does not goes round hundreds of times.
        let mut looks = 0;
        until("time goes on", || {
            looks += 1;
            looks >= LOOKS && clock.rounds.load(SeqCst) > before
        });
        let rounds = clock.rounds.load(SeqCst) - before;
        gate.go.send(()).unwrap();
        assert_eq!(pays.join().unwrap().pending, 0);
        assert!(rounds < 2 * looks, "{rounds} rounds, in {looks} of a thread that rests");
    });
    assert_eq!(cache.len(), 1);
    cache.validate();
}
