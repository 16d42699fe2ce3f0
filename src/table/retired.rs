//! Lists of ways that were unlinked, and their way through the collector.
//!
//! # State
//!
//! Each thread adds to [`Lists`] of its own: a [`Ring`] of ways that wait for a *grace period*, and
//! a [`List`] of ways whose removal event waits for the delivery thread, which is a slot that holds
//! a boxed vector of numbers, or is empty. Their lines are the pushing thread's as a rule: removals
//! do not meet.
//!
//! # Operations
//!
//! On a [`List`] `push` takes the vector out, adds a way, and puts it back; `take` takes it: both
//! wait-free, one swap each. Anybody may take any list or ring, so an idle thread keeps nothing
//! back: its own thread at times, whoever needs ways, and the sweeper take all of a ring and defer
//! it under a pin of theirs; what comes out of the collector lands in [`Ready`] as [`Batch`]es of
//! [`Graced`] ways. Whoever comes to a list in the moment of a `push` finds nothing, and that
//! thread is not idle.
//!
//! # Orderings
//!
//! The swap acquires and releases: the numbers, and everything before the unlink.
//!
//! Loom: `idle_retirer`, `reuse_*`, `handed_before_the_end`, `grace_is_counted`.

use super::away::{Graced, WayAt};
use super::ring::Ring;
use crate::sync::{Ordering, Slot, Swap, Word, is_explored};
use crossbeam_utils::CachePadded;
use smallvec::SmallVec;
use std::cell::Cell;
use std::sync::Arc;

/// The two lists of one thread.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Ways that wait for a grace period: twice as many as are handed on together.
    pub(crate) retired: Ring<RETIRED>,
    /// Ways whose events wait for the delivery thread, with the causes.
    pub(crate) handed: List<(WayAt, u8)>,
}

impl Lists {
    pub(crate) fn new() -> Self {
        Self { retired: Ring::new(), handed: List::new() }
    }
}

/// As many as a thread retires before it hands them to the collector.
pub(super) type Ways<T> = SmallVec<[T; 64]>;
const RETIRED: usize = if cfg!(halfshake_loom) { 16 } else { 128 };

/// A list that one thread at a time adds to, and that anybody may take as a whole.
#[derive(Debug)]
pub(crate) struct List<T>(CachePadded<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    ways: Slot<Ways<T>>,
    /// Ways that were ever added; written by the list's thread alone.
    added: Word,
    /// Ways that were ever taken.
    taken: Word,
}

impl<T> List<T> {
    pub(crate) fn new() -> Self {
        let (added, taken) = (Word::new(0), Word::new(0));
        Self(CachePadded::new(Inner { ways: Slot::empty(), added, taken }))
    }

    /// Adds a way; the answer is how many there are now. Called by the list's own thread.
    pub(super) fn push(&self, way: T) -> u64 {
        let mut ways = self.0.ways.take().unwrap_or_default();
        ways.push(way);
        let count = ways.len() as u64;
        let none = self.0.ways.exchange(Some(ways));
        debug_assert!(none.is_none(), "two threads add to one list");
        // Relaxed: a gauge with one writer.
        self.0.added.store(self.0.added.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        count
    }

    /// Takes the whole list, the oldest way first.
    pub(crate) fn take(&self) -> Option<Box<Ways<T>>> {
        // Before the swap, which writes the line of another thread. It may be out of date: what was
        // added after it belongs to a thread that is not idle; for the last look of all,
        // `Engine::stop` orders it. (Most models explore the swap alone.)
        if is_explored(&self.0.added) && self.len() == 0 {
            return None;
        }
        let ways = self.0.ways.take()?;
        // Relaxed: a gauge.
        self.0.taken.fetch_add(ways.len() as u64, Ordering::Relaxed);
        Some(ways)
    }

    /// How many ways are on the list now.
    pub(crate) fn len(&self) -> u64 {
        // Relaxed: a gauge. What was taken first, or a race would show a number below zero.
        let taken = self.0.taken.load(Ordering::Relaxed);
        self.0.added.load(Ordering::Relaxed).saturating_sub(taken)
    }
}

/// Retired ways that pass their grace period together, as numbers.
#[derive(Debug)]
pub(crate) struct Batch {
    ways: Ways<WayAt>,
    next: Option<Arc<Batch>>,
}

impl Batch {
    /// How many ways there are.
    pub(crate) fn len(&self) -> u64 {
        self.ways.len() as u64
    }

    /// Where the ways are; they may be fetched, and nothing more.
    pub(super) fn places(&self) -> impl Iterator<Item = WayAt> {
        self.ways.iter().copied()
    }

