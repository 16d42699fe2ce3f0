//! Ways by number, and their owners: whoever unlinked one, and whoever may free it.

use super::ways::WAYS;
use crate::hash::Geometry;
use std::num::NonZeroU32;

const WAY_BITS: u32 = 4;
const _: () = assert!(WAYS <= 1 << WAY_BITS);
/// Sets that a table may have, for every way to have a number.
pub(crate) const MOST_SETS: u64 = (1 << (u32::BITS - WAY_BITS)) - 1;

impl Geometry {
    /// Whether every way has a number.
    pub(crate) fn is_indexable(self) -> bool {
        self.total_sets() <= MOST_SETS
    }
}

/// The number of a way among those of all sets. One word, never zero: it is passed around a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WayAt(NonZeroU32);

impl WayAt {
    /// Of a set among those of all shards.
    pub(crate) fn new(set: u32, way: u32) -> Self {
        debug_assert!(u64::from(set) < MOST_SETS && way < WAYS);
        Self(NonZeroU32::MIN.saturating_add(set << WAY_BITS | way))
    }

    pub(super) fn to_word(self) -> u32 {
        self.0.get()
    }

    /// `None` if no way has this number.
    pub(super) fn from_word(word: u32) -> Option<Self> {
        NonZeroU32::new(word).map(Self)
    }

    pub(crate) fn set(self) -> u32 {
        (self.0.get() - 1) >> WAY_BITS
    }

    pub(crate) fn way(self) -> u32 {
        (self.0.get() - 1) & ((1 << WAY_BITS) - 1)
    }
}

/// A way that this thread has unlinked, in a set that it knows.
#[derive(Debug)]
#[must_use = "an unlinked way must be retired, or it is lost"]
pub(crate) struct Unlinked {
    way: u32,
}

impl Unlinked {
    /// For the step that unlinks: one for each bit that it has cleared.
    pub(super) fn new(way: u32) -> Self {
        Self { way }
    }

    pub(crate) fn way(&self) -> u32 {
        self.way
    }
}

/// An unlinked way and where it is: its holder delivers its event and retires it.
#[derive(Debug)]
#[must_use = "an unlinked way must be retired, or it is lost"]
pub(crate) struct Away(WayAt);

impl Away {
    /// Of a set among those of all shards.
    pub(crate) fn new(set: u32, unlinked: Unlinked) -> Self {
        Self(WayAt::new(set, unlinked.way))
    }

    /// A second owner of a way that two parties hold: see
    /// [`Head::share`](crate::entry::Head::share).
    pub(crate) fn second(&self) -> Self {
        Self(self.0)
    }

    pub(super) fn at(&self) -> WayAt {
        self.0
    }

    /// Its set, among those of all shards.
    pub(crate) fn set(&self) -> u32 {
        self.0.set()
    }

    /// Turns the owner of a way into a number, for a list.
    pub(super) fn into_at(self) -> WayAt {
        self.0
    }

    /// The owner again. Call it once for each `into_at`.
    pub(super) fn from_at(at: WayAt) -> Self {
        Self(at)
    }

    /// Gives the way up to its other holder.
    pub(crate) fn forget(self) {
        let _held_by_another = self.into_at();
    }
}

/// A way whose grace period is over: made for [`super::retired::Batch`] alone.
#[derive(Debug)]
pub(crate) struct Graced(u32);

impl Graced {
    pub(super) fn new(at: WayAt) -> Self {
        Self(at.way())
    }

    pub(crate) fn way(&self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_its_way() {
        let last = u32::try_from(MOST_SETS).expect("fits") - 1;
        for set in [0, 1, 255, 300, last] {
            for way in [0, 1, WAYS - 1] {
                let at = WayAt::new(set, way);
                assert_eq!((at.set(), at.way()), (set, way));
            }
        }
        assert!(Geometry { shards: 1024, sets: (1 << 18) - 1 }.is_indexable());
        assert!(!Geometry { shards: 1024, sets: 1 << 18 }.is_indexable());
        assert!(!Geometry { shards: 1024, sets: u32::MAX }.is_indexable());
    }
}
