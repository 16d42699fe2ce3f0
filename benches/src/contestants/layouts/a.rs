//! Layout A, as ours has it: a set is half a line of control word, hints and 16 tags, and two lines
//! of cells, which say where entries lie; an entry is whatever the thread has freed last.
//!
//! A cell is the number of an entry, and one more, which stands for its address, and the whole tag.

use super::entry::Entries;
use super::layout::{Held, Layout, Magazine, Place};
use super::lines::{Lines, prefetch};
use super::tags;
use super::way::{Ways, bit};
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const WAYS: u32 = 16;
const WAYS_PER_ENTRY: u64 = 2;
const FEWEST_SETS: u64 = 256;
/// Entries beyond the limit that are touched at the start, for what waits for readers as a rule. As
/// with ours there can be as many as ways.
const BEYOND: usize = 1024;
const TAG_SHIFT: u32 = 48;
/// Words of a meta, and tags in a word.
const META: usize = 4;
const LANES: u32 = 8;

/// The table.
#[derive(Debug)]
pub struct A {
    /// Two sets a line: control word, hints, two words of tags.
    metas: Lines,
    cells: Lines,
    entries: Entries,
    /// Entries that were ever used.
    fresh: AtomicU64,
    /// A word a set.
    due: Lines,
    sets: usize,
}

impl Layout for A {
    const NAME: &'static str = "layout A (stand-in)";
    const MOST_LIVE: u32 = WAYS - 1;
    const IN_PLACE: bool = false;

    fn new(entries: u64) -> Self {
        let sets = (entries * WAYS_PER_ENTRY).div_ceil(u64::from(WAYS)).max(FEWEST_SETS);
        let sets = usize::try_from(sets).unwrap_or(usize::MAX);
        let most = sets * WAYS as usize;
        let touched = usize::try_from(entries).unwrap_or(usize::MAX) + BEYOND;
        Self {
            metas: Lines::new(sets.div_ceil(2)),
            cells: Lines::new(2 * sets),
            entries: Entries::new(most, touched.min(most)),
            fresh: AtomicU64::new(0),
            due: Lines::filled(sets.div_ceil(8), u64::MAX),
            sets,
        }
    }

    #[inline]
    fn sets(&self) -> usize {
        self.sets
    }

    #[inline]
    fn ways(&self, set: usize) -> Ways<'_> {
        let [control, hints, ..] = self.meta(set);
        Ways { control, hints, all: bit(WAYS) - 1 }
    }

    #[inline]
    fn due(&self, set: usize) -> &AtomicU64 {
        self.due.word(set)
    }

    #[inline]
    fn entries(&self) -> &Entries {
        &self.entries
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the number")]
    fn number(&self, set: usize, way: u32) -> u32 {
        (self.cell(set, way).load(Relaxed) as u32).wrapping_sub(1)
    }

    #[inline]
    fn equal(&self, place: Place) -> u64 {
        let [.., low, high] = self.meta(place.set);
        // Relaxed: whoever asks has seen the live bits of the ways that count.
        tags::equal([low, high].map(|word| word.load(Relaxed)), place.tag.to_le_bytes()[0])
    }

    #[inline]
    fn has_tag(&self, place: Place, way: u32) -> bool {
        self.cell(place.set, way).load(Relaxed) >> TAG_SHIFT == u64::from(place.tag)
    }

    #[inline]
    fn prefetch_set(&self, set: usize) {
        prefetch(&self.metas[set / 2]);
    }

    #[inline]
    fn prefetch_cells(&self, set: usize) {
        prefetch(&self.cells[2 * set]);
        prefetch(&self.cells[2 * set + 1]);
    }

    #[inline]
    fn prefetch_cell(&self, set: usize, way: u32) {
        prefetch(&self.cells[2 * set + (way / 8) as usize]);
    }

    #[inline]
    fn prefetch_to_insert(&self, set: usize) {
        self.prefetch_set(set);
        self.prefetch_cells(set);
        prefetch(&self.due[set / 8]);
    }

    /// Nothing: it was wiped a moment ago.
    fn prefetch_new(&self, _: usize) {}

    fn prefetch_to_free(&self, held: Held) {
        self.prefetch_cell(held.set as usize, held.way);
        self.entry(held).prefetch();
    }

    fn claim(&self, place: Place, magazine: &mut Magazine) -> Option<Held> {
        let entry = magazine.pop().or_else(|| self.fresh_entry())?;
        let Some(way) = self.claim_way(place, entry) else {
            magazine.push(entry);
            return None;
        };
        Some(Held { set: u32::try_from(place.set).ok()?, way, entry })
    }

    fn free(&self, held: Held, magazine: &mut Magazine) {
        self.entry(held).wipe();
        magazine.push(held.entry);
        self.cell(held.set as usize, held.way).store(0, Release);
    }

    fn is_scarce(&self, _: usize) -> bool {
        false
    }

    fn neighbours(&self, _: usize) -> Range<usize> {
        0..0
    }

    /// For tests: cells that are not free.
    #[cfg(test)]
    fn used(&self) -> u64 {
        let cells = self.cells.iter().flat_map(|line| &line.0);
        cells.map(|cell| u64::from(cell.load(Relaxed) != 0)).sum()
    }
}

