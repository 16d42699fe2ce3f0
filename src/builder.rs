//! Settings: collected by the builder, checked once, all bad ones told together.

use crate::cache::handles::Handles;
use crate::cache::{Cache, Extra, Removal, Stored, Weigher};
use crate::clock::{Clock, NEVER, SystemClock, ticks_up};
use crate::engine::{Delivery, Engine, Listener, Settings};
use crate::entry::ADDRESS_BITS;
use crate::error::{BadSetting, ConfigError};
use crate::hash::Geometry;
use crate::maintenance::{Process, Threads};
use crate::once::Flights;
use crate::table::away::MOST_SETS;
use crate::table::ways::WAYS;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

/// Ways for each entry: at this load a set that is full while the cache is not is rare.
const WAYS_PER_ENTRY: u64 = 2;
/// Fewer sets than this make refusals likely when threads are preempted while pinned.
const FEWEST_SETS: u64 = if cfg!(any(halfshake_loom, halfshake_shuttle)) { 1 } else { 256 };
const MOST_SHARDS: usize = 1024;
/// What can be numbered in any number of shards, each of which has the same number of sets.
const MOST_ENTRIES: u64 = (MOST_SETS - MOST_SHARDS as u64) * WAYS as u64 / WAYS_PER_ENTRY;
/// From so many entries on, some megabytes, small entries lie in memory of the cache's own.
const LARGE: u64 = 16_384;
const DEFAULT_SWEEP: Duration = Duration::from_secs(1);

/// Who advances time and epochs, and sweeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maintenance {
    /// A thread of the cache's own, and one that delivers the events of what it expires. All
    /// operations then read a time that this thread advances about every 4 ms (later, if the
    /// machine is busy): an entry may expire that much before or after its timeout by another
    /// clock. Threads do not survive a `fork`: build the cache after it, or take
    /// [`Lazy`](Self::Lazy).
    #[default]
    Thread,
    /// The same threads, started by the first insert, in the process that inserts: for a cache that
    /// is built before a `fork` (a master process that reads the configuration) and used after it,
    /// in each child for itself. Operations read the clock themselves, and an insert asks the
    /// system for the number of its process. If the system has no thread to give, the next insert
    /// tries again; until then nothing sweeps.
    ///
    /// The parent must have used neither this cache nor have had threads that did when it forked.
    /// Else the child can but drop the cache, which tells and waits for nothing then.
    Lazy,
    /// The embedder, through [`Cache::run_maintenance`]. Operations then read the clock
    /// themselves.
    Embedder,
}

/// Collects settings; [`build`](Self::build) checks them all.
#[must_use = "nothing is built before `build`"]
pub struct Builder<K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    hasher: S,
    capacity: u64,
    max_capacity: Option<u64>,
    capacity_bytes: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    time_to_live: Option<Duration>,
    sweep_interval: Duration,
    listener: Option<Listener<K::Object, Extra<K, V, S>>>,
    clock: Option<Arc<dyn Clock>>,
    maintenance: Maintenance,
    delivery: Delivery,
    shards: Option<usize>,
    fewest_sets: u64,
    preallocated: u64,
}

impl<K, V, S> std::fmt::Debug for Builder<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl<K: ?Sized + Stored<V>, V: ?Sized + 'static> Cache<K, V> {
    /// Settings for a new cache.
    pub fn builder() -> Builder<K, V> {
        Builder::new(ahash::RandomState::new())
    }
}

impl<K, V, S> Cache<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    /// Settings for a new cache that hashes with `hasher`.
    ///
    /// Where keys come from outside, the hasher must be keyed, or the keys of a few sets can be
    /// chosen: the default one is.
    pub fn builder_with_hasher(hasher: S) -> Builder<K, V, S> {
        Builder::new(hasher)
    }
}

