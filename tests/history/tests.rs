//! What the checker must accept, and, one rule after the other, what it must refuse.

use super::Action::{
    Clear, Contains, Get, Insert, InsertIfAbsent, MayInsert, MayInsertOver, MayInsertOverOrClear,
    Remove, RemoveExact, Replace, Take,
};
use super::How::{Expired, Removed, Replaced, ReplacedOrVanished, Taken, Vanished};
use super::*;

type Call = (u64, u64, Action);
type Told = (u64, u64, How);

fn operation((called, returned, action): Call) -> Operation {
    Operation { called, returned, clock: (0, 0), timeout: NEVER, action }
}

fn event((value, at, how): Told) -> Event {
    Event { value, since: 0, at, clock: 0, how, at_once: false }
}

/// Each operation with its call and its return, each event with its value and its moment.
fn accepts(history: &[Call], events: &[Told]) -> bool {
    let history: Vec<_> = history.iter().map(|op| operation(*op)).collect();
    let events: Vec<_> = events.iter().map(|told| event(*told)).collect();
    check(&history, &events).is_ok()
}

#[test]
fn histories_in_order_are_accepted() {
    assert!(accepts(&[], &[]));
    let all = [
        (1, 2, Get(None)),
        (3, 4, Insert(7)),
        (5, 6, Get(Some(7))),
        (7, 8, InsertIfAbsent(8, false)),
        (9, 11, Replace(9, true)),
        (12, 14, Take(Some(9))),
        (15, 16, Take(None)),
        (17, 18, Replace(10, false)),
        (19, 20, InsertIfAbsent(11, true)),
        (21, 22, Contains(true)),
        (23, 25, Remove(true)),
        (26, 27, Remove(false)),
        (28, 29, Contains(false)),
        (30, 31, Insert(12)),
        (32, 34, RemoveExact(12, true)),
        (35, 36, RemoveExact(12, false)),
        (37, 38, Insert(13)),
        (39, 41, Clear),
    ];
    let told = [
        (7, 10, Replaced),
        (9, 13, Taken),
        (11, 24, Removed),
        (12, 33, Removed),
        (13, 40, Replaced),
    ];
    assert!(accepts(&all, &told));
    // Without any one of the events nothing explains it, nor with another kind.
    for left_out in 0..told.len() {
        let mut less = told.to_vec();
        let (value, at, _) = less.remove(left_out);
        assert!(!accepts(&all, &less));
        less.push((value, at, Vanished));
        // What is cleared may as well have gone just before.
        assert_eq!(accepts(&all, &less), value == 13, "{value}");
    }
}

#[test]
fn operations_that_overlap_may_be_in_any_order() {
    assert!(accepts(&[(1, 4, Insert(7)), (2, 3, Get(None))], &[]));
    assert!(accepts(&[(1, 4, Insert(7)), (2, 3, Get(Some(7)))], &[]));
    let over = [(1, 6, Insert(7)), (2, 8, Insert(8)), (3, 4, Get(Some(7)))];
    assert!(accepts(&over, &[(7, 5, Replaced)]));
    let taken = [(1, 2, Insert(7)), (3, 7, Take(Some(7))), (4, 5, Take(None))];
    assert!(accepts(&taken, &[(7, 6, Taken)]));
}

#[test]
fn what_vanishes_with_an_event_is_accepted() {
    assert!(accepts(&[(1, 2, Insert(7)), (3, 4, Get(None))], &[(7, 5, Vanished)]));
    let again = [(1, 2, Insert(7)), (4, 5, Insert(8)), (6, 7, Get(Some(8)))];
    assert!(accepts(&again, &[(7, 3, Vanished)]));
    // It may also be told of long after, and the key be used meanwhile.
    assert!(accepts(&again, &[(7, 9, Vanished)]));
}

#[test]
fn what_vanishes_without_an_event_is_refused() {
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Get(None))], &[]));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Contains(false))], &[]));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, InsertIfAbsent(8, true))], &[]));
    // The event was another entry's.
    let other = [(1, 2, Insert(8)), (3, 4, Insert(7)), (5, 7, Get(None))];
    assert!(!accepts(&other, &[(8, 6, Vanished)]));
}

#[test]
fn an_event_of_what_was_never_stored_is_refused() {
    assert!(!accepts(&[(1, 2, Insert(7))], &[(8, 3, Vanished)]));
    let refused = [(1, 2, Insert(7)), (3, 4, InsertIfAbsent(8, false))];
    assert!(!accepts(&refused, &[(8, 5, Vanished)]));
    // It came before the entry.
    assert!(!accepts(&[(2, 3, Insert(7)), (4, 5, Get(None))], &[(7, 1, Vanished)]));
}

