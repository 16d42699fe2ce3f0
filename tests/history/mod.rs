//! A checker of histories: is there one order of all operations on a key, each at some moment
//! between its call and its return, in which every answer is right?
//!
//! Keys are independent, so each is checked alone (linearizability is compositional). The search is
//! Wing and Gong's, with the states that were tried before remembered. An entry may also *vanish*
//! (evicted, expired, flushed): an operation of nobody, at any moment before its removal event was
//! delivered. Without such an event it may not.

#![allow(dead_code, reason = "each test file has some of the actions")]

use std::collections::HashSet;

/// What an operation did. Values are unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get(Option<u64>),
    Insert(u64),
    /// Stored only if the key was absent; whether it was.
    InsertIfAbsent(u64, bool),
    /// Stored only if the key was absent, or not at all.
    MayInsert(u64),
    /// Stored, or not at all.
    MayInsertOver(u64),
    /// Stored, or the key is absent afterwards, or neither.
    MayInsertOverOrClear(u64),
    /// Stored only if the key was there; whether it was.
    Replace(u64, bool),
    Take(Option<u64>),
    Remove(bool),
    /// The key is absent afterwards, whatever it had.
    Clear,
    /// The entry went by itself; its event was delivered at `returned`.
    Vanish(u64),
    /// As `Vanish`, if the entry had expired before another operation removed it, which judged it
    /// by the time at which it began.
    MayVanish(u64),
}

/// One operation on one key. Times are numbers that only grow, never two the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) action: Action,
}

/// The most operations in one history.
pub(crate) const MOST: usize = 128;

impl Action {
    /// The values that the key may have afterwards; none if this can't happen now.
    fn apply(self, now: Option<u64>) -> impl Iterator<Item = Option<u64>> {
        let after = match self {
            Self::Get(found) => (found == now).then_some(now),
            Self::Insert(value) => Some(Some(value)),
            Self::InsertIfAbsent(value, true) => now.is_none().then_some(Some(value)),
            Self::Replace(value, true) => now.is_some().then_some(Some(value)),
            Self::InsertIfAbsent(_, false) => now.is_some().then_some(now),
            Self::Replace(_, false) | Self::Remove(false) => now.is_none().then_some(None),
            Self::Take(taken) => (taken == now).then_some(None),
            Self::Clear => Some(None),
            Self::Remove(true) => now.is_some().then_some(None),
            Self::Vanish(value) => (now == Some(value)).then_some(None),
            Self::MayVanish(_)
            | Self::MayInsert(_)
            | Self::MayInsertOver(_)
            | Self::MayInsertOverOrClear(_) => Some(now),
        };
        let lapses = match self {
            Self::MayVanish(value) => now == Some(value),
            Self::MayInsertOverOrClear(_) => now.is_some(),
            _ => false,
        };
        let lands = match self {
            Self::MayInsert(value) if now.is_none() => Some(Some(value)),
            Self::MayInsertOver(value) | Self::MayInsertOverOrClear(value) => Some(Some(value)),
            _ => None,
        };
        after.into_iter().chain(lapses.then_some(None)).chain(lands)
    }
}

