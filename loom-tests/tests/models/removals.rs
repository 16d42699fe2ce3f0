//! Removals against one another, and against what unlinks for want of room.
//!
//! Property: whatever unlinks an entry, one operation wins, and the entry leaves for its cause.
//!
//! Threads: two that unlink, by key, by identity or for room; a reader beside two that take.
//!
//! Not covered: more than two removals of one entry at a time, which one word decides, too.

use crate::{K, X, Y, cache_of, has_event, insert, live, take};
use halfshake::RemovalCause::{Evicted, Removed, Taken};
use halfshake::model::Model;
use loom_tests::{Race, model, role};

/// Of two takers exactly one gets the entry.
///
/// Threads: two that take the same key.
fn take_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let [a, b] = race.check(&cache, [take(K), take(K)]);
    race.saw(if a.is_some() { "first won" } else { "second won" });
    assert_ne!(a.is_some(), b.is_some(), "not one winner: {a:?} {b:?}");
    assert_eq!(cache.events(), [(1, Taken)], "not one event");
}
model!(take_take, least 130, sees ["first won", "second won"]);

/// Of two takers exactly one gets the entry, and a reader who got it, too, may go on reading it.
///
/// Threads: two that take the same key, and a slow reader.
fn take_take_get(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get_slowly(me, K, X));
    let [a, b, _] = race.check(&cache, [take(K), take(K), get]);
    assert_ne!(a.is_some(), b.is_some(), "not one winner: {a:?} {b:?}");
}
model!(take_take_get, least 1200);

/// An entry that is evicted and taken at the same time leaves for one of the causes.
///
/// Threads: one evicts, one takes.
fn evict_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let evict = role(|cache, me| cache.evict(me).then_some(1));
    let [evicted, taken] = race.check(&cache, [evict, take(K)]);
    race.saw(if evicted.is_some() { "evicted" } else { "taken" });
    assert_ne!(evicted, taken, "not one winner");
    let cause = if evicted.is_some() { Evicted } else { Taken };
    assert_eq!(cache.events(), [(1, cause)], "not one event");
}
model!(evict_take, least 180, sees ["evicted", "taken"]);

/// Two of the four that were stored, each told of once.
fn two_have_left(cache: &Model) {
    let events = cache.events();
    assert_eq!((live(cache).len(), events.len()), (2, 2), "two left: {events:?}");
}

/// An insert into a full set evicts one entry, whatever is replaced in it meanwhile.
///
/// Threads: one replaces in a full set, one inserts a third key into it.
fn evict_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (X, 2)]);
    race.check(&cache, [insert::<()>(K, 3), insert(Y, 4)]);
    two_have_left(&cache);
}
model!(evict_replace, least 4000);

/// Two inserts into a full set each evict another entry.
///
/// Threads: two that insert new keys into a full set.
fn evict_evict(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (X, 2)]);
    race.check(&cache, [insert::<()>(Y, 3), insert(Y + 2, 4)]);
    two_have_left(&cache);
}
model!(evict_evict, least 5500);

/// `remove_exact` removes the very entry that was identified, or nothing, though its way and its
/// key are used again.
///
/// Threads: one removes by identity, one replaces the key until its way comes round again.
fn remove_exact_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (Y, 10), (Y, 11), (Y, 12)]);
    let identity = cache.identify(&cache.member(), K).expect("it is there");
    let remove = role(move |cache, me| cache.remove_exact(me, identity));
    let replace = role(|cache, me| {
        cache.take(me, K);
        cache.insert(me, K, 2);
        false
    });
    let [removed, _] = race.check(&cache, [remove, replace]);
    race.saw(if removed { "removed" } else { "too late" });
    assert!(!has_event(&cache, 2, Removed), "another entry was removed");
    assert_eq!(has_event(&cache, 1, Removed), removed);
    assert!(live(&cache).contains(&2));
}
model!(remove_exact_replace, least 190, sees ["removed", "too late"]);
