//! Who goes when there is no room.
//!
//! A set of a large cache holds seven entries on average: the victim comes from the insert's own
//! set, expired first, else by [`policy`]. Sets that hold little would stay small that way, and
//! those of a small cache are no sample of anything; both are spared, and the victim comes from
//! elsewhere: of a few occupied sets, starting anywhere, the one whose own victim is oldest.
//!
//! # Progress
//!
//! Lock-free: a set is tried again only if another operation has unlinked its victim.

use super::{Engine, Local};
use crate::entry::{EntryRef, Object};
use crate::policy;
use crate::reclaim::Guard;
use crate::removal::RemovalCause;
use crate::table::Shard;
use crate::table::away::{Away, Unlinked};
use crate::table::set::Live;
use crate::table::ways::{bit, ways_in};
use std::rc::Rc;

/// With fewer entries a set on average, every victim is chosen among sampled sets.
const FEW: u64 = 4;
/// Sets that are sampled in a cache of few entries; one is enough elsewhere.
const SAMPLES: u32 = 5;

/// Which of two victims goes first: the smaller one. Ids grow with age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Expired,
    NotVisited { id: u64 },
    Visited { id: u64 },
}

/// A victim that was chosen: its set, its way, and the id of its entry.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    shard: u32,
    set: u32,
    way: u32,
    id: u64,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X>
where
    O::Key: Eq,
{
    /// Whether sets hold so little, when the cache is full, that none is a sample of anything.
    fn is_sparse(&self) -> bool {
        self.budget.limit() < FEW * self.table.geometry.total_sets()
    }

    /// Whether a set with `count` entries should not give the victim, if others can: it holds less
    /// than half of its share.
    pub(super) fn should_spare(&self, count: u32) -> bool {
        let held = u64::from(count) * 2 * self.table.geometry.total_sets();
        self.is_sparse() || held < self.budget.limit()
    }

    /// A victim of the set: one that expired, else by the policy; not one of `spared`.
    pub(super) fn victim<'g>(
        shard: Shard<'_, O>,
        set: u32,
        live: &Live<'g, O>,
        spared: u64,
        now: u64,
    ) -> Option<(u32, EntryRef<'g, O>)> {
        let candidates = live.mask() & !spared;
        if shard.summary.is_due(set, now) {
            let expired = ways_in(candidates).find(|w| live.entry(*w).head().expired(now));
            if let Some(way) = expired {
                return Some((way, live.entry(way)));
            }
        }
        let (way, passed) = policy::victim(candidates, live.hints())?;
        if passed != 0 {
            live.pass_over(passed);
        }
        Some((way, live.entry(way)))
    }

    /// Unlinks a victim of any set but the spared one, starting anywhere; `None` if there is none.
    pub(crate) fn evict_elsewhere(
        &self,
        local: &Rc<Local>,
        spared: Option<(u32, u32)>,
        now: u64,
        anywhere: u64,
    ) -> Option<(Away, RemovalCause)> {
        // Again only if the chosen set was emptied meanwhile, so somebody else made progress.
        while let Some(chosen) = self.sample(local, spared, now, anywhere) {
            let shard = self.table.shard(chosen.shard);
            if let Some((unlinked, cause)) = self.evict_from(local, shard, chosen, now) {
                return Some((Away::new(shard.number(chosen.set), unlinked), cause));
            }
        }
        None
    }

    /// Of the first occupied sets from `anywhere` on, the one whose victim goes first.
    fn sample(
        &self,
        local: &Rc<Local>,
        spared: Option<(u32, u32)>,
        now: u64,
        anywhere: u64,
    ) -> Option<Chosen> {
        let start = self.table.geometry.place(anywhere);
        let shards = self.table.geometry.shards;
        let mut left = if self.is_sparse() { SAMPLES } else { 1 };
        let mut best: Option<(Rank, Chosen)> = None;
        let pin = local.pin(now);
        for number in (start.shard..shards).chain(0..start.shard) {
            let shard = self.table.shard(number);
            let sets = shard.summary.occupied_from(start.set);
            for set in sets.filter(|set| spared != Some((number, *set))) {
                let Some((rank, way, id)) = Self::rank(shard, set, pin.guard(), now) else {
                    continue;
                };
                if best.is_none_or(|(first, _)| rank < first) {
                    best = Some((rank, Chosen { shard: number, set, way, id }));
                }
                left -= 1;
                if left == 0 {
                    return best.map(|(_, chosen)| chosen);
                }
            }
        }
        best.map(|(_, chosen)| chosen)
    }

    /// The set's own victim, with its rank, way and id; `None`, and the set is marked so, if it is
    /// empty.
    fn rank(shard: Shard<'_, O>, set: u32, guard: &Guard, now: u64) -> Option<(Rank, u32, u64)> {
        let live = shard.load(set, guard);
        // Read before the choice, which may forget it.
        let visited = live.hints().visited;
        let Some((way, entry)) = Self::victim(shard, set, &live, 0, now) else {
            shard.tidy_occupied(set, guard);
            return None;
        };
        let (head, id) = (entry.head(), entry.head().id);
        let rank = match visited & bit(way) {
            _ if head.expired(now) => Rank::Expired,
            0 => Rank::NotVisited { id },
            _ => Rank::Visited { id },
        };
        Some((rank, way, id))
    }

    /// Unlinks the victim that was chosen, or, if that is gone, another one of its set; `None` if
    /// that is empty.
    fn evict_from(
        &self,
        local: &Rc<Local>,
        shard: Shard<'_, O>,
        chosen: Chosen,
        now: u64,
    ) -> Option<(Unlinked, RemovalCause)> {
        loop {
            let pin = local.pin(now);
            let live = shard.load(chosen.set, pin.guard());
            // Not chosen again: the older ones that were hit have been passed over by now, and
            // would be next.
            let entry = (live.mask() & bit(chosen.way) != 0).then(|| live.entry(chosen.way));
            let (way, entry) = match entry.filter(|entry| entry.head().id == chosen.id) {
                Some(entry) => (chosen.way, entry),
                None => Self::victim(shard, chosen.set, &live, 0, now)?,
            };
            let cause = cause_of(entry, now, RemovalCause::Evicted);
            if let Some(unlinked) = live.unlink(bit(way)).next() {
                return Some((unlinked, cause));
            }
        }
    }
}

