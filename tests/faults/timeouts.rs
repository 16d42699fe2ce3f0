//! Class 10: timeouts from 0 to the largest, at times from 0 to the largest.

use crate::tried::{amount, tried};
use halfshake::{Cache, Clock, Maintenance, RemovalCause};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A clock that tells what it was set to, all that a `Duration` can be.
#[derive(Debug, Default)]
struct Exact(Mutex<Duration>);

impl Clock for Exact {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

const MS: Duration = Duration::from_millis(1);

fn times() -> Vec<Duration> {
    let mut all = vec![Duration::ZERO, Duration::from_nanos(1), MS, Duration::from_secs(1)];
    for most in [u64::from(u32::MAX), i64::MAX.unsigned_abs(), u64::MAX] {
        for of in [Duration::from_nanos, Duration::from_micros, Duration::from_millis] {
            all.push(of(most));
        }
        all.push(Duration::from_secs(most));
    }
    all.push(Duration::MAX);
    let edges = |time: &Duration| {
        let (step, near) = (Duration::from_nanos(1), *time);
        [near.saturating_sub(MS), near.saturating_sub(step), near, near.saturating_add(step)]
    };
    all = all.iter().flat_map(edges).collect();
    all.sort_unstable();
    all.dedup();
    all
}

type Insert = fn(&Cache<u64, u64>, Duration);

/// Every way in that takes a timeout, the cache's own or one of its own.
const INSERTS: [Insert; 5] = [
    |cache, timeout| cache.insert_with_timeout(1, 2, timeout).unwrap(),
    |cache, _| cache.insert(1, 2).unwrap(),
    |cache, _| _ = cache.insert_if_absent(1, 2).unwrap(),
    |cache, _| cache.insert_many([(1, 2)]).pop().unwrap().unwrap(),
    |cache, _| assert_eq!(cache.replace(1, 2).unwrap(), None),
];
/// Those that put something in the place of a live entry.
const REPLACING: [usize; 4] = [0, 1, 3, 4];

fn case(now: Duration, timeout: Duration, which: usize, with_old: bool) {
    let what = format!("at {now:?}, for {timeout:?}, way {which}, old {with_old}");
    let clock = Arc::new(Exact::default());
    *clock.0.lock().unwrap() = now;
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(4)
        .time_to_live(timeout)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |gone| log.lock().unwrap().push((*gone.value(), gone.cause())))
        .build()
        .unwrap();
    if with_old {
        cache.insert_with_timeout(1, 1, Duration::MAX).unwrap();
    }
    INSERTS[which](&cache, timeout);
    let told = std::mem::take(&mut *events.lock().unwrap());
    let is_gone: Vec<u64> = told.iter().map(|(value, _)| *value).collect();
    assert_eq!(is_gone, if with_old { vec![1] } else { vec![] }, "{what}: the old one");
    // The latest tick before the end of time stands for all that are later.
    let millis = |d: Duration| u64::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let tick = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).min(u64::MAX - 1);
    let deadline = tick.saturating_add(millis(timeout));
    let found = |at: u64| {
        *clock.0.lock().unwrap() = Duration::from_millis(at);
        cache.get(&1).map(|found| *found)
    };
    if timeout.is_zero() {
        assert_eq!((cache.get_cloned(&1), cache.len()), (None, 0), "{what}: nothing is stored");
    } else {
        assert_eq!(cache.get_cloned(&1), Some(2), "{what}");
        assert_eq!(found(deadline - 1), Some(2), "{what}: the tick before");
        // No clock reaches the end of time.
        assert_eq!(found(deadline), (deadline == u64::MAX).then_some(2), "{what}: its end");
        cache.shutdown();
        let told = events.lock().unwrap();
        assert_eq!(told.len(), 1, "{what}: {told:?}");
        assert!(matches!(told[0].1, RemovalCause::Shutdown | RemovalCause::Expired), "{what}");
    }
    cache.validate();
}

#[test]
fn every_timeout_at_every_time_ends_when_it_ends_and_saturates() {
    let times = times();
    let mut cases = 0;
    // A build without optimisation takes its time.
    let step = usize::try_from(amount(5, 1)).unwrap();
    for now in times.iter().step_by(step) {
        for timeout in &times {
            for which in 0..INSERTS.len() {
                for with_old in [false, true] {
                    // One inserts only if there is nothing, another one only if there is.
                    if (which == 4 && !with_old) || (with_old && !REPLACING.contains(&which)) {
                        continue;
                    }
                    case(*now, *timeout, which, with_old);
                    cases += 1;
                }
            }
        }
    }
    tried(
        "10",
        "timeouts and clocks from 0 to the largest `Duration`, and a step beside each edge",
        &format!("{cases} cases"),
        "found until the tick before, not at it; 0 stores nothing; one event each",
    );
}