    /// The ways, to be recycled. Call it once: each one is an owner.
    pub(super) fn graced(&self) -> impl Iterator<Item = (WayAt, Graced)> {
        self.places().map(|at| (at, Graced::new(at)))
    }
}

/// What came out of the collector and waits for somebody to recycle it, unpinned.
///
/// It holds numbers, no entries: functions that the collector still holds when the cache is gone
/// keep only this list alive.
#[derive(Debug)]
pub(crate) struct Ready {
    batches: Swap<Batch>,
    /// Ways that the collector has and that are not here yet.
    held_back: Word,
    /// How many of them there are as a rule, at most.
    usual: u64,
    /// Batches that ever came.
    came: Word,
}

impl Ready {
    /// For a table of so many sets.
    pub(crate) fn new(sets: u64) -> Self {
        // Batches of many threads in a small table; else a few of a thousand entries.
        Self::where_usual((sets / 64).max(512))
    }

    /// Where so many ways are usual.
    pub(crate) fn where_usual(usual: u64) -> Self {
        let (held_back, came) = (Word::new(0), Word::new(0));
        Self { batches: Swap::new(None), held_back, usual, came }
    }

    /// Whether the collector has more ways than usual: somebody keeps the epoch where it is.
    pub(crate) fn is_behind(&self) -> bool {
        // Relaxed: a gauge.
        self.held_back.load(Ordering::Relaxed) > self.usual
    }

    /// Whether the collector is behind, and some batch has come since this was said of it last:
    /// `seen` is the asker's own, for this function alone. So it is said once for each time that
    /// the epoch stands still.
    pub(crate) fn has_fallen_behind(&self, seen: &Cell<u64>) -> bool {
        // Relaxed: a gauge. Counted from 1, for 0 is what nobody has seen.
        let came = self.came.load(Ordering::Relaxed) + 1;
        self.is_behind() && seen.replace(came) != came
    }

    /// The function to defer for these ways: when it runs, their grace period is over. It allocates
    /// nothing: it may run in a look-up's pin.
    pub(crate) fn after_grace(self: &Arc<Self>, ways: Ways<WayAt>) -> impl FnOnce() + use<> {
        let ready = self.clone();
        // Relaxed, here and in `push`: a gauge.
        self.held_back.fetch_add(ways.len() as u64, Ordering::Relaxed);
        let batch = Arc::new(Batch { ways, next: None });
        move || ready.push(batch)
    }

    fn push(&self, mut batch: Arc<Batch>) {
        self.held_back.fetch_sub(batch.ways.len() as u64, Ordering::Relaxed);
        self.came.fetch_add(1, Ordering::Relaxed);
        loop {
            let head = self.batches.load_full();
            if let Some(batch) = Arc::get_mut(&mut batch) {
                batch.next.clone_from(&head);
            }
            if self.batches.replace_if(head.as_ref(), Some(batch.clone())) {
                return;
            }
        }
    }

    /// A number that changes whenever anybody adds or takes; 0 if there is nothing.
    pub(crate) fn state(&self) -> usize {
        self.batches.load().as_ref().map_or(0, |head| Arc::as_ptr(head).addr())
    }

    /// Takes all batches.
    pub(crate) fn take(&self) -> impl Iterator<Item = Arc<Batch>> + use<> {
        let any = self.batches.load().is_some();
        let mut next = if any { self.batches.swap(None) } else { None };
        std::iter::from_fn(move || {
            let batch = next.take()?;
            next.clone_from(&batch.next);
            Some(batch)
        })
    }
}

impl Drop for Batch {
    /// One batch at a time: a long list must not recurse, whoever holds its head last.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(batch) = next {
            next = Arc::into_inner(batch).and_then(|mut b| b.next.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collector_is_behind_while_it_has_more_ways_than_usual() {
        let ready = Arc::new(Ready::new(64));
        let ways = |n: u32| (0..n).map(|set| WayAt::new(set, 0)).collect::<Ways<_>>();
        let first = ready.after_grace(ways(512));
        assert!(!ready.is_behind(), "so many are usual");
        let seen = [Cell::new(0), Cell::new(0)];
        assert!(!ready.has_fallen_behind(&seen[0]));
        let second = ready.after_grace(ways(1));
        assert!(ready.is_behind());
        // Said to each once, until something moves.
        for seen in &seen {
            assert!(ready.has_fallen_behind(seen) && !ready.has_fallen_behind(seen));
        }
        first();
        assert!(!ready.is_behind() && !ready.has_fallen_behind(&seen[0]));
        let third = ready.after_grace(ways(512));
        assert!(ready.has_fallen_behind(&seen[0]) && !ready.has_fallen_behind(&seen[0]));
        third();
        second();
        assert_eq!(ready.take().map(|batch| batch.places().count()).sum::<usize>(), 1025);
    }

    #[test]
    fn a_long_list_of_batches_ends_without_recursion() {
        let ready = Arc::new(Ready::new(64));
        for set in 0..200_000 {
            ready.after_grace([WayAt::new(set, 0)].into_iter().collect())();
        }
        drop(ready);
    }

    #[test]
    fn a_list_gives_back_what_was_pushed_oldest_first() {
        let list = List::new();
        assert!(list.take().is_none());
        for (n, at) in (1..).zip([5, 9, 7]) {
            assert_eq!(list.push(at), n);
        }
        assert_eq!(list.len(), 3);
        assert_eq!(list.take().expect("three ways")[..], [5, 9, 7]);
        assert_eq!(list.len(), 0);
    }
}