impl A {
    #[inline]
    fn meta(&self, set: usize) -> &[AtomicU64; META] {
        let line = &self.metas[set / 2].0;
        line[set % 2 * META..].first_chunk().expect("halves of a line")
    }

    #[inline]
    fn cell(&self, set: usize, way: u32) -> &AtomicU64 {
        &self.cells[2 * set + (way / 8) as usize].0[way as usize % 8]
    }

    fn fresh_entry(&self) -> Option<u32> {
        let most = (self.sets * WAYS as usize) as u64;
        let next = |fresh| (fresh < most).then_some(fresh + 1);
        let fresh = self.fresh.fetch_update(Relaxed, Relaxed, next).ok()?;
        u32::try_from(fresh).ok()
    }

    /// The next free way after the hand. The tag's byte is written once the way is claimed.
    fn claim_way(&self, place: Place, entry: u32) -> Option<u32> {
        let ways = self.ways(place.set);
        let word = u64::from(entry + 1) | u64::from(place.tag) << TAG_SHIFT;
        for way in ways.after_hand(WAYS) {
            let cell = self.cell(place.set, way);
            // Acquire: pairs with `free`.
            let free =
                cell.load(Relaxed) == 0 && cell.compare_exchange(0, word, Acquire, Relaxed).is_ok();
            if free {
                let [_, _, tags @ ..] = self.meta(place.set);
                let (tags, shift) = (&tags[(way / LANES) as usize], way % LANES * 8);
                let [tag, ..] = place.tag.to_le_bytes();
                let old = tags.load(Relaxed) >> shift & 0xff;
                tags.fetch_xor((old ^ u64::from(tag)) << shift, Relaxed);
                ways.claimed(way);
                return Some(way);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_each_way_once_and_entries_come_back_latest_first() {
        let (a, mut magazine) = (A::new(100), Magazine::new());
        let place = |n: u32| Place { set: 3, tag: u16::try_from(n).expect("few") | 0x700 };
        let claimed: Vec<Held> = (0..20).filter_map(|n| a.claim(place(n), &mut magazine)).collect();
        for (n, held) in (0..).zip(&claimed) {
            assert_eq!((held.entry, a.number(3, held.way)), (n, n));
            assert_eq!(a.equal(place(n)), bit(held.way));
        }
        assert_eq!((claimed.len(), a.used(), magazine.pop()), (16, 16, Some(16)));
        a.free(claimed[7], &mut magazine);
        a.free(claimed[2], &mut magazine);
        let again = a.claim(place(30), &mut magazine).expect("two are free");
        assert_eq!((again.entry, again.way), (2, claimed[2].way));
    }
}
