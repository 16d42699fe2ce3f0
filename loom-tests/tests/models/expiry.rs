//! Sweeps, and what they know of the sets.
//!
//! Property: a sweep removes what has expired and nothing else, each entry once; what the summary
//! says of a set may be too much, and is never too little.
//!
//! Threads: one or two that sweep or tidy, against one or two that insert, look up, take or remove.
//!
//! Not covered: the walk over the sets, whose steps belong to whoever draws their number; the
//! clock, which a model sets.

use crate::{K, O, X, Y, has_event, insert, live, take};
use halfshake::RemovalCause::{Expired, Removed, Replaced};
use halfshake::model::{Inserted, Model};
use loom_tests::{Race, Role, model, role};

/// At tick 5, with these entries: key, value, deadline.
fn at_five(entries: &[(u64, u64, u64)]) -> Model {
    let cache = Model::new(4);
    let me = cache.member();
    for (key, value, deadline) in entries {
        assert_eq!(cache.insert_until(&me, *key, *value, *deadline), Inserted::Stored);
    }
    cache.set_time(5);
    cache
}

fn sweep<T: Default + 'static>() -> Role<T> {
    role(|cache, me| {
        cache.expire(me, 0);
        T::default()
    })
}

fn insert_until(key: u64, value: u64, deadline: u64) -> Role<()> {
    role(move |cache, me| {
        assert_eq!(cache.insert_until(me, key, value, deadline), Inserted::Stored);
    })
}

/// A sweep at a late tick meets everything that is still there.
fn assert_nothing_is_missed(cache: &Model) {
    cache.set_time(1000);
    let me = cache.member();
    cache.expire(&me, 0);
    assert_eq!(cache.live(&me), [], "a deadline was missed");
    cache.check_law(&me);
}

/// A sweep removes only what has expired, and what has expired is told of as such.
///
/// Threads: one sweeps, one inserts the same key anew.
fn expire_replace(race: &Race) {
    let cache = at_five(&[(K, 1, 5)]);
    race.check(&cache, [sweep(), insert::<()>(K, 2)]);
    let there = (live(&cache), cache.events());
    assert_eq!(there, (vec![2], vec![(1, Expired)]), "not what expired, and that alone");
}
model!(expire_replace, least 250);

/// As `expire_replace`, with two expired entries: a sweep keeps to the bits that it has seen.
///
/// Threads: one sweeps, one inserts one of the keys anew, twice.
fn expire_two(race: &Race) {
    let cache = at_five(&[(K, 1, 5), (X, 2, 5)]);
    let insert_twice = role(|cache, me| {
        cache.insert(me, K, 3);
        cache.insert(me, K, 4);
    });
    race.check(&cache, [sweep(), insert_twice]);
    assert_eq!(live(&cache), [4], "not the last one");
    let expired = has_event(&cache, 1, Expired) && has_event(&cache, 2, Expired);
    assert!(expired && has_event(&cache, 3, Replaced), "not told of as what it was");
}
model!(expire_two, least 1000);

/// A look-up finds an entry until it has expired, and may read it to the end though it is swept and
/// reclaimed meanwhile.
///
/// Threads: one lets the time go by and sweeps, one reads slowly.
fn expire_get(race: &Race) {
    let cache = Model::new(4);
    cache.insert_until(&cache.member(), K, 1, 5);
    let time = role(|cache, me| {
        // A step that is explored, for the clock's is none.
        cache.observe(me);
        cache.set_time(5);
        cache.expire(me, 0);
        None
    });
    let get = role(|cache, me| cache.get_slowly(me, K, X));
    let [_, got] = race.check(&cache, [time, get]);
    race.saw(if got.is_some() { "found" } else { "absent" });
    let there = (live(&cache), cache.events());
    assert_eq!(there, (vec![], vec![(1, Expired)]), "not what expired, and that alone");
}
model!(expire_get, least 92, sees ["found", "absent"]);

/// An insert, a removal and a sweep of one key: the expired entry leaves as such, once, and the new
/// one is removed or stays.
///
/// Threads: three, on one key whose entry has expired.
fn insert_remove_sweep(race: &Race) {
    let cache = at_five(&[(K, 1, 5)]);
    let remove = role(|cache, me| cache.remove(me, K));
    let [_, removed, _] = race.check(&cache, [insert(K, 2), remove, sweep()]);
    race.saw(if removed { "removed" } else { "stayed" });
    assert!(has_event(&cache, 1, Expired), "{:?}", cache.events());
    assert_eq!(has_event(&cache, 2, Removed), removed, "removed, and not told of as such");
    let there = if removed { vec![] } else { vec![2] };
    assert_eq!(live(&cache), there, "neither removed nor there");
}
model!(insert_remove_sweep, least 4000, sees ["removed", "stayed"]);

