//! Lists of ways that were unlinked, through links in the entries themselves.
//!
//! # State
//!
//! A [`List`] is one word: the index of the first way and how many there are. A shard has two: one
//! of ways that wait for a *grace period*, one of ways whose removal event waits for the delivery
//! thread.
//!
//! # Operations
//!
//! `push` (lock-free, one CAS) and `take` (wait-free, one swap of the whole list). Retired ways lie
//! here, and not in a bag of the thread that retired them, so that an idle thread keeps nothing:
//! whoever needs ways, or the sweeper, takes the whole list, defers it under a pin of its own, and
//! what comes out of the collector lands in [`Ready`] as [`Batch`]es of [`Graced`] ways.
//!
//! # Orderings
//!
//! `push` releases, `take` acquires: the links, and everything before the unlink.
//!
//! # ABA
//!
//! Harmless: elements leave only all at once, so a head that looks the same is the head.
//!
//! Loom: `idle_retirer`, `reuse_*`.

use super::set::WAYS;
use crate::sync::{AtomicU64, Ordering, Swap};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// A way's number in its shard, never 0: `set * 16 + way + 1`.
pub(crate) type Index = u64;
const STRIDE: u64 = 16;
const _: () = assert!((WAYS as u64) <= STRIDE);
const COUNT_SHIFT: u32 = 32;
/// The most sets that a shard may have, for an index to fit its half of the word.
pub(crate) const MOST_SETS: u32 = (1 << 28) - 2;

pub(crate) fn index(set: u32, way: u32) -> Index {
    u64::from(set) * STRIDE + u64::from(way) + 1
}

#[expect(clippy::cast_possible_truncation, reason = "an index has 32 bits, see MOST_SETS")]
pub(crate) fn set_and_way(index: Index) -> (u32, u32) {
    (((index - 1) / STRIDE) as u32, ((index - 1) % STRIDE) as u32)
}

/// A list that anybody may add to, and take as a whole.
#[derive(Debug)]
pub(crate) struct List(CachePadded<AtomicU64>);

/// Ways that were taken from a list, in no one else's reach.
#[derive(Debug)]
#[must_use = "the ways of a chain are lost if it is dropped"]
pub(crate) struct Chain {
    pub(super) first: Index,
    pub(super) count: u64,
}

impl List {
    pub(crate) fn new() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }

    /// Adds a way; `link` stores the index that follows it. The answer is the new length.
    pub(super) fn push(&self, at: Index, link: impl Fn(Index)) -> u64 {
        // Relaxed: the value is only compared and linked, never followed here.
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            link(old & u64::from(u32::MAX));
            let count = (old >> COUNT_SHIFT) + 1;
            // Release: pairs with the Acquire of `take`; the link, and the unlink before it.
            match self.0.compare_exchange(
                old,
                at | count << COUNT_SHIFT,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return count,
                Err(now) => old = now,
            }
        }
    }

    /// Takes the whole list, the latest way first.
    pub(crate) fn take(&self) -> Option<Chain> {
        // Relaxed: only whether there is anything to take.
        if self.0.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Acquire: pairs with the Release of every `push` since the last `take`.
        let word = self.0.swap(0, Ordering::Acquire);
        (word != 0).then(|| Chain { first: word & u64::from(u32::MAX), count: word >> COUNT_SHIFT })
    }

    /// A number that changes whenever anybody adds or takes; 0 if the list is empty.
    pub(crate) fn state(&self) -> u64 {
        // Relaxed: compared with itself.
        self.0.load(Ordering::Relaxed)
    }

    /// How many ways are on the list now.
    pub(crate) fn len(&self) -> u64 {
        // Relaxed: a gauge.
        self.0.load(Ordering::Relaxed) >> COUNT_SHIFT
    }
}

/// A way whose grace period is over: made by [`Ready`] alone.
#[derive(Debug)]
pub(crate) struct Graced(u32);

