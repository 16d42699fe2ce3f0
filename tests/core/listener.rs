//! Removal listeners: they may call the cache, block, and panic. One claim a test.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::world;
use crate::world::{Alive, Events, SECOND, builder, gate, lock, panic_of, until};
use halfshake::{Cache, Delivery, Maintenance, ManualClock, Refusal, RemovalCause};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Uses every operation of a cache, from inside a listener.
fn use_everything(cache: &Cache<u64, u64>) {
    cache.insert(1, 1).unwrap();
    cache.insert_with_timeout(2, 2, SECOND).unwrap();
    assert!(cache.insert_if_absent(3, 3).unwrap().is_none());
    assert!(cache.replace(3, 4).unwrap().is_none());
    assert!(cache.insert_many([(4, 4), (5, 5)]).iter().all(Result::is_ok));
    assert_eq!(cache.get(&1).map(|r| *r), Some(1));
    assert_eq!(cache.get_many(&[&2, &9]).iter().flatten().count(), 1);
    assert_eq!(cache.get_or_insert_with(6, || 6), 6);
    let handle = cache.get(&6).unwrap().handle();
    assert!(cache.remove_exact(&handle) && cache.remove(&5) && !cache.contains(&5));
    assert_eq!(cache.take(&4).map(|t| *t), Some(4));
    let mut reader = cache.reader();
    assert_eq!(reader.get(&1).map(|r| *r), Some(1));
    reader.insert(7, 7).unwrap();
    assert!(reader.remove(&7));
    drop(reader);
    assert_eq!(cache.iter().count(), 3);
    cache.retain(|key, _| *key != 3);
    assert_eq!(cache.flush(cache.now() + SECOND), 1);
    assert_eq!(cache.set_capacity(50).unwrap().pending, 0);
    assert!(cache.run_maintenance(usize::MAX).complete);
    assert_eq!(cache.len(), 2, "the one with its event under way, and 1");
    cache.clear();
    assert!(cache.has_removal_listener() && cache.stats().hits > 0);
}

#[test]
fn every_operation_works_inside_a_listener() {
    for delivery in [Delivery::Caller, Delivery::Thread] {
        let told = Events::default();
        let log = told.clone();
        let (builder, _) = builder(100);
        let cache = builder.delivery(delivery).removal_listener(move |r| {
            if *r.key() == 0 && r.cause() == RemovalCause::Removed && delivery == Delivery::Caller {
                use_everything(&r.cache());
            }
            log.push((*r.key(), *r.value(), r.cause()));
        });
        let cache = cache.build().unwrap();
        cache.insert(0, 0).unwrap();
        assert!(cache.remove(&0));
        until("all events are delivered", || cache.is_empty());
        let stats = cache.stats();
        assert_eq!((stats.listener_panics, stats.removed_total()), (0, stats.inserts));
        assert_eq!(told.len() as u64, stats.inserts);
        cache.validate();
    }
}

#[test]
fn events_that_come_while_a_loan_is_held_are_counted() {
    let (builder, _, events) = world::logged(10);
    let cache = builder.build().unwrap();
    for key in 0..3 {
        cache.insert(key, key).unwrap();
    }
    assert!(cache.remove(&0));
    assert_eq!(cache.stats().pinned_deliveries, 0);
    let held = cache.get(&2).unwrap();
    assert!(cache.remove(&1));
    drop(held);
    assert_eq!((events.len(), cache.stats().pinned_deliveries), (2, 1));
}

#[test]
fn a_listener_that_blocks_stops_neither_time_nor_expiry_nor_other_keys() {
    let (gate, stop) = gate();
    let (clock, events) = (ManualClock::new(), Events::default());
    let log = events.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(100)
        .time_to_live(SECOND)
        .clock(clock.clone())
        .removal_listener(move |r| {
            if *r.key() == 0 && *r.value() == 0 {
                stop();
            }
            log.push((*r.key(), *r.value(), r.cause()));
        })
        .build()
        .unwrap();
    for key in 0..10 {
        cache.insert(key, key).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(cache.remove(&0)));
        gate.entered.recv().unwrap();
        assert!(!cache.contains(&0));
        cache.insert_with_timeout(0, 100, Duration::MAX).unwrap();
        assert_eq!(cache.take(&1).map(|t| *t), Some(1));
        assert!(events.contains((1, 1, RemovalCause::Taken)), "other events go on");
        clock.advance(SECOND);
        assert!(cache.get(&2).is_none(), "time goes on");
        until("the sweeper has told of all that expired", || events.len() == 9);
        until("memory is reclaimed", || cache.stats().retired_entries == 0);
        assert_eq!(cache.get_cloned(&0), Some(100));
        gate.go.send(()).unwrap();
    });
    assert!(events.contains((0, 0, RemovalCause::Removed)));
    until("the sweeper is quiet", || cache.len() == 1 && cache.stats().retired_entries == 0);
    cache.validate();
}

