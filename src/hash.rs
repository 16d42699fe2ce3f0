//! From a key's hash to its place: shard, set and tag, from disjoint bits of one keyed hash.

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
    pub(crate) set: u32,
    pub(crate) tag: u16,
}

impl Geometry {
    /// Bits 0..16 are the tag, 16..32 choose the shard, 32..64 the set.
    pub(crate) fn place(self, hash: u64) -> Place {
        let scaled = (hash >> 32) * u64::from(self.sets);
        #[expect(clippy::cast_possible_truncation, reason = "the bits that each field is made of")]
        Place {
            shard: (hash >> 16) as u32 & 0xffff & (self.shards - 1),
            set: (scaled >> 32) as u32,
            tag: hash as u16,
        }
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
        }
        assert_eq!(g.place(u64::MAX), Place { shard: 7, set: 999, tag: 0xffff });
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
