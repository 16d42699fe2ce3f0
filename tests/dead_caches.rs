//! Caches that have ended leave nothing in the threads that used them.
//!
//! A test binary of its own, and one test: it looks at what the whole process holds.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod tried;
mod world;

use halfshake::{Cache, Maintenance};
use std::sync::Barrier;
use tried::resident;
use world::Alive;

fn cache() -> Cache<u64, Alive> {
    Cache::builder().capacity(8).maintenance(Maintenance::Embedder).build().unwrap()
}

#[test]
fn dead_caches_do_not_pile_up_in_threads_that_stay() {
    const THREADS: usize = 4;
    /// A tenth of what the tables of all caches would take.
    const MOST_GROWTH: u64 = 40 << 20;
    // The address sanitizer keeps freed memory for a while, and is slow at all of this: under it
    // only the objects are counted.
    let sanitized = std::env::var_os("ASAN_OPTIONS").is_some();
    let rounds = if sanitized { 100 } else { 2_500 };
    let (alive, together) = (Alive::default(), Barrier::new(THREADS));
    let grown = std::thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            let (together, alive) = (&together, &alive);
            scope.spawn(move || {
                let mut begun = 0;
                for round in 0..rounds {
                    let cache = cache();
                    cache.insert(1, alive.clone()).unwrap();
                    cache.insert(1, alive.clone()).unwrap();
                    assert!(cache.get(&1).is_some() && cache.take(&1).is_some());
                    if round % 100 == 0 {
                        // Some are used by threads that have gone before the cache does.
                        let cache = &cache;
                        std::thread::scope(|inner| {
                            inner.spawn(|| cache.insert(2, alive.clone()).unwrap());
                        });
                    }
                    drop(cache);
                    if round == rounds / 10 {
                        together.wait();
                        begun = resident();
                    }
                }
                // All of them are still there when this is measured.
                together.wait();
                let grown = (alive.count(), resident().saturating_sub(begun));
                together.wait();
                grown
            })
        });
        threads.map(|thread| thread.join().expect("no assertion failed in it"))
    });
    for (values, growth) in grown {
        assert_eq!(values, 0, "values of dead caches");
        assert!(sanitized || growth < MOST_GROWTH, "{growth} bytes more");
    }
}
