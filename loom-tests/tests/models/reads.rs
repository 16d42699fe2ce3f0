//! Look-ups against whatever changes what they look at.
//!
//! Property: a look-up finds an entry whole or not at all, never one that has expired, and may read
//! it to the end of its guard; an observer sees no more entries than the limit; a hit is
//! remembered, whatever others note of the set meanwhile.
//!
//! Threads: one that looks up, against one that inserts, replaces, takes, removes or evicts.
//!
//! Not covered: reader handles, which pin for longer (`real.rs` has `repin`); a hit at the same
//! time as another, a claim or an eviction in its set, which may be forgotten.

use crate::{K, O, X, Y, cache_of, has_event, insert, live};
use halfshake::RemovalCause::{Evicted, Replaced, Taken};
use halfshake::model::{Inserted, Model};
use loom_tests::{Race, model, role};

/// A look-up that finds an entry finds it whole.
///
/// Threads: one looks up twice, one inserts. Not covered: removal.
fn get_insert(race: &Race) {
    let cache = Model::new(4);
    let get = role(|cache, me| {
        let first = cache.get(me, K);
        let second = cache.get(me, K);
        assert!(first.is_none() || second.is_some(), "an entry came and went");
        second
    });
    let [got, _] = race.check(&cache, [get, insert(K, 1)]);
    race.saw(if got == Some(1) { "found" } else { "absent" });
    assert!(got.is_none() || got == Some(1));
    assert_eq!(live(&cache), [1]);
}
model!(get_insert, least 77, sees ["found", "absent"]);

/// What a look-up returns stays readable until its guard goes, however soon the entry is removed,
/// told about and reclaimed.
///
/// Threads: a slow reader, and one that takes. Not covered: reuse of the way (see `reuse`).
fn get_remove(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get_slowly(me, K, X));
    let [got, taken] = race.check(&cache, [get, crate::take(K)]);
    race.saw(if got.is_some() { "found" } else { "absent" });
    assert_eq!(taken, Some(1));
    assert!(has_event(&cache, 1, Taken));
}
model!(get_remove, least 88, sees ["found", "absent"]);

/// The same where who takes then frees what may be freed: that is nothing that he has handed to the
/// collector before it was out of reach.
///
/// Threads: a slow reader, and one that takes and helps the collector.
fn get_remove_free(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get_slowly(me, K, X));
    let take_and_free = role(|cache: &Model, me: &_| {
        let taken = cache.take(me, K);
        cache.collect(me);
        taken
    });
    let [got, taken] = race.check(&cache, [get, take_and_free]);
    race.saw(if got.is_some() { "found" } else { "absent" });
    assert_eq!(taken, Some(1));
}
model!(get_remove_free, least 100, sees ["found", "absent", "freed before the joins"]);

/// As `get_remove`, for a victim of the limit.
///
/// Threads: a slow reader, and one that evicts.
fn get_evict(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| cache.get_slowly(me, K, X).is_some());
    let evict = role(|cache, me| cache.evict(me));
    let [found, evicted] = race.check(&cache, [get, evict]);
    race.saw(if found { "found" } else { "absent" });
    assert!(evicted && has_event(&cache, 1, Evicted));
}
model!(get_evict, least 130, sees ["found", "absent"]);

/// As `get_remove`, for the victim of an insert, which is told of once.
///
/// Threads: a slow reader, and one that inserts a third key into the set, which holds two: the
/// oldest makes room, unless it was read in time.
fn get_insert_evict(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (X, 2)]);
    let get = role(|cache: &Model, me: &_| cache.get_slowly(me, K, O));
    let [got, _] = race.check(&cache, [get, insert(Y, 3)]);
    let gone = if has_event(&cache, 1, Evicted) { 1 } else { 2 };
    race.saw(match (got, gone) {
        (Some(1), 1) => "found, and gone",
        (Some(1), _) => "found, and spared",
        (None, 1) => "absent",
        other => panic!("{other:?}"),
    });
    assert_eq!(cache.events(), [(gone, Evicted)], "not one event");
    assert_eq!(live(&cache), [3 - gone, 3], "not the others");
}
model!(get_insert_evict, least 180, sees ["found, and gone", "found, and spared", "absent"]);

/// While a key is replaced, a look-up finds the old entry or the new one, never none.
///
/// Threads: one looks up, one replaces.
fn get_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let get = role(|cache, me| {
        let first = cache.get(me, K).expect("a key that is replaced is never absent");
        let second = cache.get(me, K).expect("a key that is replaced is never absent");
        assert!(first <= second, "the old entry after the new one");
        first
    });
    let replace = role(|cache, me| {
        assert_eq!(cache.replace(me, K, 2), Inserted::Stored);
        0
    });
    let [got, _] = race.check(&cache, [get, replace]);
    race.saw(if got == 1 { "old" } else { "new" });
    assert!(has_event(&cache, 1, Replaced));
    assert_eq!(live(&cache), [2], "not the last one alone");
}
model!(get_replace, least 630, sees ["old", "new"]);

/// An entry past its deadline is never returned, also while it is replaced by a live one.
///
/// Threads: one looks up, one inserts. Not covered: a clock that moves meanwhile.
fn get_expired(race: &Race) {
    let cache = Model::new(4);
    cache.insert_until(&cache.member(), K, 1, 5);
    cache.set_time(5);
    let get = role(|cache, me| cache.get(me, K));
    let [got, _] = race.check(&cache, [get, insert(K, 2)]);
    race.saw(if got.is_some() { "new" } else { "absent" });
    assert!(got.is_none() || got == Some(2), "an expired entry was returned");
    assert!(!has_event(&cache, 1, Replaced), "an expired entry was told of as replaced");
}
model!(get_expired, least 54, sees ["new", "absent"]);

/// An observer who sees the entry for which a unit was freed sees that unit's entry gone: the limit
/// holds at every instant.
///
/// Threads: one observes both sets, one takes from set 0, one inserts into set 1; limit 1.
fn limit_observed(race: &Race) {
    let cache = cache_of(1, &[(K, 1)]);
    let observe = role(|cache, me| {
        assert!(cache.observe(me) <= 1, "the limit was passed for an observer");
    });
    let take = role(|cache, me| {
        cache.take(me, K);
    });
    race.check(&cache, [observe, take, insert(O, 2)]);
    race.saw(if has_event(&cache, 1, Taken) { "taken" } else { "evicted" });
    assert_eq!(live(&cache), [2], "not the last one alone");
}
model!(limit_observed, least 2300, sees ["taken", "evicted"]);

/// An entry that was hit is not evicted in place of one that never was, though others note their
/// own hits and claims in the same word meanwhile.
///
/// Threads: one hits another entry of the set, one replaces that. Not covered: a hit at the same
/// time as another, a claim or an eviction in its set, which may be forgotten.
fn hit_is_remembered(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (X, 2)]);
    assert_eq!(cache.get(&cache.member(), K), Some(1));
    let hit = role(|cache: &Model, me: &_| cache.get(me, X).expect("never absent"));
    let [hit, _] = race.check(&cache, [hit, insert(X, 3)]);
    race.saw(if hit == 2 { "old" } else { "new" });
    // There is no room for a third one in the set.
    assert_eq!(cache.insert(&cache.member(), Y, 4), Inserted::Stored);
    let forgotten = has_event(&cache, 1, Evicted);
    assert!(!forgotten || hit == 3, "what was hit made room, and not what never was");
    race.saw(if forgotten { "both hit" } else { "one hit" });
}
model!(hit_is_remembered, least 186, sees ["old", "new", "both hit", "one hit"]);
