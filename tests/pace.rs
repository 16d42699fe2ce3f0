//! How fast the cache's own thread goes through its sets: twice in each interval, and no faster.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use halfshake::{Cache, ManualClock};
use std::sync::Arc;
use std::time::Duration;
use world::{SECOND, until};

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