/// Checks the history of one key that was absent at first.
///
/// # Errors
/// The history, if no order explains it.
pub(crate) fn check(history: &[Operation]) -> Result<(), String> {
    assert!(history.len() <= MOST, "a history of {} operations", history.len());
    let mut history = history.to_vec();
    history.sort_unstable_by_key(|op| op.called);
    let mut tried = HashSet::new();
    // Depth first: what was done, and the value of the key after it.
    let mut open: Vec<(u128, Option<u64>)> = vec![(0, None)];
    while let Some((done, now)) = open.pop() {
        if done.count_ones() as usize == history.len() {
            return Ok(());
        }
        if !tried.insert((done, now)) {
            continue;
        }
        let is_left = |at: &usize| done & (1 << at) == 0;
        let left = || (0..history.len()).filter(is_left);
        // Whatever was called after another one has returned comes later.
        let first_return = left().map(|at| history[at].returned).min().unwrap_or(u64::MAX);
        let next = left().take_while(|at| history[*at].called < first_return);
        for at in next.collect::<Vec<_>>().into_iter().rev() {
            open.extend(history[at].action.apply(now).map(|after| (done | 1 << at, after)));
        }
    }
    let lines: Vec<_> = history.iter().map(|op| format!("{op:?}")).collect();
    Err(format!("no order explains this history:\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::Action::Vanish;
    use super::Action::{
        Clear, Get, Insert, InsertIfAbsent, MayInsert, MayInsertOver, MayInsertOverOrClear,
        MayVanish, Remove, Replace, Take,
    };
    use super::*;

    /// Each operation with its call and its return.
    fn accepts(history: &[(u64, u64, Action)]) -> bool {
        let op = |(called, returned, action): &_| Operation {
            called: *called,
            returned: *returned,
            action: *action,
        };
        check(&history.iter().map(op).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn histories_in_order_are_accepted() {
        assert!(accepts(&[]));
        assert!(accepts(&[
            (1, 2, Get(None)),
            (3, 4, Insert(7)),
            (5, 6, Get(Some(7))),
            (7, 8, InsertIfAbsent(8, false)),
            (9, 10, Replace(9, true)),
            (11, 12, Take(Some(9))),
            (13, 14, Take(None)),
            (15, 16, Replace(10, false)),
            (17, 18, InsertIfAbsent(11, true)),
            (19, 20, Remove(true)),
            (21, 22, Remove(false)),
        ]));
    }

    #[test]
    fn operations_that_overlap_may_be_in_any_order() {
        assert!(accepts(&[(1, 4, Insert(7)), (2, 3, Get(None))]));
        assert!(accepts(&[(1, 4, Insert(7)), (2, 3, Get(Some(7)))]));
        assert!(accepts(&[(1, 6, Insert(7)), (2, 5, Insert(8)), (3, 4, Get(Some(7)))]));
        assert!(accepts(&[(1, 2, Insert(7)), (3, 6, Take(Some(7))), (4, 5, Take(None))]));
    }

    #[test]
    fn what_vanishes_with_an_event_is_accepted() {
        assert!(accepts(&[(1, 2, Insert(7)), (3, 4, Get(None)), (0, 5, Vanish(7))]));
        let again = [(1, 2, Insert(7)), (0, 3, Vanish(7)), (4, 5, Insert(8)), (6, 7, Get(Some(8)))];
        assert!(accepts(&again));
    }

    #[test]
    fn what_vanishes_without_an_event_is_refused() {
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Get(None))]));
        // The event was another entry's, or came before the entry.
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Get(None)), (0, 5, Vanish(8))]));
        let early = [(0, 1, Vanish(7)), (2, 3, Insert(7)), (4, 5, Get(None))];
        assert!(!accepts(&early));
        // The entry was seen after its event.
        assert!(!accepts(&[(1, 2, Insert(7)), (0, 3, Vanish(7)), (4, 5, Get(Some(7)))]));
    }

    #[test]
    fn what_may_have_vanished_may_have_stayed() {
        let gone = [(1, 2, Insert(7)), (3, 4, Get(None)), (0, 7, MayVanish(7)), (5, 6, Insert(8))];
        assert!(accepts(&gone));
        let stayed = [(1, 2, Insert(7)), (0, 5, MayVanish(7)), (3, 4, Insert(8))];
        assert!(accepts(&stayed));
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Get(None)), (0, 5, MayVanish(8))]));
        let back =
            [(1, 2, Insert(7)), (3, 4, Get(None)), (0, 7, MayVanish(7)), (5, 6, Get(Some(7)))];
        assert!(!accepts(&back));
    }

    #[test]
    fn what_was_cleared_is_absent() {
        assert!(accepts(&[(1, 2, Insert(7)), (3, 4, Clear), (5, 6, Get(None))]));
        assert!(accepts(&[(1, 2, Clear), (3, 4, Insert(7)), (5, 6, Get(Some(7)))]));
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Clear), (5, 6, Get(Some(7)))]));
    }

    #[test]
    fn what_may_be_inserted_is_never_put_over_an_entry() {
        assert!(accepts(&[(1, 2, MayInsert(7)), (3, 4, Get(Some(7)))]));
        assert!(accepts(&[(1, 2, MayInsert(7)), (3, 4, Get(None))]));
        assert!(!accepts(&[(1, 2, Insert(8)), (3, 4, MayInsert(7)), (5, 6, Get(Some(7)))]));
        assert!(!accepts(&[(1, 2, Get(Some(7))), (3, 4, MayInsert(7))]), "from the future");
    }

    #[test]
    fn what_may_be_inserted_over_an_entry_leaves_no_gap_unless_it_may_clear() {
        let with = |action| accepts(&[(1, 2, Insert(8)), (3, 4, action), (5, 6, Get(None))]);
        assert!(!with(MayInsertOver(7)));
        assert!(with(MayInsertOverOrClear(7)));
        for action in [MayInsertOver(7), MayInsertOverOrClear(7)] {
            let then = |found| [(1, 2, Insert(8)), (3, 4, action), (5, 6, Get(Some(found)))];
            assert!(accepts(&then(7)) && accepts(&then(8)) && !accepts(&then(9)));
        }
    }

    #[test]
    fn two_winners_are_refused() {
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 6, Take(Some(7))), (4, 5, Take(Some(7)))]));
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 6, Take(Some(7))), (4, 5, Remove(true))]));
        let both = [(1, 4, InsertIfAbsent(7, true)), (2, 3, InsertIfAbsent(8, true))];
        assert!(!accepts(&both));
    }

    #[test]
    fn stale_answers_are_refused() {
        let stale = [(1, 2, Insert(7)), (3, 4, Insert(8)), (5, 6, Get(Some(7)))];
        assert!(!accepts(&stale));
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Remove(true)), (5, 6, Get(Some(7)))]));
        assert!(!accepts(&[(1, 2, Get(Some(7))), (3, 4, Insert(7))]), "from the future");
        // Two readers that disagree on the order of two inserts.
        assert!(!accepts(&[
            (1, 10, Insert(7)),
            (2, 11, Insert(8)),
            (3, 4, Get(Some(7))),
            (5, 6, Get(Some(8))),
            (7, 8, Get(Some(7))),
        ]));
    }

    #[test]
    fn a_replacement_with_a_gap_is_refused() {
        let gap = [(1, 2, Insert(7)), (3, 6, Insert(8)), (4, 5, Get(None))];
        assert!(!accepts(&gap));
        let taken = [(1, 2, Insert(7)), (3, 6, Insert(8)), (4, 5, Take(None))];
        assert!(!accepts(&taken));
        assert!(!accepts(&[(1, 2, Insert(7)), (3, 4, Replace(8, false))]));
    }
}
