//! A checker of histories: is there one order of all operations on a key, each at some moment
//! between its call and its return, in which every answer is right?
//!
//! A key is a register that holds one entry or none. Keys are independent, so each is checked alone
//! (linearizability is compositional). The law of removal is part of it:
//!
//! * An entry leaves with exactly one *event*, of the right kind: a take, a removal and a
//!   replacement have their own; whatever else there is (evicted, expired, flushed) lets it
//!   *vanish*, at any moment before that event, and what expires not before its deadline. What has
//!   no event stays.
//! * Where the operation that puts an entry out tells of it, it does so before it returns.
//! * No insert evicts the entry that it is to replace.
//! * No operation that began after the event was told finds the entry.
//! * None finds it that began at its deadline or later, and none misses it that ended before.
//!
//! What the history of one key does not show: whether an eviction was needed, for that is up to
//! what all other keys hold. Whoever has their histories, too, may judge it (`shuttle-tests/`).
//!
//! The search follows time: it keeps every state that the calls and returns so far allow, each with
//! the operations under way that it counts as done (Lowe's just-in-time linearization, after Wing
//! and Gong). So it takes as long as the history, times what a few operations at a time can be.

#![allow(dead_code, reason = "each test binary has some of the actions")]

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// What an operation did. Values are unique: each names one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get(Option<u64>),
    Contains(bool),
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
    /// Removed only if the key had that very entry; whether it had.
    RemoveExact(u64, bool),
    /// An insert that stores nothing: the key is absent afterwards, whatever it had.
    Clear,
}

/// The deadline of what never expires, and its timeout.
pub(crate) const NEVER: u64 = u64::MAX;

/// One operation on one key. Times are numbers that only grow, never two the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) called: u64,
    pub(crate) returned: u64,
    /// The ticks of the cache's clock at both: it judges by one of them, or by one between.
    pub(crate) clock: (u64, u64),
    /// Of what it stores, in ticks.
    pub(crate) timeout: u64,
    pub(crate) action: Action,
}

/// How an entry left, as its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Replaced,
    Taken,
    Removed,
    /// No operation on its key put it out.
    Vanished,
    /// As `Vanished`, but not before its deadline.
    Expired,
    /// By either way: an operation that judges by the time at which it began may say so of an entry
    /// that was absent before.
    ReplacedOrVanished,
}

/// One removal event of the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) value: u64,
    /// When the operation was called that told of it, if that is known: it did not vanish before.
    /// If that is an operation's call exactly, it was that one.
    pub(crate) since: u64,
    /// When the listener was called.
    pub(crate) at: u64,
    /// The tick of the cache's clock then.
    pub(crate) clock: u64,
    pub(crate) how: How,
    /// Whether the operation that took, removed or replaced it has told of it, so before it
    /// returned.
    pub(crate) at_once: bool,
}

/// Operations of one key that may be under way at a time.
const MOST_UNDER_WAY: usize = 64;

/// What is known of an entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Between these ticks lies its deadline.
    deadline: (u64, u64),
    event: Option<Event>,
    /// Several operations brought it, of which one may have stored it: they shared one answer.
    shared: bool,
}

impl Entry {
    fn leaves(&self, how: How) -> bool {
        let either = |told| told == How::ReplacedOrVanished && how == How::Replaced;
        self.event.is_some_and(|event| event.how == how || either(event.how))
    }

    /// Whether an operation can have put it out that way.
    fn leaves_by(&self, op: &Operation, how: How) -> bool {
        let during = |event: Event| op.called < event.at && event.at < op.returned;
        self.leaves(how) && self.event.is_some_and(|event| !event.at_once || during(event))
    }

    /// Whether it may be gone by itself by this time, when the clock stood at `tick`.
    fn vanishes(&self, by: u64, tick: u64) -> bool {
        self.event.is_some_and(|event| {
            event.since < by
                && match event.how {
                    How::Vanished | How::ReplacedOrVanished => true,
                    How::Expired => tick >= self.deadline.0,
                    How::Replaced | How::Taken | How::Removed => false,
                }
        })
    }

    /// Whether its event came no later than that.
    fn told_by(&self, time: u64) -> bool {
        self.event.is_some_and(|event| event.at <= time)
    }
}

/// What the key holds (0: nothing; else an entry's number), and which of the operations under way
/// count as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    holds: usize,
    done: u64,
}

struct Search<'h> {
    history: &'h [Operation],
    /// The entry that each operation is about, or 0.
    about: Vec<usize>,
    /// The first is none.
    entries: Vec<Entry>,
    /// The operation in each slot, and which slots those under way have.
    slots: [usize; MOST_UNDER_WAY],
    under_way: u64,
    /// The latest call of an operation that has returned.
    latest_call: u64,
    states: Vec<State>,
}

