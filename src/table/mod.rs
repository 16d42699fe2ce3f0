//! The table: shards of sets, and the algorithm that runs on them.
//!
//! # The algorithm
//!
//! A key hashes to one set, and that set's *control word* alone says what lives in it. A look-up
//! loads the word once, under a guard, and reads entries: wait-free, never retried. Every change
//! is one read-modify-write on the word, so a replacement has no moment in which the key is
//! absent, or there twice. A way that was unlinked is used again only after a grace period: that
//! does the work of a version number (see [`set`], "ABA").
//!
//! Correctness in three sentences. *Identity*: while a thread is pinned, a bit that it saw set
//! means the same entry or, once cleared, nothing. *No duplicates*: a bit is set only by a
//! compare-and-swap against the word in which the key was looked up, so by identity the only entry
//! of that key is the one that the same step clears. *One owner*: a bit goes from 1 to 0 in one
//! read-modify-write, whose old value shows it to one thread; that thread delivers the event and
//! retires the way.
//!
//! # Parts
//!
//! | room | what |
//! | --- | --- |
//! | [`set`] | one set: claim, publish, unlink, recycle |
//! | [`retired`] | lists of unlinked ways, and their way through the collector |
//! | [`summary`] | what a sweep and the search for a victim know without touching a set |
//! | here | the shards, and addresses of ways in them |
//!
//! # Progress
//!
//! Look-ups are wait-free. An insert retries only when another operation has changed its set; a
//! removal only when its key was replaced meanwhile.

pub(crate) mod retired;
#[expect(unsafe_code, reason = "the state machine of a way owns the entries")]
pub(crate) mod set;
pub(crate) mod summary;

use crate::entry::{EntryRef, Magazine, Object};
use crate::hash::{Geometry, Place};
use crate::reclaim::Guard;
use retired::{Batch, List};
use set::{Live, Set, Unlinked};
use std::sync::Arc;
use summary::Summary;

/// An independent part of the table.
#[derive(Debug)]
pub(crate) struct Shard<O: Object> {
    sets: Box<[Set<O>]>,
    pub(crate) summary: Summary,
    /// Ways that wait for a grace period.
    pub(crate) retired: List,
    /// Ways whose events wait for the delivery thread.
    handed: List,
}

impl<O: Object> Shard<O> {
    fn new(sets: u32) -> Self {
        Self {
            sets: (0..sets).map(|_| Set::new()).collect(),
            summary: Summary::new(sets),
            retired: List::new(),
            handed: List::new(),
        }
    }

    #[inline]
    pub(crate) fn set(&self, set: u32) -> &Set<O> {
        &self.sets[set as usize]
    }

    /// Starts to fetch all that an operation on this set will touch first.
    pub(crate) fn prefetch(&self, set: u32) {
        self.set(set).prefetch();
        self.summary.prefetch(set);
    }

    /// A snapshot of a set.
    #[inline]
    pub(crate) fn load<'g>(&'g self, set: u32, guard: &'g Guard) -> Live<'g, O> {
        self.set(set).load(guard)
    }

    /// Hands a way, whose event was delivered, to the collector's list. The answer is how many
    /// wait there now.
    pub(crate) fn retire(&self, set: u32, unlinked: Unlinked) -> u64 {
        let way = unlinked.into_way();
        self.retired.push(retired::index(set, way), |next| self.link(set, way, next))
    }

    /// Hands a way to the delivery thread, with a number that says why it left.
    pub(crate) fn hand_over(&self, set: u32, unlinked: Unlinked, cause: usize) {
        let way = unlinked.into_way();
        let link = |next| self.link(set, way, retired::with_cause(next, cause));
        self.handed.push(retired::index(set, way), link);
    }

