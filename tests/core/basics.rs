//! The cache as its documentation describes it, one claim a test.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

use halfshake::{BytesCache, Cache, Clock, Maintenance, ManualClock, Refusal, RemovalCause};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

type Events = Arc<Mutex<Vec<(u64, u64, RemovalCause)>>>;

fn cache(capacity: u64) -> (Cache<u64, u64>, Arc<ManualClock>, Events) {
    let (clock, events) = (ManualClock::new(), Events::default());
    let log = events.clone();
    let cache = Cache::builder()
        .capacity(capacity)
        .time_to_live(SECOND)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |r| {
            log.lock().unwrap().push((*r.key(), *r.value(), r.cause()));
        })
        .build()
        .unwrap();
    (cache, clock, events)
}

fn take(events: &Events) -> Vec<(u64, u64, RemovalCause)> {
    std::mem::take(&mut events.lock().unwrap())
}

#[test]
fn what_was_inserted_is_found_until_it_is_removed() {
    let (c, _, events) = cache(10);
    c.insert(1, 10).unwrap();
    assert_eq!(c.get(&1).map(|r| (*r.key(), *r)), Some((1, 10)));
    assert!(c.contains(&1) && !c.contains(&2));
    assert!(c.remove(&1) && !c.remove(&1));
    assert!(c.get(&1).is_none());
    assert_eq!(take(&events), [(1, 10, RemovalCause::Removed)]);
    c.validate();
}

#[test]
fn a_second_insert_replaces_and_tells_about_the_first() {
    let (c, _, events) = cache(10);
    c.insert(1, 10).unwrap();
    c.insert(1, 11).unwrap();
    assert_eq!(c.get_cloned(&1), Some(11));
    assert_eq!(take(&events), [(1, 10, RemovalCause::Replaced)]);
    c.validate();
}

#[test]
fn an_expired_entry_is_never_returned_swept_or_not() {
    let (c, clock, events) = cache(10);
    c.insert(1, 10).unwrap();
    clock.advance(SECOND - Duration::from_millis(1));
    assert!(c.contains(&1));
    clock.advance(Duration::from_millis(1));
    assert!(c.get(&1).is_none() && c.take(&1).is_none() && !c.contains(&1));
    assert!(take(&events).is_empty(), "nothing was found, nothing is told");
    assert_eq!(c.run_maintenance(usize::MAX).expired, 1);
    assert_eq!(take(&events), [(1, 10, RemovalCause::Expired)]);
    c.validate();
}

#[test]
fn removals_of_what_has_expired_say_no_and_leave_nothing() {
    let (c, clock, events) = cache(10);
    for i in 1..=2 {
        c.insert(i, 10 * i).unwrap();
    }
    let handle = c.get(&2).unwrap().handle();
    clock.advance(SECOND);
    assert!(!c.remove(&1) && !c.remove_exact(&handle));
    assert_eq!(take(&events), [(1, 10, RemovalCause::Expired), (2, 20, RemovalCause::Expired)]);
    assert!(!c.remove(&1) && !c.remove_exact(&handle) && c.is_empty());
    assert_eq!(take(&events), []);
    assert_eq!((c.stats().removed_by(RemovalCause::Removed), c.run_maintenance(9).expired), (0, 0));
    c.validate();
}

#[test]
fn a_cache_of_one_holds_one() {
    let (c, _, events) = cache(1);
    for i in 0..100 {
        c.insert(i, i).unwrap();
        assert_eq!(c.len(), 1);
        assert!(c.contains(&i));
    }
    assert_eq!(take(&events).len(), 99);
    assert_eq!(c.stats().removed_by(RemovalCause::Evicted), 99);
    c.validate();
}

#[test]
fn the_last_handle_tells_about_all_that_is_left() {
    let (c, _, events) = cache(10);
    c.insert(1, 10).unwrap();
    c.insert(2, 20).unwrap();
    let other = c.clone();
    drop(c);
    assert!(take(&events).is_empty());
    drop(other);
    let mut left = take(&events);
    left.sort_unstable();
    assert_eq!(left, [(1, 10, RemovalCause::Shutdown), (2, 20, RemovalCause::Shutdown)]);
}

#[test]
fn bytes_come_back_as_they_were() {
    let c = BytesCache::builder().capacity(1000).build().unwrap();
    for len in [0usize, 1, 31, 32, 1000, 65_535] {
        let key = vec![7u8; len];
        let value = vec![9u8; len * 2];
        c.insert(&key, &value).unwrap();
        assert_eq!(c.get_copied(&key[..]), Some(value.clone()));
    }
    assert_eq!(c.len(), 6);
    c.validate();
}

