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
use retired::{Batch, Lists, WayAt};
use set::{Live, Set, Unlinked};
use std::sync::Arc;
use summary::Summary;

/// An independent part of the table.
#[derive(Debug)]
pub(crate) struct Shard<O: Object> {
    sets: Box<[Set<O>]>,
    pub(crate) summary: Summary,
}

impl<O: Object> Shard<O> {
    fn new(sets: u32) -> Self {
        Self { sets: (0..sets).map(|_| Set::new()).collect(), summary: Summary::new(sets) }
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
}

/// What [`Table::recycle`] freed.
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

    /// Hands a way, whose event was delivered, to the collector's list of this thread. The answer
    /// is how many wait there now.
    pub(crate) fn retire(&self, lists: &Lists, away: Away) -> u64 {
        let at = away.into_at();
        lists.retired.push(self.geometry.index(at), |next| self.link(at, next))
    }

    /// Hands a way to the delivery thread, with a number that says why it left.
    pub(crate) fn hand_over(&self, lists: &Lists, away: Away, cause: usize) {
        let at = away.into_at();
        let link = |next| self.link(at, retired::with_cause(next, cause));
        lists.handed.push(self.geometry.index(at), link);
    }

    /// Takes all ways that a thread handed over, oldest first, into the caller's hands.
    pub(crate) fn take_handed(&self, lists: &Lists) -> Vec<(Away, usize)> {
        let Some(chain) = lists.handed.take() else { return Vec::new() };
        let latest_first = retired::follow(chain, |index| self.linked(index));
        let mut all: Vec<_> = latest_first
            .map(|(index, cause)| (Away::from_at(self.geometry.at(index)), cause))
            .collect();
        all.reverse();
        all
    }

    /// Takes all ways that a thread retired, as numbers: the list is followed while its entries are
    /// warm, so that whoever recycles them later need not.
    pub(crate) fn take_retired(&self, lists: &Lists) -> Option<Arc<[retired::Index]>> {
        let chain = lists.retired.take()?;
        Some(retired::follow(chain, |index| self.linked(index)).map(|(at, _)| at).collect())
    }

    /// Frees the ways of a batch; the answer is how many, their weight, and how many of their
    /// entries panicked when they were dropped. Call it once for each batch.
    pub(crate) fn recycle(&self, batch: &Batch, magazine: Option<&Magazine>) -> Recycled {
        // As many as may be on their way at a time: two lines for each.
        const AHEAD: usize = 8;
        let mut sum = Recycled::default();
        let (mut cells, mut entries) = (batch.places(), batch.places());
        let fetch_cell = |index| {
            let at = self.geometry.at(index);
            self.set_at(at).prefetch_cell(at.way);
        };
        let fetch_entry = |index| {
            let at = self.geometry.at(index);
            self.set_at(at).prefetch_entry(at.way);
        };
        cells.by_ref().take(2 * AHEAD).for_each(fetch_cell);
        entries.by_ref().take(AHEAD).for_each(fetch_entry);
        for (at, graced) in batch.graced(self.geometry) {
            cells.next().into_iter().for_each(fetch_cell);
            entries.next().into_iter().for_each(fetch_entry);
            let set = self.set_at(at);
            sum.weight += u64::from(set.graced_entry(&graced).head().weight);
            sum.panics += u64::from(set.recycle(graced, magazine));
            sum.ways += 1;
        }
        sum
    }

    fn set_at(&self, at: WayAt) -> &Set<O> {
        self.shard(at.shard).set(at.set)
    }

    /// Writes the link of a way that is on its way into a list.
    fn link(&self, at: WayAt, link: u64) {
        let away = Away::from_at(at);
        self.unlinked_entry(&away).head().next.set(link);
        away.forget();
    }

    /// Reads the link of a way that came out of a list.
    fn linked(&self, index: retired::Index) -> u64 {
        let away = Away::from_at(self.geometry.at(index));
        let link = self.unlinked_entry(&away).head().next.get();
        away.forget();
        link
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
    pub(crate) fn second(&self) -> Self {
        Self::from_at(self.at())
    }

    fn at(&self) -> WayAt {
        WayAt { shard: self.shard, set: self.set, way: self.unlinked.way() }
    }

    /// Turns the owner of a way into a number, for a list.
    fn into_at(self) -> WayAt {
        let at = self.at();
        self.forget();
        at
    }

    /// The owner again. Call it once for each `into_at`.
    fn from_at(at: WayAt) -> Self {
        Self { shard: at.shard, set: at.set, unlinked: Unlinked::from_way(at.way) }
    }

    /// Gives the way up to its other holder.
    pub(crate) fn forget(self) {
        let _held_by_another = self.unlinked.into_way();
    }
}