impl<K, V, S> Builder<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    fn new(hasher: S) -> Self {
        Self {
            hasher,
            capacity: 0,
            max_capacity: None,
            capacity_bytes: None,
            weigher: None,
            time_to_live: None,
            sweep_interval: DEFAULT_SWEEP,
            listener: None,
            clock: None,
            maintenance: Maintenance::default(),
            delivery: Delivery::default(),
            shards: None,
            fewest_sets: FEWEST_SETS,
            preallocated: 0,
        }
    }

    /// The most entries that the cache ever holds. Required.
    pub fn capacity(self, entries: u64) -> Self {
        Self { capacity: entries, ..self }
    }

    /// What [`Cache::set_capacity`] may raise the limit to; the table is allocated for it. By
    /// default the capacity.
    pub fn max_capacity(self, entries: u64) -> Self {
        Self { max_capacity: Some(entries), ..self }
    }

    /// The most that live entries may weigh together. Without it weights are only counted.
    ///
    /// With it, retired entries (removed, but still read by somebody) may weigh as much again:
    /// above that, inserts are refused with `NoRoom`.
    pub fn capacity_bytes(self, bytes: u64) -> Self {
        Self { capacity_bytes: Some(bytes), ..self }
    }

    /// What an entry weighs, in bytes. By default its allocation: of a bytes cache key, value and
    /// [`Cache::OVERHEAD`]; else without what key and value point to.
    pub fn weigher(self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        Self { weigher: Some(Box::new(weigher)), ..self }
    }

    /// After how long an entry expires, unless it brings a timeout of its own. Rounded up to a
    /// millisecond, and exact in the time of the cache's clock ([`Cache::now`]), which advances in
    /// steps where a maintenance thread ticks it: see [`Maintenance::Thread`]. By default never; 0
    /// means that nothing is stored.
    pub fn time_to_live(self, timeout: Duration) -> Self {
        Self { time_to_live: Some(timeout), ..self }
    }

    /// How long after its deadline the `Expired` event of an entry is delivered at the latest, if
    /// the machine keeps up. (It is never *returned* after its deadline.) By default a second.
    pub fn sweep_interval(self, interval: Duration) -> Self {
        Self { sweep_interval: interval, ..self }
    }

    /// The removal listener: see [`Removal`].
    pub fn removal_listener<F>(self, listener: F) -> Self
    where
        K: Hash + Eq,
        S: BuildHasher,
        F: Fn(&Removal<'_, K, V, S>) + Send + Sync + 'static,
    {
        Self { listener: Some(Cache::listener(listener)), ..self }
    }

    /// The clock; by default the system's. Another one is read by each operation.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Who advances time and epochs, and sweeps. By default a thread.
    pub fn maintenance(self, maintenance: Maintenance) -> Self {
        Self { maintenance, ..self }
    }

    /// On which thread events are delivered. By default the caller's.
    pub fn delivery(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// The number of shards, a power of two up to 1,024. By default by the number of processors.
    pub fn shards(self, shards: usize) -> Self {
        Self { shards: Some(shards), ..self }
    }

    /// Smaller tables than anybody should have: for tests in which keys have to share sets.
    #[cfg(any(test, feature = "validate"))]
    #[doc(hidden)]
    pub fn fewest_sets(self, fewest_sets: u64) -> Self {
        Self { fewest_sets, ..self }
    }

    /// Memory for entries that is there from the beginning, in bytes: mapped when the cache is
    /// built, on huge pages where the system has them, and touched. By default 0: memory is mapped
    /// as it is needed.
    ///
    /// An insert then never waits for the system, and look-ups meet huge pages throughout; without
    /// it both hold only as far as maintenance ([`Cache::run_maintenance`], or the cache's thread)
    /// comes by before more memory is needed, and where the system gives huge pages only to those
    /// who ask for them.
    ///
    /// An entry takes its key, its value and a header of 24 bytes, rounded up to whole lines of 64
    /// bytes. (Those of more than 1,024 bytes are always the allocator's.) What was removed and is
    /// not yet free comes on top: some percent.
    ///
    /// Caches of less than 16,384 entries have such memory only if it is asked for here.
    pub fn preallocate(self, bytes: u64) -> Self {
        Self { preallocated: bytes, ..self }
    }

    fn geometry(&self, max: u64) -> Geometry {
        let sets =
            (max.saturating_mul(WAYS_PER_ENTRY)).div_ceil(u64::from(WAYS)).max(self.fewest_sets);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = self.shards.unwrap_or_else(|| {
            let wanted = (processors * 2).next_power_of_two().min(MOST_SHARDS);
            let most = usize::try_from(sets / FEWEST_SETS).unwrap_or(usize::MAX).max(1);
            wanted.min(1 << most.ilog2())
        });
        // A wrong number is told as such, not also as a wrong capacity.
        let shards = u32::try_from(shards).unwrap_or(1).max(1);
        let sets = sets.div_ceil(u64::from(shards));
        Geometry { shards, sets: u32::try_from(sets).unwrap_or(u32::MAX) }
    }

    fn check(&self, max: u64) -> Result<Geometry, ConfigError> {
        let mut bad = Vec::new();
        if self.capacity == 0 {
            bad.push(BadSetting::NoCapacity);
        }
        if max < self.capacity {
            bad.push(BadSetting::MaxBelowCapacity { max, capacity: self.capacity });
        }
        if self.capacity_bytes == Some(0) {
            bad.push(BadSetting::NoBytes);
        }
        if let Some(shards) = self.shards
            && (!shards.is_power_of_two() || shards > MOST_SHARDS)
        {
            bad.push(BadSetting::Shards { shards });
        }
        if self.sweep_interval < Duration::from_millis(1) {
            bad.push(BadSetting::SweepInterval);
        }
        let probe = Box::new(0u64);
        if (&raw const *probe).addr() >> ADDRESS_BITS != 0 {
            bad.push(BadSetting::AddressSpace);
        }
        let geometry = self.geometry(max);
        if !geometry.is_indexable() {
            bad.push(BadSetting::CapacityTooLarge { entries: max, most: MOST_ENTRIES });
        }
        if bad.is_empty() { Ok(geometry) } else { Err(ConfigError::new(bad)) }
    }

    /// Allocates the cache, and starts its threads if it has any.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad setting.
    pub fn build(self) -> Result<Cache<K, V, S>, ConfigError>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        let most_entries = self.max_capacity.unwrap_or(self.capacity);
        let geometry = self.check(most_entries)?;
        let threads = self.maintenance == Maintenance::Thread;
        let lazy = self.maintenance == Maintenance::Lazy;
        let has_own = (most_entries >= LARGE || self.preallocated != 0) && !cfg!(halfshake_loom);
        let settings = Settings {
            geometry,
            entries: self.capacity,
            bytes: self.capacity_bytes.unwrap_or(crate::budget::UNLIMITED),
            ticked: threads && self.clock.is_none(),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            delivery: self.delivery,
            sweep_interval: self.sweep_interval,
            own_memory: has_own.then_some(self.preallocated),
        };
        let extra = Extra {
            hasher: self.hasher,
            weigher: self.weigher,
            timeout: self.time_to_live.map_or(NEVER, ticks_up),
            most_entries,
            handles: Handles::new(),
            flights: Flights::default(),
            threads: Threads::default(),
            process: Process::new(lazy),
        };
        // From here on the handle's drop ends what was begun.
        let engine = Engine::new(settings, extra);
        let cache = Cache::from_core(engine.map_err(|bytes| BadSetting::Memory { bytes })?);
        cache.core.set_listener(self.listener);
        let deliverer = threads || (self.delivery == Delivery::Thread && !lazy);
        crate::maintenance::start(&cache.core, &cache.core.extra.threads, threads, deliverer)?;
        Ok(cache)
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use crate::cache::BytesCache;

    impl Builder<[u8], [u8]> {
        /// A cache without threads of its own, as most of the library's own tests want it.
        pub(crate) fn embedded(self) -> BytesCache {
            self.maintenance(Maintenance::Embedder).build().expect("good settings")
        }
    }

    fn built(capacity: u64) -> BytesCache {
        BytesCache::builder().capacity(capacity).embedded()
    }

    #[test]
    fn shards_are_twice_the_processors_and_fewer_in_small_caches() {
        let shards = |capacity| built(capacity).core.table.geometry.shards as usize;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(shards(1 << 20), (2 * processors).next_power_of_two().min(MOST_SHARDS));
        assert_eq!(shards(1), 1);
    }

    #[test]
    fn the_most_entries_are_those_whose_sets_have_numbers_in_any_number_of_shards() {
        for shards in [1, 2, MOST_SHARDS] {
            let builder = crate::Cache::<u64, u64>::builder().shards(shards);
            let sets = |entries| builder.geometry(entries).total_sets();
            assert!(sets(MOST_ENTRIES) <= MOST_SETS, "{shards} shards");
            assert!(sets(MOST_ENTRIES) >= MOST_SETS - MOST_SHARDS as u64, "and hardly fewer");
        }
    }

    #[test]
    fn a_sweep_takes_a_millisecond_at_least() {
        let builder = |interval| BytesCache::builder().capacity(1).sweep_interval(interval);
        assert!(builder(Duration::from_millis(1)).build().is_ok());
        assert!(builder(Duration::from_micros(999)).build().is_err());
    }

    #[test]
    fn small_caches_have_memory_of_their_own_only_if_asked() {
        assert!(built(LARGE - 1).core.slab.shared().is_none());
        assert!(built(LARGE).core.slab.shared().is_some());
        let asked = BytesCache::builder().capacity(1).preallocate(1).build().unwrap();
        assert!(asked.core.slab.shared().is_some());
    }
}
