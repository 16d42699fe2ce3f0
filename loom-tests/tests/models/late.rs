//! Look-ups that find what is being removed: inside, or outside before the store is told.
//!
//! Property: once a removal or a flush has returned, its session is not stored again, and nobody is
//! told of it who begins then.
//!
//! Threads: one that removes and then looks up, and one that looks up.
//!
//! Not covered: callbacks that panic, for loom can't switch threads in a panic
//! (`tests/core/contract_landing.rs` has one).

use crate::flights::{NAME, OTHER, acts};
use halfshake::RemovalCause;
use halfshake::session::model::{Found, Sessions, Waits};
use loom_tests::{LoneRole, Race, model};
use std::cell::Cell;
use std::rc::Rc;

/// Whether the store was told that the session has left.
fn has_left(sessions: &Sessions) -> bool {
    sessions.events().iter().any(|(name, _)| *name == NAME)
}

/// What one thread calls when it begins, and another one before it does, which lets the former
/// begin: in either order, that the other one comes in between is one switch less.
pub(crate) fn in_turn() -> (impl FnOnce() + 'static, impl FnOnce() + 'static) {
    let begins = Rc::new(Cell::new(false));
    let has_begun = begins.clone();
    let lets = move || {
        if !has_begun.get() {
            loom::thread::yield_now();
        }
    };
    (move || begins.set(true), lets)
}

/// One who changes something, and one who looks up, having looked inside in vain. `change` says
/// whether the session has left for good.
fn changes_then_looks_up(
    sessions: &Sessions,
    change: impl FnOnce(&Sessions) -> bool + 'static,
) -> [LoneRole<&'static str>; 2] {
    let (begins, lets_begin) = in_turn();
    let changes = acts(sessions, move |sessions| {
        begins();
        if change(sessions) {
            assert_eq!(sessions.resume_outside(), Found::Nothing, "removed, and back");
            "removed"
        } else {
            "never landed"
        }
    });
    let looks_up = acts(sessions, move |sessions| {
        lets_begin();
        match sessions.resume_outside() {
            Found::Nothing => "nothing",
            Found::Inside(NAME) => "inside",
            Found::Outside(NAME) => "outside",
            other => panic!("{other:?}"),
        }
    });
    [changes, looks_up]
}

/// A session of the id is inside, and a look-up of it is out that has another one.
fn with_a_look_up_out() -> (Sessions, Waits) {
    let sessions = Sessions::new(NAME);
    sessions.add(OTHER);
    sessions.look_outside_alone();
    let later = sessions.ask_later();
    let waits = sessions.wait();
    later.answer(NAME);
    sessions.look_inside();
    (sessions, waits)
}

/// A session of the id is inside, and while it is told that this one leaves, another one lands.
fn with_a_late_landing() -> Sessions {
    let (sessions, waits) = with_a_look_up_out();
    sessions.ask_outside();
    // Unless the other one has joined it, and does that.
    sessions.while_told(move || _ = waits.poll_if_woken());
    sessions
}

fn asked_while_late(race: &Race, change: impl FnOnce(&Sessions) + 'static) {
    let sessions = with_a_late_landing();
    let roles = changes_then_looks_up(&sessions, |sessions| {
        change(sessions);
        has_left(sessions)
    });
    race.run_alone(roles).into_iter().for_each(|what| race.saw(what));
    if has_left(&sessions) {
        assert_eq!(sessions.found(), None, "removed, and stored again");
    }
    sessions.end();
}

/// What lands while its id is removed lies in the store, too, until its own removal is told: who
/// asks the store until then does not bring it back.
///
/// Threads: one removes, with a landing while that is told, then looks up; one looks up that has
/// looked inside in vain.
fn removed_late_and_asked(race: &Race) {
    asked_while_late(race, |sessions| assert!(sessions.remove()));
}
model!(removed_late_and_asked, least 2500, sees ["removed", "inside", "outside", "nothing"]);

/// The same for a flush.
///
/// Threads: one flushes a namespace, the others as above.
fn flushed_late_and_asked(race: &Race) {
    asked_while_late(race, |sessions| assert!(sessions.flush_namespace() > 0));
}
model!(flushed_late_and_asked, least 2500, sees ["removed", "inside", "outside", "nothing"]);

