//! The end of what was stored, where one has seen it live, and another one has not.
//!
//! Property: who removes, refuses or takes something at its end leaves nothing that one who began
//! before, and still sees it live, could put another one into the place of.
//!
//! Threads: one lets the time go by, and then removes, refuses or takes; one replaces or renews.
//!
//! Not covered: the clock's own steps, which are none; sweeps (`expiry`); walks over all sets,
//! which take what has expired in any case.

use crate::flights::{NAME, acts, resumes};
use crate::{K, live};
use halfshake::RemovalCause;
use halfshake::model::{Inserted, Model};
use halfshake::session::model::Sessions;
use loom_tests::{Race, model, role};

/// What was removed stays away, also if it had expired by then, and another operation, which began
/// before, has seen it live.
///
/// Threads: one lets the time go by and removes, one replaces what is there.
fn removed_at_its_end(race: &Race) {
    let cache = Model::new(4);
    cache.insert_until(&cache.member(), K, 1, 5);
    let removes = role(|cache: &Model, me: &_| {
        // A step that is explored, for the clock's is none.
        cache.observe(me);
        cache.set_time(5);
        cache.remove(me, K)
    });
    let replaces = role(|cache: &Model, me: &_| cache.replace(me, K, 2) == Inserted::Stored);
    let [removed, replaced] = race.check(&cache, [removes, replaces]);
    race.saw(if removed { "removed" } else { "expired" });
    assert_eq!(removed, replaced, "only what took its place could live on");
    assert_eq!(live(&cache), [], "removed, and back");
}
model!(removed_at_its_end, least 309, sees ["removed", "expired"]);

/// A session that was refused stays away, also if it came to its end while the new callback looked
/// at it, and is renewed by one who began before.
///
/// Threads: one refuses a session at its end, one looks up, which renews.
/// Not covered: the new callback itself (`refused_meanwhile`).
fn refused_at_its_end(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.add(NAME);
    sessions.renew_from_now_on();
    let refuses = acts(&sessions, |sessions| {
        sessions.refuse_at_its_end(NAME);
        "refused"
    });
    let seen = race.run_alone([refuses, resumes(&sessions)]);
    race.saw(seen[1]);
    if sessions.events().contains(&(NAME, RemovalCause::Replaced)) {
        race.saw("renewed");
    }
    assert_eq!(sessions.found(), None, "refused, and back");
    sessions.end();
}
model!(refused_at_its_end, least 1253, sees ["nothing", "inside", "renewed"]);

/// Who takes a session from outside leaves none inside, also if that one has expired, and is
/// renewed by one who began before.
///
/// Threads: one takes what is inside and outside, when it ends inside; one looks up, which renews.
fn taken_at_its_end(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.add(NAME);
    sessions.renew_from_now_on();
    let takes =
        acts(&sessions, |sessions| sessions.take_at_its_end().map_or("not taken", |_| "taken"));
    let seen = race.run_alone([takes, resumes(&sessions)]);
    seen.into_iter().for_each(|what| race.saw(what));
    assert_eq!(seen[0], "taken");
    assert_eq!(sessions.found(), None, "taken, and still there");
    sessions.end();
}
model!(taken_at_its_end, least 2285, sees ["nothing", "inside", "outside"]);
