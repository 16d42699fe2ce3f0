//! The fast way in: a handle that stays pinned between look-ups.

use crate::cache::{Cache, Stored, Taken};
use crate::engine::{Local, Pin};
use crate::entry::EntryRef;
use crate::error::{Refusal, Refused};
use crate::hash::Place;
use crate::reclaim::Guard;
use equivalent::Equivalent;
use std::fmt::{Debug, Formatter};
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::rc::Rc;

/// A reader of one thread: it stays pinned, and each look-up *repins*, which costs no fence.
///
/// For event loops: make one for each thread, look up in place, and [`unpin`](Self::unpin) before
/// the loop blocks; while a reader is pinned, memory that was retired since waits for it. Writes
/// through it unpin first. It has a participant and counters of its own, folded into
/// [`Cache::stats`].
///
/// ```
/// use halfshake::Cache;
///
/// let cache = Cache::<u32, u32>::builder().capacity(100).build()?;
/// cache.insert(1, 10)?;
/// let mut reader = cache.reader();
/// assert_eq!(reader.get(&1).map(|v| *v), Some(10));
/// reader.unpin(); // the event loop blocks now
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader<K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    pin: Option<Pin>,
    local: Rc<Local>,
    cache: Cache<K, V, S>,
}

/// An entry that a [`Reader`] found, lent until the reader is used again.
pub struct Ref<'r, K: ?Sized + Stored<V>, V: ?Sized + 'static>(EntryRef<'r, K::Object>);

impl<'r, K: ?Sized + Stored<V>, V: ?Sized> Ref<'r, K, V> {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &'r K {
        self.0.key()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &'r V {
        self.0.value()
    }
}

impl<K: ?Sized + Stored<V>, V: ?Sized> Deref for Ref<'_, K, V> {
    type Target = V;
    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K: ?Sized + Stored<V>, V: ?Sized> Debug for Ref<'_, K, V> {
    /// Without key and value, which may be secret.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ref").finish_non_exhaustive()
    }
}

impl<K, V, S> Debug for Reader<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("pinned", &self.pin.is_some()).finish_non_exhaustive()
    }
}

impl<K, V, S> Cache<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    /// A reader for the calling thread. It is a handle: it keeps the cache open.
    #[must_use]
    pub fn reader(&self) -> Reader<K, V, S> {
        Reader { pin: None, local: self.core.register(), cache: self.clone() }
    }
}

impl<K, V, S> Reader<K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    /// The cache. (A write through it, rather than through the reader, happens while this thread
    /// may be pinned: use the reader's own.)
    #[must_use]
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.cache
    }

    /// Leaves the epoch: call it before the thread blocks. The next look-up pins again.
    pub fn unpin(&mut self) {
        self.pin = None;
    }

    /// Whether the reader is pinned.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pin.is_some()
    }
}

/// A [`Reader`] that stays in one pin: what it finds is lent for as long as the pin lasts, all of
/// it together.
///
/// It saves the repin of each look-up. Use it for a group of look-ups, and drop it soon: memory
/// that is retired meanwhile waits for it.
///
/// ```
/// use halfshake::Cache;
///
/// let cache = Cache::<u32, u32>::builder().capacity(100).build()?;
/// cache.insert(1, 10)?;
/// cache.insert(2, 20)?;
/// let mut reader = cache.reader();
/// let pinned = reader.pinned();
/// let (one, two) = (pinned.get(&1), pinned.get(&2));
/// assert_eq!(one.map(|v| *v).zip(two.map(|v| *v)), Some((10, 20)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pinned<'r, K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    guard: &'r Guard,
    local: &'r Local,
    cache: &'r Cache<K, V, S>,
}

impl<K, V, S> Debug for Pinned<'_, K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

impl<'r, K, V, S> Pinned<'r, K, V, S>
where
    K: ?Sized + Stored<V> + Hash + Eq,
    V: ?Sized + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Looks a key up. Wait-free; no lock, no fence, no allocation, and nothing shared is written
    /// but one bit at the first hit of an entry.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<Ref<'r, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.look(self.cache.place(key), self.cache.core.time.now(), key)
    }

    /// Whether a key has a live entry: see [`Cache::contains`].
    #[must_use]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.has(self.cache.place(key), self.cache.core.time.now(), key)
    }

    #[inline]
    fn look<Q>(&self, place: Place, now: u64, key: &Q) -> Option<Ref<'r, K, V>>
    where
        Q: ?Sized + Equivalent<K>,
    {
        let core = &*self.cache.core;
        let found = core.lookup(place, self.guard, self.local, now, |k| key.equivalent(k));
        found.ok().map(|(entry, _)| Ref(entry))
    }

    fn has<Q>(&self, place: Place, now: u64, key: &Q) -> bool
    where
        Q: ?Sized + Equivalent<K>,
    {
        self.cache.core.contains_pinned(place, self.guard, now, |k| key.equivalent(k))
    }
}

