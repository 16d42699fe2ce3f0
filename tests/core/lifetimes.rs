//! Who keeps an entry readable, for how long, and what happens to the memory afterwards.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::world::{Alive, SECOND, until};
use halfshake::{BytesCache, Cache, Delivery, Maintenance, ManualClock, Refusal};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Ways of a set: an upper bound for how often a key can be replaced while a reader stalls.
const WAYS: u64 = 16;

fn embedded(capacity: u64) -> (Cache<u64, Alive>, Alive) {
    let builder = Cache::<u64, Alive>::builder().capacity(capacity);
    (builder.maintenance(Maintenance::Embedder).build().unwrap(), Alive::default())
}

fn reclaim(cache: &Cache<u64, Alive>, alive: &Alive, left: usize) {
    until("memory is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        alive.count() == left
    });
    until("the gauge is back", || cache.stats().retired_entries == 0);
}

#[test]
fn what_was_taken_lives_as_long_as_its_taker_wants() {
    let (cache, alive) = embedded(10);
    cache.insert(1, alive.clone()).unwrap();
    let taken = cache.take(&1).unwrap();
    for _ in 0..20 {
        cache.insert(1, alive.clone()).unwrap();
        assert!(cache.remove(&1));
        cache.run_maintenance(usize::MAX);
    }
    cache.clear();
    cache.shutdown();
    until("all else is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        alive.count() == 1
    });
    assert_eq!(*taken.key(), 1);
    drop(taken);
    reclaim(&cache, &alive, 0);
    cache.validate();
}

#[test]
fn what_was_taken_may_be_dropped_by_another_thread() {
    let (cache, alive) = embedded(10);
    cache.insert(1, alive.clone()).unwrap();
    let taken = cache.take(&1).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(taken));
    });
    reclaim(&cache, &alive, 0);
    cache.validate();
}

#[test]
fn a_found_entry_stays_readable_whatever_becomes_of_it() {
    let cache =
        BytesCache::builder().capacity(1).maintenance(Maintenance::Embedder).build().unwrap();
    let changes: [fn(&BytesCache); 6] = [
        |c| assert!(c.remove(&b"key"[..])),
        |c| c.insert(b"key", b"another").unwrap(),
        |c| c.insert(b"another key", b"value").unwrap(),
        |c| drop(c.take(&b"key"[..]).unwrap()),
        |c| c.clear(),
        |c| c.shutdown(),
    ];
    for change in changes {
        cache.clear();
        cache.insert(b"key", b"value").unwrap();
        let mut reader = cache.reader();
        let (found, many) = (cache.get(&b"key"[..]).unwrap(), cache.get_many(&[&b"key"[..]]));
        let lent = reader.get(&b"key"[..]).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| change(&cache));
        });
        for _ in 0..10 {
            cache.run_maintenance(usize::MAX);
        }
        assert_eq!((found.key(), &*found), (&b"key"[..], &b"value"[..]));
        assert_eq!(many.get(0), Some(&b"value"[..]));
        assert_eq!((lent.key(), lent.value()), (&b"key"[..], &b"value"[..]));
        assert_ne!(cache.stats().retired_entries, 0, "it waits for them");
    }
    until("memory is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().retired_entries == 0
    });
    cache.validate();
}

#[test]
fn no_room_is_typed_counted_bounded_and_ends_with_the_pin() {
    let (cache, alive) = embedded(10);
    cache.insert(2, alive.clone()).unwrap();
    let mut reader = cache.reader();
    assert!(reader.get(&2).is_some() && reader.is_pinned());
    let mut stored = 0;
    let refused = loop {
        match cache.insert(1, alive.clone()) {
            Ok(()) => stored += 1,
            Err(refused) => break refused,
        }
        assert!(stored <= WAYS, "storage is bounded");
    };
    assert_eq!((refused.key, refused.refusal), (1, Refusal::NoRoom));
    drop(refused.value);
    assert_eq!(cache.stats().refused_no_room, 1);
    assert!(cache.contains(&1), "nothing has changed");
    assert!(cache.remove(&1), "a removal always works");
    assert!(cache.insert_if_absent(1, alive.clone()).is_err());
    reader.unpin();
    cache.insert(1, alive.clone()).unwrap();
    assert_eq!(cache.len(), 2);
    reclaim(&cache, &alive, 2);
    cache.validate();
}

