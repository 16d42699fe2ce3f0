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
//! | [`away`] | numbers of ways, and their owners |
//! | [`hints`] | what the choice of a victim goes by |
//! | [`ways`] | how many ways a set has, and masks of them |
//! | [`tags`] | the low bytes of a set's tags, compared all at once |
//! | [`retired`] | lists of unlinked ways, and their way through the collector |
//! | [`ring`] | what one thread has retired, for anybody to take |
//! | [`summary`] | what a sweep and the search for a victim know without touching a set |
//! | here | the shards, and addresses of ways in them |
//!
//! # Progress
//!
//! Look-ups are wait-free. An insert retries only when another operation has changed its set; a
//! removal only when its key was replaced meanwhile.

pub(crate) mod away;
pub(crate) mod hints;
pub(crate) mod retired;
pub(crate) mod ring;
#[expect(unsafe_code, reason = "the state machine of a way owns the entries")]
pub(crate) mod set;
pub(crate) mod summary;
#[expect(unsafe_code, reason = "vector instructions")]
mod tags;
pub(crate) mod ways;

use crate::entry::{EntryRef, Goes, Object};
use crate::hash::{Geometry, Place};
use crate::pages::Pages;
use crate::reclaim::Guard;
use away::{Away, WayAt};
use retired::{Batch, Lists};
use set::{Cells, Live, Meta, Set};
use summary::Summary;

/// An independent part of the table.
#[derive(Debug)]
pub(crate) struct Shard<'t, O: Object> {
    table: &'t Table<O>,
    /// The number of its first set among those of all shards.
    first: u32,
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
        self.table.set_number(self.number(set))
    }

    /// The number of a set among those of all shards.
    pub(crate) fn number(self, set: u32) -> u32 {
        self.first + set
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
        if !crate::pages::are_to_be_had(bytes) {
            return Err(bytes);
        }
        let sets = usize::try_from(geometry.total_sets()).map_err(|_| bytes)?;
        Ok(Self {
            geometry,
            metas: Pages::new(sets).map_err(|_| bytes)?,
            cells: Pages::new(sets).map_err(|_| bytes)?,
            summaries: (0..geometry.shards).map(|_| Summary::new(geometry.sets)).collect(),
        })
    }

    #[inline]
    pub(crate) fn shard(&self, shard: u32) -> Shard<'_, O> {
        let first = shard * self.geometry.sets;
        Shard { table: self, first, summary: &self.summaries[shard as usize] }
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = (u32, Shard<'_, O>)> {
        (0..self.geometry.shards).map(|number| (number, self.shard(number)))
    }

    #[inline]
    pub(crate) fn set(&self, place: Place) -> Set<'_, O> {
        self.set_number(place.at)
    }

    /// The set with this number among all sets.
    #[inline]
    pub(crate) fn set_number(&self, at: u32) -> Set<'_, O> {
        Set::new(&self.metas[at as usize], &self.cells[at as usize])
    }

    /// A snapshot of the set that a key lives in. Its cells are fetched meanwhile: their address is
    /// known, and the way only when the tags are there.
    #[inline]
    pub(crate) fn load<'g>(&'g self, place: Place, guard: &'g Guard) -> Live<'g, O> {
        let set = self.set(place);
        set.prefetch_cells();
        set.load(guard)
    }

    /// Adds a way, whose event was delivered, to the ring of this thread; the answer is how many
    /// are there now. Gives it back if there is no room: somebody has to take them first.
    pub(crate) fn retire(&self, lists: &Lists, away: Away) -> Result<u64, Away> {
        lists.retired.push(away.into_at()).map_err(Away::from_at)
    }

    /// Whether several ways of this set (its number among all) wait for readers, as far as a
    /// glance tells.
    pub(crate) fn is_short(&self, set: u32) -> bool {
        const SEVERAL: usize = 4;
        self.set_number(set).wait(SEVERAL)
    }

    /// Hands a way to the delivery thread, with a number that says why it left.
    pub(crate) fn hand_over(&self, lists: &Lists, away: Away, cause: u8) {
        lists.handed.push((away.into_at(), cause));
    }

    /// Takes all ways that a thread handed over, oldest first, into the caller's hands.
    pub(crate) fn take_handed(&self, lists: &Lists) -> impl Iterator<Item = (Away, u8)> {
        let all = lists.handed.take().map(|ways| ways.into_iter()).into_iter().flatten();
        all.map(|(at, cause)| (Away::from_at(at), cause))
    }

    /// Frees the ways of a batch; the answer is their weight, and how many of their entries
    /// panicked when they were dropped. Call it once for each batch.
    pub(crate) fn recycle(&self, batch: &Batch, goes: Goes<'_>) -> Recycled {
        // As many as may be on their way at a time: a cell for each, and an entry.
        const AHEAD: usize = 8;
        let mut sum = Recycled::default();
        let (mut cells, mut entries) = (batch.places(), batch.places());
        let fetch_cell = |at: WayAt| self.set_number(at.set()).prefetch_cell(at.way());
        let fetch_entry = |at: WayAt| {
            // All that is wiped: no write waits for a line.
            self.set_number(at.set()).prefetch_entry(at.way(), O::FETCHED_BYTES);
        };
        cells.by_ref().take(2 * AHEAD).for_each(fetch_cell);
        entries.by_ref().take(AHEAD).for_each(fetch_entry);
        for (at, graced) in batch.graced() {
            cells.next().into_iter().for_each(fetch_cell);
            entries.next().into_iter().for_each(fetch_entry);
            let set = self.set_number(at.set());
            sum.weight += u64::from(set.graced_entry(&graced).weight());
            sum.panics += u64::from(set.recycle(graced, goes));
        }
        sum
    }

    /// The entry of a way that the caller has unlinked.
    pub(crate) fn unlinked_entry<'a>(&'a self, at: &'a Away) -> EntryRef<'a, O> {
        self.set_number(at.at().set()).unlinked_entry(at)
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
