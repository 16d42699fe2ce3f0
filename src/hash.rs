//! From a key's hash to its place: set and tag, from disjoint bits of one keyed hash.

/// How the sets are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Number of shards, a power of two.
    pub(crate) shards: u32,
    /// Sets in each shard.
    pub(crate) sets: u32,
}

/// Where a key lives, if it lives at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: u32,
    /// The set in its shard.
    pub(crate) set: u32,
    /// The set among those of all shards.
    pub(crate) at: u32,
    pub(crate) tag: u16,
}

/// Keys for a hash of a cache's own: fixed ones in models, whose executions must be alike.
pub(crate) fn random_state() -> ahash::RandomState {
    if cfg!(any(halfshake_loom, halfshake_shuttle)) {
        ahash::RandomState::with_seeds(1, 2, 3, 4)
    } else {
        ahash::RandomState::new()
    }
}

impl Geometry {
    /// Bits 0..16 are the tag, 32..64 choose the set: of all sets, by one multiplication, since
    /// whatever reads the set waits for it. The shard follows.
    #[inline]
    pub(crate) fn place(self, hash: u64) -> Place {
        let scaled = |by: u64| (u128::from(hash) * u128::from(by)) >> 64;
        #[expect(clippy::cast_possible_truncation, reason = "the bits that each field is made of")]
        let (at, shard) = (scaled(self.total_sets()) as u32, scaled(u64::from(self.shards)) as u32);
        #[expect(clippy::cast_possible_truncation, reason = "as above")]
        let tag = hash as u16;
        Place { shard, set: at - shard * self.sets, at, tag }
    }

    /// Sets in all shards together.
    pub(crate) fn total_sets(self) -> u64 {
        u64::from(self.shards) * u64::from(self.sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_within_the_geometry() {
        let g = Geometry { shards: 8, sets: 1000 };
        for h in [0, 1, u64::MAX, 0xffff_ffff, 0xffff_ffff_0000_0000, 0x1234_5678_9abc_def0] {
            let p = g.place(h);
            assert!(p.shard < 8 && p.set < 1000, "{p:?}");
            assert_eq!(p.at, p.shard * 1000 + p.set);
        }
        assert_eq!(g.place(u64::MAX), Place { shard: 7, set: 999, at: 7999, tag: 0xffff });
    }

    #[test]
    fn all_sets_and_shards_are_used() {
        let g = Geometry { shards: 4, sets: 3 };
        let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let used: std::collections::HashSet<_> =
            (0..10_000u32).map(|i| g.place(state.hash_one(i))).map(|p| (p.shard, p.set)).collect();
        assert_eq!(used.len(), 12);
    }
}
