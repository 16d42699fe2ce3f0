//! Look-ups that join one another's: one asks outside, and all of them get its answer.
//!
//! Property: nobody is left waiting, however the look-up ends that was joined: with a session, with
//! nothing, with one that is refused, or by the leaving of who has asked or of who has joined, also
//! for having waited too long: he leaves it to the others then. Nobody joins one that does what was
//! switched off before he began.
//!
//! Threads: two that look up, and the store where it answers later; or one that switches off.
//!
//! Not covered: look-ups that are overdue for who comes later, for no time goes by in models, where
//! a wait is too long at once or never (`tests/core/contract_stalls.rs` has them); callbacks that
//! panic, for loom can't switch threads in a panic (`tests/core/contract_panics.rs` has them).

use crate::flights::{NAME, acts};
use crate::late::in_turn;
use halfshake::session::model::{Found, Sessions, Waits};
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

/// Those who join a look-up whose session is refused are told nothing, as its asker is.
///
/// Threads: one looks up; one lets the timeout of what the store has given go by, and looks up.
fn joined_and_refused(race: &Race) {
    let sessions = Sessions::new(NAME);
    let (begins, lets_begin) = in_turn();
    let asks = acts(&sessions, |sessions| {
        begins();
        sessions.resume_patiently()
    });
    let outdates = acts(&sessions, |sessions| {
        lets_begin();
        // Half of it each time.
        (0..2).for_each(|_| sessions.renew_from_now_on());
        sessions.resume_patiently()
    });
    let [first, second] = race.run_alone([asks, outdates]);
    if sessions.asked() == 1 {
        assert_eq!(first, second, "one was told what the other was not");
        race.saw(if first == Found::Nothing { "refused" } else { "in time" });
    } else {
        race.saw("asked twice");
        assert_eq!(second, Found::Outside(NAME), "what is new was refused");
    }
    sessions.end();
}
model!(joined_and_refused, least 18, preemptions 1, sees ["refused", "in time", "asked twice"]);

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

/// Who waits for a look-up is told of its end also if the one who has asked waits no longer: he is
/// polled in his place, or asks himself.
///
/// Threads: one asks and has waited too long at once, unless the answer is there; one waits as soon
/// as that one asks, has the store answer, and goes on.
fn asker_times_out(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.look_outside_alone();
    let later = sessions.ask_later();
    let asks = acts(&sessions, |sessions| (sessions.resume_outside(), None));
    let joins = acts(&sessions, move |sessions| {
        while sessions.asked() == 0 {
            loom::thread::yield_now();
        }
        let waits = sessions.wait();
        let at_once = waits.poll_if_woken();
        later.answer(NAME);
        let got = at_once.or_else(|| waits.poll_while_woken());
        (got.map_or(Found::Nothing, Found::Outside), Some(waits))
    });
    timed_out(race, sessions, [asks, joins]);
}
model!(
    asker_times_out, least 60, sees ["too late, asked once", "too late, asked twice", "in time"]
);

/// The same for one who has asked, if it is the other one who waits no longer.
///
/// Threads: one joins and has waited too long at once, unless the answer is there; the one who has
/// asked is polled, has the store answer, and goes on.
fn joiner_times_out(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.look_outside_alone();
    let later = sessions.ask_later();
    let waits = sessions.wait();
    let joins = acts(&sessions, |sessions| (sessions.resume_outside(), None));
    let asks = acts(&sessions, move |_| {
        let at_once = waits.poll_if_woken();
        later.answer(NAME);
        let got = at_once.or_else(|| waits.poll_while_woken());
        (got.map_or(Found::Nothing, Found::Outside), Some(waits))
    });
    timed_out(race, sessions, [joins, asks]);
}
model!(joiner_times_out, least 55, sees ["too late, asked once", "in time"]);

/// Runs one who may wait too long, and one who waits to the end, whom the other strands by nothing.
fn timed_out(race: &Race, sessions: Sessions, roles: [LoneRole<(Found, Option<Waits>)>; 2]) {
    let [(may_be_late, _), (got, waits)] = race.run_alone(roles);
    race.saw(match (may_be_late, sessions.asked()) {
        (Found::Nothing, 1) => "too late, asked once",
        (Found::Nothing, _) => "too late, asked twice",
        (Found::Outside(NAME), _) => "in time",
        other => panic!("{other:?}"),
    });
    let waits = waits.expect("he gives it back");
    let later = || waits.poll_while_woken().map_or(Found::Nothing, Found::Outside);
    let got = if got == Found::Nothing { later() } else { got };
    assert_eq!(got, Found::Outside(NAME), "stranded");
    drop(waits);
    sessions.end();
}

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
