//! Ways of a set: which are live, which were hit, and which was claimed last.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const HAND_SHIFT: u32 = 56;

pub(super) fn bit(way: u32) -> u64 {
    1 << way
}

pub(super) fn ways_in(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let way = mask.trailing_zeros();
            mask &= mask - 1;
            way
        })
    })
}

/// A set's control word and its hints.
#[derive(Clone, Copy, Debug)]
pub struct Ways<'t> {
    pub(super) control: &'t AtomicU64,
    pub(super) hints: &'t AtomicU64,
    /// The bits of all its ways.
    pub(super) all: u64,
}

impl Ways<'_> {
    /// The ways that are live now.
    #[inline]
    pub(super) fn live(self) -> u64 {
        // Acquire: pairs with `publish`.
        self.control.load(Acquire)
    }

    /// Makes a claimed way live and unlinks others, if nothing has changed since.
    #[inline]
    pub(super) fn publish(self, seen: u64, way: u32, gone: u64) -> bool {
        let next = seen & !gone | bit(way);
        // AcqRel: pairs with `live`.
        self.control.compare_exchange(seen, next, AcqRel, Relaxed).is_ok()
    }

    /// Unlinks ways; the answer is those that this thread unlinked.
    #[inline]
    pub(super) fn unlink(self, ways: u64) -> u64 {
        self.control.fetch_and(!ways, AcqRel) & ways
    }

    /// Remembers a hit.
    #[inline]
    pub(super) fn visit(self, way: u32) {
        let hints = self.hints.load(Relaxed);
        if hints & bit(way) == 0 {
            self.hints.store(hints | bit(way), Relaxed);
        }
    }

    /// Of the free ways, that next after the hand.
    #[inline]
    pub(super) fn next_free(self, free: u64) -> Option<u32> {
        let (_, hand) = self.hints();
        self.oldest(free, hand)
    }

    /// All ways, that after the hand first.
    #[inline]
    pub(super) fn after_hand(self, ways: u32) -> impl Iterator<Item = u32> {
        let (_, hand) = self.hints();
        (hand + 1..ways).chain(0..=hand)
    }

    /// Remembers a claim.
    #[inline]
    pub(super) fn claimed(self, way: u32) {
        let (visited, _) = self.hints();
        self.hint(visited & !bit(way), way);
    }

    /// Which of the live ways is to go: the oldest that was not hit, or the oldest. Those that are
    /// passed over forget that they were hit.
    #[inline]
    pub(super) fn victim(self, live: u64) -> Option<u32> {
        let (visited, hand) = self.hints();
        let Some(way) = self.oldest(live & !visited, hand) else {
            self.hint(visited & !live, hand);
            return self.oldest(live, hand);
        };
        let passed = visited & live & self.older(way, hand);
        if passed != 0 {
            self.hint(visited & !passed, hand);
        }
        Some(way)
    }

    /// The same as far as a glance tells, and without changing anything.
    #[inline]
    pub(super) fn likely_victim(self) -> Option<u32> {
        let (visited, hand) = self.hints();
        self.oldest(self.live() & !visited, hand)
    }

    #[inline]
    fn hints(self) -> (u64, u32) {
        let word = self.hints.load(Relaxed);
        (word & self.all, u32::from(word.to_le_bytes()[7]))
    }

    #[inline]
    fn hint(self, visited: u64, hand: u32) {
        self.hints.store(visited | u64::from(hand) << HAND_SHIFT, Relaxed);
    }

    /// The way claimed longest ago of a mask: the first one after the hand, going round.
    #[inline]
    fn oldest(self, of: u64, hand: u32) -> Option<u32> {
        let after = of & !(bit(hand + 1) - 1);
        let first = if after != 0 { after } else { of };
        (first != 0).then(|| first.trailing_zeros())
    }

    /// The ways that were claimed before this one.
    #[inline]
    fn older(self, way: u32, hand: u32) -> u64 {
        let (before, until_hand) = (bit(way) - 1, bit(hand + 1) - 1);
        if way > hand { before & !until_hand } else { (before | !until_hand) & self.all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: u32 = 24;
    const ALL: u64 = (1 << WAYS) - 1;

    #[test]
    fn the_oldest_that_was_not_hit_goes_and_hits_are_forgotten() {
        let (control, hints) = (AtomicU64::new(0), AtomicU64::new(0));
        let set = Ways { control: &control, hints: &hints, all: ALL };
        let live = bit(1) | bit(4) | bit(9);
        set.hint(bit(9), 4);
        assert_eq!(set.victim(live), Some(1));
        assert_eq!(set.hints(), (0, 4), "9 is older than 1 and was passed over");
        assert_eq!(set.victim(live), Some(9));
        set.hint(live, 4);
        assert_eq!(set.victim(live), Some(9));
        assert_eq!(set.hints(), (0, 4));
        assert_eq!(set.victim(0), None);
    }

    #[test]
    fn age_goes_round_from_the_hand() {
        let word = AtomicU64::new(0);
        let set = Ways { control: &word, hints: &word, all: ALL };
        for hand in 0..WAYS {
            let walk: Vec<u32> = (hand + 1..WAYS).chain(0..=hand).collect();
            for (at, way) in walk.iter().enumerate() {
                let before = walk[..at].iter().fold(0, |mask, w| mask | bit(*w));
                assert_eq!(set.older(*way, hand), before, "{way} {hand}");
                assert_eq!(set.oldest(ALL & !before, hand), Some(*way));
            }
        }
    }
}