/// Checks the history of one key that was absent at first: its operations, and its events.
///
/// # Errors
/// The history, if no order explains it.
pub(crate) fn check(history: &[Operation], events: &[Event]) -> Result<(), String> {
    let explained = |why: &str| {
        let mut text = format!("{why}:\n");
        let mut history = history.to_vec();
        history.sort_unstable_by_key(|op| op.called);
        history.iter().for_each(|op| _ = writeln!(text, "{op:?}"));
        events.iter().for_each(|event| _ = writeln!(text, "{event:?}"));
        text
    };
    let mut search = Search::new(history, events).map_err(|why| explained(&why))?;
    search.run().map_err(|at| {
        let why = match at {
            Some(at) => format!("no order explains this history up to the end of {at:?}"),
            None => "an event at the end of this history has no operation".to_owned(),
        };
        explained(&why)
    })
}

impl<'h> Search<'h> {
    fn new(history: &'h [Operation], events: &[Event]) -> Result<Self, String> {
        let nothing = Entry { deadline: (NEVER, NEVER), event: None, shared: false };
        let mut entries = vec![nothing];
        let mut numbers = HashMap::new();
        for op in history {
            let Some(value) = stored(op.action) else { continue };
            let deadline = |clock: u64| clock.saturating_add(op.timeout);
            let deadline = (deadline(op.clock.0), deadline(op.clock.1));
            match numbers.insert(value, entries.len()) {
                None => entries.push(Entry { deadline, event: None, shared: false }),
                Some(number) if matches!(op.action, Action::MayInsert(_)) => {
                    numbers.insert(value, number);
                    // Whoever came first has brought it, or one who came later, while it was out.
                    let known = entries[number].deadline;
                    entries[number].deadline = (known.0.min(deadline.0), known.1.max(deadline.1));
                    entries[number].shared = true;
                }
                Some(_) => return Err(format!("{value} was stored twice")),
            }
        }
        for event in events {
            let Some(number) = numbers.get(&event.value) else {
                return Err(format!("{} was told of, and never stored", event.value));
            };
            let entry = &mut entries[*number];
            if event.how == How::Vanished && evicts_its_own(history, event) {
                return Err(format!("{} was evicted by what was to replace it", event.value));
            }
            if event.how == How::Expired && event.clock < entry.deadline.0 {
                return Err(format!("{} expired before its deadline", event.value));
            }
            if entry.event.replace(*event).is_some() {
                return Err(format!("{} was told of twice", event.value));
            }
        }
        let about = history.iter().map(|op| match named(op.action) {
            None => Ok(0),
            Some(value) => numbers.get(&value).copied().ok_or(value),
        });
        let about = about.collect::<Result<_, _>>();
        let about = about.map_err(|value| format!("{value} was found, and never stored"))?;
        Ok(Self {
            history,
            about,
            entries,
            slots: [0; MOST_UNDER_WAY],
            under_way: 0,
            latest_call: 0,
            states: vec![State { holds: 0, done: 0 }],
        })
    }

    /// `Err`: the operation whose return nothing explains; or none, if that is the end.
    fn run(&mut self) -> Result<(), Option<Operation>> {
        let ends = self.history.iter().enumerate();
        let mut ends: Vec<(u64, usize, bool)> =
            ends.flat_map(|(at, op)| [(op.called, at, false), (op.returned, at, true)]).collect();
        ends.sort_unstable();
        let mut slot_of = vec![0; self.history.len()];
        let mut seen = HashSet::new();
        for (now, at, returns) in ends {
            if returns {
                self.finish(slot_of[at], now, &mut seen);
                self.under_way &= !(1 << slot_of[at]);
                self.latest_call = self.latest_call.max(self.history[at].called);
                if self.states.is_empty() {
                    return Err(Some(self.history[at]));
                }
            } else {
                let free = self.under_way.trailing_ones() as usize;
                assert!(free < MOST_UNDER_WAY, "too many operations at a time");
                (slot_of[at], self.slots[free]) = (free, at);
                self.under_way |= 1 << free;
            }
        }
        // What the key holds at last has no event, or goes by itself.
        let may_end = |state: &State| {
            let entry = &self.entries[state.holds];
            entry.event.is_none() || entry.vanishes(NEVER, NEVER)
        };
        if self.states.iter().any(may_end) { Ok(()) } else { Err(None) }
    }

