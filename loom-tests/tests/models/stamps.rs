//! Answers from elsewhere that are stored only if nothing was changed meanwhile: what the get
//! callback of a session cache gives is never brought back after a removal.
//!
//! Not covered: several look-ups of one id at a time (they store what the same place gave), stamps
//! that wrap.

use crate::{K, X, has_event, live};
use halfshake::RemovalCause::{Flushed, Removed, Replaced, Taken};
use halfshake::model::{Inserted, Member, Model};
use loom_tests::{Race, Role, model, role};
use std::sync::{Arc, Mutex};

/// The value that is kept elsewhere, until somebody deletes it there.
type Elsewhere = Arc<Mutex<Option<u64>>>;

fn elsewhere() -> Elsewhere {
    Arc::new(Mutex::new(Some(5)))
}

/// Looks inside, asks elsewhere, and stores the answer; whether it was stored.
fn ask(elsewhere: &Elsewhere) -> Role<bool> {
    let elsewhere = elsewhere.clone();
    role(move |cache: &Model, me: &Member| {
        let Err(stamp) = cache.get_or_stamp(me, K) else { return false };
        let answer = *elsewhere.lock().expect("one thread");
        answer.is_some_and(|value| {
            cache.insert_unless_changed(me, K, value, stamp) == Inserted::Stored
        })
    })
}

/// Deletes it elsewhere, then does something inside.
fn delete(elsewhere: &Elsewhere, inside: impl Fn(&Model, &Member) -> bool + 'static) -> Role<bool> {
    let elsewhere = elsewhere.clone();
    role(move |cache: &Model, me: &Member| {
        // A scheduling point, so that the other may have asked by now.
        cache.observe(me);
        *elsewhere.lock().expect("one thread") = None;
        inside(cache, me)
    })
}

/// A removal that has returned has removed it everywhere, for good.
///
/// Threads: one asks elsewhere and stores, one deletes it there and removes it here.
fn answer_remove(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let remove = delete(&outside, |cache, me| cache.remove(me, K));
    let [stored, removed] = race.check(&cache, [ask(&outside), remove]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert_eq!(live(&cache), [], "it came back");
    assert_eq!((stored, has_event(&cache, 5, Removed)), (removed, removed));
}
model!(answer_remove, least 50, sees ["stored", "not stored"]);

/// The same for a take.
///
/// Threads: one asks elsewhere and stores, one deletes it there and takes it here.
fn answer_take(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let take = delete(&outside, |cache, me| cache.take(me, K).is_some());
    let [stored, taken] = race.check(&cache, [ask(&outside), take]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert_eq!(live(&cache), [], "it came back");
    assert_eq!((stored, has_event(&cache, 5, Taken)), (taken, taken));
}
model!(answer_take, least 50, sees ["stored", "not stored"]);

/// The same for a flush of everything.
///
/// Threads: one asks elsewhere and stores, one deletes it there and clears the cache.
fn answer_flush(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let clear = delete(&outside, |cache, me| {
        cache.clear(me);
        true
    });
    let [stored, _] = race.check(&cache, [ask(&outside), clear]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert_eq!(live(&cache), [], "it came back");
    assert_eq!(stored, has_event(&cache, 5, Flushed));
}
model!(answer_flush, least 50, sees ["stored", "not stored"]);

/// The same for a flush of what a predicate picks.
///
/// Threads: one asks elsewhere and stores, one deletes it there and removes what has the key.
fn answer_retain(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let retain = delete(&outside, |cache, me| {
        cache.retain_all_but(me, K);
        true
    });
    let [stored, _] = race.check(&cache, [ask(&outside), retain]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert_eq!(live(&cache), [], "it came back");
    assert_eq!(stored, has_event(&cache, 5, Removed));
}
model!(answer_retain, least 50, sees ["stored", "not stored"]);

/// An answer does not take the place of what was put meanwhile.
///
/// Threads: one asks elsewhere and stores, one puts the key.
fn answer_insert(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let put = role(|cache: &Model, me: &Member| cache.insert(me, K, 2) == Inserted::Stored);
    let [stored, put] = race.check(&cache, [ask(&outside), put]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert!(put && live(&cache) == [2], "an answer displaced what was put");
    assert_eq!(stored, has_event(&cache, 5, Replaced));
}
model!(answer_insert, least 50, sees ["stored", "not stored"]);

/// A change of another key of the set keeps an answer from being stored, and does no other harm.
///
/// Threads: one asks elsewhere and stores, one removes another key of the set, which is absent.
fn answer_beside(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let remove = role(|cache: &Model, me: &Member| cache.remove(me, X));
    let [stored, removed] = race.check(&cache, [ask(&outside), remove]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert!(!removed);
    assert_eq!(live(&cache), if stored { vec![5] } else { vec![] });
}
model!(answer_beside, least 20, sees ["stored", "not stored"]);

/// A way that a claim was given up on is claimed again, and the tag that it had is seen.
///
/// Threads: one asks elsewhere and stores, one changes the set, so that the first gives its claim
/// up, and inserts another key of it.
fn claim_after_abandon(race: &Race) {
    let (cache, outside) = (Model::stamped(4), elsewhere());
    let change = role(|cache: &Model, me: &Member| {
        cache.remove(me, X);
        cache.insert(me, X, 3) == Inserted::Stored
    });
    let [stored, inserted] = race.check(&cache, [ask(&outside), change]);
    race.saw(if stored { "stored" } else { "not stored" });
    assert!(inserted && live(&cache).contains(&3));
}
model!(claim_after_abandon, least 200, sees ["stored", "not stored"]);
