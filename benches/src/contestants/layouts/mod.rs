//! Two layouts of the table under one and the same engine: A, which ships, and B2, entries in
//! place, their addresses implied.
//!
//! *Stand-ins*: no part of the library, but of its costs whatever one thread meets. Each change is
//! one read-modify-write on the control word. Besides, an insert takes one for its way (A: and one
//! for its tag), in B2 one for its slot, and one for a unit below the limit; a take one for the
//! unit. What was unlinked is told about, and freed after a grace period of crossbeam-epoch, 64
//! ways at a time, as in the library, so as much waits for readers here as there; it is wiped then.
//! Memory is fetched ahead wherever the library does so; in B2 a slot that is about to be written,
//! too. All memory lies on huge pages and is touched at the start.
//!
//! They leave out what would make them slower: counters of operations, callbacks that panic, block,
//! re-enter or are replaced, keys and values of other lengths (in B2 a heap entry for what exceeds
//! the stride), a limit in bytes, handles and exact removals, closing, threads of their own,
//! delivery by another thread, shards, the search for a thread's own part in the cache at each
//! operation. So **what B2 loses here to the library, it loses;** and what it gains on A here,
//! entries in place bring, while what A gains on the library is what was left out.

mod a;
mod b2;
mod entry;
mod handle;
mod insert;
mod layout;
#[expect(unsafe_code, reason = "a mapping seen as lines, and hints to the processor")]
mod lines;
#[expect(unsafe_code, reason = "vector instructions")]
mod tags;
mod way;

pub use a::A;
pub use b2::B2;
pub use layout::Layout;

use super::{Contestant, Stalled};
use handle::Handle;
use layout::{Held, Magazine};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Batches of ways that are past their grace period.
type Ready = Arc<Mutex<Vec<Vec<Held>>>>;

/// A cache of a layout. Its listener reads the entry and counts, as ours do in the comparison.
pub struct StandIn<L> {
    table: L,
    hasher: ahash::RandomState,
    limit: u64,
    units: Units,
    collector: crossbeam_epoch::Collector,
    ready: Ready,
    /// Retired ways of handles that are gone, and entries that they had freed.
    parked: Mutex<(Vec<Held>, Magazine)>,
    listener: Box<dyn Fn(u64) + Send + Sync>,
    /// Nanoseconds; only the caller moves it.
    now: AtomicU64,
    ids: AtomicU64,
    refused: AtomicU64,
    retired: AtomicU64,
    recycled: AtomicU64,
}

/// Rights to one live entry each, on a line of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Units(AtomicU64);

impl Units {
    fn reserve(&self) -> bool {
        self.0.fetch_update(AcqRel, Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    fn release(&self) {
        self.0.fetch_add(1, Release);
    }

    fn free(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl<L: Layout> StandIn<L> {
    /// An empty cache that counts its removals.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let (events, read) = (AtomicU64::new(0), AtomicU64::new(0));
        Self::with_listener(limit, move |value| {
            count(&events);
            read.store(read.load(Relaxed).wrapping_add(value), Relaxed);
        })
    }

    fn with_listener(limit: u64, listener: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            table: L::new(limit),
            hasher: hasher(),
            limit,
            units: Units(AtomicU64::new(limit)),
            collector: crossbeam_epoch::Collector::new(),
            ready: Ready::default(),
            parked: Mutex::default(),
            listener: Box::new(listener),
            now: AtomicU64::new(1),
            ids: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            retired: AtomicU64::new(0),
            recycled: AtomicU64::new(0),
        }
    }

    /// Starts to fetch what an insert touches once it has what tells: the entry to be written, and,
    /// at the limit, the likely victim.
    #[inline]
    fn prefetch_next(&self, set: usize) {
        self.table.prefetch_new(set);
        if self.units.free() == 0 {
            self.table.prefetch_victim(set);
        }
    }
}

impl<L: Layout> Contestant for StandIn<L> {
    type Handle<'c> = Handle<'c, L>;
    fn handle(&self) -> Handle<'_, L> {
        Handle::new(self)
    }
    fn live(&self) -> Option<u64> {
        Some(self.limit - self.units.free())
    }
    fn retired(&self) -> Option<u64> {
        Some(self.retired.load(Relaxed) - self.recycled.load(Relaxed))
    }
    fn reader_that_stalls(&self) -> Option<Box<dyn Stalled + '_>> {
        let participant = self.collector.register();
        Some(Box::new((participant.pin(), participant)))
    }
    fn refused(&self) -> Option<u64> {
        Some(self.refused.load(Relaxed))
    }
}

