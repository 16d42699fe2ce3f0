//! The session cache, as it is, over an external store of one session: what left is not brought
//! back, what is single use is used once, what is refused is gone.
//!
//! Property: once a removal, a taking, a refusal or a flush has returned, no look-up that was out
//! brings the session back; of those that take it one gets it.
//!
//! Threads: one or two that look up or take, against one that changes what is there.
//!
//! Not covered: several stripes; callbacks that panic, for loom can't switch threads in a panic
//! (`tests/core/contract_panics.rs` has them).

use halfshake::RemovalCause;
use halfshake::session::model::{Found, Sessions};
use loom_tests::{LoneRole, Race, model};

/// The session that lies outside at first, and others.
pub(crate) const NAME: u64 = 5;
pub(crate) const OTHER: u64 = 6;

pub(crate) fn acts<T: 'static>(
    sessions: &Sessions,
    act: impl FnOnce(&Sessions) -> T + 'static,
) -> LoneRole<T> {
    let sessions = sessions.clone();
    Box::new(move || act(&sessions))
}

pub(crate) fn resumes(sessions: &Sessions) -> LoneRole<&'static str> {
    acts(sessions, |sessions| match sessions.resume() {
        Found::Nothing => "nothing",
        Found::Inside(NAME) => "inside",
        Found::Outside(NAME) => "outside",
        other => panic!("{other:?}"),
    })
}

fn takes(sessions: &Sessions) -> LoneRole<&'static str> {
    acts(sessions, |sessions| match sessions.take() {
        Some(NAME) => "taken",
        Some(other) => panic!("{other}"),
        None => "not taken",
    })
}

/// A session is negotiated, and the new callback writes it to the store.
fn negotiates(sessions: &Sessions) -> LoneRole<&'static str> {
    acts(sessions, |sessions| {
        sessions.negotiate(NAME, false);
        "negotiated"
    })
}

/// Runs two roles, notes what they did, and gives what the internal cache holds afterwards.
fn race_of(race: &Race, sessions: Sessions, roles: [LoneRole<&'static str>; 2]) -> Option<u64> {
    let seen = race.run_alone(roles);
    seen.into_iter().for_each(|what| race.saw(what));
    let found = sessions.found();
    sessions.end();
    found
}

/// An answer from outside is not found any more once a removal of its id has returned.
///
/// Threads: one deletes outside and removes, one looks up.
fn removed_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    let removes = acts(&sessions, |sessions| {
        sessions.delete_outside();
        if sessions.remove() { "removed" } else { "was not there" }
    });
    let roles = [removes, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "it is back");
}
model!(removed_meanwhile, least 140, sees ["removed", "was not there", "nothing", "outside"]);

/// As `removed_meanwhile`, where the session is inside at first, too, and its event deletes it
/// outside.
///
/// Threads: one removes, one looks up.
fn removed_inside_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.add(NAME);
    let removes = acts(&sessions, |sessions| {
        assert!(sessions.remove());
        "removed"
    });
    let roles = [removes, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "it is back");
}
model!(removed_inside_meanwhile, least 100, sees ["nothing", "inside", "outside"]);

/// The same for an exact removal.
///
/// Threads: one removes exactly what was inside at first, one looks up.
fn exactly_removed_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.add(NAME);
    let handle = sessions.handle().expect("it was added");
    let removes = acts(&sessions, move |sessions| {
        assert!(sessions.remove_exact(&handle));
        "removed"
    });
    let roles = [removes, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "it is back");
}
model!(exactly_removed_meanwhile, least 110, sees ["nothing", "inside", "outside"]);

/// The same for a flush.
///
/// Threads: one deletes outside and flushes, one looks up.
fn flushed_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    let flushes = acts(&sessions, |sessions| {
        sessions.delete_outside();
        if sessions.flush() == 0 { "nothing to flush" } else { "flushed" }
    });
    let roles = [flushes, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "it is back");
}
model!(flushed_meanwhile, least 130, sees ["nothing to flush", "flushed", "outside"]);

/// The same for a flush of the session's namespace.
///
/// Threads: one deletes outside and flushes the namespace, one looks up.
fn namespace_flushed_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    let flushes = acts(&sessions, |sessions| {
        sessions.delete_outside();
        if sessions.flush_namespace() == 0 { "nothing to flush" } else { "flushed" }
    });
    let roles = [flushes, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "it is back");
}
model!(namespace_flushed_meanwhile, least 130, sees ["nothing to flush", "flushed", "outside"]);

