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

use super::set::{Unlinked, WAYS};
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

/// A chain whose grace period is over.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) shard: u32,
    first: Index,
    count: u64,
    next: Option<Arc<Batch>>,
}

impl Batch {
    /// The ways of this batch; `next` reads the link of a way *before* the way is handed out.
    pub(super) fn ways(
        &self,
        next: impl Fn(u32, u32) -> Index,
    ) -> impl Iterator<Item = (u32, Graced)> {
        let mut at = self.first;
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (set, way) = set_and_way(at);
            at = next(set, way);
            Some((set, Graced(way)))
        })
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

    /// The function to defer for a chain: when it runs, the chain's grace period is over.
    pub(crate) fn after_grace(self: &Arc<Self>, shard: u32, chain: Chain) -> impl FnOnce() + use<> {
        let ready = self.clone();
        move || {
            let Chain { first, count } = chain;
            ready
                .0
                .update(|head| Some(Arc::new(Batch { shard, first, count, next: head.clone() })));
        }
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

/// The owners of the ways of a chain, and why they left, for the delivery thread: oldest first.
pub(super) fn owners(chain: Chain, link: impl Fn(u32, u32) -> u64) -> Vec<(u32, Unlinked, usize)> {
    let Chain { first: mut at, count } = chain;
    let mut all = Vec::new();
    for _ in 0..count {
        let (set, way) = set_and_way(at);
        let link = link(set, way);
        at = link & u64::from(u32::MAX);
        all.push((set, Unlinked::from_way(way), (link >> COUNT_SHIFT) as usize));
    }
    all.reverse();
    all
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
