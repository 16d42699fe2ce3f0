//! A limit that is lowered while others evict for the same reason: no more goes than must.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use halfshake::{Cache, Maintenance};
use std::sync::Barrier;

const ROUNDS: usize = if cfg!(debug_assertions) { 1000 } else { 3000 };

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