/// A session that lies outside is taken once, and not found afterwards.
///
/// Threads: one takes, one looks up.
fn taken_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    let roles = [takes(&sessions), resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "taken, and back");
}
model!(taken_meanwhile, least 360, sees ["taken", "nothing", "outside"]);

/// The same where nothing is looked for inside: few steps, so that a look-up can be out between
/// all of them.
///
/// Threads: the same.
fn taken_late(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.look_outside_alone();
    let roles = [takes(&sessions), resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "taken, and back");
}
model!(taken_late, least 3000, preemptions 4, sees ["taken", "nothing", "outside"]);

/// A session that lies inside and outside is taken by exactly one.
///
/// Threads: two that take.
fn taken_once(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.add(NAME);
    let seen = race.run_alone([takes(&sessions), takes(&sessions)]);
    let taken = seen.iter().filter(|what| **what == "taken").count();
    assert_eq!(taken, 1, "taken {taken} times");
    assert_eq!(sessions.found(), None);
    sessions.end();
    race.saw(if seen[0] == "taken" { "first" } else { "second" });
}
model!(taken_once, least 760, sees ["first", "second"]);

fn resumes_then_takes(sessions: &Sessions) -> LoneRole<&'static str> {
    acts(sessions, |sessions| {
        let found = sessions.resume();
        match (found, sessions.take()) {
            (_, None) => "not taken after a look-up",
            (Found::Outside(_), Some(_)) => "taken after a look-up outside",
            (_, Some(_)) => "taken after a look-up inside",
        }
    })
}