    /// How many ways wait for the delivery thread.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.len()
    }

    /// Takes all ways that were handed over, oldest first, into the caller's hands.
    pub(crate) fn take_handed(&self) -> Vec<(u32, Unlinked, usize)> {
        let Some(chain) = self.handed.take() else { return Vec::new() };
        let latest_first = retired::follow(chain, |s, w| self.linked(s, w));
        let mut all: Vec<_> = latest_first
            .map(|(at, cause)| {
                let (set, way) = retired::set_and_way(at);
                (set, Unlinked::from_way(way), cause)
            })
            .collect();
        all.reverse();
        all
    }

    /// Takes all retired ways, as numbers: while their entries are warm the list is followed, so
    /// that whoever recycles them later need not.
    pub(crate) fn take_retired(&self) -> Option<Arc<[retired::Index]>> {
        let chain = self.retired.take()?;
        Some(retired::follow(chain, |s, w| self.linked(s, w)).map(|(at, _)| at).collect())
    }

    /// Frees the ways of a batch; the answer is how many, their weight, and how many of their
    /// entries panicked when they were dropped. Call it once for each batch.
    pub(crate) fn recycle(&self, batch: &Batch, magazine: Option<&Magazine>) -> Recycled {
        // As many as may be on their way at a time: two lines for each.
        const AHEAD: usize = 8;
        let mut sum = Recycled::default();
        let mut cells = batch.places();
        let mut entries = batch.places();
        for (set, way) in cells.by_ref().take(2 * AHEAD) {
            self.set(set).prefetch_cell(way);
        }
        for (set, way) in entries.by_ref().take(AHEAD) {
            self.set(set).prefetch_entry(way);
        }
        for (set, way) in batch.graced() {
            if let Some((set, way)) = cells.next() {
                self.set(set).prefetch_cell(way);
            }
            if let Some((set, way)) = entries.next() {
                self.set(set).prefetch_entry(way);
            }
            let set = self.set(set);
            sum.weight += u64::from(set.graced_entry(&way).head().weight);
            sum.panics += u64::from(set.recycle(way, magazine));
            sum.ways += 1;
        }
        sum
    }

    /// Writes the link of a way that is on its way into a list.
    fn link(&self, set: u32, way: u32, link: u64) {
        let unlinked = Unlinked::from_way(way);
        self.set(set).unlinked_entry(&unlinked).head().next.set(link);
        let _still_listed = unlinked.into_way();
    }

    /// Reads the link of a way that came out of a list.
    fn linked(&self, set: u32, way: u32) -> u64 {
        let unlinked = Unlinked::from_way(way);
        let link = self.set(set).unlinked_entry(&unlinked).head().next.get();
        let _still_listed = unlinked.into_way();
        link
    }
}

/// What [`Shard::recycle`] freed.
#[derive(Debug, Default)]
pub(crate) struct Recycled {
    pub(crate) ways: u64,
    pub(crate) weight: u64,
    pub(crate) panics: u64,
}

/// All shards.
#[derive(Debug)]
pub(crate) struct Table<O: Object> {
    pub(crate) geometry: Geometry,
    shards: Box<[Shard<O>]>,
}

impl<O: Object> Table<O> {
    /// Allocates everything that the table will ever need, and touches it. `Err`: the bytes that
    /// the machine does not have.
    pub(crate) fn new(geometry: Geometry) -> Result<Self, u64> {
        let each = size_of::<Set<O>>() as u64 + Summary::BYTES_PER_SET;
        let bytes = geometry.total_sets() * each;
        // One piece for all: the system refuses what exceeds its memory only piece by piece.
        let mut probe = Vec::<u8>::new();
        let size = usize::try_from(bytes).map_err(|_| bytes)?;
        probe.try_reserve_exact(size).map_err(|_| bytes)?;
        drop(probe);
        let shards = (0..geometry.shards).map(|_| Shard::new(geometry.sets)).collect();
        Ok(Self { geometry, shards })
    }

    #[inline]
    pub(crate) fn shard(&self, shard: u32) -> &Shard<O> {
        &self.shards[shard as usize]
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = (u32, &Shard<O>)> {
        (0..self.geometry.shards).zip(&*self.shards)
    }

    #[inline]
    pub(crate) fn set(&self, place: Place) -> &Set<O> {
        self.shard(place.shard).set(place.set)
    }

    /// A snapshot of the set that a key lives in.
    #[inline]
    pub(crate) fn load<'g>(&'g self, place: Place, guard: &'g Guard) -> Live<'g, O> {
        self.set(place).load(guard)
    }

    /// The entry of a way that the caller has unlinked.
    pub(crate) fn unlinked_entry<'a>(&'a self, at: &'a Away) -> EntryRef<'a, O> {
        self.shard(at.shard).set(at.set).unlinked_entry(&at.unlinked)
    }
}

/// An unlinked way and where it is: its holder delivers its event and retires it.
#[derive(Debug)]
#[must_use = "an unlinked way must be retired, or it is lost"]
pub(crate) struct Away {
    pub(crate) shard: u32,
    pub(crate) set: u32,
    pub(crate) unlinked: Unlinked,
}

impl Away {
    /// A second owner of a way that two parties hold: see
    /// [`Head::share`](crate::entry::Head::share).
    pub(crate) fn second(shard: u32, set: u32, way: u32) -> Self {
        Self { shard, set, unlinked: Unlinked::from_way(way) }
    }

    /// Gives the way up to its other holder.
    pub(crate) fn forget(self) {
        let _held_by_another = self.unlinked.into_way();
    }
}
