//! Our use of crossbeam-epoch: few steps, all of its own explored.
//!
//! Property: as on the model epoch, what a guard has seen is not freed before the guard goes; and
//! it is freed afterwards, with threads that work and without those that have ended.
//!
//! Threads: one that looks up or takes, and one that unlinks and frees.
//!
//! Not covered: three threads, for want of time; unlinks that come too late, and callbacks that run
//! pinned: the real epoch's fences hide both, the model epoch shows them.
//!
//! What is retired here waits for `free`, which helps the collector through the three epochs that a
//! grace period takes, so that memory is freed while the other thread runs. What is wrong with pins
//! and deferrals shows at three preemptions: these models have few steps, and can afford them.

use crate::{K, cache_of, has_event, insert, live, take};
use halfshake::RemovalCause::{Evicted, Flushed};
use halfshake::model::{Member, Model};
use loom_tests::{Race, model, role};

fn free(cache: &Model, me: &Member) {
    for _ in 0..3 {
        cache.collect(me);
    }
}

/// What a look-up finds is not freed before its guard goes.
///
/// Threads: one looks up, one takes and frees.
fn real_get_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get(me, K));
    let take_and_free = role(|cache, me| {
        let taken = cache.take(me, K);
        free(cache, me);
        taken
    });
    let [got, taken] = race.check(&cache, [get, take_and_free]);
    race.saw(if got.is_some() { "found" } else { "absent" });
    assert_eq!(taken, Some(1));
}
model!(real_get_take, real, least 480, preemptions 3, batch 8,
    sees ["found", "absent", "freed before the joins"]);

/// While a key is replaced and the old entry freed, a look-up finds one of the two.
///
/// Threads: one looks up, one replaces and frees.
fn real_get_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get(me, K).expect("a key that is replaced is never absent"));
    let replace = role(|cache, me| {
        cache.insert(me, K, 2);
        free(cache, me);
        0
    });
    let [got, _] = race.check(&cache, [get, replace]);
    race.saw(if got == 1 { "old" } else { "new" });
    assert_eq!(live(&cache), [2]);
}
model!(real_get_replace, real, least 1200, preemptions 3, batch 8, sees [
    "old",
    "new",
    "freed before the joins"
]);

/// Of two takers one wins, and the other does not look at what the first one frees.
///
/// Threads: one takes, one takes and frees.
fn real_take_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let take_and_free = role(|cache, me| {
        let taken = cache.take(me, K);
        free(cache, me);
        taken
    });
    let [a, b] = race.check(&cache, [take(K), take_and_free]);
    assert_ne!(a.is_some(), b.is_some(), "not one winner: {a:?} {b:?}");
}
model!(real_take_take, real, least 4600, preemptions 3, batch 8, sees ["freed before the joins"]);

/// A take may find what an insert replaces, and is not disturbed when that is freed.
///
/// Threads: one takes, one replaces and frees.
fn real_replace_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let replace = role(|cache, me| {
        cache.insert(me, K, 2);
        free(cache, me);
        None
    });
    let [taken, _] = race.check(&cache, [take(K), replace]);
    race.saw(if taken == Some(1) { "old" } else { "new" });
    assert!(taken.is_some(), "a key that is replaced is never absent for take");
}
model!(real_replace_take, real, least 2_000, batch 8, sees [
    "old",
    "new",
    "freed before the joins"
]);

/// An entry that is taken and held outlives the shutdown, which frees all else.
///
/// Threads: one takes, one shuts down.
fn real_shutdown_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let shut_down = role(|cache, me| {
        cache.shutdown(me);
        None
    });
    let [_, taken] = race.check(&cache, [shut_down, take(K)]);
    race.saw(if taken.is_some() { "taken" } else { "shut down" });
}
model!(real_shutdown_take, real, least 2700, preemptions 3, batch 8,
    sees ["taken", "shut down", "freed before the joins"]);

/// Two replacements of one key: one looks at the entry that the other one frees.
///
/// Threads: one replaces, one replaces and frees.
fn real_replace_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let replace_and_free = role(|cache, me| {
        cache.insert(me, K, 3);
        free(cache, me);
    });
    race.check(&cache, [insert(K, 2), replace_and_free]);
    assert_eq!(live(&cache).len(), 1);
}
model!(real_replace_replace, real, least 5800, batch 8, sees ["freed before the joins"]);

/// A reader that stays pinned and repins reads nothing that was freed.
///
/// Threads: a reader that is pinned in the present epoch, repins and looks up; one that takes and
/// frees. Without a fence after it, `repin` may adopt the epoch that the unlink began, and miss the
/// unlink. Three preemptions: it shows no sooner where crossbeam's own words are explored.
fn real_repin(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let members = race.members(&cache);
    let mut pin = cache.pin(&members[0]);
    let read = role(move |cache: &Model, _: &_| cache.get_repinned(&mut pin, K));
    let take_and_free = role(|cache, me| {
        let taken = cache.take(me, K);
        free(cache, me);
        taken
    });
    let [got, taken] = race.run_as(&cache, members, [read, take_and_free]);
    cache.check_law(&cache.member());
    race.saw(if got.is_some() { "found" } else { "absent" });
    assert_eq!(taken, Some(1));
}
model!(real_repin, real, least 350, preemptions 3, batch 8,
    sees ["found", "absent", "freed before the joins"]);

/// As `real_get_take`, for a victim of the limit.
///
/// Threads: one looks up, one evicts and frees.
fn real_get_evict(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get(me, K).is_some());
    let evict_and_free = role(|cache, me| {
        let evicted = cache.evict(me);
        free(cache, me);
        evicted
    });
    let [found, evicted] = race.check(&cache, [get, evict_and_free]);
    race.saw(if found { "found" } else { "absent" });
    assert!(evicted && has_event(&cache, 1, Evicted));
}
model!(real_get_evict, real, least 350, batch 8,
    sees ["found", "absent", "freed before the joins"]);

/// As `real_get_take`, for `clear`, which unlinks without a guard.
///
/// Threads: one looks up, one clears and frees.
fn real_get_clear(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get(me, K).is_some());
    let clear_and_free = role(|cache, me| {
        cache.clear(me);
        free(cache, me);
        false
    });
    let [found, _] = race.check(&cache, [get, clear_and_free]);
    race.saw(if found { "found" } else { "absent" });
    assert!(has_event(&cache, 1, Flushed));
}
model!(real_get_clear, real, least 190, batch 8,
    sees ["found", "absent", "freed before the joins"]);

/// What a thread has handed to the collector is freed by others when it has ended.
///
/// Threads: one with a membership of its own takes, hands over and ends; one looks up and frees.
fn real_thread_exit(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let own = cache.member();
    cache.observe(&own);
    let take_and_end = role(move |cache: &Model, _: &_| {
        let taken = cache.take(&own, K);
        cache.collect(&own);
        drop(own);
        taken
    });
    let get_and_free = role(|cache, me| {
        let got = cache.get(me, K);
        // The other one's collection is the third.
        (0..2).for_each(|_| cache.collect(me));
        got
    });
    let [taken, got] = race.check(&cache, [take_and_end, get_and_free]);
    race.saw(if got.is_some() { "found" } else { "absent" });
    assert_eq!(taken, Some(1));
}
model!(real_thread_exit, real, least 31_000, batch 8,
    sees ["found", "absent", "freed before the joins"]);