#[test]
fn a_listener_that_blocks_the_delivery_thread_stops_neither_time_nor_sweeps() {
    let (gate, stop) = gate();
    let (clock, events) = (ManualClock::new(), Events::default());
    let log = events.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(100)
        .clock(clock.clone())
        .removal_listener(move |r| {
            if *r.key() == 0 {
                stop();
            }
            log.push((*r.key(), *r.value(), r.cause()));
        })
        .build()
        .unwrap();
    cache.insert_with_timeout(0, 0, SECOND).unwrap();
    cache.insert_with_timeout(1, 1, SECOND * 2).unwrap();
    cache.insert(2, 2).unwrap();
    clock.advance(SECOND);
    gate.entered.recv().unwrap();
    clock.advance(SECOND);
    assert!(cache.get(&1).is_none());
    until("the second waits for the first", || cache.stats().undelivered == 2);
    assert!(cache.remove(&2), "a caller delivers its own");
    assert_eq!(events.sorted(), [(2, 2, RemovalCause::Removed)]);
    gate.go.send(()).unwrap();
    until("both expired ones are told", || events.len() == 2);
    until("all is counted", || cache.stats().undelivered == 0);
    assert!(cache.is_empty());
    cache.validate();
}

/// A cache of 10 entries, each with a listener's panic ahead.
fn panicking(delivery: Delivery) -> (Cache<u64, Alive>, Arc<ManualClock>, Alive, Arc<Mutex<u64>>) {
    let (clock, alive, told) = (ManualClock::new(), Alive::default(), Arc::new(Mutex::new(0)));
    let count = told.clone();
    let cache = Cache::<u64, Alive>::builder()
        .capacity(100)
        .time_to_live(SECOND)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .delivery(delivery)
        .removal_listener(move |r| {
            *lock(&count) += 1;
            panic!("no {}", r.key());
        })
        .build()
        .unwrap();
    for key in 0..10 {
        cache.insert(key, alive.clone()).unwrap();
    }
    (cache, clock, alive, told)
}

fn reclaim(cache: &Cache<u64, Alive>, alive: &Alive, left: usize) {
    until("memory is reclaimed", || {
        // Whatever a listener says meanwhile was counted before.
        let _progress = cache.run_maintenance(0);
        alive.count() == left
    });
}

#[test]
fn a_listeners_panic_reaches_the_caller_and_nothing_else_changes() {
    let (cache, _, alive, told) = panicking(Delivery::Caller);
    assert_eq!(panic_of(|| assert!(cache.remove(&1))), "no 1");
    assert_eq!(panic_of(|| drop(cache.take(&2))), "no 2");
    assert_eq!(panic_of(|| cache.insert(3, alive.clone()).unwrap()), "no 3");
    assert!(!cache.contains(&1) && !cache.contains(&2) && cache.contains(&3));
    assert_eq!((cache.stats().listener_panics, *lock(&told)), (3, 3), "the listener stays");
    reclaim(&cache, &alive, 8);
    cache.validate();
}

#[test]
fn all_events_of_an_operation_are_delivered_before_its_panic() {
    let (cache, clock, alive, told) = panicking(Delivery::Caller);
    assert!(panic_of(|| cache.retain(|key, _| *key < 8)).starts_with("no "));
    assert_eq!((*lock(&told), cache.len()), (2, 8));
    assert!(panic_of(|| drop(cache.set_capacity(5))).starts_with("no "));
    assert_eq!((*lock(&told), cache.len(), cache.capacity()), (5, 5, 5));
    clock.advance(SECOND);
    assert!(panic_of(|| _ = cache.run_maintenance(usize::MAX)).starts_with("no "));
    assert_eq!((*lock(&told), cache.len()), (10, 0));
    for key in 0..5 {
        cache.insert(key, alive.clone()).unwrap();
    }
    assert!(panic_of(|| cache.clear()).starts_with("no "));
    assert_eq!((*lock(&told), cache.len(), cache.stats().listener_panics), (15, 0, 15));
    reclaim(&cache, &alive, 0);
    cache.validate();
}