/// Runs roles of which at most one may take, also counting a take afterwards.
fn taken_by<const N: usize>(race: &Race, sessions: &Sessions, roles: [LoneRole<&'static str>; N]) {
    let seen = race.run_alone(roles);
    seen.into_iter().for_each(|what| race.saw(what));
    let again = sessions.take().map(|_| "taken");
    let taken = seen.iter().chain(&again).filter(|what| what.starts_with("taken")).count();
    assert!(taken <= 1, "taken {taken} times");
}

/// A session that lies inside and outside is taken by one at most, also if a look-up would bring it
/// back inside.
///
/// Threads: two that take, one that looks up.
fn taken_inside_beside_a_look_up(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.add(NAME);
    let roles = [takes(&sessions), resumes(&sessions), takes(&sessions)];
    taken_by(race, &sessions, roles);
    sessions.end();
}
model!(
    taken_inside_beside_a_look_up, least 130, preemptions 1,
    sees ["taken", "not taken", "nothing", "inside", "outside"]
);

/// A session that lies outside is taken by one at most, also if a look-up brings it inside: with
/// fewer threads, and more switches between them.
///
/// Threads: one takes; one looks up, then takes.
fn taken_after_a_look_up(race: &Race) {
    let sessions = Sessions::new(NAME);
    taken_by(race, &sessions, [takes(&sessions), resumes_then_takes(&sessions)]);
    sessions.end();
}
model!(
    taken_after_a_look_up, least 1000,
    sees ["taken", "not taken", "taken after a look-up outside"]
);

/// The same where it lies inside at first, too.
///
/// Threads: the same.
fn taken_inside_after_a_look_up(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.add(NAME);
    taken_by(race, &sessions, [takes(&sessions), resumes_then_takes(&sessions)]);
    sessions.end();
}
model!(
    taken_inside_after_a_look_up, least 1000,
    sees ["taken", "not taken", "taken after a look-up outside"]
);

/// A new session, which comes to lie inside and then outside, is taken by one at most.
///
/// Threads: one negotiates, and the new callback writes to the store; one takes.
fn taken_while_negotiated(race: &Race) {
    let sessions = Sessions::new(0);
    taken_by(race, &sessions, [negotiates(&sessions), takes(&sessions)]);
    sessions.end();
}
model!(taken_while_negotiated, least 2200, preemptions 3, sees ["taken", "not taken"]);

/// A new session that is removed while the new callback writes it to the store lies nowhere then.
///
/// Threads: one negotiates, one removes.
fn removed_while_negotiated(race: &Race) {
    let sessions = Sessions::new(0);
    let negotiates = acts(&sessions, |sessions| {
        sessions.negotiate_with_care(NAME);
        "negotiated"
    });
    let removes =
        acts(&sessions, |sessions| if sessions.remove() { "removed" } else { "too early" });
    let seen = race.run_alone([negotiates, removes]);
    race.saw(seen[1]);
    let there = if seen[1] == "removed" { Found::Nothing } else { Found::Inside(NAME) };
    assert_eq!(sessions.resume(), there, "removed, and there");
    sessions.end();
}
model!(removed_while_negotiated, least 420, sees ["removed", "too early"]);

/// A session that is added, and then kept outside, is taken by one at most.
///
/// Threads: one adds it and keeps it, one takes.
fn taken_while_added(race: &Race) {
    let sessions = Sessions::new(0);
    let adds = acts(&sessions, |sessions| {
        sessions.add(NAME);
        sessions.keep_outside(NAME);
        "added"
    });
    let taken = race.run_alone([adds, takes(&sessions)]);
    race.saw(taken[1]);
    // A take that is over by the time that it is kept leaves it there.
    let again = sessions.found().and_then(|_| sessions.take());
    assert!(taken[1] == "not taken" || again.is_none(), "taken 2 times");
    sessions.end();
}
model!(taken_while_added, least 1000, sees ["taken", "not taken"]);

/// A session that lies inside and outside is taken by one at most, also if the store is asked only
/// since a moment ago.
///
/// Threads: one takes; one sets the get callback, looks up and takes.
fn taken_while_the_callback_is_set(race: &Race) {
    let sessions = Sessions::new(NAME);
    sessions.ask_nobody();
    sessions.add(NAME);
    let then = resumes_then_takes(&sessions);
    let sets = acts(&sessions, |sessions| {
        sessions.ask_outside();
        then()
    });
    taken_by(race, &sessions, [takes(&sessions), sets]);
    sessions.end();
}
model!(
    taken_while_the_callback_is_set, least 1200,
    sees ["taken", "not taken", "taken after a look-up outside"]
);

/// A new session, which comes to lie inside and then outside, is taken by one at most, also if
/// there is a new callback only since a moment ago.
///
/// Threads: one sets the new callback and negotiates, one takes.
fn taken_while_the_new_callback_is_set(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.ask_nobody();
    let taken = race.run_alone([negotiates(&sessions), takes(&sessions)]);
    race.saw(taken[1]);
    sessions.ask_outside();
    let again = sessions.take();
    assert!(taken[1] == "not taken" || again.is_none(), "taken 2 times");
    sessions.end();
}
model!(
    taken_while_the_new_callback_is_set, least 1000, preemptions 3, sees ["taken", "not taken"]
);

/// A new session that is refused leaves once, and for good; nobody takes it meanwhile.
///
/// Threads: one negotiates and refuses, one takes.
fn refused_or_taken(race: &Race) {
    let sessions = Sessions::new(0);
    let refuses = acts(&sessions, |sessions| {
        sessions.negotiate(NAME, true);
        // The store is told by whoever refuses, if no event did.
        sessions.delete_outside();
        "refused"
    });
    let seen = race.run_alone([refuses, takes(&sessions)]);
    assert_eq!(seen[1], "not taken", "taken, though it is refused");
    assert_eq!(sessions.found(), None, "refused, and there");
    let events = sessions.events();
    let by = |cause| events.iter().filter(|event| **event == (NAME, cause)).count();
    // A take that was out already is too late to be stopped, but gives up what it got.
    let (refused, taken) = (by(RemovalCause::RefusedByNew), by(RemovalCause::Taken));
    assert_eq!((refused + taken, events.len()), (1, 1), "not one event: {events:?}");
    race.saw(if taken == 1 { "event: taken" } else { "event: refused" });
    sessions.end();
}
model!(refused_or_taken, least 6100, preemptions 3, sees ["event: refused", "event: taken"]);

/// A refused session is not brought back by a look-up that is out.
///
/// Threads: one negotiates, refuses and deletes outside, one looks up.
fn refused_meanwhile(race: &Race) {
    let sessions = Sessions::new(0);
    let refuses = acts(&sessions, |sessions| {
        sessions.negotiate(NAME, true);
        "refused"
    });
    let roles = [refuses, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "refused, and back");
}
model!(refused_meanwhile, least 4300, sees ["nothing", "inside"]);

/// The same for one that was stored nowhere.
///
/// Threads: one refuses what the store holds and deletes it there, one looks up.
fn refused_unstored_meanwhile(race: &Race) {
    let sessions = Sessions::new(NAME);
    let refuses = acts(&sessions, |sessions| {
        sessions.refuse_unstored(NAME);
        "refused"
    });
    let roles = [refuses, resumes(&sessions)];
    assert_eq!(race_of(race, sessions, roles), None, "refused, and back");
}
model!(refused_unstored_meanwhile, least 680, sees ["nothing", "outside"]);

/// A session that is renewed when it is used does not come back if it was removed meanwhile.
///
/// Threads: one removes, one looks up, which renews.
fn removed_or_renewed(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.add(NAME);
    sessions.renew_from_now_on();
    let removes = acts(&sessions, |sessions| {
        assert!(sessions.remove(), "a renewal took it away");
        "removed"
    });
    let seen = race.run_alone([removes, resumes(&sessions)]);
    race.saw(seen[1]);
    assert_eq!(sessions.found(), None, "renewed, and back");
    if sessions.events().contains(&(NAME, RemovalCause::Replaced)) {
        race.saw("renewed");
    }
    sessions.end();
}
model!(removed_or_renewed, least 660, sees ["nothing", "inside", "renewed"]);

/// Nothing is stored once caching was switched off.
///
/// Threads: one switches off, and looks what is there; one looks up.
fn switched_off(race: &Race) {
    let sessions = Sessions::new(NAME);
    let off = acts(&sessions, |sessions| {
        sessions.switch_off();
        if sessions.found().is_some() { "stored before" } else { "empty" }
    });
    let seen = race.run_alone([off, resumes(&sessions)]);
    assert_eq!(seen[1], "outside", "the get callback is asked all the same");
    race.saw(seen[0]);
    let stored = if sessions.found().is_some() { "stored before" } else { "empty" };
    assert_eq!(stored, seen[0], "stored after it was off");
    sessions.end();
}
model!(switched_off, least 67, sees ["stored before", "empty"]);

/// Who sees that sessions are looked for inside sees what was put there before that was so.
///
/// Threads: one puts, then has what is inside looked at; one looks whether that is so, then up.
fn filled_then_looked_at(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.look_outside_alone();
    let fills = acts(&sessions, |sessions| {
        sessions.add(NAME);
        sessions.look_inside();
        "filled"
    });
    let looks = acts(&sessions, |sessions| {
        if !sessions.looks_inside() {
            return "too early";
        }
        assert_eq!(sessions.found(), Some(NAME), "looked at, and not filled");
        "full"
    });
    let seen = race.run_alone([fills, looks]);
    race.saw(seen[1]);
    sessions.end();
}
model!(filled_then_looked_at, least 4, sees ["too early", "full"]);

/// An id that was unknown is known once it was put, outside and then inside.
///
/// Threads: one puts; one looks up, and may find nothing.
fn unknown_then_put(race: &Race) {
    let sessions = Sessions::new(0);
    let puts = acts(&sessions, |sessions| {
        sessions.keep_outside(NAME);
        sessions.add(NAME);
        "put"
    });
    let seen = race.run_alone([puts, resumes(&sessions)]);
    race.saw(seen[1]);
    assert!(sessions.remove(), "an answer replaced what was put");
    sessions.keep_outside(OTHER);
    assert_eq!(sessions.resume(), Found::Outside(OTHER), "still taken for unknown");
    sessions.end();
}
model!(unknown_then_put, least 400, preemptions 1, sees ["nothing", "inside", "outside"]);

/// The same for a session that only the new callback keeps, in the store.
///
/// Threads: one negotiates, which writes to the store; one looks up, and may find nothing.
fn unknown_then_negotiated(race: &Race) {
    let sessions = Sessions::new(0);
    sessions.store_nothing();
    let seen = race.run_alone([negotiates(&sessions), resumes(&sessions)]);
    race.saw(seen[1]);
    assert_eq!(sessions.resume(), Found::Outside(NAME), "still taken for unknown");
    sessions.end();
}
model!(unknown_then_negotiated, least 78, sees ["nothing", "outside"]);
