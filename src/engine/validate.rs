//! Invariants as code. Call it when no operation is under way; tests do at their end.

use super::{Engine, Local};
use crate::entry::Object;
use crate::hash::Place;
use crate::table::ways::{MOST_LIVE, ways_in};
use std::rc::Rc;

#[derive(Default)]
struct Sum {
    live: u64,
    claimed: u64,
    weight: u64,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X>
where
    O::Key: Eq,
{
    /// Checks structure, limits and the law of removal; `place` hashes a key anew.
    ///
    /// # Panics
    /// If an invariant is broken, with its name.
    pub(crate) fn validate(&self, local: &Rc<Local>, place: impl Fn(&O::Key) -> Place) {
        let mut sum = Sum::default();
        for (number, shard) in self.table.shards() {
            for set in 0..self.table.geometry.sets {
                let pin = local.pin(self.time.now());
                let live = shard.load(set, pin.guard());
                let (claimed, live_now) = shard.set(set).occupancy();
                assert_eq!(live.count(), live_now, "the cache is not quiet");
                assert!(live.count() <= MOST_LIVE, "set {number}/{set}: {} live", live.count());
                sum.claimed += u64::from(claimed);
                sum.live += u64::from(live.count());
                if live.count() != 0 {
                    assert!(shard.summary.is_occupied(set), "set {number}/{set} is not marked");
                }
                let ways: Vec<_> = ways_in(live.mask()).collect();
                for (i, way) in ways.iter().enumerate() {
                    let entry = live.entry(*way);
                    let at = place(entry.key());
                    assert_eq!((at.shard, at.set), (number, set), "an entry in a foreign set");
                    let found = live.find(at.tag, |k| k == entry.key()).map(|f| f.0);
                    assert_eq!(found, Some(*way), "an entry that a look-up does not find");
                    assert!(
                        ways[..i].iter().all(|w| live.entry(*w).key() != entry.key()),
                        "a key is there twice"
                    );
                    let (due, deadline) = (shard.summary.due(set), entry.head().deadline);
                    assert!(due <= deadline, "the sweep would miss deadline {deadline}: due {due}");
                    sum.weight += u64::from(entry.weight());
                }
            }
        }
        self.validate_sums(&sum);
    }

    fn validate_sums(&self, sum: &Sum) {
        let stats = self.stats();
        assert_eq!(
            stats.inserts,
            sum.live + stats.removed_total() + self.unannounced(),
            "the law: inserted = live + removed: {stats:?}"
        );
        assert_eq!(stats.entries, sum.live + self.unannounced(), "entries gauge");
        let (free, free_bytes) = self.budget.free();
        let limit = i128::from(self.budget.limit().min(i64::MAX as u64));
        assert_eq!(i128::from(free) + i128::from(sum.live), limit, "units: free + live = limit");
        if let Some(free) = free_bytes {
            let limit = i128::from(self.budget.limit_bytes().min(i64::MAX as u64));
            assert_eq!(i128::from(free) + i128::from(sum.weight), limit, "bytes: free + live");
        }
        let away = stats.retired_entries + self.unannounced();
        assert!(sum.claimed >= sum.live + away, "ways: {} claimed, {away} away", sum.claimed);
        assert!(
            sum.claimed <= sum.live + stats.removed_total() + self.unannounced(),
            "a claimed way that nothing accounts for"
        );
    }

    /// Unlinked entries whose events were left to the delivery thread.
    fn unannounced(&self) -> u64 {
        self.blocks.undelivered()
    }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use crate::cache::BytesCache;
    use crate::stats::Counter;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// What the check says of a cache of one entry to which something was done.
    fn said(harm: impl FnOnce(&BytesCache)) -> String {
        let builder = BytesCache::builder().capacity(2).capacity_bytes(1_000).fewest_sets(1);
        let builder = builder.time_to_live(std::time::Duration::from_secs(60));
        let cache = builder.embedded();
        cache.insert(b"key", b"value").expect("room");
        cache.validate();
        harm(&cache);
        let panic = catch_unwind(AssertUnwindSafe(|| cache.validate())).expect_err("it bites");
        panic.downcast_ref::<String>().cloned().expect("a text of the check's")
    }

    #[test]
    fn whatever_is_wrong_is_found_and_named() {
        type Harm = fn(&BytesCache);
        let harms: [(Harm, &str); 5] = [
            (|cache| cache.core.table.shard(0).summary.clear_occupied(0), "is not marked"),
            (|cache| cache.core.table.shard(0).summary.clear_due(0), "would miss deadline"),
            (|cache| cache.core.budget.release(1, 0), "units: free + live"),
            (|cache| cache.core.budget.release(0, 1), "bytes: free + live"),
            (|cache| cache.core.local().block.add(Counter::Removed, 1), "the law"),
        ];
        for (harm, words) in harms {
            let said = said(harm);
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