/// Tests have the same sets each time.
fn hasher() -> ahash::RandomState {
    if cfg!(test) { ahash::RandomState::with_seeds(1, 2, 3, 4) } else { ahash::RandomState::new() }
}

/// Load and store, not an addition in one step: one thread changes the cache here.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestants::ours::{Bytes, Kept};
    use crate::contestants::{Lookups, Operations, TIMEOUT};
    use crate::keys::{Key, key, value, word};
    use std::collections::HashMap;

    fn answer(n: u64) -> u64 {
        word(&value(n))
    }

    /// What must hold after any operation, once nothing is under way.
    fn check<L: Layout>(cache: &StandIn<L>, events: u64, published: u64) {
        let live = cache.live().expect("it knows");
        let count = |set| u64::from(cache.table.ways(set).live().count_ones());
        let in_sets: u64 = (0..cache.table.sets()).map(count).sum();
        assert!(live <= cache.limit);
        assert_eq!(live, in_sets, "units and live bits");
        assert_eq!(cache.table.used(), live + cache.retired().expect("it knows"), "claims");
        assert_eq!(published, live + events, "each entry leaves with one event");
    }

    /// Random operations on some keys, beside a map; what is evicted is told by the listener.
    fn random_operations<L: Layout>(limit: u64, keys: u64) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = told.clone();
        let listener = move |word| hears.lock().unwrap().push(word);
        let cache = StandIn::<L>::with_listener(limit, listener);
        let mut handle = cache.handle();
        let (mut model, mut key_of) = (HashMap::<Key, u64>::new(), HashMap::<u64, Key>::new());
        let (mut random, mut published, mut events) = (fastrand::Rng::with_seed(limit), 0, 0);
        for n in 0..60_000u64 {
            let (k, other) = (key(random.u64(..keys)), key(random.u64(..keys)));
            match random.u8(..8) {
                0..4 => {
                    assert!(handle.insert(k, value(n)));
                    published += 1;
                    model.insert(k, answer(n));
                }
                4..6 if k != other => {
                    assert!(handle.insert_two([(k, value(n)), (other, value(!n))]));
                    published += 2;
                    model.extend([(k, answer(n)), (other, answer(!n))]);
                }
                6 => assert_eq!(handle.take(&k), model.get(&k).copied(), "take {n}"),
                _ => assert_eq!(handle.get(&k), model.get(&k).copied(), "get {n}"),
            }
            key_of.extend([(answer(n), k), (answer(!n), other)]);
            for word in told.lock().unwrap().drain(..) {
                events += 1;
                if model.get(&key_of[&word]) == Some(&word) {
                    model.remove(&key_of[&word]);
                }
            }
            assert_eq!(cache.live(), Some(model.len() as u64));
        }
        assert_eq!(cache.refused(), Some(0), "one thread's garbage is always to be had");
        check(&cache, events, published);
        for n in 0..keys {
            let expected = model.get(&key(n)).copied();
            assert_eq!(handle.get(&key(n)), expected);
            assert_eq!(handle.held().get(&key(n)), expected);
            let mut batch = Vec::new();
            handle.get_batch(&[key(n); 16], |found| batch.push(found));
            assert_eq!(batch, [expected; 16]);
        }
    }

    #[test]
    fn they_do_what_a_map_does_within_their_limits() {
        for (limit, keys) in [(1, 4), (7, 9), (300, 200), (300, 900), (4000, 8000)] {
            random_operations::<A>(limit, keys);
            random_operations::<B2>(limit, keys);
        }
    }

    fn inserts_at_the_limit<L: Layout>() {
        const LIMIT: u64 = 30_000;
        let cache = StandIn::<L>::new(LIMIT);
        let mut handle = cache.handle();
        for n in 0..8 * LIMIT {
            assert!(handle.insert(key(n), value(n)), "{}: {n}", L::NAME);
            assert!(cache.live() <= Some(LIMIT));
        }
        drop(handle);
        let live = cache.live().expect("it knows");
        // Sets that are full evict before the cache is.
        assert!(live > LIMIT - 10, "{live}");
        check(&cache, 8 * LIMIT - live, 8 * LIMIT);
    }

    #[test]
    fn at_the_limit_each_insert_evicts_one_and_none_is_refused() {
        inserts_at_the_limit::<A>();
        inserts_at_the_limit::<B2>();
    }

    /// Ways that wait for readers on average, while inserts evict.
    fn waiting(cache: &impl Contestant) -> u64 {
        let mut handle = cache.handle();
        let waiting = (0..30_000).map(|n| {
            handle.insert(key(n), value(n));
            if n < 20_000 { 0 } else { cache.retired().expect("it knows") }
        });
        waiting.sum::<u64>() / 10_000
    }

    #[test]
    fn as_much_waits_for_readers_as_with_ours() {
        let ours = waiting(&Bytes::new(10_000, Kept::ByCaller, true));
        let theirs = [waiting(&StandIn::<A>::new(10_000)), waiting(&StandIn::<B2>::new(10_000))];
        assert!(theirs.iter().all(|n| ours.abs_diff(*n) <= 16), "{ours}, {theirs:?}");
    }

    fn beside_a_stalled_reader<L: Layout>() {
        let cache = StandIn::<L>::new(200);
        let stalled = cache.reader_that_stalls();
        let mut handle = cache.handle();
        let stored = (0..10_000).filter(|n| handle.insert(key(n % 20), value(*n))).count() as u64;
        let refused = cache.refused().expect("it counts");
        assert_eq!(stored + refused, 10_000);
        assert!(refused > 9_000, "{refused}");
        assert!((0..20).all(|n| handle.get(&key(n)).is_some()));
        drop(stalled);
        assert!(handle.insert(key(3), value(3)), "the help of an insert is enough");
        drop(handle);
        let live = cache.live().expect("it knows");
        check(&cache, stored + 1 - live, stored + 1);
    }

    #[test]
    fn who_finds_no_room_since_a_reader_stalls_is_refused_and_changes_nothing() {
        beside_a_stalled_reader::<A>();
        beside_a_stalled_reader::<B2>();
    }

    fn time_passes<L: Layout>() {
        let cache = StandIn::<L>::new(1000);
        let mut handle = cache.handle();
        for n in 0..500 {
            handle.insert(key(n), value(n));
        }
        // Hits, so that only their deadlines make them go first.
        assert!((0..500).all(|n| handle.get(&key(n)).is_some()));
        handle.time_passes(TIMEOUT / 2);
        for n in 500..900 {
            handle.insert(key(n), value(n));
        }
        assert_eq!(cache.live(), Some(900));
        // Less than a second since the last sweep: nothing is swept, and nothing found.
        cache.now.fetch_add(nanos(TIMEOUT / 2), Relaxed);
        assert!((0..500).all(|n| handle.get(&key(n)).is_none() && handle.take(&key(n)).is_none()));
        assert_eq!(cache.live(), Some(900));
        for n in 900..1100 {
            handle.insert(key(n), value(n));
        }
        let lost = (500..1100).filter(|n| handle.get(&key(*n)).is_none()).count() as u64;
        assert!(lost < 30, "{lost}: only sets with none that has expired evict others");
        handle.time_passes(Duration::from_secs(1));
        assert_eq!(cache.live(), Some(600 - lost));
        drop(handle);
        check(&cache, 500 + lost, 1100);
    }

    #[test]
    fn what_has_expired_is_not_found_is_swept_and_goes_first() {
        time_passes::<A>();
        time_passes::<B2>();
    }

    fn frees_all<L: Layout>() {
        let cache = StandIn::<L>::new(100);
        let mut handle = cache.handle();
        for n in 0..1000 {
            handle.insert(key(n), value(n));
        }
        for n in 0..1000 {
            handle.take(&key(n));
        }
        // As many rounds as a grace period lasts.
        (0..4).for_each(|_| handle.free_all());
        assert_eq!((cache.live(), cache.retired(), cache.table.used()), (Some(0), Some(0), 0));
        assert!(cache.table.entries().are_wiped());
    }

    #[test]
    fn an_entry_that_is_freed_is_wiped() {
        frees_all::<A>();
        frees_all::<B2>();
    }
}
