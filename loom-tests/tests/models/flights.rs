//! Look-ups outside: what left meanwhile is not brought back, and what is single use is used once.
//!
//! Not covered: the callbacks themselves, several stripes, joining a flight.

use crate::{K, cache_of, live};
use halfshake::model::{Member, Model};
use halfshake::session::model::Outside;
use loom_tests::{Race, Role, model, role};

const NAME: u64 = 5;

fn removes(outside: &Outside) -> Role<&'static str> {
    let outside = outside.clone();
    role(move |_: &Model, me: &Member| {
        outside.delete();
        if outside.remove(me, K) { "removed late" } else { "removed" }
    })
}

fn resumes(outside: &Outside) -> Role<&'static str> {
    let outside = outside.clone();
    role(move |_: &Model, me: &Member| match outside.resume(me, K) {
        None => "unknown",
        Some((_, true)) => "stored",
        Some((_, false)) => "used",
    })
}

fn takes(outside: &Outside) -> Role<&'static str> {
    let outside = outside.clone();
    role(move |_: &Model, me: &Member| match outside.take(me, K) {
        Some(name) => {
            assert_eq!(name, NAME);
            "taken"
        }
        None => "not taken",
    })
}

/// An answer from outside is not found any more once a removal of its id has returned.
///
/// Threads: one deletes outside and removes, one looks outside and lets the answer land.
fn removed_meanwhile(race: &Race) {
    let cache = cache_of(4, &[]);
    let outside = Outside::new(&cache, NAME);
    let seen = race.check(&cache, [removes(&outside), resumes(&outside)]);
    seen.into_iter().for_each(|what| race.saw(what));
    assert!(live(&cache).is_empty(), "it is back: {seen:?}");
}
model!(removed_meanwhile, least 50,
    sees ["removed late", "unknown", "stored", "used"]);

/// As `removed_meanwhile`, where the session is inside at first, too.
///
/// Threads: the same.
fn removed_inside_meanwhile(race: &Race) {
    let cache = cache_of(4, &[(K, NAME)]);
    let outside = Outside::new(&cache, NAME);
    let seen = race.check(&cache, [removes(&outside), resumes(&outside)]);
    seen.into_iter().for_each(|what| race.saw(what));
    assert!(live(&cache).is_empty(), "it is back: {seen:?}");
}
model!(removed_inside_meanwhile, least 50, sees ["unknown", "stored", "used"]);

/// A session that lies outside is taken once, and not found afterwards.
///
/// Threads: one takes, one looks outside and lets the answer land.
fn taken_meanwhile(race: &Race) {
    let cache = cache_of(4, &[]);
    let outside = Outside::new(&cache, NAME);
    let seen = race.check(&cache, [takes(&outside), resumes(&outside)]);
    seen.into_iter().for_each(|what| race.saw(what));
    assert_eq!(seen[0], "taken");
    assert!(live(&cache).is_empty(), "taken, and back: {seen:?}");
}
model!(taken_meanwhile, least 50, sees ["unknown", "stored", "used"]);

/// A session that lies inside and outside is taken by exactly one.
///
/// Threads: two that take.
fn taken_once(race: &Race) {
    let cache = cache_of(4, &[(K, NAME)]);
    let outside = Outside::new(&cache, NAME);
    let seen = race.check(&cache, [takes(&outside), takes(&outside)]);
    let taken = seen.iter().filter(|what| **what == "taken").count();
    assert_eq!(taken, 1, "taken {taken} times");
    assert!(live(&cache).is_empty());
    race.saw(if seen[0] == "taken" { "first" } else { "second" });
}
model!(taken_once, least 50, sees ["first", "second"]);
