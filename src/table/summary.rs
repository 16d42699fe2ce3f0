//! What is known of each set without touching it: whether anything lives in it, and when the first
//! of it expires.
//!
//! # State
//!
//! One bit a set (*occupied*) and one tick a set (*due*), dense, so that a sweep over a million
//! idle entries reads half a megabyte, and the search for a victim in a nearly empty table reads
//! one bit a set. Both err on one side only: a set that holds something is marked occupied, and is
//! due no later than its first deadline. They may claim too much, never too little.
//!
//! # Orderings
//!
//! Whoever publishes does so first and looks at the summary afterwards; whoever wants to take a
//! claim back clears the summary first and looks at the set afterwards. Both are relaxed: the
//! control word of the set orders them, for the publisher's compare-and-swap and the clearer's
//! [`Set::load_ordered`](super::set::Set::load_ordered) are read-modify-writes of that one word,
//! and one comes first. If it is the publication, the clearer sees the entry and sets the summary
//! again; if it is the clearer, the publisher (Acquire) sees the summary cleared and sets it again.
//!
//! Loom: `summary_due`, `summary_occupied`.

use crate::clock::NEVER;
use crate::sync::{AtomicU64, Ordering};

/// The summary of the sets of one shard.
#[derive(Debug)]
pub(crate) struct Summary {
    occupied: Box<[AtomicU64]>,
    due: Box<[AtomicU64]>,
}

impl Summary {
    /// The tick of a set; its bit is not worth counting.
    pub(crate) const BYTES_PER_SET: u64 = size_of::<u64>() as u64;

    pub(crate) fn new(sets: u32) -> Self {
        let words = sets.div_ceil(u64::BITS);
        Self {
            occupied: (0..words).map(|_| AtomicU64::new(0)).collect(),
            due: (0..sets).map(|_| AtomicU64::new(NEVER)).collect(),
        }
    }

    /// After the publication of an entry with this deadline: two relaxed loads, as a rule.
    pub(crate) fn published(&self, set: u32, deadline: u64) {
        let (word, bit) = self.bit(set);
        // Relaxed, all of this file: see the module's documentation.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        self.due_by(set, deadline);
    }

    /// The set's first deadline is no later than this.
    pub(crate) fn due_by(&self, set: u32, deadline: u64) {
        let due = &self.due[set as usize];
        if due.load(Ordering::Relaxed) > deadline {
            due.fetch_min(deadline, Ordering::Relaxed);
        }
    }

    /// Starts to fetch a set's tick.
    pub(crate) fn prefetch(&self, set: u32) {
        crate::prefetch::prefetch(&raw const self.due[set as usize]);
    }

    /// Whether anything in the set may be expired.
    pub(crate) fn is_due(&self, set: u32, now: u64) -> bool {
        self.due[set as usize].load(Ordering::Relaxed) <= now
    }

    #[cfg(any(test, halfshake_loom, feature = "validate"))]
    pub(crate) fn due(&self, set: u32) -> u64 {
        self.due[set as usize].load(Ordering::Relaxed)
    }

    /// The first set from `first` on, and before `end`, in which anything may be expired.
    #[inline]
    pub(crate) fn next_due(&self, first: u32, end: u32, now: u64) -> Option<u32> {
        const EIGHT: usize = 8;
        let ticks = &self.due[first as usize..end as usize];
        let tick = |tick: &AtomicU64| tick.load(Ordering::Relaxed);
        // Eight at a time, for hardly any is.
        let none = |eight: &&[AtomicU64]| eight.iter().map(tick).min().is_none_or(|t| t > now);
        let skipped = EIGHT * ticks.chunks_exact(EIGHT).take_while(none).count();
        let at = ticks[skipped..].iter().position(|t| tick(t) <= now)?;
        (first..end).nth(skipped + at)
    }

    /// Takes the claim back that anything will expire. The caller must then look with
    /// `load_ordered`, and call `due_by` for what it leaves.
    pub(crate) fn clear_due(&self, set: u32) {
        // A read-modify-write, as all changes of the word are, so that they have one order.
        self.due[set as usize].swap(NEVER, Ordering::Relaxed);
    }

    /// Takes the claim back that the set holds anything. The caller must then look with
    /// `load_ordered`, and call `mark_occupied` if it does.
    pub(crate) fn clear_occupied(&self, set: u32) {
        let (word, bit) = self.bit(set);
        word.fetch_and(!bit, Ordering::Relaxed);
    }

    pub(crate) fn mark_occupied(&self, set: u32) {
        let (word, bit) = self.bit(set);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    #[cfg(any(test, halfshake_loom, feature = "validate"))]
    pub(crate) fn is_occupied(&self, set: u32) -> bool {
        let (word, bit) = self.bit(set);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// The sets that are marked occupied, each once, from `start` on and round.
    pub(crate) fn occupied_from(&self, start: u32) -> impl Iterator<Item = u32> {
        let words = self.occupied.len();
        let first = (start / u64::BITS) as usize % words;
        let low = (1u64 << (start % u64::BITS)) - 1;
        // The first word is looked at twice: its upper part at the start, its lower at the end.
        (0..=words).flat_map(move |i| {
            let at = (first + i) % words;
            let part = if i == 0 {
                !low
            } else if i == words {
                low
            } else {
                !0
            };
            let word = self.occupied[at].load(Ordering::Relaxed) & part;
            let base = u32::try_from(at).unwrap_or(u32::MAX) * u64::BITS;
            super::ways::ways_in(word).map(move |bit| base + bit)
        })
    }

    fn bit(&self, set: u32) -> (&AtomicU64, u64) {
        (&self.occupied[(set / u64::BITS) as usize], 1 << (set % u64::BITS))
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_walk_over_occupied_sets_starts_anywhere_and_meets_each_once() {
        let summary = Summary::new(200);
        let marked = [0, 1, 63, 64, 100, 199];
        marked.iter().for_each(|s| summary.published(*s, 5));
        for start in 0..200 {
            let mut met: Vec<_> = summary.occupied_from(start).collect();
            let first = marked.iter().find(|s| **s >= start).unwrap_or(&0);
            assert_eq!(met.first(), Some(first), "from {start}");
            met.sort_unstable();
            assert_eq!(met, marked, "from {start}");
        }
    }

    #[test]
    fn the_next_due_set_is_found_wherever_it_is() {
        let summary = Summary::new(40);
        assert_eq!(summary.next_due(0, 40, 7), None);
        for set in [0, 6, 7, 8, 15, 16, 31, 38, 39] {
            summary.published(set, 7);
            for (first, end) in [(0, 40), (set, 40), (0, set + 1), (set, set + 1), (set / 2, 40)] {
                assert_eq!(summary.next_due(first, end, 7), Some(set), "{first}..{end}");
                assert_eq!(summary.next_due(first, end, 6), None);
            }
            assert_eq!(summary.next_due(set + 1, 40, 7), None);
            assert_eq!(summary.next_due(0, set, 7), None);
            summary.clear_due(set);
        }
    }

    #[test]
    fn a_set_is_due_at_its_first_deadline() {
        let summary = Summary::new(1);
        summary.published(0, 9);
        summary.published(0, 5);
        summary.published(0, 7);
        assert!(!summary.is_due(0, 4) && summary.is_due(0, 5));
        summary.clear_due(0);
        assert!(!summary.is_due(0, NEVER - 1));
    }
}