#[test]
fn a_panic_in_shutdown_comes_after_its_last_event() {
    let (cache, _, _, told) = panicking(Delivery::Caller);
    assert!(panic_of(|| cache.shutdown()).starts_with("no "));
    assert_eq!((*lock(&told), cache.len()), (10, 0));
    assert_eq!(cache.insert(1, Alive::default()).unwrap_err().refusal, Refusal::Closed);
    cache.validate();
}

#[test]
fn no_panic_leaves_the_drop_of_a_cache() {
    for delivery in [Delivery::Caller, Delivery::Thread] {
        let (cache, _, alive, told) = panicking(delivery);
        drop(cache);
        assert_eq!((*lock(&told), alive.count()), (10, 0));
    }
}

#[test]
fn a_payload_that_panics_when_dropped_does_not_end_the_process() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a payload was dropped");
        }
    }
    let (builder, _) = builder(100);
    let cache = builder.removal_listener(|_| std::panic::panic_any(Bomb)).build().unwrap();
    for key in 0..10 {
        cache.insert(key, key).unwrap();
    }
    let cleared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.clear()));
    std::mem::forget(cleared.unwrap_err());
    assert_eq!(cache.stats().listener_panics, 10);
    cache.insert(1, 1).unwrap();
    cache.validate();
    drop(cache);
}

#[test]
fn what_panics_carry_is_dropped() {
    let carried = Alive::default();
    let payload = carried.clone();
    let (builder, clock) = builder(100);
    let cache = builder
        .delivery(Delivery::Thread)
        .removal_listener(move |_| std::panic::panic_any(payload.clone()))
        .build()
        .unwrap();
    for key in 0..10 {
        cache.insert_with_timeout(key, key, SECOND).unwrap();
    }
    clock.advance(SECOND);
    assert!(cache.run_maintenance(usize::MAX).complete);
    until("all were told of", || cache.stats().listener_panics == 10 && cache.is_empty());
    until("only the listener has one", || carried.count() == 1);
    cache.insert(1, 1).unwrap();
    cache.validate();
    drop(cache);
    assert_eq!(carried.count(), 0);
}

#[test]
fn the_sweeper_goes_on_after_a_panic_in_the_delivery_thread() {
    let clock = ManualClock::new();
    let cache = Cache::<u64, u64>::builder()
        .capacity(100)
        .time_to_live(SECOND)
        .clock(clock.clone())
        .removal_listener(|_| panic!("no"))
        .build()
        .unwrap();
    for round in 1..=2 {
        for key in 0..20 {
            cache.insert(key, key).unwrap();
        }
        clock.advance(SECOND);
        until("all of a round are told", || {
            let stats = cache.stats();
            stats.removed_by(RemovalCause::Expired) == round * 20
                && stats.listener_panics == round * 20
        });
        until("all is counted", || cache.is_empty());
    }
    until("memory is reclaimed", || cache.stats().retired_entries == 0);
    cache.validate();
}

