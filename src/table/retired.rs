//! Lists of ways that were unlinked, through links in the entries themselves.
//!
//! # State
//!
//! A [`List`] is one word: the index of the first way and how many there are. Each thread pushes to
//! [`Lists`] of its own: ways that wait for a *grace period*, and ways whose removal event waits
//! for the delivery thread. Their lines are the pushing thread's as a rule: removals do not meet.
//!
//! # Operations
//!
//! `push` (lock-free, one CAS) and `take` (wait-free, one swap of the whole list). Anybody may take
//! any list, so an idle thread keeps nothing back: its own thread at times, whoever needs ways, and
//! the sweeper take the whole list and defer it under a pin of theirs; what comes out of the
//! collector lands in [`Ready`] as [`Batch`]es of [`Graced`] ways.
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
use crate::hash::Geometry;
use crate::sync::{AtomicU64, Ordering, Swap};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// A way's number in the table, never 0: shard, set and way in bits of their own, plus one.
pub(crate) type Index = u64;
const WAY_BITS: u32 = 4;
const _: () = assert!(WAYS <= 1 << WAY_BITS);
const COUNT_SHIFT: u32 = 32;
/// The bits that shard and set may take together, for an index to fit its half of the word.
const PLACE_BITS: u32 = COUNT_SHIFT - WAY_BITS;

/// Where a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WayAt {
    pub(crate) shard: u32,
    pub(crate) set: u32,
    pub(crate) way: u32,
}

impl Geometry {
    fn set_bits(self) -> u32 {
        u32::BITS - (self.sets - 1).leading_zeros()
    }

    /// Whether every way has an index.
    pub(crate) fn is_indexable(self) -> bool {
        // One set less than the bits can tell: the index is one more than the number.
        self.sets < 1 << 31 && self.shards.trailing_zeros() + self.set_bits() < PLACE_BITS
    }

    pub(crate) fn index(self, at: WayAt) -> Index {
        let place = u64::from(at.shard) << self.set_bits() | u64::from(at.set);
        (place << WAY_BITS | u64::from(at.way)) + 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "an index has 32 bits: `is_indexable`")]
    pub(crate) fn at(self, index: Index) -> WayAt {
        let number = index - 1;
        let place = number >> WAY_BITS;
        WayAt {
            shard: (place >> self.set_bits()) as u32,
            set: (place & ((1 << self.set_bits()) - 1)) as u32,
            way: (number & ((1 << WAY_BITS) - 1)) as u32,
        }
    }
}

/// The two lists of one thread.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Ways that wait for a grace period.
    pub(crate) retired: List,
    /// Ways whose events wait for the delivery thread.
    pub(crate) handed: List,
}

impl Lists {
    pub(crate) fn new() -> Self {
        Self { retired: List::new(), handed: List::new() }
    }
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

/// Retired ways that pass their grace period together, as numbers.
#[derive(Debug)]
pub(crate) struct Batch {
    ways: Arc<[Index]>,
    next: Option<Arc<Batch>>,
}

impl Batch {
    /// Where the ways are; they may be fetched, and nothing more.
    pub(super) fn places(&self) -> impl Iterator<Item = Index> {
        self.ways.iter().copied()
    }

    /// The ways, to be recycled. Call it once: each one is an owner.
    pub(super) fn graced(&self, geometry: Geometry) -> impl Iterator<Item = (WayAt, Graced)> {
        self.places().map(move |index| {
            let at = geometry.at(index);
            (at, Graced(at.way))
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

    /// The function to defer for these ways: when it runs, their grace period is over. It allocates
    /// nothing: it may run in a look-up's pin.
    pub(crate) fn after_grace(self: &Arc<Self>, ways: Arc<[Index]>) -> impl FnOnce() + use<> {
        let ready = self.clone();
        let batch = Arc::new(Batch { ways, next: None });
        move || ready.push(batch)
    }

    fn push(&self, mut batch: Arc<Batch>) {
        loop {
            let head = self.0.load_full();
            if let Some(batch) = Arc::get_mut(&mut batch) {
                batch.next.clone_from(&head);
            }
            if self.0.replace_if(head.as_ref(), batch.clone()) {
                return;
            }
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
    link: impl Fn(Index) -> u64,
) -> impl Iterator<Item = (Index, usize)> {
    let Chain { first: mut at, count } = chain;
    (0..count).map(move |_| {
        let here = at;
        let link = link(here);
        at = link & u64::from(u32::MAX);
        (here, (link >> COUNT_SHIFT) as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_tells_its_way() {
        for (shards, sets) in [(1, 1), (1, 256), (8, 300), (1024, 1 << 17)] {
            let geometry = Geometry { shards, sets };
            assert!(geometry.is_indexable(), "{geometry:?}");
            for shard in [0, shards - 1] {
                for set in [0, sets / 2, sets - 1] {
                    for way in [0, WAYS - 1] {
                        let at = WayAt { shard, set, way };
                        let index = geometry.index(at);
                        assert_eq!(geometry.at(index), at);
                        assert!(index > 0 && index <= u64::from(u32::MAX));
                    }
                }
            }
        }
        assert!(!Geometry { shards: 1, sets: u32::MAX }.is_indexable());
        assert!(!Geometry { shards: 1024, sets: 1 << 18 }.is_indexable());
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
