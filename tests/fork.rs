//! A cache and `fork`, and threads that the system does not give. Not under the harness, whose
//! threads a child would not have.
#![expect(unsafe_code, reason = "fork")]

mod space;
mod tried;

use halfshake::{Cache, Maintenance, RemovalCause};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tried::{amount, tried};

/// Nothing here takes this long on a machine that still answers.
const BOUND: u32 = 60;

/// Runs the child's part in a child, and gives what it ends with.
fn in_a_child(part: impl FnOnce() -> u8) -> i32 {
    // SAFETY: whatever threads there are hold none of the locks that the child needs: they sleep,
    // or are the cache's own.
    match unsafe { libc::fork() } {
        -1 => panic!("no process"),
        0 => {
            // SAFETY: it ends a child that hangs.
            unsafe { libc::alarm(BOUND) };
            let ended = part();
            // SAFETY: always. At once: what a child can't free of its parent's is no leak.
            unsafe { libc::_exit(ended.into()) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is written to.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(libc::WIFEXITED(status), "a signal ended the child: {status}");
            libc::WEXITSTATUS(status)
        }
    }
}

/// A cache whose events are counted.
fn cache(maintenance: Maintenance) -> (Cache<u64, u64>, Arc<AtomicU64>) {
    let events = Arc::new(AtomicU64::new(0));
    let counted = events.clone();
    let cache = Cache::builder()
        .capacity(100)
        .time_to_live(Duration::from_millis(20))
        .sweep_interval(Duration::from_millis(10))
        .maintenance(maintenance)
        .removal_listener(move |gone| {
            counted.fetch_add(1, SeqCst);
            assert!(matches!(gone.cause(), RemovalCause::Expired | RemovalCause::Shutdown));
        })
        .build()
        .expect("good settings");
    (cache, events)
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// Inserts, and waits until the sweeper has told of the end.
fn expires((cache, events): &(Cache<u64, u64>, Arc<AtomicU64>)) {
    let before = events.load(SeqCst);
    cache.insert(1, 1).expect("there is room");
    assert_eq!(threads(), 3, "the threads of the cache");
    while events.load(SeqCst) == before {
        std::thread::yield_now();
    }
}

fn child_of_a_quiet_parent_uses_the_cache_and_so_does_the_parent() {
    let cache = cache(Maintenance::Lazy);
    assert_eq!(cache.0.get(&1).map(|found| *found), None);
    assert_eq!(threads(), 1, "none before the first insert");
    for _ in 0..2 {
        let ended = in_a_child(|| {
            expires(&cache);
            cache.0.insert(2, 2).expect("there is room");
            let events = cache.1.clone();
            drop(cache.0.clone());
            cache.0.shutdown();
            assert_eq!(events.load(SeqCst), 2);
            0
        });
        assert_eq!((ended, threads(), cache.1.load(SeqCst)), (0, 1, 0));
    }
    expires(&cache);
    let (cache, events) = cache;
    cache.insert(2, 2).expect("there is room");
    drop(cache);
    assert_eq!(events.load(SeqCst), 2);
}

fn cache_that_was_shut_down_starts_no_threads() {
    let (cache, _) = cache(Maintenance::Lazy);
    cache.shutdown();
    assert!(cache.insert(1, 1).is_err());
    assert_eq!(threads(), 1);
}

fn child_of_a_parent_that_used_the_cache_drops_it_and_tells_nothing() {
    for maintenance in [Maintenance::Thread, Maintenance::Lazy, Maintenance::Embedder] {
        for shuts_down in [false, true] {
            let (cache, events) = cache(maintenance);
            let mut cache = Some(cache);
            let used = cache.as_ref().expect("not dropped yet");
            used.insert_with_timeout(1, 1, Duration::from_secs(600)).expect("there is room");
            let ended = in_a_child(|| {
                let cache = cache.take().expect("not dropped yet");
                if shuts_down {
                    cache.shutdown();
                }
                drop(cache);
                u8::try_from(events.load(SeqCst)).expect("few")
            });
            assert_eq!(ended, 0, "{maintenance:?}: the child told of its parent's sessions");
            drop(cache);
            assert_eq!(events.load(SeqCst), 1, "{maintenance:?}: the parent tells of it");
        }
    }
}

fn cache_has_the_threads_later_that_the_system_did_not_give_at_first() {
    // A thread's stack has 2 MiB, if the environment does not say otherwise.
    assert!(std::env::var_os("RUST_MIN_STACK").is_none(), "unset RUST_MIN_STACK for this test");
    for (more, started) in [(1 << 20, 1), (3 << 20, 2)] {
        let ended = in_a_child(|| {
            let cache = cache(Maintenance::Lazy);
            space::limit(Some(more));
            for n in 2..5 {
                cache.0.insert(n, n).expect("there is room");
                assert_eq!(threads(), started, "it goes on without the threads that it lacks");
            }
            space::limit(None);
            expires(&cache);
            cache.0.shutdown();
            assert_eq!(cache.1.load(SeqCst), 4, "each is told of once");
            0
        });
        assert_eq!(ended, 0, "{started} at first");
    }
}

fn main() {
    // First: the C library keeps stacks of threads that have ended for others.
    if space::ENDS {
        cache_has_the_threads_later_that_the_system_did_not_give_at_first();
    }
    // Eight children each time.
    let times = amount(1, 125);
    for _ in 0..times {
        cache_that_was_shut_down_starts_no_threads();
        child_of_a_quiet_parent_uses_the_cache_and_so_does_the_parent();
        child_of_a_parent_that_used_the_cache_drops_it_and_tells_nothing();
    }
    tried(
        "14",
        "fork, before the first use and under the cache's threads; the child uses or drops it",
        &format!("{} forks", times * 8),
        "no child hangs, or tells of its parent's sessions; the parent tells once",
    );
    println!("fork: ok");
}
