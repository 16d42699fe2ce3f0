//! Bugs that were found by reading, each with the test that failed before.

use halfshake::{BytesCache, Cache, Clock, Delivery, Maintenance, ManualClock, Refusal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

/// A value whose end panics with a payload whose own end panics.
struct Grenade(Arc<AtomicU64>, bool);

struct Splinter;

impl Drop for Splinter {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the payload's end");
        }
    }
}

impl Drop for Grenade {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if self.1 {
            std::panic::panic_any(Splinter);
        }
    }
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_leaves_no_way_half_way() {
    let drops: Vec<_> = (0..20).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let cache = Cache::<u64, Grenade>::builder()
        .capacity(100)
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    cache.insert(0, Grenade(drops[0].clone(), true)).map_err(|e| e.refusal).unwrap();
    assert!(cache.remove(&0));
    for _ in 0..6 {
        cache.run_maintenance(usize::MAX);
    }
    for (key, drop) in (0..).zip(&drops).skip(1) {
        cache.insert(key, Grenade(drop.clone(), false)).map_err(|e| e.refusal).unwrap();
    }
    assert_eq!(cache.stats().drop_panics, 1);
    cache.validate();
    drop(cache);
    for (i, drop) in drops.iter().enumerate() {
        assert_eq!(drop.load(Ordering::Relaxed), 1, "value {i}");
    }
}

#[test]
fn handles_that_a_listener_makes_during_the_last_drop_do_not_begin_it_anew() {
    for delivery in [Delivery::Caller, Delivery::Thread] {
        let events = Arc::new(AtomicU64::new(0));
        let told = events.clone();
        let cache = Cache::<u64, u64>::builder()
            .capacity(200_000)
            .delivery(delivery)
            .removal_listener(move |gone| {
                assert_eq!(gone.cache().capacity(), 200_000);
                told.fetch_add(1, Ordering::Relaxed);
            })
            .build()
            .unwrap();
        let stored = (0..100_000).filter(|i| cache.insert(*i, *i).is_ok()).count() as u64;
        drop(cache); // overflowed the stack before
        assert_eq!(events.load(Ordering::Relaxed), stored);
    }
}

#[test]
fn a_shutdown_outside_waits_also_for_listeners_that_shut_down_themselves() {
    let (in_first, first_is_in) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let gates = std::sync::Mutex::new((in_first, released));
    let first_ended = Arc::new(AtomicBool::new(false));
    let (ended, second) = (first_ended.clone(), Arc::new(Barrier::new(2)));
    let in_second = second.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(100)
        .removal_listener(move |gone| match gone.key() {
            1 => {
                gone.cache().shutdown(); // excused for the second listener, which still runs
                let gates = gates.lock().unwrap();
                gates.0.send(()).unwrap();
                gates.1.recv().unwrap();
                ended.store(true, Ordering::SeqCst);
            }
            2 => {
                in_second.wait(); // it is in
                in_second.wait(); // it may go
            }
            _ => {}
        })
        .build()
        .unwrap();
    cache.insert(1, 1).unwrap();
    cache.insert(2, 2).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| cache.remove(&2));
        second.wait();
        scope.spawn(|| cache.remove(&1));
        // The first listener's shutdown waits for the second listener.
        let outside = scope.spawn(|| {
            cache.shutdown();
            first_ended.load(Ordering::SeqCst)
        });
        second.wait();
        first_is_in.recv().unwrap();
        release.send(()).unwrap();
        assert!(outside.join().unwrap(), "the first listener was still running");
    });
}

#[test]
fn entries_whose_events_wait_count_as_garbage() {
    let (release, released) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(released);
    let cache = BytesCache::builder()
        .capacity(1000)
        .capacity_bytes(1 << 20)
        .delivery(Delivery::Thread)
        .removal_listener(move |_| _ = gate.lock().unwrap().recv())
        .build()
        .unwrap();
    let value = vec![7; 1_000_000];
    let refused = (0..100u32)
        .filter(|i| cache.insert(&i.to_le_bytes(), &value) == Err(Refusal::NoRoom))
        .count();
    assert!(refused >= 90, "{refused} of 100 refused: the others wait for a blocked listener");
    assert!(cache.stats().bytes < 8 << 20, "{:?}", cache.stats());
    drop(release); // every `recv` returns now
    cache.shutdown();
}

