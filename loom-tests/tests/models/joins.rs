//! Look-ups that join one another's: one asks outside, and all of them get its answer.
//!
//! Property: nobody is left waiting, however the look-up ends that was joined: with a session, with
//! nothing, or by its asker's leaving, who leaves it to the others then. Nobody is told of what was
//! removed before he began.
//!
//! Threads: two that look up, and the store where it answers later; or one that removes and then
//! looks up, and one that looks up.
//!
//! Not covered: time-outs (`tests/contract_stalls.rs` has them), and callbacks that panic, for loom
//! can't switch threads in a panic (`tests/contract_panics.rs` has them).

use crate::flights::{NAME, OTHER, acts};
use halfshake::session::model::{Found, Sessions};
use loom_tests::{LoneRole, Race, model};
use std::cell::Cell;
use std::rc::Rc;

/// Two look up at once, and wait for one another if they have to.
fn both_look_up(race: &Race, sessions: &Sessions, found: Found) {
    let patient = || acts(sessions, |sessions| sessions.resume_patiently());
    assert_eq!(race.run_alone([patient(), patient()]), [found; 2], "one was not told");
    race.saw(if sessions.asked() == 1 { "asked once" } else { "asked twice" });
}

/// Those who join a look-up get its answer: nobody is left waiting.
///
/// Threads: two that look up, and wait for one another if they have to.
fn joined(race: &Race) {
    let sessions = Sessions::new(NAME);
    both_look_up(race, &sessions, Found::Outside(NAME));
    assert_eq!(sessions.found(), Some(NAME));
    sessions.end();
}
model!(joined, least 62, sees ["asked once"]);

/// Those who join a look-up that finds nothing are told so: nobody is left waiting.
///
/// Threads: two that look up, and wait for one another if they have to.
fn joined_in_vain(race: &Race) {
    let sessions = Sessions::new(0);
    both_look_up(race, &sessions, Found::Nothing);
    sessions.end();
}
model!(joined_in_vain, least 100, sees ["asked once"]);

/// One who waits for another's look-up is woken when the answer is there, also if that one polls it
/// no more.
///
/// Threads: one polls once, one polls twice if it is woken, the store answers.
fn woken(race: &Race) {
    let sessions = Sessions::new(0);
    let later = sessions.ask_later();
    let (first, second) = (Rc::new(sessions.wait()), Rc::new(sessions.wait()));
    let (polls, waits) = (first.clone(), second.clone());
    let roles: [LoneRole<Option<u64>>; 3] = [
        Box::new(move || polls.poll_if_woken()),
        Box::new(move || waits.poll_if_woken().or_else(|| waits.poll_if_woken())),
        Box::new(move || {
            later.answer(NAME);
            None
        }),
    ];
    let [_, got, _] = race.run_alone(roles);
    race.saw(if got.is_some() { "at once" } else { "later" });
    assert_eq!(got.or_else(|| second.poll_while_woken()), Some(NAME), "stranded");
    drop((first, second));
    sessions.end();
}
model!(woken, least 230, preemptions 3, sees ["at once", "later"]);

/// The same if that one leaves instead.
///
/// Threads: one polls once and leaves, one polls twice if it is woken, the store answers.
fn woken_by_who_leaves(race: &Race) {
    let sessions = Sessions::new(0);
    let later = sessions.ask_later();
    let (first, second) = (sessions.wait(), Rc::new(sessions.wait()));
    let waits = second.clone();
    let roles: [LoneRole<Option<u64>>; 3] = [
        Box::new(move || first.poll_if_woken()),
        Box::new(move || waits.poll_if_woken().or_else(|| waits.poll_if_woken())),
        Box::new(move || {
            later.answer(NAME);
            None
        }),
    ];
    let [_, got, _] = race.run_alone(roles);
    race.saw(if got.is_some() { "at once" } else { "later" });
    assert_eq!(got.or_else(|| second.poll_while_woken()), Some(NAME), "stranded");
    drop(second);
    sessions.end();
}
model!(woken_by_who_leaves, least 280, preemptions 3, sees ["at once", "later"]);

/// One who changes something, and one who looks up, having looked inside in vain. The former begins
/// in either order: that the other one comes in between is one switch less.
fn changes_then_looks_up(
    sessions: &Sessions,
    change: impl FnOnce(&Sessions) + 'static,
) -> [LoneRole<&'static str>; 2] {
    let begins = Rc::new(Cell::new(false));
    let has_begun = begins.clone();
    let changes = acts(sessions, move |sessions| {
        begins.set(true);
        change(sessions);
        assert_eq!(sessions.resume_outside(), Found::Nothing, "removed, and back");
        "removed"
    });
    let looks_up = acts(sessions, move |sessions| {
        if !has_begun.get() {
            loom::thread::yield_now();
        }
        match sessions.resume_outside() {
            Found::Nothing => "nothing",
            Found::Inside(NAME) => "inside",
            Found::Outside(NAME) => "outside",
            other => panic!("{other:?}"),
        }
    });
    [changes, looks_up]
}

/// What lands while its id is removed goes late, and a look-up that finds it until then tells
/// nobody of it who begins after the removal.
///
/// Threads: one removes, with a landing while that is told, then looks up; one looks up that has
/// looked inside in vain.
fn removed_late_and_joined(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.add(OTHER);
    sessions.look_outside_alone();
    let later = sessions.ask_later();
    let waits = sessions.wait();
    later.answer(NAME);
    sessions.look_inside();
    sessions.ask_outside();
    // Unless the other one has joined it, and does that.
    sessions.while_told(move || _ = waits.poll_if_woken());
    let roles = changes_then_looks_up(&sessions, |sessions| assert!(sessions.remove()));
    race.run_alone(roles).into_iter().for_each(|what| race.saw(what));
    sessions.end();
}
model!(removed_late_and_joined, least 2000, sees ["inside", "outside", "nothing"]);

/// A look-up that finds inside what is just being removed tells nobody of it who begins after the
/// removal.
///
/// Threads: one adds, removes, and looks up; one looks up that has looked inside in vain.
fn removed_and_joined(race: &Race) {
    let sessions = Sessions::new(0);
    let roles = changes_then_looks_up(&sessions, |sessions| {
        sessions.add(NAME);
        assert!(sessions.remove());
    });
    race.run_alone(roles).into_iter().for_each(|what| race.saw(what));
    sessions.end();
}
model!(removed_and_joined, least 2500, sees ["inside", "nothing"]);