#[test]
fn an_operation_uses_the_listener_that_it_saw() {
    let (gate, stop) = gate();
    let (builder, _) = builder(100);
    let (first, second) = (Events::default(), Events::default());
    let log = first.clone();
    let cache = builder
        .removal_listener(move |r| {
            if log.len() == 0 {
                stop();
            }
            log.push((*r.key(), *r.value(), r.cause()));
        })
        .build()
        .unwrap();
    for key in 0..20 {
        cache.insert(key, key).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| cache.clear());
        gate.entered.recv().unwrap();
        let log = second.clone();
        cache.set_removal_listener(Some(move |r: &halfshake::Removal<'_, u64, u64>| {
            log.push((*r.key(), *r.value(), r.cause()));
        }));
        cache.insert(100, 100).unwrap();
        assert!(cache.remove(&100));
        assert_eq!(second.sorted(), [(100, 100, RemovalCause::Removed)]);
        gate.go.send(()).unwrap();
    });
    assert_eq!((first.len(), second.len()), (20, 0));
    cache.set_removal_listener(None::<fn(&halfshake::Removal<'_, u64, u64>)>);
    assert!(!cache.has_removal_listener());
    cache.insert(1, 1).unwrap();
    assert!(cache.remove(&1));
    assert_eq!((first.len(), second.len()), (20, 0), "nobody listens");
    cache.validate();
}

#[test]
fn the_delivery_thread_delivers_everything() {
    let (clock, threads) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
    let seen = threads.clone();
    let cache = Cache::<u64, u64>::builder()
        .capacity(10)
        .clock(clock.clone())
        .maintenance(Maintenance::Embedder)
        .delivery(Delivery::Thread)
        .removal_listener(move |r| lock(&seen).push((std::thread::current().id(), r.cause())))
        .build()
        .unwrap();
    for key in 0..20 {
        cache.insert(key % 15, key).unwrap();
    }
    cache.insert(100, 1).unwrap();
    assert!(cache.remove(&100));
    cache.insert(100, 2).unwrap();
    assert_eq!(cache.take(&100).map(|t| *t), Some(2));
    cache.insert_with_timeout(100, 3, SECOND).unwrap();
    clock.advance(SECOND);
    assert!(cache.run_maintenance(usize::MAX).complete);
    cache.clear();
    cache.insert(1, 1).unwrap();
    cache.insert(1, 2).unwrap();
    cache.shutdown();
    let told = lock(&threads);
    assert_eq!(told.len() as u64, cache.stats().inserts, "none is left after a shutdown");
    let by: HashSet<_> = told.iter().map(|(thread, _)| *thread).collect();
    assert!(by.len() == 1 && !by.contains(&std::thread::current().id()), "{by:?}");
    let causes: HashSet<_> = told.iter().map(|(_, cause)| *cause).collect();
    use RemovalCause::{Evicted, Expired, Flushed, Removed, Replaced, Shutdown, Taken};
    assert_eq!(
        causes,
        HashSet::from([Evicted, Expired, Flushed, Removed, Replaced, Shutdown, Taken])
    );
    cache.validate();
}

#[test]
fn what_was_taken_is_readable_before_and_after_its_event_elsewhere() {
    let (gate, stop) = gate();
    let alive = Alive::default();
    let cache = Cache::<u64, Alive>::builder()
        .capacity(10)
        .maintenance(Maintenance::Embedder)
        .delivery(Delivery::Thread)
        .removal_listener(move |r| {
            if *r.key() == 0 {
                stop();
            }
        })
        .build()
        .unwrap();
    cache.insert(0, alive.clone()).unwrap();
    cache.insert(1, alive.clone()).unwrap();
    // Dropped by the taker first.
    drop(cache.take(&0).unwrap());
    gate.entered.recv().unwrap();
    assert_eq!(alive.count(), 2, "the listener still reads it");
    let taken = cache.take(&1).unwrap();
    gate.go.send(()).unwrap();
    // Told first, dropped afterwards.
    until("both are told", || cache.is_empty());
    reclaim(&cache, &alive, 1);
    assert_eq!((*taken.key(), alive.count()), (1, 1));
    drop(taken);
    reclaim(&cache, &alive, 0);
    cache.validate();
}

#[test]
fn a_listener_that_never_returns_a_handle_gets_one_that_works() {
    // The last handle goes while listeners hold some of their own.
    for (delivery, maintenance) in [
        (Delivery::Caller, Maintenance::Embedder),
        (Delivery::Caller, Maintenance::Thread),
        (Delivery::Thread, Maintenance::Thread),
    ] {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (keep, told) = (kept.clone(), Events::default());
        let log = told.clone();
        let cache = Cache::<u64, u64>::builder()
            .capacity(100)
            .delivery(delivery)
            .maintenance(maintenance)
            .removal_listener(move |r| {
                let (one, other) = (r.cache(), r.cache());
                drop(one);
                if *r.key() == 0 {
                    lock(&keep).push(other);
                }
                log.push((*r.key(), *r.value(), r.cause()));
            })
            .build()
            .unwrap();
        for key in 0..20 {
            cache.insert(key, key).unwrap();
        }
        drop(cache);
        until("all are told", || told.len() == 20);
        let handle = lock(&kept).pop().unwrap();
        assert_eq!(handle.insert(1, 1).unwrap_err().refusal, Refusal::Closed);
        until("all is counted", || handle.is_empty());
        handle.validate();
    }
}