#[test]
fn insert_many_frees_what_it_unlinks_while_it_goes_on() {
    let cache = Cache::<u64, u64>::builder()
        .capacity(1)
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    let same_key = cache.insert_many((0..40).map(|value| (7, value)));
    assert!(same_key.iter().all(Result::is_ok), "{same_key:?}");
    assert_eq!(cache.get_cloned(&7), Some(39), "the last one wins");
    let many = cache.insert_many((0..10_000).map(|key| (key, key)));
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(cache.len(), 1);
    cache.validate();
}

/// A clock that panics when it is told to.
#[derive(Debug)]
struct Fragile(Arc<ManualClock>, AtomicBool);

impl Clock for Fragile {
    fn now(&self) -> Duration {
        assert!(!self.1.load(Ordering::Relaxed), "the clock broke");
        self.0.now()
    }
}

#[test]
fn a_clock_that_panics_loses_no_event_and_does_not_stop_the_end() {
    let clock = Arc::new(Fragile(ManualClock::new(), AtomicBool::new(false)));
    let events = Arc::new(AtomicU64::new(0));
    let armed = Arc::new(AtomicBool::new(false));
    let (told, broken, arm) = (events.clone(), clock.clone(), armed.clone());
    let cache = Cache::<u64, u64>::builder()
        .capacity(1000)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |_| {
            told.fetch_add(1, Ordering::Relaxed);
            broken.1.store(arm.load(Ordering::Relaxed), Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let stored = (0..1000).filter(|i| cache.insert(*i, *i).is_ok()).count() as u64;
    armed.store(true, Ordering::Relaxed);
    cache.clear(); // the clock breaks at its first event
    assert_eq!(events.load(Ordering::Relaxed), stored);
    let look = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.contains(&1)));
    assert!(look.is_err(), "the clock is broken");
    cache.shutdown();
    drop(cache);
}

#[test]
fn a_shutdown_in_a_thread_locals_end_does_not_wait_for_its_own_event() {
    thread_local! {
        static LATE: std::cell::RefCell<Option<Cache<u64, u64>>> =
            const { std::cell::RefCell::new(None) };
    }
    let events = Arc::new(AtomicU64::new(0));
    let told = events.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(10)
        .removal_listener(move |gone| {
            told.fetch_add(1, Ordering::Relaxed);
            gone.cache().shutdown();
        })
        .build()
        .unwrap();
    let thread = std::thread::spawn(move || {
        // Initialised first, so it ends last: after the cache's own thread locals.
        LATE.with_borrow_mut(|late| *late = None);
        cache.insert(1, 1).unwrap();
        LATE.set(Some(cache));
    });
    thread.join().unwrap();
    assert_eq!(events.load(Ordering::Relaxed), 1);
}

/// Puts odd keys into one set and even ones into another.
#[derive(Clone, Default)]
struct TwoSets;

impl std::hash::BuildHasher for TwoSets {
    type Hasher = TwoSetsOf;
    fn build_hasher(&self) -> TwoSetsOf {
        TwoSetsOf(0)
    }
}

struct TwoSetsOf(u64);

impl std::hash::Hasher for TwoSetsOf {
    fn finish(&self) -> u64 {
        if self.0.is_multiple_of(2) { 0 } else { u64::MAX / 2 }
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
}

#[test]
fn a_small_cache_does_not_evict_what_was_used_before_what_was_not() {
    for newest in [5, 6] {
        let cache = Cache::<u64, u64, _>::builder_with_hasher(TwoSets)
            .capacity(2)
            .maintenance(Maintenance::Embedder)
            .build()
            .unwrap();
        cache.insert(1, 1).unwrap();
        cache.insert(3, 3).unwrap();
        assert!(cache.get(&1).is_some());
        cache.insert(newest, newest).unwrap();
        assert!(cache.contains(&1), "the one that was used went for {newest}");
        assert!(!cache.contains(&3));
        cache.validate();
    }
}

#[test]
fn a_key_that_is_replaced_again_and_again_has_ways_left_when_a_reader_stalls() {
    let cache = Cache::<u64, u64>::builder()
        .capacity(1000)
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    let mut reader = cache.reader();
    for replacements in 1..40 {
        for value in 0..replacements {
            cache.insert(7, value).unwrap();
        }
        // From here on nothing is freed. The set has sixteen ways, one of them for the key.
        let held = reader.get(&7);
        for value in 0..8 {
            cache.insert(7, value).expect("there are ways left, whenever the reader stalls");
        }
        assert_eq!(held.map(|value| *value), Some(replacements - 1));
        reader.unpin();
    }
    cache.validate();
}