/// An expired entry can't be taken, before, while or after it is swept.
///
/// Threads: one sweeps, one takes.
fn expire_take(race: &Race) {
    let cache = at_five(&[(K, 1, 5)]);
    let [_, taken] = race.check(&cache, [sweep(), take(K)]);
    assert_eq!((taken, cache.events()), (None, vec![(1, Expired)]), "taken, though it expired");
}
model!(expire_take, least 67);

/// Two sweeps of one set tell of an expired entry once, and forget no deadline between them.
///
/// Threads: two that sweep.
fn expire_expire(race: &Race) {
    let cache = at_five(&[(K, 1, 5), (X, 2, 10)]);
    race.check(&cache, [sweep::<()>(), sweep()]);
    let there = (live(&cache), cache.events());
    assert_eq!(there, (vec![2], vec![(1, Expired)]), "not what expired, and that alone");
    assert_nothing_is_missed(&cache);
}
model!(expire_expire, least 330);

/// A sweep that takes the mark "due" back never hides the deadline of an entry that is inserted
/// meanwhile, though the inserter sees the old, earlier mark and writes nothing.
///
/// Threads: one sweeps, one inserts an entry with a later deadline.
fn summary_due(race: &Race) {
    let cache = at_five(&[(K, 1, 5)]);
    let put = insert_until(X, 2, 10);
    race.check(&cache, [sweep(), put]);
    assert_eq!(live(&cache), [2]);
    assert_nothing_is_missed(&cache);
}
model!(summary_due, least 270);

/// As `summary_due`, with a later entry in the set: the sweep's own mark must not hide the earlier
/// deadline of the new entry.
///
/// Threads: one sweeps, one inserts an entry that expires before the one that the sweep leaves.
fn summary_due_earlier(race: &Race) {
    let cache = at_five(&[(X, 1, 20), (K, 2, 5)]);
    cache.set_time(5);
    let put = insert_until(K, 3, 10);
    race.check(&cache, [sweep(), put]);
    assert_eq!(live(&cache), [1, 3]);
    cache.set_time(10);
    let me = cache.member();
    cache.expire(&me, 0);
    assert_eq!(cache.live(&me), [1], "a deadline was missed");
    assert_nothing_is_missed(&cache);
}
model!(summary_due_earlier, least 350);

/// As `summary_due`, with two sweeps at once: neither relies on a mark that the other takes back.
///
/// Threads: two that sweep, one that inserts an entry with a later deadline.
fn summary_due_twice(race: &Race) {
    let cache = at_five(&[(K, 1, 5)]);
    let put = insert_until(X, 2, 10);
    race.check(&cache, [sweep(), put, sweep()]);
    assert_nothing_is_missed(&cache);
}
model!(summary_due_twice, least 6200);

/// A set that holds something is marked so, whoever takes the mark back meanwhile.
///
/// Threads: one tidies an empty set that is marked, one inserts into it. Checked by the law.
fn summary_occupied(race: &Race) {
    let cache = Model::new(4);
    {
        let me = cache.member();
        cache.insert(&me, O, 1);
        cache.take(&me, O);
    }
    let tidy = role(|cache, me| cache.tidy(me, 1));
    race.check(&cache, [tidy, insert(O, 2)]);
    assert!(cache.marked(1), "a set that holds something is not marked");
}
model!(summary_occupied, least 40);

/// As `summary_occupied`, with a second one who tidies.
///
/// Threads: two tidy, one inserts and takes and inserts.
fn summary_occupied_twice(race: &Race) {
    let cache = Model::new(4);
    let tidy = || role(|cache, me| cache.tidy(me, 0));
    let put = role(|cache, me| {
        cache.insert(me, Y, 1);
        cache.take(me, Y);
        cache.insert(me, Y, 2);
    });
    race.check(&cache, [tidy(), put, tidy()]);
    assert!(cache.marked(0), "a set that holds something is not marked");
}
model!(summary_occupied_twice, least 1800);
