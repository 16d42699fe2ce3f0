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
//! | [`hints`] | what the choice of a victim goes by |
//! | [`tags`] | the low bytes of a set's tags, compared all at once |
//! | [`pages`] | the memory that the sets lie in |
//! | [`retired`] | lists of unlinked ways, and their way through the collector |
//! | [`summary`] | what a sweep and the search for a victim know without touching a set |
//! | here | the shards, and addresses of ways in them |
//!
//! # Progress
//!
//! Look-ups are wait-free. An insert retries only when another operation has changed its set; a
//! removal only when its key was replaced meanwhile.

pub(crate) mod hints;
#[expect(unsafe_code, reason = "sets lie in a mapping")]
mod pages;
pub(crate) mod retired;
#[expect(unsafe_code, reason = "the state machine of a way owns the entries")]
pub(crate) mod set;
pub(crate) mod summary;
#[expect(unsafe_code, reason = "vector instructions")]
mod tags;

use crate::entry::{EntryRef, Magazine, Object};
use crate::hash::{Geometry, Place};
use crate::reclaim::Guard;
use pages::Pages;
use retired::{Batch, Lists, WayAt};
use set::{Cells, Live, Meta, Set, Unlinked};
use summary::Summary;

/// An independent part of the table.
#[derive(Debug)]
pub(crate) struct Shard<'t, O: Object> {
    metas: &'t [Meta],
    cells: &'t [Cells<O>],
    pub(crate) summary: &'t Summary,
}

impl<O: Object> Clone for Shard<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Object> Copy for Shard<'_, O> {}

impl<'t, O: Object> Shard<'t, O> {
    #[inline]
    pub(crate) fn set(self, set: u32) -> Set<'t, O> {
        Set::new(&self.metas[set as usize], &self.cells[set as usize])
    }

    /// Starts to fetch all that an operation on this set will touch first.
    pub(crate) fn prefetch(self, set: u32) {
        self.set(set).prefetch();
        self.summary.prefetch(set);
    }

    /// A snapshot of a set.
    #[inline]
    pub(crate) fn load<'g>(self, set: u32, guard: &'g Guard) -> Live<'g, O>
    where
        't: 'g,
    {
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

/// All shards: their sets lie one after another.
#[derive(Debug)]
pub(crate) struct Table<O: Object> {
    pub(crate) geometry: Geometry,
    metas: Pages<Meta>,
    cells: Pages<Cells<O>>,
    summaries: Box<[Summary]>,
}

impl<O: Object> Table<O> {
    /// Allocates everything that the table will ever need, and touches it. `Err`: the bytes that
    /// the machine does not have.
    pub(crate) fn new(geometry: Geometry) -> Result<Self, u64> {
        let each = size_of::<(Meta, Cells<O>)>() as u64 + Summary::BYTES_PER_SET;
        let bytes = geometry.total_sets() * each;
        // One piece for all: the system refuses what exceeds its memory only piece by piece.
        let mut probe = Vec::<u8>::new();
        let size = usize::try_from(bytes).map_err(|_| bytes)?;
        probe.try_reserve_exact(size).map_err(|_| bytes)?;
        drop(probe);
        let sets = usize::try_from(geometry.total_sets()).map_err(|_| bytes)?;
        Ok(Self {
            geometry,
            metas: Pages::new(sets).map_err(|_| bytes)?,
            cells: Pages::new(sets).map_err(|_| bytes)?,
            summaries: (0..geometry.shards).map(|_| Summary::new(geometry.sets)).collect(),
        })
    }

    pub(crate) fn shard(&self, shard: u32) -> Shard<'_, O> {
        let sets = self.geometry.sets as usize;
        let own = shard as usize * sets..(shard as usize + 1) * sets;
        Shard {
            metas: &self.metas[own.clone()],
            cells: &self.cells[own],
            summary: &self.summaries[shard as usize],
        }
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = (u32, Shard<'_, O>)> {
        (0..self.geometry.shards).map(|number| (number, self.shard(number)))
    }

    #[inline]
    pub(crate) fn set(&self, place: Place) -> Set<'_, O> {
        let at = place.at as usize;
        Set::new(&self.metas[at], &self.cells[at])
    }

    fn set_of(&self, shard: u32, set: u32) -> Set<'_, O> {
        debug_assert!(set < self.geometry.sets);
        let at = shard as usize * self.geometry.sets as usize + set as usize;
        Set::new(&self.metas[at], &self.cells[at])
    }

    /// A snapshot of the set that a key lives in. Its cells are fetched meanwhile: their address is
    /// known, and the way only when the tags are there.
    #[inline]
    pub(crate) fn load<'g>(&'g self, place: Place, guard: &'g Guard) -> Live<'g, O> {
        let set = self.set(place);
        set.prefetch_cells();
        set.load(guard)
    }

    /// Hands a way, whose event was delivered, to the collector's list of this thread. The answer
    /// is how many wait there now.
    pub(crate) fn retire(&self, lists: &Lists, away: Away) -> u64 {
        lists.retired.push(self.geometry.index(away.into_at()))
    }

    /// Hands a way to the delivery thread, with a number that says why it left.
    pub(crate) fn hand_over(&self, lists: &Lists, away: Away, cause: u8) {
        lists.handed.push((self.geometry.index(away.into_at()), cause));
    }

    /// Takes all ways that a thread handed over, oldest first, into the caller's hands.
    pub(crate) fn take_handed(&self, lists: &Lists) -> impl Iterator<Item = (Away, u8)> {
        let all = lists.handed.take().map(|ways| ways.into_iter()).into_iter().flatten();
        all.map(|(index, cause)| (Away::from_at(self.geometry.at(index)), cause))
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
            sum.weight += u64::from(set.graced_entry(&graced).weight());
            sum.panics += u64::from(set.recycle(graced, magazine));
            sum.ways += 1;
        }
        sum
    }

    fn set_at(&self, at: WayAt) -> Set<'_, O> {
        self.set_of(at.shard, at.set)
    }

    /// The entry of a way that the caller has unlinked.
    pub(crate) fn unlinked_entry<'a>(&'a self, at: &'a Away) -> EntryRef<'a, O> {
        self.set_of(at.shard, at.set).unlinked_entry(&at.unlinked)
    }
}

impl<O: Object> Drop for Table<O> {
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        self.cells.iter_mut().for_each(Cells::free_all);
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
