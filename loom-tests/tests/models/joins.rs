//! Look-ups that join one another's: one asks outside, and all of them get its answer.
//!
//! Property: nobody is left waiting, however the look-up ends that was joined: with a session, with
//! nothing, or by its asker's leaving, who leaves it to the others then. Nobody joins one that does
//! what was switched off before he began.
//!
//! Threads: two that look up, and the store where it answers later; or one that switches off.
//!
//! Not covered: time-outs (`tests/contract_stalls.rs` has them), and callbacks that panic, for loom
//! can't switch threads in a panic (`tests/contract_panics.rs` has them).

use crate::flights::{NAME, acts};
use halfshake::session::model::{Found, Sessions};
use loom_tests::{LoneRole, Race, model};
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

/// Nobody is told of what is inside who begins once look-ups inside are switched off.
///
/// Threads: one switches them off and looks up, one looks up that has looked inside in vain.
fn switched_off_inside(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.add(NAME);
    let switches = acts(&sessions, |sessions| {
        sessions.look_outside_alone();
        // The other one may have seen the modes before, and depart now.
        loom::thread::yield_now();
        assert_eq!(sessions.resume_patiently(), Found::Nothing, "told of what is inside");
        "switched off"
    });
    let looks_up = acts(&sessions, |sessions| match sessions.resume_outside() {
        Found::Nothing => "nothing",
        Found::Inside(NAME) => "inside",
        other => panic!("{other:?}"),
    });
    race.run_alone([switches, looks_up]).into_iter().for_each(|what| race.saw(what));
    sessions.end();
}
model!(switched_off_inside, least 200, sees ["nothing", "inside"]);