impl Graced {
    pub(crate) fn way(&self) -> u32 {
        self.0
    }
}

/// Retired ways of one shard that pass their grace period together, as numbers.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) shard: u32,
    ways: Arc<[Index]>,
    next: Option<Arc<Batch>>,
}

impl Batch {
    /// Where the ways are; they may be fetched, and nothing more.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.ways.iter().map(|at| set_and_way(*at))
    }

    /// The ways, to be recycled. Call it once: each one is an owner.
    pub(super) fn graced(&self) -> impl Iterator<Item = (u32, Graced)> {
        self.places().map(|(set, way)| (set, Graced(way)))
    }
}

/// What came out of the collector and waits for somebody to recycle it, unpinned.
///
/// It holds numbers, no entries: functions that the collector still holds when the cache is gone
/// keep only this list alive.
#[derive(Debug)]
pub(crate) struct Ready(Swap<Batch>);

impl Ready {
    pub(crate) fn new() -> Self {
        Self(Swap::new(None))
    }

    /// The function to defer for these ways: when it runs, their grace period is over.
    pub(crate) fn after_grace(
        self: &Arc<Self>,
        shard: u32,
        ways: Arc<[Index]>,
    ) -> impl FnOnce() + use<> {
        let ready = self.clone();
        move || {
            ready.0.update(|head| {
                Some(Arc::new(Batch { shard, ways: ways.clone(), next: head.clone() }))
            });
        }
    }

    /// A number that changes whenever anybody adds or takes; 0 if there is nothing.
    pub(crate) fn state(&self) -> usize {
        self.0.load().as_ref().map_or(0, |head| Arc::as_ptr(head).addr())
    }

    /// Takes all batches.
    pub(crate) fn take(&self) -> impl Iterator<Item = Arc<Batch>> + use<> {
        let mut next = if self.0.load().is_some() { self.0.swap(None) } else { None };
        std::iter::from_fn(move || {
            let batch = next.take()?;
            next.clone_from(&batch.next);
            Some(batch)
        })
    }
}

impl Drop for Ready {
    /// One batch at a time: a long list must not recurse.
    fn drop(&mut self) {
        let mut next = self.0.swap(None);
        while let Some(batch) = next {
            next = Arc::into_inner(batch).and_then(|mut b| b.next.take());
        }
    }
}

/// A link of the list of the delivery thread: the next way, and why this one left.
pub(super) fn with_cause(next: Index, cause: usize) -> u64 {
    next | (cause as u64) << COUNT_SHIFT
}

/// The numbers of the ways of a chain, and what their links say besides, latest first; `link` reads
/// the link of a way.
pub(super) fn follow(
    chain: Chain,
    link: impl Fn(u32, u32) -> u64,
) -> impl Iterator<Item = (Index, usize)> {
    let Chain { first: mut at, count } = chain;
    (0..count).map(move |_| {
        let here = at;
        let (set, way) = set_and_way(here);
        let link = link(set, way);
        at = link & u64::from(u32::MAX);
        (here, (link >> COUNT_SHIFT) as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_tells_its_set_and_way() {
        for (set, way) in [(0, 0), (0, 13), (1, 0), (MOST_SETS, 13)] {
            assert_eq!(set_and_way(index(set, way)), (set, way));
            assert!(index(set, way) > 0 && index(set, way) <= u64::from(u32::MAX));
        }
    }

    #[test]
    fn a_list_gives_back_what_was_pushed_latest_first() {
        let list = List::new();
        let links = std::cell::RefCell::new(std::collections::HashMap::new());
        for at in [5, 9, 7] {
            list.push(at, |next| {
                links.borrow_mut().insert(at, next);
            });
        }
        assert_eq!(list.len(), 3);
        let chain = list.take().expect("three ways");
        assert_eq!((chain.first, chain.count), (7, 3));
        assert_eq!(links.borrow()[&7], 9);
        assert_eq!(links.borrow()[&9], 5);
        assert!(list.take().is_none());
    }
}