#[test]
fn bytes_are_taken_once_as_a_copy() {
    let c = BytesCache::builder().capacity(10).build().unwrap();
    c.insert(b"key", b"value").unwrap();
    c.prefetch(&b"key"[..]);
    assert_eq!(c.take_copied(&b"key"[..]), Some(b"value".to_vec()));
    assert_eq!(c.take_copied(&b"key"[..]), None);
    c.validate();
}

#[test]
fn values_are_taken_once_as_a_copy() {
    let (c, _, events) = cache(10);
    c.insert(1, 10).unwrap();
    assert_eq!(
        (c.get_cloned(&1), c.take_cloned(&1), c.take_cloned(&1)),
        (Some(10), Some(10), None)
    );
    assert_eq!(take(&events), [(1, 10, RemovalCause::Taken)]);
    c.validate();
}

#[test]
fn a_handle_removes_that_very_entry_of_that_very_cache() {
    let ((c, _, events), (other, ..)) = (cache(10), cache(100_000));
    c.insert(1, 10).unwrap();
    let handle = c.get(&1).unwrap().handle();
    c.insert(1, 11).unwrap();
    assert!(!c.remove_exact(&handle), "another one has taken its key");
    let handle = c.get(&1).unwrap().handle();
    for key in 0..1000 {
        other.insert(key, key).unwrap();
        let theirs = other.get(&key).unwrap().handle();
        assert!(!c.remove_exact(&theirs) && !other.remove_exact(&handle), "of another cache");
    }
    take(&events);
    assert!(c.remove_exact(&handle) && !c.remove_exact(&handle));
    assert_eq!(take(&events), [(1, 11, RemovalCause::Removed)]);
    c.validate();
    other.validate();
}

#[test]
fn a_key_that_is_too_long_is_refused_with_both_lengths() {
    let c = BytesCache::builder().capacity(10).build().unwrap();
    let long = Err(Refusal::KeyTooLong { length: 65_536, limit: 65_535 });
    assert_eq!(c.insert(&[7; 65_536], b"value"), long);
    assert_eq!(c.insert_many(&[(&[7; 65_536], b"value"), (b"key", b"value")]), [long, Ok(())]);
    assert!(!c.contains(&[7; 65_536][..]) && c.contains(&b"key"[..]));
    assert_eq!((c.len(), c.stats().refused_too_large), (1, 2));
    c.validate();
}

#[test]
fn a_panic_at_an_answer_of_a_batch_loses_no_event() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = told.clone();
    let c = BytesCache::builder()
        .capacity(100)
        .removal_listener(move |gone| events.lock().unwrap().push(gone.value().to_vec()))
        .build()
        .unwrap();
    c.insert(b"a", b"old").unwrap();
    let batch: [(&[u8], &[u8]); 3] = [(b"a", b"new"), (&[7; 65_536], b"x"), (b"b", b"y")];
    let mut answers = Vec::new();
    let each = AssertUnwindSafe(|| {
        c.insert_each(&batch, |answer| {
            answers.push(answer);
            assert!(answer.is_ok(), "too long");
        });
    });
    assert!(catch_unwind(each).is_err());
    assert!(answers[0].is_ok() && answers[1].is_err() && answers.len() == 2);
    // Told of although the batch went no further; the rest was not inserted.
    assert_eq!(*told.lock().unwrap(), [b"old"]);
    assert!(c.contains(&b"a"[..]) && !c.contains(&b"b"[..]));
    c.validate();
}

#[test]
fn a_weigher_of_bytes_weighs_each_entry() {
    let weigher = |_: &[u8], value: &[u8]| u64::from(value[0]);
    let c = BytesCache::builder().capacity(10).capacity_bytes(100).weigher(weigher).build();
    let c = c.unwrap();
    for (key, weight) in [(b"a", 10), (b"b", 20), (b"c", 70)] {
        c.insert(key, &[weight; 33]).unwrap();
    }
    assert_eq!((c.len(), c.stats().bytes), (3, 100));
    c.insert(b"d", &[60; 5]).unwrap();
    assert!(c.stats().bytes <= 100 && c.contains(&b"d"[..]));
    assert_eq!(c.get_copied(&b"d"[..]), Some(vec![60; 5]));
    c.validate();
}

#[test]
fn what_one_pin_finds_is_lent_together() {
    let (c, clock, events) = cache(100);
    c.insert(1, 10).unwrap();
    c.insert(2, 20).unwrap();
    c.insert_with_timeout(3, 30, Duration::from_millis(5)).unwrap();
    let mut reader = c.reader();
    let pinned = reader.pinned();
    let found = [1, 2, 3, 4].map(|key| pinned.get(&key).map(|v| (*v.key(), *v)));
    assert_eq!(found, [Some((1, 10)), Some((2, 20)), Some((3, 30)), None]);
    assert!(pinned.contains(&1) && !pinned.contains(&4));
    // A removed entry stays readable for as long as the pin lasts, and is not found again.
    let one = pinned.get(&1).unwrap();
    let elsewhere = c.clone();
    std::thread::spawn(move || assert!(elsewhere.remove(&1))).join().unwrap();
    clock.advance(Duration::from_millis(5));
    assert_eq!(*one, 10);
    assert!(pinned.get(&1).is_none() && !pinned.contains(&3), "removed, and expired");
    assert_eq!(take(&events), [(1, 10, RemovalCause::Removed)]);
    reader.unpin();
    let stats = c.stats();
    assert_eq!((stats.hits, stats.misses_unknown, stats.misses_expired), (4, 2, 0));
}

