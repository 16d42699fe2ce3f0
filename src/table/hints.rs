//! What the choice of a victim goes by: which ways of a set were hit, and which was claimed last.

use super::ways::{LIVE, WAYS, bit};

const HAND_SHIFT: u32 = 56;

/// What the choice of a victim goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Ways that were hit since they were claimed or last passed over.
    pub(crate) visited: u64,
    /// The way that was claimed last.
    pub(crate) hand: u32,
}

impl Hints {
    /// The way claimed longest ago of a mask: the first one after the hand, going round.
    pub(crate) fn oldest(self, of: u64) -> Option<u32> {
        let first = self.turned(of).trailing_zeros();
        (of != 0).then(|| (first + self.hand + 1) % WAYS)
    }

    /// Of a mask, the ways that were claimed before `way`.
    pub(crate) fn older(self, of: u64, way: u32) -> u64 {
        let distance = (way + WAYS - self.hand - 1) % WAYS;
        let older = self.turned(of) & (bit(distance) - 1);
        // Turned back.
        let by = self.hand + 1;
        (older << by | older >> (WAYS - by)) & LIVE
    }

    /// The mask as seen from the hand: bit 0 is the way after it.
    fn turned(self, mask: u64) -> u64 {
        let by = self.hand + 1;
        (mask >> by | mask << (WAYS - by)) & LIVE
    }

    pub(super) fn pack(self) -> u64 {
        self.visited | u64::from(self.hand) << HAND_SHIFT
    }

    pub(super) fn unpack(word: u64) -> Self {
        Self { visited: word & LIVE, hand: (word >> HAND_SHIFT) as u32 % WAYS }
    }
}

/// All ways, the one after the hand first.
pub(crate) fn after(hand: u32) -> impl Iterator<Item = u32> {
    (hand + 1..WAYS).chain(0..=hand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_survive_packing() {
        for hand in 0..WAYS {
            for visited in [0, 1, LIVE, LIVE / 3] {
                let hints = Hints { visited, hand };
                assert_eq!(Hints::unpack(hints.pack()), hints);
            }
        }
        assert!(Hints::unpack(u64::MAX).hand < WAYS);
    }

    #[test]
    fn the_oldest_is_the_first_after_the_hand() {
        for hand in 0..WAYS {
            let hints = Hints { visited: 0, hand };
            for mask in [1, LIVE, LIVE / 3, 0b101 << 3, bit(WAYS - 1)] {
                let walk: Vec<_> = after(hand).filter(|w| mask & bit(*w) != 0).collect();
                assert_eq!(hints.oldest(mask), walk.first().copied(), "{mask:#b} {hand}");
                for (i, way) in walk.iter().enumerate() {
                    let older = walk[..i].iter().fold(0, |m, w| m | bit(*w));
                    assert_eq!(hints.older(mask, *way), older, "{mask:#b} {hand} {way}");
                }
            }
            assert_eq!(hints.oldest(0), None);
        }
    }

    #[test]
    fn the_walk_after_the_hand_visits_every_way_once() {
        for hand in 0..WAYS {
            let mut ways: Vec<_> = after(hand).collect();
            assert_eq!(ways.last(), Some(&hand));
            ways.sort_unstable();
            assert_eq!(ways, (0..WAYS).collect::<Vec<_>>());
        }
    }
}