#[test]
fn a_second_event_is_refused() {
    let history = [(1, 2, Insert(7)), (3, 5, Take(Some(7)))];
    assert!(accepts(&history, &[(7, 4, Taken)]));
    assert!(!accepts(&history, &[(7, 4, Taken), (7, 6, Taken)]));
    assert!(!accepts(&history, &[(7, 4, Taken), (7, 6, Vanished)]));
}

#[test]
fn an_event_without_its_operation_is_refused() {
    for how in [Taken, Removed, Replaced] {
        assert!(!accepts(&[(1, 2, Insert(7))], &[(7, 3, how)]));
        assert!(!accepts(&[(1, 2, Insert(7)), (4, 5, Get(Some(7)))], &[(7, 6, how)]));
        assert!(!accepts(&[(1, 2, Insert(7)), (4, 5, Get(None))], &[(7, 3, how)]));
    }
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 5, Remove(true))], &[(7, 4, Taken)]));
}

#[test]
fn what_was_told_of_is_never_found_again() {
    assert!(!accepts(&[(1, 2, Insert(7)), (4, 5, Get(Some(7)))], &[(7, 3, Vanished)]));
    assert!(!accepts(&[(1, 2, Insert(7)), (4, 5, Contains(true))], &[(7, 3, Vanished)]));
    // Also while the operation that put it out has not returned yet.
    let taken = [(1, 2, Insert(7)), (3, 7, Take(Some(7))), (5, 6, Get(Some(7)))];
    assert!(!accepts(&taken, &[(7, 4, Taken)]));
    let replaced = [(1, 2, Insert(7)), (3, 7, Insert(8)), (5, 6, Get(Some(7)))];
    assert!(!accepts(&replaced, &[(7, 4, Replaced)]));
    // Whoever began before the event may have looked before it.
    let before = [(1, 2, Insert(7)), (3, 7, Take(Some(7))), (4, 6, Get(Some(7)))];
    assert!(accepts(&before, &[(7, 5, Taken)]));
    // An entry can't be stored after it was told of.
    let late = [(1, 2, Insert(6)), (3, 9, Insert(7)), (5, 6, Get(Some(6))), (10, 11, Get(None))];
    assert!(accepts(&late, &[(6, 7, Replaced), (7, 8, Vanished)]));
    assert!(!accepts(&late, &[(6, 7, Replaced), (7, 4, Vanished)]));
}

#[test]
fn nothing_vanishes_before_the_operation_that_tells_of_it_begins() {
    let history = [(1, 2, Insert(7)), (3, 6, Get(None))].map(operation);
    let told = |since| Event { since, ..event((7, 8, Vanished)) };
    assert!(check(&history, &[told(5)]).is_ok());
    assert!(check(&history, &[told(7)]).is_err());
}

#[test]
fn what_may_have_vanished_may_have_stayed() {
    let told = &[(7, 7, ReplacedOrVanished)];
    assert!(accepts(&[(1, 2, Insert(7)), (3, 4, Get(None)), (5, 6, Insert(8))], told));
    assert!(accepts(&[(1, 2, Insert(7)), (3, 4, Insert(8))], told));
    assert!(!accepts(&[(1, 2, Insert(8)), (3, 4, Get(None))], told));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Get(None)), (5, 6, Get(Some(7)))], told));
}

#[test]
fn what_was_cleared_is_absent() {
    let told = &[(7, 8, Replaced)];
    assert!(accepts(&[(1, 2, Insert(7)), (3, 4, Clear), (5, 6, Get(None))], told));
    assert!(accepts(&[(1, 2, Clear), (3, 4, Insert(7)), (5, 6, Get(Some(7)))], &[]));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Clear), (5, 6, Get(Some(7)))], told));
}

#[test]
fn what_may_be_inserted_is_never_put_over_an_entry() {
    assert!(accepts(&[(1, 2, MayInsert(7)), (3, 4, Get(Some(7)))], &[]));
    assert!(accepts(&[(1, 2, MayInsert(7)), (3, 4, Get(None))], &[]));
    assert!(!accepts(&[(1, 2, MayInsert(7)), (3, 4, Get(None))], &[(7, 5, Taken)]));
    let shared = [(1, 3, MayInsert(7)), (2, 4, MayInsert(7)), (5, 6, Get(None))];
    assert!(accepts(&shared, &[(7, 8, Vanished)]) && accepts(&shared, &[]));
    assert!(!accepts(&[(1, 3, Insert(7)), (2, 4, Insert(7))], &[]), "one name for two");
    let over = [(1, 2, Insert(8)), (3, 4, MayInsert(7)), (5, 6, Get(Some(7)))];
    assert!(!accepts(&over, &[(8, 7, Replaced)]));
    assert!(!accepts(&[(1, 2, Get(Some(7))), (3, 4, MayInsert(7))], &[]), "from the future");
}