#[test]
fn a_reader_sees_what_is_there_now() {
    let (c, _, _) = cache(100);
    let mut reader = c.reader();
    assert!(reader.get(&1).is_none());
    c.insert(1, 10).unwrap();
    c.insert(2, 20).unwrap();
    assert_eq!(reader.get(&1).map(|v| *v), Some(10));
    let many = reader.get_many(&[&1, &3, &2]);
    assert!(!many.is_empty());
    assert_eq!(
        many.iter().map(|v| v.as_deref().copied()).collect::<Vec<_>>(),
        [Some(10), None, Some(20)]
    );
    assert!(reader.remove(&1) && !reader.is_pinned());
    drop(reader);
    c.validate();
}

#[test]
fn a_look_up_asks_the_clock_once() {
    #[derive(Debug, Default)]
    struct Asked(std::sync::atomic::AtomicU64);
    impl Clock for Asked {
        fn now(&self) -> Duration {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Duration::ZERO
        }
    }
    let clock = Arc::new(Asked::default());
    let builder = Cache::<u64, u64>::builder().capacity(10).clock(clock.clone());
    let c = builder.maintenance(Maintenance::Embedder).build().unwrap();
    c.insert(1, 10).unwrap();
    let mut reader = c.reader();
    let times = |look: &mut dyn FnMut() -> bool| {
        let before = clock.0.load(std::sync::atomic::Ordering::Relaxed);
        assert!(look());
        clock.0.load(std::sync::atomic::Ordering::Relaxed) - before
    };
    assert_eq!(times(&mut || c.get(&1).is_some()), 1);
    assert_eq!(times(&mut || reader.get(&1).is_some()), 1);
    assert_eq!(times(&mut || reader.contains(&1)), 1);
    let pinned = reader.pinned();
    assert_eq!(times(&mut || pinned.get(&1).is_some()), 1);
    assert_eq!(times(&mut || pinned.contains(&1)), 1);
}

#[test]
fn of_many_that_ask_at_once_one_makes_the_value_and_all_get_it() {
    const THREADS: usize = 4;
    let (c, _, events) = cache(100);
    let (made, together) = (AtomicU64::new(0), Barrier::new(THREADS));
    let got: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let ask = || {
            let of_key = |key| {
                together.wait();
                c.get_or_insert_with(key, || {
                    // The others come meanwhile.
                    (0..100).for_each(|_| std::thread::yield_now());
                    1000 * key + made.fetch_add(1, SeqCst)
                })
            };
            (0..50).map(of_key).collect()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.load(SeqCst), 50, "once for each key");
    assert!(got.iter().all(|values| *values == got[0]), "{got:?}");
    assert_eq!((c.len(), take(&events)), (50, vec![]));
    c.validate();
}

#[test]
fn one_operation_tells_of_what_left_first_first() {
    let (c, _, events) = cache(10);
    c.insert(1, 0).unwrap();
    assert!(c.insert_many([(1, 1), (1, 2), (1, 3)]).iter().all(Result::is_ok));
    let all: Vec<_> = (0..3).map(|value| (1, value, RemovalCause::Replaced)).collect();
    assert_eq!(take(&events), all);
}

#[test]
fn maintenance_says_how_many_entries_it_has_freed() {
    let builder = Cache::<u64, u64>::builder().capacity(10);
    let c = builder.maintenance(Maintenance::Embedder).build().unwrap();
    for key in 0..10 {
        c.insert(key, key).unwrap();
    }
    c.clear();
    let mut freed = 0;
    for _ in 0..1000 {
        freed += c.run_maintenance(usize::MAX).recycled;
    }
    assert_eq!((freed, c.stats().retired_entries), (10, 0));
}

#[test]
fn retain_looks_again_where_what_it_rejects_was_replaced() {
    let cache: Cache<u64, u64> = Cache::builder().capacity(8).fewest_sets(1).build().unwrap();
    (0..3).for_each(|key| assert!(cache.insert(key, 0).is_ok()));
    let mut seen = Vec::new();
    // Of the three that are rejected the first one is replaced before they go.
    cache.retain(|key, value| {
        seen.push((*key, *value));
        if seen.len() == 3 {
            assert!(cache.insert(seen[0].0, 1).is_ok());
        }
        false
    });
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(seen[3], (seen[0].0, 1));
    assert!(cache.is_empty());
}