/// A look-up that finds inside what is just being removed tells nobody of it who begins after the
/// removal.
///
/// Threads: one adds, removes, and looks up; one looks up that has looked inside in vain.
fn removed_and_joined(race: &Race) {
    let sessions = Sessions::new(0);
    let roles = changes_then_looks_up(&sessions, |sessions| {
        sessions.add(NAME);
        sessions.remove()
    });
    race.run_alone(roles).into_iter().for_each(|what| race.saw(what));
    sessions.end();
}
model!(removed_and_joined, least 2500, sees ["inside", "nothing"]);

/// Runs the two: what is removed does not come back by being renewed.
fn race_with_a_renewal(race: &Race, sessions: Sessions, roles: [LoneRole<&'static str>; 2]) {
    race.run_alone(roles).into_iter().for_each(|what| race.saw(what));
    assert_eq!(sessions.found(), None, "renewed, and back");
    if sessions.events().contains(&(NAME, RemovalCause::Replaced)) {
        race.saw("renewed");
    }
    sessions.end();
}

/// What has landed late goes also if it is renewed just then.
///
/// Threads: one removes, with a landing while that is told; one looks up, and renews.
fn removed_late_or_renewed(race: &Race) {
    let (sessions, waits) = with_a_look_up_out();
    sessions.ask_nobody();
    let ((begins, lets_begin), renews) = (in_turn(), sessions.clone());
    sessions.while_told(move || {
        assert_eq!(waits.poll_if_woken(), Some(NAME));
        renews.renew_from_now_on();
    });
    let removes = acts(&sessions, move |sessions| {
        begins();
        assert!(sessions.remove());
        "removed"
    });
    let looks_up = acts(&sessions, move |sessions| {
        lets_begin();
        match sessions.resume() {
            Found::Nothing => "nothing",
            Found::Inside(NAME) => "inside",
            Found::Inside(OTHER) => "before",
            other => panic!("{other:?}"),
        }
    });
    race_with_a_renewal(race, sessions, [removes, looks_up]);
}
model!(removed_late_or_renewed, least 100, sees ["inside", "before", "nothing", "renewed"]);

/// A flush takes also what is renewed while it goes on.
///
/// Threads: one flushes, one looks up, and renews.
fn flushed_or_renewed(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.add(NAME);
    sessions.renew_from_now_on();
    let flushes = acts(&sessions, |sessions| {
        assert_eq!(sessions.flush(), 1, "a renewal took it away");
        "flushed"
    });
    let looks_up = acts(&sessions, |sessions| match sessions.resume() {
        Found::Nothing => "nothing",
        Found::Inside(NAME) => "inside",
        other => panic!("{other:?}"),
    });
    race_with_a_renewal(race, sessions, [flushes, looks_up]);
}
model!(flushed_or_renewed, least 100, sees ["nothing", "inside", "renewed"]);

/// What has landed late is removed or taken: a taker that has taken it gets it.
///
/// Threads: one removes, with a landing while that is told; one sees to it that nobody is asked any
/// more, and takes.
fn removed_late_or_taken(race: &Race) {
    let sessions = with_a_late_landing();
    let (begins, lets_begin) = in_turn();
    let removes = acts(&sessions, move |sessions| {
        begins();
        sessions.remove();
        None
    });
    let takes = acts(&sessions, move |sessions| {
        lets_begin();
        sessions.ask_nobody();
        sessions.take()
    });
    let [_, taken] = race.run_alone([removes, takes]);
    let was_taken = sessions.events().contains(&(NAME, RemovalCause::Taken));
    assert_eq!(taken == Some(NAME), was_taken, "taken, and given to nobody");
    race.saw(if was_taken { "taken" } else { "not taken" });
    sessions.end();
}
model!(removed_late_or_taken, least 120, preemptions 1, sees ["taken", "not taken"]);

/// What is not inside is deleted outside once the removal has looked: who gets it until then does
/// not bring it back.
///
/// Threads: one removes and then looks up, one looks up.
fn absent_and_asked(race: &Race) {
    let sessions = Sessions::telling_of_absent(NAME);
    let roles = changes_then_looks_up(&sessions, |sessions| {
        sessions.remove();
        true
    });
    race.run_alone(roles).into_iter().for_each(|what| race.saw(what));
    assert_eq!(sessions.found(), None, "removed, and stored again");
    sessions.end();
}
model!(absent_and_asked, least 900, sees ["outside", "nothing"]);