#[test]
fn the_longest_pin_is_shown() {
    let clock = ManualClock::new();
    let cache = Cache::<u64, u64>::builder()
        .capacity(10)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    cache.insert(1, 1).unwrap();
    let found = cache.get(&1).unwrap();
    clock.advance(SECOND);
    let mut reader = cache.reader();
    assert!(reader.get(&1).is_some());
    clock.advance(SECOND);
    assert_eq!(cache.stats().longest_pin, SECOND * 2);
    drop(found);
    assert_eq!(cache.stats().longest_pin, SECOND);
    reader.unpin();
    assert_eq!(cache.stats().longest_pin, Duration::ZERO);
    cache.validate();
}

#[test]
fn a_reader_that_always_repins_and_never_flushes_holds_nothing_back() {
    for maintenance in [Maintenance::Embedder, Maintenance::Thread] {
        let cache =
            Cache::<u64, Alive>::builder().capacity(100).maintenance(maintenance).build().unwrap();
        let alive = Alive::default();
        for key in 0..100 {
            cache.insert(key, alive.clone()).unwrap();
        }
        let mut reader = cache.reader();
        assert!(reader.get(&0).is_some());
        cache.retain(|key, _| *key == 0);
        // From here on, nobody writes.
        until("memory is reclaimed", || {
            assert!(reader.get(&0).is_some() && reader.is_pinned());
            if maintenance == Maintenance::Embedder {
                cache.run_maintenance(usize::MAX);
            }
            alive.count() == 1
        });
        until("the gauge is back", || {
            assert!(reader.get(&0).is_some());
            cache.stats().retired_entries == 0
        });
        drop(reader);
        cache.validate();
    }
}

#[test]
fn a_thread_that_retires_and_then_idles_keeps_nothing() {
    for (maintenance, delivery) in [
        (Maintenance::Embedder, Delivery::Caller),
        (Maintenance::Thread, Delivery::Caller),
        (Maintenance::Thread, Delivery::Thread),
    ] {
        let builder = Cache::<u64, Alive>::builder().capacity(100).maintenance(maintenance);
        let cache = builder.delivery(delivery).build().unwrap();
        let alive = Alive::default();
        let ((done, ready), (go, wait)) = (channel(), channel::<()>());
        std::thread::scope(|scope| {
            let (cache, alive_there) = (&cache, alive.clone());
            scope.spawn(move || {
                for key in 0..14 {
                    cache.insert(key, alive_there.clone()).unwrap();
                    assert!(cache.remove(&key));
                }
                drop(alive_there);
                done.send(()).unwrap();
                // Idles: an error means that the test has ended.
                let _end = wait.recv();
            });
            ready.recv().unwrap();
            until("memory is reclaimed", || {
                if maintenance == Maintenance::Embedder {
                    cache.run_maintenance(usize::MAX);
                }
                alive.count() == 0
            });
            drop(go);
        });
        until("the gauge is back", || cache.stats().retired_entries == 0);
        cache.validate();
    }
}

#[test]
fn an_inserter_in_need_gets_the_ways_that_idle_threads_retired() {
    let (cache, alive) = embedded(10);
    let leave = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..WAYS - 1 {
                cache.insert(1, alive.clone()).unwrap();
            }
            leave.wait();
            leave.wait();
        });
        leave.wait();
        for _ in 0..WAYS * 10 {
            cache.insert(1, alive.clone()).unwrap();
        }
        leave.wait();
    });
    assert_eq!(cache.stats().refused_total(), 0);
    reclaim(&cache, &alive, 1);
    cache.validate();
}

/// Says on which thread it is dropped.
struct Named(std::sync::mpsc::Sender<Option<String>>);

impl Drop for Named {
    fn drop(&mut self) {
        self.0.send(std::thread::current().name().map(str::to_owned)).unwrap();
    }
}

#[test]
fn what_an_idle_thread_retired_is_dropped_by_the_delivery_thread() {
    let cache = Cache::<u64, Named>::builder().capacity(100).build().unwrap();
    let (sender, names) = channel();
    cache.insert(1, Named(sender)).unwrap();
    assert!(cache.remove(&1));
    let name = names.recv_timeout(SECOND * 60).unwrap();
    assert_eq!(name.as_deref(), Some("halfshake-events"), "and not by the one that keeps time");
}

#[test]
fn a_cache_that_many_threads_share_dies_with_its_last_handle() {
    let alive = Alive::default();
    for _ in 0..200 {
        let cache = Arc::new(embedded(8).0);
        std::thread::scope(|scope| {
            for key in 0..3 {
                let (cache, alive) = ((*cache).clone(), &alive);
                scope.spawn(move || {
                    cache.insert(key, alive.clone()).unwrap();
                    assert!(cache.get(&key).is_some());
                });
            }
        });
        assert_eq!(alive.count(), 3);
        drop(cache);
        assert_eq!(alive.count(), 0);
    }
}