    /// The operation in this slot returns now: in every state it is done, others before it or not.
    fn finish(&mut self, slot: usize, now: u64, seen: &mut HashSet<State>) {
        let mut open = std::mem::take(&mut self.states);
        let mut finished = Vec::with_capacity(open.len());
        let clock = self.history[self.slots[slot]].clock.1;
        seen.clear();
        while let Some(state) = open.pop() {
            if !seen.insert(state) {
                continue;
            }
            if state.done >> slot & 1 == 1 {
                finished.push(State { done: state.done & !(1 << slot), ..state });
                continue;
            }
            // Before this operation looks, and it has looked before it read the clock at its end.
            // What vanishes later has vanished before a later one ends.
            if self.entries[state.holds].vanishes(now, clock) {
                open.push(State { holds: 0, ..state });
            }
            for next in slots_in(self.under_way & !state.done) {
                let done = state.done | 1 << next;
                self.outcomes(self.slots[next], state.holds, |holds| {
                    let after = State { holds, done };
                    if self.is_in_time(state.holds, after) {
                        open.push(after);
                    }
                });
            }
        }
        self.states = finished;
    }

    /// Whether the last step that leads to `after` can come before the events of what the key held,
    /// and holds: it comes after the call of all that is done.
    fn is_in_time(&self, held: usize, after: State) -> bool {
        let entries = [&self.entries[held], &self.entries[after.holds]];
        if entries.iter().all(|entry| entry.event.is_none()) {
            return true;
        }
        let calls = slots_in(after.done).map(|slot| self.history[self.slots[slot]].called);
        let latest = calls.fold(self.latest_call, u64::max);
        entries.iter().all(|entry| !entry.told_by(latest))
    }

    /// What the key may hold after an operation, if that can happen now.
    fn outcomes(&self, at: usize, holds: usize, mut then: impl FnMut(usize)) {
        use Action::{
            Clear, Contains, Get, Insert, InsertIfAbsent, MayInsert, MayInsertOver,
            MayInsertOverOrClear, Remove, RemoveExact, Replace, Take,
        };
        let (op, own, entry) = (&self.history[at], self.about[at], &self.entries[holds]);
        // As the operation may have seen it, by one of the times that it may have gone by.
        let lives = holds != 0 && op.clock.0 < entry.deadline.1;
        let absent = holds == 0 || op.clock.1 >= entry.deadline.0;
        let gives_way = holds == 0 || entry.leaves_by(op, How::Replaced);
        let untold = self.entries[own].event.is_none() || self.entries[own].shared;
        let (can, after) = match op.action {
            Get(Some(_)) => (lives && holds == own, holds),
            Contains(true) | InsertIfAbsent(_, false) => (lives, holds),
            Get(None) | Contains(false) | Take(None) | Remove(false) | Replace(_, false) => {
                (absent, holds)
            }
            RemoveExact(_, false) => (holds != own || absent, holds),
            Insert(_) => (gives_way, own),
            InsertIfAbsent(_, true) => (holds == 0, own),
            Replace(_, true) => (lives && entry.leaves_by(op, How::Replaced), own),
            Take(Some(_)) => (lives && holds == own && entry.leaves_by(op, How::Taken), 0),
            Remove(true) => (lives && entry.leaves_by(op, How::Removed), 0),
            RemoveExact(_, true) => (lives && holds == own && entry.leaves_by(op, How::Removed), 0),
            Clear => (gives_way, 0),
            MayInsert(_) => (holds == 0, own),
            MayInsertOver(_) | MayInsertOverOrClear(_) => (gives_way, own),
        };
        if can {
            then(after);
        }
        if matches!(op.action, MayInsert(_) | MayInsertOver(_) | MayInsertOverOrClear(_)) && untold
        {
            then(holds);
        }
        if matches!(op.action, MayInsertOverOrClear(_)) && untold && gives_way {
            then(0);
        }
    }
}

/// Whether the operation that told of an entry stored another one in its place, and the entry was
/// there when that began: it is spared until the step that replaces it, or the key would be absent
/// in between.
fn evicts_its_own(history: &[Operation], event: &Event) -> bool {
    let teller = history.iter().find(|op| op.called == event.since && stored(op.action).is_some());
    let brings = |op: &&Operation| stored(op.action) == Some(event.value);
    // Several may have shared what one of them stored, at the latest when all have returned.
    let last = history.iter().filter(brings).map(|brought| brought.returned).max();
    teller.zip(last).is_some_and(|(teller, last)| last < teller.called)
}

/// The slots in a mask, lowest first.
fn slots_in(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (slot < MOST_UNDER_WAY).then_some(slot)
    })
}

/// The entry that an action stores, or may.
fn stored(action: Action) -> Option<u64> {
    match action {
        Action::Insert(value)
        | Action::InsertIfAbsent(value, true)
        | Action::Replace(value, true)
        | Action::MayInsert(value)
        | Action::MayInsertOver(value)
        | Action::MayInsertOverOrClear(value) => Some(value),
        _ => None,
    }
}

/// The entry that an action is about.
pub(crate) fn named(action: Action) -> Option<u64> {
    match action {
        Action::Get(value) | Action::Take(value) => value,
        Action::RemoveExact(value, _) => Some(value),
        _ => stored(action),
    }
}

#[cfg(test)]
mod tests;