/// Pins, or begins a new pin: what was lent before is given back.
fn repin<'p>(pin: &'p mut Option<Pin>, local: &Rc<Local>, now: u64) -> &'p Pin {
    match pin {
        Some(pin) => {
            pin.repin(now);
            pin
        }
        None => pin.insert(local.pin(now).lent()),
    }
}

impl<K, V, S> Reader<K, V, S>
where
    K: ?Sized + Stored<V> + Hash + Eq,
    V: ?Sized + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Begins a new pin, for several look-ups.
    pub fn pinned(&mut self) -> Pinned<'_, K, V, S> {
        self.pinned_at(self.cache.core.time.now())
    }

    #[inline]
    fn pinned_at(&mut self, now: u64) -> Pinned<'_, K, V, S> {
        let guard = repin(&mut self.pin, &self.local, now).guard();
        Pinned { guard, local: &self.local, cache: &self.cache }
    }

    /// Looks a key up, in a new pin. Wait-free; no lock, no fence, no allocation, and nothing
    /// shared is written but one bit at the first hit of an entry.
    #[inline]
    pub fn get<Q>(&mut self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let (place, now) = (self.cache.place(key), self.cache.core.time.now());
        self.pinned_at(now).look(place, now, key)
    }

    /// Looks many keys up, in a new pin: their cache misses overlap. The answers are in the order
    /// of the keys. Wait-free.
    pub fn get_many<Q>(&mut self, keys: &[&Q]) -> Vec<Option<Ref<'_, K, V>>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let mut found = Vec::with_capacity(keys.len());
        self.get_each(keys, |r| found.push(r));
        found
    }

    /// As [`get_many`](Self::get_many), but hands each answer to `found`, in order, and allocates
    /// only for more than 64 keys. `found` runs pinned: it must not block.
    pub fn get_each<'r, Q>(&'r mut self, keys: &[&Q], mut found: impl FnMut(Option<Ref<'r, K, V>>))
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let mut places: smallvec::SmallVec<[_; 64]> = smallvec::SmallVec::new();
        keys.iter().for_each(|key| places.push(self.cache.place(*key)));
        let now = self.cache.core.time.now();
        let pin = repin(&mut self.pin, &self.local, now);
        let core = &*self.cache.core;
        let is_key = |i: usize, k: &K| keys[i].equivalent(k);
        core.lookup_many(&places, pin.guard(), &self.local, now, is_key, |e| found(e.map(Ref)));
    }

    /// Whether a key has a live entry: see [`Cache::contains`].
    pub fn contains<Q>(&mut self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        let (place, now) = (self.cache.place(key), self.cache.core.time.now());
        self.pinned_at(now).has(place, now, key)
    }

    /// Unpins, and removes: see [`Cache::remove`].
    ///
    /// # Panics
    /// As for `Cache::remove`.
    pub fn remove<Q>(&mut self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.unpinned().remove(key)
    }

    /// Unpins, and takes: see [`Cache::take`].
    ///
    /// # Panics
    /// As for `Cache::take`.
    pub fn take<Q>(&mut self, key: &Q) -> Option<Taken<'_, K, V, S>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.unpinned().take(key)
    }

    /// Unpins, and lends the cache for a write of any kind.
    pub fn unpinned(&mut self) -> &Cache<K, V, S> {
        self.unpin();
        &self.cache
    }
}

impl<K, V, S> Reader<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Unpins, and inserts: see [`Cache::insert`].
    ///
    /// # Errors
    /// As for `Cache::insert`.
    ///
    /// # Panics
    /// As for `Cache::insert`.
    pub fn insert(&mut self, key: K, value: V) -> Result<(), Refused<K, V>> {
        self.unpinned().insert(key, value)
    }
}

impl<S: BuildHasher + Send + Sync + 'static> Reader<[u8], [u8], S> {
    /// Unpins, and inserts: see [`Cache::insert`].
    ///
    /// # Errors
    /// As for `Cache::insert`.
    ///
    /// # Panics
    /// As for `Cache::insert`.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.unpinned().insert(key, value)
    }
}