#[test]
fn what_may_be_inserted_over_an_entry_leaves_no_gap_unless_it_may_clear() {
    let told = &[(8, 7, Replaced)];
    let with = |action| accepts(&[(1, 2, Insert(8)), (3, 4, action), (5, 6, Get(None))], told);
    assert!(!with(MayInsertOver(7)));
    assert!(with(MayInsertOverOrClear(7)));
    for action in [MayInsertOver(7), MayInsertOverOrClear(7)] {
        let then = |found| [(1, 2, Insert(8)), (3, 4, action), (5, 6, Get(Some(found)))];
        assert!(accepts(&then(7), told) && accepts(&then(8), &[]) && !accepts(&then(9), told));
        assert!(!accepts(&then(8), told) && !accepts(&then(7), &[]));
    }
}

#[test]
fn two_winners_are_refused() {
    let told = &[(7, 8, Taken)];
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 6, Take(Some(7))), (4, 5, Take(Some(7)))], told));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 6, Take(Some(7))), (4, 5, Remove(true))], told));
    let both = [(1, 4, InsertIfAbsent(7, true)), (2, 3, InsertIfAbsent(8, true))];
    assert!(!accepts(&both, &[]) && !accepts(&both, &[(7, 5, Replaced)]));
}

#[test]
fn stale_answers_are_refused() {
    let replaced = &[(7, 9, Replaced)];
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Insert(8)), (5, 6, Get(Some(7)))], replaced));
    let removed = [(1, 2, Insert(7)), (3, 4, Remove(true)), (5, 6, Get(Some(7)))];
    assert!(!accepts(&removed, &[(7, 9, Removed)]));
    assert!(!accepts(&[(1, 2, Get(Some(7))), (3, 4, Insert(7))], &[]), "from the future");
    assert!(!accepts(&[(1, 2, Get(Some(7)))], &[]), "from nowhere");
    // Two readers that disagree on the order of two inserts.
    let disagree = [
        (1, 10, Insert(7)),
        (2, 11, Insert(8)),
        (3, 4, Get(Some(7))),
        (5, 6, Get(Some(8))),
        (7, 8, Get(Some(7))),
    ];
    assert!(!accepts(&disagree, &[(7, 9, Replaced)]));
    assert!(!accepts(&disagree, &[(8, 9, Replaced)]));
}

#[test]
fn a_replacement_with_a_gap_is_refused() {
    let told = &[(7, 9, Replaced)];
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 6, Insert(8)), (4, 5, Get(None))], told));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 6, Insert(8)), (4, 5, Take(None))], told));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Replace(8, false))], told));
}

#[test]
fn only_that_very_entry_is_removed_exactly() {
    let two = [(1, 2, Insert(7)), (3, 5, Insert(8)), (6, 8, RemoveExact(7, false))];
    assert!(accepts(&two, &[(7, 4, Replaced)]));
    let wrong = [(1, 2, Insert(7)), (3, 5, Insert(8)), (6, 8, RemoveExact(7, true))];
    assert!(!accepts(&wrong, &[(7, 4, Replaced), (8, 7, Removed)]));
    assert!(!accepts(&wrong, &[(7, 4, Replaced)]));
    assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, RemoveExact(7, false))], &[]));
}

/// An entry that expires at tick 10, and what came after it, each with the clock's ticks.
fn timed(then: &[(u64, u64, (u64, u64), Action)], told: Option<(u64, u64, How)>) -> bool {
    let first = Operation { timeout: 10, ..operation((1, 2, Insert(7))) };
    let then = then.iter().map(|(called, returned, clock, action)| Operation {
        clock: *clock,
        ..operation((*called, *returned, *action))
    });
    let history: Vec<_> = std::iter::once(first).chain(then).collect();
    let events = told.map(|(at, clock, how)| Event { clock, ..event((7, at, how)) });
    check(&history, events.as_slice()).is_ok()
}

