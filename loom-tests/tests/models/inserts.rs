//! Inserts against one another, and against removals of the same key.
//!
//! Property: one entry of a key is live, at most; what an insert replaces is told of once; an
//! insert that depends on what is there is decided by what is there when it publishes.
//!
//! Threads: two that insert, or one that inserts and one or two that remove or take.
//!
//! Not covered: three inserts of one key; `Eq` of a key that panics (`tests/core/panics.rs` has
//! it).

use crate::{K, X, cache_of, has_event, insert, live};
use halfshake::RemovalCause::{Removed, Replaced, Taken};
use halfshake::model::{Inserted, Model};
use loom_tests::{Race, model, role};

/// Of two inserts of one key one is live at the end, and the other was told of as replaced.
///
/// Threads: two that insert the same key, which is absent at first.
fn insert_insert(race: &Race) {
    let cache = Model::new(4);
    race.check(&cache, [insert::<()>(K, 1), insert(K, 2)]);
    let last = live(&cache);
    race.saw(if last == [1] { "1 last" } else { "2 last" });
    assert_eq!(
        (last.len(), cache.events().len()),
        (1, 1),
        "one left: {last:?} {:?}",
        cache.events()
    );
    assert!(has_event(&cache, 3 - last[0], Replaced));
}
model!(insert_insert, least 5000, sees ["1 last", "2 last"]);

/// Inserts of two keys into one set both succeed, and unlink nothing.
///
/// Threads: two that insert different keys of one set.
fn insert_another(race: &Race) {
    let cache = Model::new(4);
    race.check(&cache, [insert::<()>(K, 1), insert(X, 2)]);
    let there = (live(&cache), cache.events().len());
    assert_eq!(there, (vec![1, 2], 0), "not both, and no event");
}
model!(insert_another, least 4500);

/// Of two `insert_if_absent` of one key exactly one stores, and the other hands its entry back.
///
/// Threads: two that insert the same key if it is absent.
fn if_absent_twice(race: &Race) {
    let cache = Model::new(4);
    let put = |value| role(move |cache: &Model, me: &_| cache.insert_if_absent(me, K, value));
    let [first, second] = race.check(&cache, [put(1), put(2)]);
    race.saw(if first == Inserted::Stored { "first stored" } else { "second stored" });
    match (first, second) {
        (Inserted::Stored, Inserted::Unchanged) => assert_eq!(live(&cache), [1]),
        (Inserted::Unchanged, Inserted::Stored) => assert_eq!(live(&cache), [2]),
        other => panic!("not one winner: {other:?}"),
    }
    assert_eq!(cache.events().len(), 0);
}
model!(if_absent_twice, least 1700, sees ["first stored", "second stored"]);

/// `insert_if_absent` never takes the place of a live entry: it stores only after the removal.
///
/// Threads: one inserts if absent, one removes; the key is there at first.
fn if_absent_remove(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let put = role(|cache, me| cache.insert_if_absent(me, K, 2) == Inserted::Stored);
    let remove = role(|cache, me| cache.remove(me, K));
    let [stored, removed] = race.check(&cache, [put, remove]);
    race.saw(if stored { "stored" } else { "handed back" });
    assert!(removed && !has_event(&cache, 1, Replaced), "{:?}", cache.events());
    assert!(!has_event(&cache, 2, Removed) || stored);
}
model!(if_absent_remove, least 76, sees ["stored", "handed back"]);

/// Of two replacements of one key one is live at the end; three entries, two events.
///
/// Threads: two that insert a key that is there.
fn replace_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    race.check(&cache, [insert::<()>(K, 2), insert(K, 3)]);
    race.saw(if live(&cache) == [2] { "2 last" } else { "3 last" });
    assert_eq!((live(&cache).len(), cache.events().len()), (1, 2), "two left");
}
model!(replace_replace, least 1800, sees ["2 last", "3 last"]);

/// `take` of a key that is replaced meanwhile gets the old entry or the new one.
///
/// Threads: one inserts a key that is there, one takes it.
fn replace_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let take = role(|cache, me| cache.take(me, K));
    let [_, taken] = race.check(&cache, [insert(K, 2), take]);
    let taken = taken.expect("a key that is replaced is never absent for take");
    race.saw(if taken == 1 { "old" } else { "new" });
    assert!(has_event(&cache, taken, Taken));
    assert_eq!(live(&cache).len() as u64, 2 - taken);
}
model!(replace_take, least 180, sees ["old", "new"]);

/// `replace` stores only where a live entry of the key is: not after its removal.
///
/// Threads: one replaces, one removes; the key is there at first.
fn replace_remove(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let replace = role(|cache, me| cache.replace(me, K, 2) == Inserted::Stored);
    let remove = role(|cache, me| cache.remove(me, K));
    let [stored, removed] = race.check(&cache, [replace, remove]);
    race.saw(if stored { "stored" } else { "handed back" });
    assert!(removed && live(&cache).is_empty(), "still there: {:?}", live(&cache));
    assert_eq!(has_event(&cache, 1, Replaced), stored, "replaced, and not told of as such");
}
model!(replace_remove, least 140, sees ["stored", "handed back"]);

/// Two inserts and a take of one key: nobody's event is told twice, and no entry is lost.
///
/// Threads: one inserts, one inserts and takes; the key is absent at first. Not covered: a take on
/// a thread of its own while both inserts are under way, which takes ten times the executions (see
/// `replace_take_take` for three threads).
fn insert_take_insert(race: &Race) {
    let cache = Model::new(4);
    let insert_and_take = role(|cache, me| {
        assert_eq!(cache.insert(me, K, 2), Inserted::Stored);
        Some(cache.take(me, K).expect("a key that is replaced is never absent for take"))
    });
    let [_, taken] = race.check(&cache, [insert(K, 1), insert_and_take]);
    race.saw(if taken == Some(1) { "took the other's" } else { "took its own" });
    assert!(live(&cache).len() <= 1);
    let events = cache.events();
    assert_eq!(live(&cache).len() + events.len(), 2, "live, or told of: {events:?}");
}
model!(insert_take_insert, least 9400, sees ["took the other's", "took its own"]);

/// A replacement and two takes of one key: each of the two entries leaves once, at most.
///
/// Threads: three, on one key that is there.
fn replace_take_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let take = || role(|cache: &Model, me: &_| cache.take(me, K));
    let [_, a, b] = race.check(&cache, [insert(K, 2), take(), take()]);
    race.saw(if a.is_some() && b.is_some() { "took both" } else { "took one" });
    assert!(a.is_some() || b.is_some(), "a key that is replaced is never absent for take");
    assert!(a.is_none() || a != b, "not one winner: {a:?} {b:?}");
    let events = cache.events();
    assert_eq!(live(&cache).len() + events.len(), 2, "live, or told of: {events:?}");
}
model!(replace_take_take, least 5600, sees ["took both", "took one"]);

/// A way whose claim was given up is claimed again, and the tag that it had is seen.
///
/// Threads: one inserts if absent, one inserts the same key, then another of its set.
fn claim_after_abandon(race: &Race) {
    let cache = Model::new(4);
    let put = role(|cache, me| cache.insert_if_absent(me, K, 1) == Inserted::Stored);
    let two = role(|cache: &Model, me: &_| {
        cache.insert(me, K, 2);
        cache.insert(me, X, 3) == Inserted::Stored
    });
    let [stored, inserted] = race.check(&cache, [put, two]);
    race.saw(if stored { "stored" } else { "handed back" });
    assert!(inserted && live(&cache) == [2, 3], "{:?}", live(&cache));
}
model!(claim_after_abandon, least 23_000, sees ["stored", "handed back"]);