/// Expired, if it is; else the cause that is given.
pub(super) fn cause_of<O: Object>(
    entry: EntryRef<'_, O>,
    now: u64,
    cause: RemovalCause,
) -> RemovalCause {
    if entry.head().expired(now) { RemovalCause::Expired } else { cause }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use crate::cache::BytesCache;

    #[test]
    fn who_meets_an_empty_set_takes_its_mark_back_so_that_nobody_looks_there_again() {
        let cache = BytesCache::builder().capacity(2).embedded();
        for key in 0..100u8 {
            cache.insert(&[key], b"value").expect("room");
            assert!(cache.remove(&[key][..]));
        }
        let (engine, local) = (&cache.core, cache.core.local());
        let marked = || engine.table.shard(0).summary.occupied_from(0).count();
        assert!(marked() > 2);
        assert!(engine.evict_elsewhere(&local, None, engine.time.now(), 0).is_none());
        assert_eq!(marked(), 0);
    }

    #[test]
    fn who_finds_nothing_elsewhere_looks_at_its_own_set() {
        let cache = BytesCache::builder().capacity(1).fewest_sets(1).embedded();
        cache.insert(b"old", b"value").expect("room");
        // As while that insert has published, and has not marked its set.
        cache.core.table.shard(0).summary.clear_occupied(0);
        cache.insert(b"new", b"value").expect("room");
        assert!(cache.get(&b"new"[..]).is_some() && cache.len() == 1);
    }
}
