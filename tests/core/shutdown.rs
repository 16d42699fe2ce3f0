//! What a shutdown promises: all is told, and no delivery but its own is under way afterwards.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::world::{Alive, Events, builder, gate, lock, logged, until};
use halfshake::{Cache, Delivery, Maintenance, Refusal, RemovalCause};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex};

#[test]
fn a_shutdown_waits_for_a_delivery_on_another_thread() {
    let (gate, stop) = gate();
    let (builder, _) = builder(100);
    let order = Arc::new(Mutex::new(Vec::new()));
    let log = order.clone();
    let cache = builder
        .removal_listener(move |r| {
            if r.cause() == RemovalCause::Removed {
                stop();
                lock(&log).push("delivered");
            }
        })
        .build()
        .unwrap();
    cache.insert(0, 0).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(cache.remove(&0)));
        gate.entered.recv().unwrap();
        scope.spawn(|| {
            cache.shutdown();
            lock(&order).push("shut down");
        });
        until("every set is closed", || (0..50).all(|key| cache.insert(key, key).is_err()));
        // A shutdown that does not wait has every chance to show it.
        for _ in 0..100 {
            std::thread::yield_now();
        }
        gate.go.send(()).unwrap();
    });
    assert_eq!(*lock(&order), ["delivered", "shut down"]);
    cache.validate();
}

#[test]
fn listeners_that_all_shut_down_do_not_wait_for_one_another() {
    const LISTENERS: u64 = 3;
    let (builder, _) = builder(100);
    let together = Barrier::new(3);
    let told = Events::default();
    let log = told.clone();
    let cache = builder
        .removal_listener(move |r| {
            if *r.key() < LISTENERS {
                together.wait();
                r.cache().shutdown();
            }
            log.push((*r.key(), *r.value(), r.cause()));
        })
        .build()
        .unwrap();
    for key in 0..10 {
        cache.insert(key, key).unwrap();
    }
    std::thread::scope(|scope| {
        for key in 0..LISTENERS {
            let cache = &cache;
            scope.spawn(move || assert!(cache.remove(&key)));
        }
    });
    assert_eq!(told.len(), 10);
    cache.validate();
}

#[test]
fn a_shutdown_inside_a_listener_excuses_what_that_thread_still_owes() {
    for delivery in [Delivery::Caller, Delivery::Thread] {
        let (builder, _) = builder(100);
        let told = Events::default();
        let log = told.clone();
        let cache = builder
            .delivery(delivery)
            .removal_listener(move |r| {
                log.push((*r.key(), *r.value(), r.cause()));
                r.cache().shutdown();
            })
            .build()
            .unwrap();
        cache.insert_many((0..50).map(|key| (key, key)));
        cache.insert_many((0..20).map(|key| (key, key + 1)));
        until("all are told", || told.len() == 50 + 20 - refused(&cache));
        until("all is counted", || cache.is_empty());
        cache.validate();
    }
}

fn refused(cache: &Cache<u64, u64>) -> usize {
    usize::try_from(cache.stats().refused_total()).unwrap()
}

#[test]
fn what_a_shutdown_finds_is_told_and_what_comes_is_handed_back() {
    let (builder, _, events) = logged(100);
    let cache = builder.build().unwrap();
    cache.insert(1, 10).unwrap();
    cache.shutdown();
    cache.shutdown();
    assert_eq!(events.sorted(), [(1, 10, RemovalCause::Shutdown)]);
    let refused = cache.insert(2, 20).unwrap_err();
    assert_eq!((refused.key, refused.value, refused.refusal), (2, 20, Refusal::Closed));
    let refused = cache.insert_if_absent(3, 30).unwrap_err();
    assert_eq!((refused.key, refused.value, refused.refusal), (3, 30, Refusal::Closed));
    assert!(cache.insert_many([(4, 4)])[0].is_err());
    assert_eq!(cache.get_or_insert_with(5, || 50), 50);
    assert!(cache.get(&5).is_none() && cache.take(&1).is_none() && !cache.remove(&1));
    assert_eq!((cache.len(), cache.stats().refused_closed), (0, 4));
    assert!(events.sorted().is_empty());
    cache.validate();
}

#[test]
fn what_a_forgotten_pin_holds_back_goes_with_its_cache_also_in_a_panic() {
    let alive = Alive::default();
    for (capacity, panics) in [(8, false), (8, true), (20_000, false), (20_000, true)] {
        let builder = Cache::<u64, Alive>::builder().capacity(capacity);
        let cache = builder.maintenance(Maintenance::Embedder).build().unwrap();
        for key in 0..8 {
            cache.insert(key, alive.clone()).unwrap();
        }
        // From here on no grace period of this cache ends.
        std::mem::forget(cache.get(&0));
        for key in 0..4 {
            assert!(cache.remove(&key));
        }
        assert_eq!(alive.count(), 8);
        let ends = || {
            let _dropped_here = cache;
            assert!(!panics, "injected");
        };
        assert_eq!(catch_unwind(AssertUnwindSafe(ends)).is_err(), panics);
        assert_eq!(alive.count(), 0, "capacity {capacity}, {panics}");
    }
}
