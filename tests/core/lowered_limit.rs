//! A limit that is changed while others change it, evict for the same reason, or insert: no more
//! goes than must, and no more comes than may.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

use crate::seeded::{OneSet, Random, seed, times};
use halfshake::{Cache, Maintenance};
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const ROUNDS: usize = if cfg!(debug_assertions) { 1000 } else { 3000 };

const MILLISECOND: Duration = Duration::from_millis(1);

/// A full cache whose limit is halved while something else goes on.
fn halve_beside(other: impl Fn(&Cache<u64, u64>) + Sync) {
    for _ in 0..ROUNDS {
        let builder = Cache::<u64, u64>::builder().capacity(16);
        let cache = builder.maintenance(Maintenance::Embedder).build().unwrap();
        for key in 0..16 {
            cache.insert(key, key).unwrap();
        }
        let full = cache.len();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                cache.set_capacity(8).unwrap();
            });
            start.wait();
            other(&cache);
        });
        assert_eq!(cache.len(), full.min(8), "of {full}");
        cache.validate();
    }
}

#[test]
fn two_who_lower_the_limit_evict_no_more_than_they_must() {
    halve_beside(|cache| _ = cache.set_capacity(8).unwrap());
}

#[test]
fn maintenance_beside_a_lowered_limit_evicts_no_more_than_it_must() {
    halve_beside(|cache| {
        for _ in 0..20 {
            cache.run_maintenance(usize::MAX);
        }
    });
}

const CHANGES: u64 = if cfg!(debug_assertions) { 300_000 } else { 1_000_000 };

/// Threads that each set the limits of a pair in turn, so often, while this one does something else
/// again and again.
fn alternate_beside<S: BuildHasher + Send + Sync + 'static>(
    cache: &Cache<u64, u64, S>,
    limits: &[[u64; 2]],
    changes: u64,
    mut other: impl FnMut(),
) {
    let (start, left) = (Barrier::new(limits.len()), AtomicU64::new(limits.len() as u64));
    std::thread::scope(|scope| {
        for pair in limits {
            scope.spawn(|| {
                start.wait();
                for limit in pair.iter().cycle().take(usize::try_from(changes).unwrap()) {
                    cache.set_capacity(*limit).unwrap();
                }
                left.fetch_sub(1, SeqCst);
            });
        }
        while left.load(SeqCst) != 0 {
            other();
        }
    });
}

fn cache_of<S>(capacity: u64) -> Cache<u64, u64, S>
where
    S: BuildHasher + Default + Send + Sync + 'static,
{
    let builder = Cache::<u64, u64, S>::builder_with_hasher(S::default()).capacity(capacity);
    builder.maintenance(Maintenance::Embedder).build().unwrap()
}

#[test]
fn limits_that_leave_room_for_all_evict_nobody_however_they_change() {
    let cache = cache_of::<RandomState>(64);
    for key in 0..16 {
        cache.insert(key, key).unwrap();
    }
    let held = cache.len();
    let limits = [[64, 20], [60, 21], [50, 24]];
    alternate_beside(&cache, &limits, times(CHANGES), || std::thread::park_timeout(MILLISECOND));
    assert_eq!(cache.len(), held, "evicted, and no limit was below 20");
    cache.validate();
}

#[test]
fn inserts_beside_changes_of_the_limit_never_pass_the_highest_one() {
    let cache = cache_of::<BuildHasherDefault<OneSet>>(8);
    let (mut random, mut most) = (Random(seed()), 0);
    alternate_beside(&cache, &[[8, 1], [7, 2], [8, 2]], times(CHANGES), || {
        let key = random.next();
        // It may be refused, where others hold the units.
        _ = cache.insert(key, key);
        // All keys are in one set, of which the predicate sees one snapshot.
        let mut live = 0;
        cache.retain(|_, _| {
            live += 1;
            true
        });
        most = most.max(live);
    });
    assert!((1..=8).contains(&most), "{most} were live at once, and no limit was above 8");
    cache.validate();
}
