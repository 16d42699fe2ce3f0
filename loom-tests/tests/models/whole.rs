//! What concerns the whole cache: clear, retain, shutdown.
//!
//! Property: what was there when it began is gone when it returns, with its events told; nothing
//! else of a set goes by a predicate, and nothing comes after a shutdown.
//!
//! Threads: one that clears, retains or shuts down, against one that inserts, looks up, takes,
//! delivers or shuts down, too.
//!
//! Not covered: the end of the cache's own threads (`tests/core/shutdown.rs` has it); caches of
//! more than two sets.

use crate::{K, O, X, cache_of, has_event, insert, live, take};
use halfshake::RemovalCause::{Flushed, Shutdown};
use halfshake::model::{Inserted, Model};
use halfshake::{Delivery, Refusal};
use loom_tests::{Race, Role, model, role};

fn shut_down<T: Default + 'static>() -> Role<T> {
    role(|cache, me| {
        cache.shutdown(me);
        T::default()
    })
}

/// Inserts; the answer is whether it was stored rather than refused for the shutdown.
fn insert_or_closed(key: u64, value: u64) -> Role<bool> {
    role(move |cache, me| match cache.insert(me, key, value) {
        Inserted::Stored => true,
        Inserted::Refused(Refusal::Closed) => false,
        other => panic!("{other:?}"),
    })
}

/// `clear` removes what was there before, and may or may not remove what comes meanwhile.
///
/// Threads: one clears, one replaces.
fn clear_insert(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let clear = role(|cache, me| cache.clear(me));
    race.check(&cache, [clear, insert(K, 2)]);
    race.saw(if has_event(&cache, 2, Flushed) { "cleared" } else { "stayed" });
    assert!(!live(&cache).contains(&1));
}
model!(clear_insert, least 130, sees ["cleared", "stayed"]);

/// What a thread has seen in the cache is gone when it has cleared it.
///
/// Threads: one looks up, clears and looks up; one inserts.
fn clear_seen(race: &Race) {
    let cache = Model::new(4);
    let clear = role(|cache, me| {
        let seen = cache.get(me, K).is_some();
        cache.clear(me);
        assert!(!(seen && cache.get(me, K).is_some()), "found after clear, and before");
        seen
    });
    let [seen, _] = race.check(&cache, [clear, insert(K, 1)]);
    race.saw(if seen { "seen" } else { "absent" });
}
model!(clear_seen, least 69, sees ["seen", "absent"]);

/// `retain` removes entries that its predicate has picked, and no others of the set.
///
/// Threads: one removes a key by predicate, one replaces it twice. A second key is in the set.
fn retain_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (X, 2)]);
    let retain = role(|cache, me| cache.retain_all_but(me, K));
    let replace = role(|cache, me| {
        cache.insert(me, K, 3);
        cache.insert(me, K, 4);
    });
    race.check(&cache, [retain, replace]);
    race.saw(if live(&cache).contains(&4) { "stayed" } else { "removed" });
    assert!(live(&cache).contains(&2), "what was not picked is gone");
}
model!(retain_replace, least 530, sees ["stayed", "removed"]);

/// After a shutdown nothing is live, and every entry that was stored has been told of when it
/// returns.
///
/// Threads: one shuts down, one inserts.
fn shutdown_insert(race: &Race) {
    let cache = Model::new(4);
    let [_, stored] = race.check(&cache, [shut_down(), insert_or_closed(K, 1)]);
    race.saw(if stored { "stored" } else { "refused" });
    assert_eq!(live(&cache), [], "live after the shutdown");
    assert_eq!(has_event(&cache, 1, Shutdown), stored, "stored, and not told of");
}
model!(shutdown_insert, least 57, sees ["stored", "refused"]);

/// As `shutdown_insert`, for a key that is there.
///
/// Threads: one shuts down, one replaces.
fn shutdown_replace(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let shut_down = role(|cache, me| {
        cache.shutdown(me);
        let told = cache.events().iter().filter(|(value, _)| *value == 1).count();
        assert_eq!(told, 1, "an event was under way when shutdown returned");
        false
    });
    let [_, stored] = race.check(&cache, [shut_down, insert_or_closed(K, 2)]);
    race.saw(if stored { "stored" } else { "refused" });
    assert_eq!(live(&cache), [], "live after the shutdown");
    assert_eq!(has_event(&cache, 2, Shutdown), stored, "stored, and not told of");
}
model!(shutdown_replace, least 210, sees ["stored", "refused"]);

/// An entry is taken or shut down, not both, and its event is told when shutdown returns.
///
/// Threads: one shuts down, one takes.
fn shutdown_take(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let shut_down = role(|cache, me| {
        cache.shutdown(me);
        assert_eq!(cache.events().len(), 1, "an event was under way when shutdown returned");
        None
    });
    let [_, taken] = race.check(&cache, [shut_down, take(K)]);
    race.saw(if taken.is_some() { "taken" } else { "shut down" });
    assert_eq!(has_event(&cache, 1, Shutdown), taken.is_none(), "not one of the two causes");
}
model!(shutdown_take, least 210, sees ["taken", "shut down"]);

/// A look-up that is under way may read its entry to the end; one that begins after the shutdown
/// finds nothing.
///
/// Threads: one shuts down and looks up, one reads slowly.
fn shutdown_get(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let shut_down = role(|cache, me| {
        cache.shutdown(me);
        assert_eq!(cache.get(me, K), None, "found after the shutdown");
        None
    });
    let get = role(|cache, me| cache.get_slowly(me, K, X));
    let [_, got] = race.check(&cache, [shut_down, get]);
    race.saw(if got.is_some() { "found" } else { "absent" });
    assert!(has_event(&cache, 1, Shutdown));
}
model!(shutdown_get, least 120, sees ["found", "absent"]);

/// An entry that is taken and still held outlives the shutdown.
///
/// Threads: one shuts down, one holds what it has taken, and gives it back afterwards.
fn shutdown_held(race: &Race) {
    let cache = cache_of(4, &[(K, 1)]);
    let hold = role(|cache, me| {
        let held = cache.take_held(me, K);
        cache.get(me, O);
        held.map(|held| cache.give_back(me, held))
    });
    let [_, taken] = race.check(&cache, [shut_down(), hold]);
    race.saw(if taken.is_some() { "taken" } else { "shut down" });
    assert!(taken.is_none_or(|value| value == 1));
}
model!(shutdown_held, least 340, sees ["taken", "shut down"]);

/// Two that shut down close the cache once, and neither returns before all is told.
///
/// Threads: two that shut down.
fn shutdown_twice(race: &Race) {
    let cache = cache_of(4, &[(K, 1), (O, 2)]);
    let shut_down = || {
        role(|cache: &Model, me: &_| {
            cache.shutdown(me);
            assert_eq!(cache.events().len(), 2, "an event was under way when shutdown returned");
        })
    };
    race.check(&cache, [shut_down(), shut_down()]);
}
model!(shutdown_twice, least 3300);

/// With a delivery thread, shutdown waits for what was handed over.
///
/// Threads: one shuts down, one delivers until everything is told.
fn shutdown_deliver(race: &Race) {
    let cache = Model::with(4, None, Delivery::Thread);
    crate::fill(&cache, &[(K, 1)]);
    let shut_down = role(|cache, me| {
        cache.shutdown(me);
        assert_eq!(cache.events(), [(1, Shutdown)], "shutdown returned too early");
    });
    let deliver = role(|cache, me| {
        while cache.deliver(me) == 0 {
            loom::thread::yield_now();
        }
    });
    race.check(&cache, [shut_down, deliver]);
}
model!(shutdown_deliver, least 260);
