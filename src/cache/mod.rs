//! The public cache: a handle to an engine, for keys and values of any type or for bytes.

mod bytes;
pub(crate) mod handles;
mod pair;
mod refs;

pub use bytes::BytesCache;
pub use refs::{Batch, Handle, Iter, PinnedRef, Removal, Taken};

use crate::engine::{Engine, Held, HeldMany, Listener, Local, Met, Mode, Owed, Put};
use crate::entry::{Object, Owned, Pair, Record};
use crate::error::{BadSetting, ConfigError};
use crate::hash::Place;
use crate::maintenance::{Process, Threads};
use crate::once::Flights;
use crate::panics::discard;
use crate::removal::RemovalCause;
use crate::stats::Stats;
use equivalent::Equivalent;
use handles::Handles;
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What can be a key of values `V`: any sized type, and `[u8]` for values of `[u8]`.
///
/// Sealed: there is nothing to implement.
pub trait Stored<V: ?Sized>: 'static {
    /// The shape of an entry.
    #[doc(hidden)]
    type Object: Object<Key = Self, Value = V>;
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Stored<V> for K {
    type Object = Pair<K, V>;
}

impl Stored<[u8]> for [u8] {
    type Object = Record;
}

/// Entries of `insert_many` that are on their way at a time: more would push one another out, and
/// all of them be allocated before the first is stored.
const STAGE: usize = 8;

/// What an entry weighs, as the user says.
pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// What a cache keeps beside its engine.
pub(crate) struct Extra<K: ?Sized, V: ?Sized, S> {
    pub(crate) hasher: S,
    pub(crate) weigher: Option<Weigher<K, V>>,
    /// The timeout of entries that bring none, in ticks.
    pub(crate) timeout: u64,
    pub(crate) most_entries: u64,
    pub(crate) handles: Handles,
    pub(crate) flights: Flights,
    pub(crate) threads: Threads,
    pub(crate) process: Process,
}

pub(crate) type Core<K, V, S> = Engine<<K as Stored<V>>::Object, Extra<K, V, S>>;

/// A concurrent cache with timeouts, a limit, and one removal event for each entry.
///
/// A handle: clones share the cache, and the last one dropped shuts it down. Every operation may be
/// called from any thread, also from a removal listener; none takes a lock, but for
/// [`get_or_insert_with`](Cache::get_or_insert_with), and for
/// [`set_capacity`](Cache::set_capacity), whose calls wait for one another.
///
/// [`BytesCache`](crate::BytesCache) is the shape for keys and values of bytes.
///
/// ```
/// use halfshake::Cache;
/// use std::time::Duration;
///
/// let cache = Cache::<u64, String>::builder()
///     .capacity(1_000)
///     .time_to_live(Duration::from_secs(300))
///     .build()?;
/// cache.insert(1, "one".to_owned())?;
/// assert_eq!(*cache.get(&1).expect("stored"), "one");
/// assert_eq!(*cache.take(&1).expect("stored"), "one");
/// assert!(cache.get(&1).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cache<K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    pub(crate) core: Arc<Core<K, V, S>>,
}

impl<K, V, S> Cache<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    /// A counted handle.
    pub(crate) fn from_core(core: Arc<Core<K, V, S>>) -> Self {
        core.extra.handles.come();
        Self { core }
    }

    /// Entries whose removal event is not delivered yet: the live ones, unless the cache is busy.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.core.stats().entries
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The limit of entries now.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.core.budget.limit()
    }

    /// The most that [`set_capacity`](Self::set_capacity) may raise the limit to.
    #[must_use]
    pub fn max_capacity(&self) -> u64 {
        self.core.extra.most_entries
    }

    /// All counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The time of the cache's clock, to its tick of a millisecond.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.core.time.now())
    }

    /// Whether a removal listener is set.
    #[must_use]
    pub fn has_removal_listener(&self) -> bool {
        self.core.has_listener()
    }
}

