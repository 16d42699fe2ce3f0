//! What differs between layouts: where cells and entries lie, and what claims and frees them.

use super::entry::{Entries, Entry};
use super::way::{Ways, ways_in};
use crate::keys::Key;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

/// Where a key lives, if it does.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub(super) set: usize,
    pub(super) tag: u16,
}

/// A way and its entry's number, claimed by an insert, or unlinked.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub(super) set: u32,
    pub(super) way: u32,
    pub(super) entry: u32,
}

/// Numbers of entries that a thread has freed, the latest last.
pub(super) type Magazine = Vec<u32>;

/// A layout of the table.
pub trait Layout: Send + Sync + Sized + 'static {
    /// What it is called: it takes part only in what names it.
    const NAME: &'static str;
    /// Ways of a set that may be live.
    const MOST_LIVE: u32;
    /// Whether the set's own line says where an entry lies.
    const IN_PLACE: bool;

    /// For so many entries.
    fn new(entries: u64) -> Self;

    /// How many sets there are.
    fn sets(&self) -> usize;

    /// Control word and hints of a set.
    fn ways(&self, set: usize) -> Ways<'_>;

    /// No entry of the set expires before this.
    fn due(&self, set: usize) -> &AtomicU64;

    /// Where the entries lie.
    fn entries(&self) -> &Entries;

    /// The number of the entry of a way that is not free.
    fn number(&self, set: usize, way: u32) -> u32;

    /// The ways that may have the tag, live or not.
    fn equal(&self, place: Place) -> u64;

    /// Whether a way of them has it, as far as its cell tells.
    fn has_tag(&self, place: Place, way: u32) -> bool;

    /// Starts to fetch what tells which ways may have a key.
    fn prefetch_set(&self, set: usize);

    /// Starts to fetch what tells where any way's entry lies, if that is somewhere else.
    fn prefetch_cells(&self, set: usize);

    /// The same for one way.
    fn prefetch_cell(&self, set: usize, way: u32);

    /// Starts to fetch what a claim and a publication touch.
    fn prefetch_to_insert(&self, set: usize);

    /// Starts to fetch the entry that an insert will write, if it is cold.
    fn prefetch_new(&self, set: usize);

    /// Starts to fetch what `free` touches.
    fn prefetch_to_free(&self, held: Held);

    /// Claims an entry and a way for it.
    fn claim(&self, place: Place, magazine: &mut Magazine) -> Option<Held>;

    /// Frees a way and its entry, which is wiped.
    fn free(&self, held: Held, magazine: &mut Magazine);

    /// Whether so little is free where the set takes its entries from that it should evict.
    fn is_scarce(&self, set: usize) -> bool;

    /// Sets that take their entries from the same place.
    fn neighbours(&self, set: usize) -> Range<usize>;

    /// Ways, or entries, that are not free.
    #[cfg(test)]
    fn used(&self) -> u64;

    /// From a hash.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "below the count; bits of the hash")]
    fn place(&self, hash: u64) -> Place {
        let set = ((u128::from(hash) * self.sets() as u128) >> 64) as usize;
        Place { set, tag: hash as u16 }
    }

    /// The live ways that may hold a key.
    #[inline(always)]
    fn candidates(&self, place: Place) -> u64 {
        let live = self.ways(place.set).live();
        self.equal(place) & live
    }

    /// The one of them that does.
    #[inline(always)]
    fn find_among(&self, place: Place, ways: u64, key: &Key) -> Option<(u32, Entry<'_>)> {
        let mut entries = self.entries_of(place.set, ways);
        entries.find(|(way, entry)| self.has_tag(place, *way) && entry.is(key))
    }

    /// The entries of live ways of a set.
    #[inline]
    fn entries_of(&self, set: usize, ways: u64) -> impl Iterator<Item = (u32, Entry<'_>)> {
        ways_in(ways).map(move |way| (way, self.entries().at(self.number(set, way))))
    }

    /// The entry that is held.
    fn entry(&self, held: Held) -> Entry<'_> {
        self.entries().at(held.entry)
    }

    /// A way that was unlinked.
    fn held(&self, set: usize, way: u32) -> Held {
        let entry = self.number(set, way);
        Held { set: u32::try_from(set).expect("fewer sets"), way, entry }
    }

    /// Starts to fetch the first line of the entries of some ways.
    #[inline]
    fn prefetch_heads(&self, set: usize, ways: u64) {
        self.entries_of(set, ways).for_each(|(_, entry)| entry.prefetch_head());
    }

    /// Starts to fetch the likely victim.
    #[inline]
    fn prefetch_victim(&self, set: usize) {
        if let Some(way) = self.ways(set).likely_victim() {
            self.entries().at(self.number(set, way)).prefetch_head();
        }
    }
}