#[test]
fn an_entry_is_found_before_its_deadline_and_not_from_it_on() {
    let clocks = [((3, 9), true, false), ((9, 11), true, true), ((10, 10), false, true)];
    for (clock, finds, misses) in clocks {
        assert_eq!(timed(&[(3, 4, clock, Get(Some(7)))], None), finds, "{clock:?}");
        assert_eq!(timed(&[(3, 4, clock, Get(None))], None), misses, "{clock:?}");
        assert_eq!(timed(&[(3, 4, clock, Contains(true))], None), finds);
        assert_eq!(timed(&[(3, 4, clock, Contains(false))], None), misses);
        assert_eq!(timed(&[(3, 6, clock, Take(Some(7)))], Some((5, 10, Taken))), finds);
        assert_eq!(timed(&[(3, 6, clock, Remove(true))], Some((5, 10, Removed))), finds);
        assert_eq!(timed(&[(3, 6, clock, Replace(8, true))], Some((5, 10, Replaced))), finds);
        assert_eq!(timed(&[(3, 6, clock, Replace(8, false))], None), misses);
        assert_eq!(timed(&[(3, 6, clock, RemoveExact(7, false))], None), misses);
        assert_eq!(timed(&[(3, 6, clock, InsertIfAbsent(8, false))], None), finds);
        let stores = timed(&[(3, 6, clock, InsertIfAbsent(8, true))], Some((5, 10, Expired)));
        assert_eq!(stores, misses);
    }
}

#[test]
fn nothing_expires_before_its_deadline() {
    assert!(timed(&[], Some((3, 10, Expired))));
    assert!(!timed(&[], Some((3, 9, Expired))));
    assert!(timed(&[], Some((3, 9, Vanished))), "evicted");
}

#[test]
fn what_expires_later_is_not_missed_before_its_deadline() {
    let told = Some((9, 12, Expired));
    for action in
        [Get(None), Contains(false), Take(None), Remove(false), Clear, InsertIfAbsent(8, true)]
    {
        for (clock, misses) in [((3, 3), false), ((3, 9), false), ((3, 10), true)] {
            assert_eq!(timed(&[(3, 4, clock, action)], told), misses, "{action:?} {clock:?}");
        }
    }
    // One that has not returned yet may come after the deadline.
    let late = [(3, 8, (3, 10), Get(None)), (4, 5, (3, 3), Get(Some(7)))];
    assert!(timed(&late, told));
    let both = [(3, 8, (3, 10), Get(None)), (4, 5, (3, 3), Get(None))];
    assert!(!timed(&both, told));
}

#[test]
fn an_event_that_its_own_operation_tells_is_told_before_that_returns() {
    let takes = |at, at_once| {
        let history = [(1, 2, Insert(7)), (3, 6, Take(Some(7)))].map(operation);
        check(&history, &[Event { at_once, ..event((7, at, Taken)) }]).is_ok()
    };
    assert!(takes(5, true) && takes(5, false) && takes(100, false));
    assert!(!takes(100, true) && !takes(2, true));
    for (action, how) in [
        (Remove(true), Removed),
        (RemoveExact(7, true), Removed),
        (Insert(8), Replaced),
        (Replace(8, true), Replaced),
        (MayInsertOver(8), Replaced),
        (Clear, Replaced),
    ] {
        let history = [(1, 2, Insert(7)), (3, 6, action)].map(operation);
        let told = |at| check(&history, &[Event { at_once: true, ..event((7, at, how)) }]);
        assert!(told(5).is_ok() && told(7).is_err(), "{action:?}");
    }
}

#[test]
fn no_insert_evicts_what_it_is_to_replace() {
    let gap = [(1, 2, Insert(7)), (3, 8, Insert(8)), (4, 5, Get(None))].map(operation);
    let whole = [(1, 2, Insert(7)), (3, 8, Insert(8)), (4, 5, Get(Some(7)))].map(operation);
    let told = |since| [Event { since, ..event((7, 7, Vanished)) }];
    assert!(check(&gap, &told(3)).is_err() && check(&whole, &told(3)).is_err());
    // Another operation may have evicted it.
    assert!(check(&gap, &told(0)).is_ok());
    // Also the same one, if it came while that was under way.
    let meanwhile = [(1, 4, Insert(7)), (3, 8, Insert(8)), (5, 6, Get(None))].map(operation);
    assert!(check(&meanwhile, &told(3)).is_ok());
    // Who has shared an answer does not know when another one has stored it.
    let shared = |stored| {
        let all = [(0, stored, MayInsert(7)), (1, 2, MayInsert(7)), (4, 9, Insert(8))];
        check(&all.map(operation), &[Event { since: 4, ..event((7, 8, Vanished)) }]).is_ok()
    };
    assert!(shared(6) && !shared(3));
}

#[test]
fn an_expired_entry_may_be_replaced_after_it_was_missed() {
    // The insert began before the deadline, and goes by that time.
    let history = [(3, 8, (9, 12), Insert(8)), (4, 5, (10, 10), Get(None))];
    assert!(timed(&history, Some((6, 12, Replaced))));
    let again = [(3, 8, (9, 12), Insert(8)), (4, 5, (9, 9), Get(None))];
    assert!(!timed(&again, Some((6, 12, Replaced))));
}