impl<K, V, S> Cache<K, V, S>
where
    K: ?Sized + Stored<V> + Hash + Eq,
    V: ?Sized + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    pub(crate) fn place<Q: ?Sized + Hash>(&self, key: &Q) -> Place {
        self.core.table.geometry.place(self.core.extra.hasher.hash_one(key))
    }

    /// The place of a key, the thread's membership, and the time: what every operation begins with.
    #[inline(always)]
    pub(crate) fn begin<Q: ?Sized + Hash>(&self, key: &Q) -> (Place, Rc<Local>, u64) {
        (self.place(key), self.core.local(), self.core.time.now())
    }

    /// The thread's membership, for an operation that inserts.
    pub(crate) fn local_to_insert(&self) -> Rc<Local> {
        let Extra { process, threads, .. } = &self.core.extra;
        process.enter(|| crate::maintenance::start(&self.core, threads, true, true));
        self.core.local()
    }

    /// Makes an entry and inserts it. The set is fetched while the entry is made, and the likely
    /// victim while the insert begins.
    fn put_made<E>(
        &self,
        place: Place,
        timeout: u64,
        mode: Mode,
        make: impl FnOnce(&Local, u64) -> Result<Owned<K::Object>, E>,
        before_events: impl FnOnce(),
    ) -> Result<Put<K::Object>, E> {
        let (core, table) = (&self.core, &self.core.table);
        table.shard(place.shard).prefetch(place.set);
        let (local, now) = (self.local_to_insert(), core.time.now());
        let entry = make(&local, now.saturating_add(timeout))?;
        table.set(place).prefetch_victim();
        let mut owed = Owed::new(core, &local);
        let put = core.put(&local, place, entry, mode, now, &mut owed);
        before_events();
        owed.settle();
        Ok(put)
    }

    /// Looks a key up. The answer keeps the entry readable, whatever happens to it in the cache,
    /// and the calling thread pinned: drop it before blocking or writing much.
    ///
    /// Wait-free, but for every 128th pin of a thread, which takes the collector's turn: bounded
    /// work, without user code. A thread that looks up in a loop is better served by a
    /// [`Reader`](crate::Reader), whose look-ups never do.
    #[inline(always)]
    pub fn get<Q>(&self, key: &Q) -> Option<PinnedRef<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let (place, local, now) = self.begin(key);
        let pin = local.pin(now);
        let core = &*self.core;
        let found = Held::find(pin, |guard, _| {
            core.lookup(place, guard, &local, now, |k| key.equivalent(k)).ok()
        });
        found.map(|(held, way)| PinnedRef::new(held, (place.at, way)))
    }

    /// Looks many keys up at once: their cache misses overlap. Wait-free.
    ///
    /// The answer pins the calling thread, as [`get`](Self::get)'s does.
    pub fn get_many<Q>(&self, keys: &[&Q]) -> Batch<'_, K, V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let places: Vec<_> = keys.iter().map(|k| self.place(*k)).collect();
        let (local, now) = (self.core.local(), self.core.time.now());
        let core = &*self.core;
        Batch::new(HeldMany::find(local.pin(now), |guard, _| {
            let mut all = Vec::with_capacity(keys.len());
            let is_key = |i: usize, k: &K| keys[i].equivalent(k);
            core.lookup_many(&places, guard, &local, now, is_key, |e| all.push(e));
            all
        }))
    }

    /// Whether a key has a live entry. Not counted, and no hit for the choice of victims.
    /// Wait-free.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let (place, local, now) = self.begin(key);
        self.core.contains(place, &local, now, |k| key.equivalent(k))
    }

    /// Starts to fetch what a look-up or an insert of this key will touch first. A hint.
    pub fn prefetch<Q>(&self, key: &Q)
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.core.table.set(self.place(key)).prefetch();
    }

    /// Takes an entry out: of any number of concurrent takers exactly one gets it.
    ///
    /// The removal event (`Taken`) is delivered before this returns. The memory goes back to the
    /// collector when the answer is dropped. Lock-free: retried only if the key was replaced
    /// meanwhile.
    ///
    /// # Panics
    /// If the removal listener panics: the entry is taken and lost then.
    pub fn take<Q>(&self, key: &Q) -> Option<Taken<'_, K, V, S>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let (place, local, now) = self.begin(key);
        let at = self.core.take(&local, place, now, |k| key.equivalent(k))?;
        Some(Taken::new(&self.core, at))
    }

    /// Removes an entry; whether there was a live one. One that has expired leaves as such, if it
    /// has not yet. Lock-free, as [`take`](Self::take).
    ///
    /// # Panics
    /// If the removal listener panics; the entry is removed then, too.
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.remove_because(key, RemovalCause::Removed) == Met::Live
    }

    pub(crate) fn remove_because<Q>(&self, key: &Q, cause: RemovalCause) -> Met
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let (place, local, now) = self.begin(key);
        self.core.remove(&local, place, now, cause, |k| key.equivalent(k))
    }

    /// Removes that very entry, if it is still there: not one that has taken its key since.
    /// Whether it lived: see [`remove`](Self::remove). Wait-free.
    ///
    /// # Panics
    /// If the removal listener panics; the entry is removed then, too.
    pub fn remove_exact(&self, handle: &Handle) -> bool {
        self.remove_exact_because(handle, RemovalCause::Removed) == Met::Live
    }

    pub(crate) fn remove_exact_because(&self, handle: &Handle, cause: RemovalCause) -> Met {
        // A handle of another cache: ids are unique in the process, but places are not.
        if u64::from(handle.0.set) >= self.core.table.geometry.total_sets() {
            return Met::Nothing;
        }
        let (local, now) = (self.core.local(), self.core.time.now());
        self.core.remove_exact(&local, handle.0, now, cause)
    }

    /// Visits the entries that are live when the walk comes by: an entry that stays for the whole
    /// walk is met once, one that is replaced meanwhile may be missed or met twice.
    ///
    /// Each item pins the calling thread.
    pub fn iter(&self) -> Iter<'_, K, V, S> {
        Iter::new(self)
    }

    /// Removes the entries that the predicate rejects.
    ///
    /// Atomic for each set of at most 15 entries, unless another thread removes or replaces what
    /// was rejected there: then the predicate is asked about that set again. It runs while the
    /// thread is pinned: it must not block.
    ///
    /// # Panics
    /// If the predicate or the removal listener does. What was removed by then stays removed, and
    /// its events are delivered.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        let local = self.core.local();
        let now = self.core.time.now();
        self.core.remove_where(&local, |entry| {
            if entry.head().expired(now) {
                return Some(RemovalCause::Expired);
            }
            let keeps = crate::holding::excused(|| keep(entry.key(), entry.value()));
            (!keeps).then_some(RemovalCause::Removed)
        });
    }

    /// Removes what is `doomed`, as flushed or, if it has expired, as expired; how many entries.
    pub(crate) fn flush_where(&self, mut doomed: impl FnMut(&K, &V) -> bool) -> u64 {
        let local = self.core.local();
        let now = self.core.time.now();
        self.core.remove_where(&local, |entry| {
            let expired = entry.head().expired(now);
            let cause = if expired { RemovalCause::Expired } else { RemovalCause::Flushed };
            doomed(entry.key(), entry.value()).then_some(cause)
        })
    }

    /// Removes everything, set by set. What is inserted meanwhile may stay.
    ///
    /// # Panics
    /// If the removal listener does; everything is removed then, too.
    pub fn clear(&self) {
        self.core.clear(&self.core.local());
    }

    /// Removes what will have expired at `now` (of the cache's clock, see [`now`](Self::now)); what
    /// has expired already goes in any case. The answer is how many entries went.
    ///
    /// # Panics
    /// If the removal listener does; everything due is removed then, too.
    pub fn flush(&self, now: Duration) -> u64 {
        self.core.flush(&self.core.local(), crate::clock::ticks_down(now))
    }

    /// Changes the limit of entries, down or up to [`max_capacity`](Self::max_capacity). In force
    /// at once; what is above it is evicted before this returns, but for what inserts under way
    /// hold, and what other threads are evicting for the same reason ([`Resize::pending`]): that
    /// follows. Calls change the limit one after the other, under a lock that nothing else takes,
    /// and that no callback runs under.
    ///
    /// # Errors
    /// If the limit is 0 or above the maximum; nothing has changed then.
    ///
    /// # Panics
    /// If the removal listener does; the limit is in force then, too.
    pub fn set_capacity(&self, entries: u64) -> Result<Resize, ConfigError> {
        let max = self.max_capacity();
        if entries == 0 {
            return Err(BadSetting::NoCapacity.into());
        }
        if entries > max {
            return Err(BadSetting::MaxBelowCapacity { max, capacity: entries }.into());
        }
        let (pending, panic) = self.core.set_limit(&self.core.local(), entries);
        panic.map_or(Ok(Resize { pending }), |p| std::panic::resume_unwind(p))
    }

    /// Sets, replaces or clears the removal listener, while others work. An operation under way
    /// uses the one that it saw; no listener is freed while it runs.
    pub fn set_removal_listener<F>(&self, listener: Option<F>)
    where
        F: Fn(&Removal<'_, K, V, S>) + Send + Sync + 'static,
    {
        self.core.set_listener(listener.map(Self::listener));
    }

    pub(crate) fn listener<F>(listener: F) -> Listener<K::Object, Extra<K, V, S>>
    where
        F: Fn(&Removal<'_, K, V, S>) + Send + Sync + 'static,
    {
        Box::new(move |core, entry, cause| listener(&Removal::new(core, entry, cause)))
    }

    /// Shuts the cache down: nothing can be inserted any more, `Shutdown` is delivered for all that
    /// is left, and no delivery but the caller's own is under way when this returns.
    ///
    /// Waits for listeners that run on other threads. May be called again, also from a listener.
    ///
    /// # Panics
    /// If a removal listener does; the cache is shut down then, too.
    pub fn shutdown(&self) {
        if self.core.extra.process.is_elsewhere() {
            return;
        }
        self.core.extra.process.close();
        if let Some(panic) = self.core.shutdown(&self.core.local()) {
            std::panic::resume_unwind(panic);
        }
    }

    /// Checks every invariant: structure, limits, and that each entry that was inserted is live or
    /// had its removal event. For tests, at their end: no operation may be under way, nor an event
    /// on the cache's delivery thread.
    ///
    /// # Panics
    /// If an invariant is broken, with its name.
    #[cfg(any(test, feature = "validate"))]
    pub fn validate(&self) {
        self.core.validate(&self.core.local(), |key| self.place(key));
    }
}

/// What [`Cache::set_capacity`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resize {
    /// Entries above the new limit that inserts under way still hold, or that others are evicting;
    /// maintenance evicts what they leave.
    pub pending: u64,
}

impl<K, V, S> Clone for Cache<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self::from_core(self.core.clone())
    }
}

impl<K, V, S> Drop for Cache<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    /// The last handle shuts the cache down. Never panics: listeners that do are counted.
    fn drop(&mut self) {
        if self.core.extra.handles.go() {
            if self.core.extra.process.is_elsewhere() {
                self.core.ask_to_stop();
                return;
            }
            let local = self.core.local();
            discard(self.core.shutdown(&local));
            self.core.ask_to_stop();
            // Inside a listener others may wait for this very thread: then they end by themselves.
            if !local.is_delivering() {
                self.core.extra.threads.join();
            }
        }
    }
}

impl<K, V, S> std::fmt::Debug for Cache<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    /// Without keys and values, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
