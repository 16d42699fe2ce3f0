//! Layout B2: a set is one line, of control word, hints and 24 cells, and its entries lie in a pool
//! of 256 slots that sixteen sets share.
//!
//! A cell is the number of a slot and a tag of a byte, which is 0 in free ones. A bitmap, which has
//! a line of its own, says which slots are used.

use super::entry::{Entries, Entry};
use super::layout::{Held, Layout, Magazine, Place};
use super::lines::{Lines, prefetch};
use super::tags;
use super::way::{Ways, bit};
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const WAYS: u32 = 24;
/// Slots of a pool, and sets that share it.
const SLOTS: usize = 256;
const SETS: usize = 16;
/// Of a pool's slots, in parts of a hundred, those that are meant to be live: so 0.57 of the ways.
const LOAD: u64 = 85;
/// A pool with no more free slots than this is as good as full: they are for replacements.
const SPARE: u32 = 4;
/// Cells in a word, and where their words begin in the line.
const LANES: u32 = 4;
const CELLS: usize = 2;

/// The table.
#[derive(Debug)]
pub struct B2 {
    sets: Lines,
    /// Four words of a line for each pool.
    used: Lines,
    entries: Entries,
    /// A word a set.
    due: Lines,
}

impl Layout for B2 {
    const NAME: &'static str = "layout B2 (stand-in)";
    const MOST_LIVE: u32 = 22;
    const IN_PLACE: bool = true;

    fn new(entries: u64) -> Self {
        let pools = (entries * 100).div_ceil(SLOTS as u64 * LOAD).max(1);
        let pools = usize::try_from(pools).unwrap_or(usize::MAX);
        Self {
            sets: Lines::new(pools * SETS),
            used: Lines::new(pools),
            entries: Entries::new(pools * SLOTS, pools * SLOTS),
            due: Lines::filled(pools * SETS / 8, u64::MAX),
        }
    }

    #[inline]
    fn sets(&self) -> usize {
        self.sets.len()
    }

    #[inline]
    fn ways(&self, set: usize) -> Ways<'_> {
        let [control, hints, ..] = &self.sets[set].0;
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
    fn number(&self, set: usize, way: u32) -> u32 {
        let (word, shift) = self.cell(set, way);
        let [slot, ..] = (word.load(Relaxed) >> shift).to_le_bytes();
        entry_number(set, slot)
    }

    #[inline]
    fn equal(&self, place: Place) -> u64 {
        self.tagged(place.set, tag(place))
    }

    /// The byte in the set's line is all that there is.
    #[inline]
    fn has_tag(&self, _: Place, _: u32) -> bool {
        true
    }

    #[inline]
    fn prefetch_set(&self, set: usize) {
        prefetch(&self.sets[set]);
    }

    fn prefetch_cells(&self, _: usize) {}

    fn prefetch_cell(&self, _: usize, _: u32) {}

    #[inline]
    fn prefetch_to_insert(&self, set: usize) {
        self.prefetch_set(set);
        prefetch(&self.used[set / SETS]);
        prefetch(&self.due[set / 8]);
    }

    /// All of it: the slot that was freed last is as cold as any other one of the pool's.
    #[inline]
    fn prefetch_new(&self, set: usize) {
        if let Some(entry) = self.first_free(set) {
            entry.prefetch();
        }
    }

    fn prefetch_to_free(&self, held: Held) {
        self.prefetch_set(held.set as usize);
        prefetch(&self.used[held.set as usize / SETS]);
        self.entry(held).prefetch();
    }

    fn claim(&self, place: Place, _: &mut Magazine) -> Option<Held> {
        let slot = self.claim_slot(place.set)?;
        let Some(way) = self.claim_way(place, slot) else {
            self.free_slot(place.set, slot);
            return None;
        };
        let (set, entry) = (u32::try_from(place.set).ok()?, entry_number(place.set, slot));
        Some(Held { set, way, entry })
    }

    fn free(&self, held: Held, _: &mut Magazine) {
        let set = held.set as usize;
        self.entry(held).wipe();
        let [slot, ..] = held.entry.to_le_bytes();
        self.free_slot(set, slot);
        let (word, shift) = self.cell(set, held.way);
        word.fetch_and(!(0xffff << shift), Release);
    }

    /// Counts free slots, but no more of them than it must.
    #[inline]
    fn is_scarce(&self, set: usize) -> bool {
        let mut free = 0;
        for word in self.bitmap(set) {
            let mut used = word.load(Relaxed);
            while used != u64::MAX {
                used |= used + 1;
                free += 1;
                if free > SPARE {
                    return false;
                }
            }
        }
        true
    }

