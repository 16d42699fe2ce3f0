//! What the memory itself allows: a chain of dependent reads that does nothing else. Nobody finds
//! an entry with less than its line, and nobody who asks an index for its address with less than
//! two. There is no key to compare and no hash to make, only the numbers that every contestant is
//! asked for.

use super::{Contestant, Operations};
use crate::keys::{Key, Value, mix, word};
use memmap2::{Advice, MmapMut};

/// What an entry of a contestant takes at least: a key, a value and a few bytes more, in lines.
const STRIDE: usize = (16 + size_of::<Key>() + size_of::<Value>()).next_multiple_of(LINE);
const LINE: usize = 64;

/// One line of each entry is read, at a place that the key alone gives.
#[derive(Debug)]
pub struct OneLine(Memory);

/// A word of an index is read, and then the line of the entry that it names.
#[derive(Debug)]
pub struct TwoLines {
    index: Memory,
    entries: Memory,
}

/// One line of an index is read, to learn that a key is not there. No index is smaller than ours,
/// of four bytes for each entry: more of it is in the processor's caches than of any other one.
#[derive(Debug)]
pub struct IndexLine(Memory);

/// Memory of huge pages, where the system has some, written to from end to end.
#[derive(Debug)]
struct Memory {
    map: MmapMut,
    count: u64,
    stride: usize,
}

impl Memory {
    fn new(count: u64, stride: usize, word: impl Fn(u64) -> u64) -> Self {
        let each = usize::try_from(count).unwrap_or(usize::MAX);
        let mut map = MmapMut::map_anon(each * stride).expect("memory for a limit");
        // Without huge pages the limits are only farther away; AnonHuge tells.
        let _refused = map.advise(Advice::HugePage);
        for (at, place) in (0..count).zip(map.chunks_exact_mut(stride)) {
            place[..8].copy_from_slice(&word(at).to_le_bytes());
        }
        Self { map, count, stride }
    }

    /// The place of a number, without a division.
    fn place(&self, number: u64) -> u64 {
        u64::try_from((u128::from(number) * u128::from(self.count)) >> 64).unwrap_or(0)
    }

    fn read(&self, at: u64) -> u64 {
        let start = usize::try_from(at).unwrap_or(usize::MAX) * self.stride;
        word(&self.map[start..])
    }
}

impl OneLine {
    /// For as many entries.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self(Memory::new(count, STRIDE, mix))
    }
}

impl TwoLines {
    /// For as many entries.
    #[must_use]
    pub fn new(count: u64) -> Self {
        let half = count.next_power_of_two() / 2;
        // An odd factor scatters the entries.
        let other = move |at: u64| {
            let scattered = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & (half.max(1) - 1);
            if at < half { scattered } else { at }
        };
        Self { index: Memory::new(count, 8, other), entries: Memory::new(count, STRIDE, mix) }
    }
}

impl IndexLine {
    /// For as many entries.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self(Memory::new((4 * count).div_ceil(LINE as u64), LINE, mix))
    }

    /// Reads the line, which nothing else waits for: that nothing is there can be guessed.
    fn looks(&self, key: &Key) -> Option<u64> {
        std::hint::black_box(self.0.read(self.0.place(number(key))));
        None
    }
}

/// A key's number, which is as random as the key: there is nothing to hash.
fn number(key: &Key) -> u64 {
    word(key)
}

macro_rules! contestant {
    ($name:ty, $get:expr) => {
        impl Contestant for $name {
            type Handle<'c> = &'c Self;
            fn handle(&self) -> &Self {
                self
            }
        }

        impl Operations for &$name {
            fn get(&mut self, key: &Key) -> Option<u64> {
                $get(self, key)
            }
            fn insert(&mut self, _: Key, _: Value) -> bool {
                true
            }
            fn take(&mut self, key: &Key) -> Option<u64> {
                self.get(key)
            }
        }
    };
}

contestant!(OneLine, |limit: &OneLine, key| Some(limit.reads(key)));
contestant!(TwoLines, |limit: &TwoLines, key| Some(limit.reads(key)));
contestant!(IndexLine, IndexLine::looks);

impl OneLine {
    fn reads(&self, key: &Key) -> u64 {
        self.0.read(self.0.place(number(key)))
    }
}

impl TwoLines {
    fn reads(&self, key: &Key) -> u64 {
        self.entries.read(self.index.read(self.index.place(number(key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::key;
    use std::collections::BTreeSet;

    #[test]
    fn the_index_names_every_entry_once() {
        for count in [64, 1000, 4096] {
            let limit = TwoLines::new(count);
            let named: BTreeSet<u64> = (0..count).map(|at| limit.index.read(at)).collect();
            assert_eq!(named, (0..count).collect());
        }
    }

    #[test]
    fn what_is_read_is_the_entry() {
        let (one, two) = (OneLine::new(1000), TwoLines::new(1000));
        let words: BTreeSet<u64> = (0..1000).map(mix).collect();
        for n in 0..100 {
            assert!(words.contains(&one.reads(&key(n))));
            assert!(words.contains(&two.reads(&key(n))));
        }
    }

    #[test]
    fn nothing_is_found_in_an_index_of_what_is_not_there() {
        let index = IndexLine::new(1000);
        assert_eq!(index.0.count, 63);
        assert!((0..1000).all(|n| index.looks(&key(n)).is_none()));
    }
}