    fn neighbours(&self, set: usize) -> Range<usize> {
        let first = set / SETS * SETS;
        first..first + SETS
    }

    /// For tests: slots that are used.
    #[cfg(test)]
    fn used(&self) -> u64 {
        let words = self.used.iter().flat_map(|line| &line.0);
        words.map(|word| u64::from(word.load(Relaxed).count_ones())).sum()
    }
}

/// Pools of 256 slots lie one after another.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are fewer pools")]
fn entry_number(set: usize, slot: u8) -> u32 {
    (set / SETS * SLOTS) as u32 + u32::from(slot)
}

#[inline]
fn tag(place: Place) -> u8 {
    place.tag.to_le_bytes()[0].max(1)
}

impl B2 {
    #[inline]
    fn cell(&self, set: usize, way: u32) -> (&AtomicU64, u32) {
        (&self.sets[set].0[CELLS + (way / LANES) as usize], way % LANES * 16)
    }

    /// The ways with this tag; the free ones, if it is 0.
    #[inline]
    fn tagged(&self, set: usize, tag: u8) -> u64 {
        let [_, _, a, b, c, d, e, f] = &self.sets[set].0;
        // Relaxed: whoever asks has seen the live bits of the ways that count.
        tags::equal_upper([a, b, c, d, e, f].map(|word| word.load(Relaxed)), tag)
    }

    #[inline]
    fn bitmap(&self, set: usize) -> &[AtomicU64] {
        &self.used[set / SETS].0[..SLOTS / 64]
    }

    #[inline]
    fn first_free(&self, set: usize) -> Option<Entry<'_>> {
        let used = (0..).zip(self.bitmap(set));
        let (at, word) = used.map(|(at, w)| (at, w.load(Relaxed))).find(|(_, w)| *w != u64::MAX)?;
        let slot = u8::try_from(at * 64 + word.trailing_ones()).ok()?;
        Some(self.entries.at(entry_number(set, slot)))
    }

    fn claim_slot(&self, set: usize) -> Option<u8> {
        for (at, word) in (0..).zip(self.bitmap(set)) {
            let mut seen = word.load(Relaxed);
            while seen != u64::MAX {
                let free = seen.trailing_ones();
                // Acquire: pairs with `free_slot`.
                match word.compare_exchange(seen, seen | bit(free), Acquire, Relaxed) {
                    Ok(_) => return u8::try_from(at * 64 + free).ok(),
                    Err(other) => seen = other,
                }
            }
        }
        None
    }

    fn free_slot(&self, set: usize, slot: u8) {
        let word = &self.bitmap(set)[usize::from(slot / 64)];
        word.fetch_and(!bit(u32::from(slot % 64)), Release);
    }

    fn claim_way(&self, place: Place, slot: u8) -> Option<u32> {
        let mut free = self.tagged(place.set, 0);
        let cell = u64::from(u16::from_le_bytes([slot, tag(place)]));
        while let Some(way) = self.ways(place.set).next_free(free) {
            let (word, shift) = self.cell(place.set, way);
            let mut seen = word.load(Relaxed);
            while seen >> shift & 0xffff == 0 {
                // Relaxed: the publication makes it visible.
                match word.compare_exchange(seen, seen | cell << shift, Relaxed, Relaxed) {
                    Ok(_) => {
                        self.ways(place.set).claimed(way);
                        return Some(way);
                    }
                    Err(other) => seen = other,
                }
            }
            free &= !bit(way);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_pool_gives_each_slot_once_and_a_set_each_way() {
        let b2 = B2::new(500);
        let mut claimed: Vec<Held> = Vec::new();
        for n in 0..1000 {
            let place = Place { set: SETS + n % SETS, tag: u16::try_from(n).expect("few") };
            let Some(held) = b2.claim(place, &mut Vec::new()) else { continue };
            assert_eq!(b2.number(place.set, held.way), held.entry);
            assert_ne!(b2.equal(place) & bit(held.way), 0);
            claimed.push(held);
            assert_eq!(b2.is_scarce(place.set), claimed.len() >= SLOTS - SPARE as usize);
        }
        let numbers: BTreeSet<u32> = claimed.iter().map(|held| held.entry).collect();
        assert_eq!(numbers, (256..512).collect());
        let ways: BTreeSet<(u32, u32)> = claimed.iter().map(|held| (held.set, held.way)).collect();
        assert_eq!((ways.len(), b2.used()), (SLOTS, SLOTS as u64));
        claimed.drain(..).for_each(|held| b2.free(held, &mut Vec::new()));
        assert_eq!(b2.used(), 0);
        assert!((SETS..2 * SETS).all(|set| b2.tagged(set, 0) == bit(WAYS) - 1));
    }
}
