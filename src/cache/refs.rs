//! What a cache lends: entries under a pin, taken entries, removal events, identities.

use super::{Cache, Core, Stored};
use crate::engine::{Exact, Held, HeldMany};
use crate::entry::EntryRef;
use crate::removal::RemovalCause;
use crate::table::away::Away;
use crate::table::ways::{WAYS, bit};
use std::fmt::{Debug, Formatter};
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::sync::Arc;

/// The identity of one entry: it outlives the entry, and never means another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub(super) Exact);

/// An entry that was found, readable for as long as this lives. The thread is pinned meanwhile.
pub struct PinnedRef<'c, K: ?Sized + Stored<V>, V: ?Sized + 'static> {
    held: Held<'c, K::Object>,
    /// Its set, among those of all shards, and its way.
    at: (u32, u32),
}

impl<'c, K: ?Sized + Stored<V>, V: ?Sized> PinnedRef<'c, K, V> {
    pub(super) fn new(held: Held<'c, K::Object>, at: (u32, u32)) -> Self {
        Self { held, at }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &K {
        self.held.entry().key()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &V {
        self.held.entry().value()
    }

    /// The entry's identity, for [`Cache::remove_exact`].
    #[must_use]
    pub fn handle(&self) -> Handle {
        let (set, way) = self.at;
        Handle(Exact { set, way, id: self.held.entry().head().id })
    }
}

impl<K: ?Sized + Stored<V>, V: ?Sized> Deref for PinnedRef<'_, K, V> {
    type Target = V;
    fn deref(&self) -> &V {
        self.value()
    }
}

/// The answers to a batch of look-ups, in the order of the keys. The thread is pinned meanwhile.
pub struct Batch<'c, K: ?Sized + Stored<V>, V: ?Sized + 'static> {
    held: HeldMany<'c, K::Object>,
}

impl<'c, K: ?Sized + Stored<V>, V: ?Sized> Batch<'c, K, V> {
    pub(super) fn new(held: HeldMany<'c, K::Object>) -> Self {
        Self { held }
    }

    /// How many keys were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.entries().len()
    }

    /// Whether no key was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the key number `i`, if it was found.
    ///
    /// # Panics
    /// If fewer keys were asked for.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&V> {
        self.held.entries()[i].map(EntryRef::value)
    }

    /// The values in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = Option<&V>> {
        self.held.entries().iter().map(|e| e.map(EntryRef::value))
    }
}

/// An entry that this caller alone has taken out. Its memory goes back when this is dropped.
pub struct Taken<'c, K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    core: &'c Arc<Core<K, V, S>>,
    at: Option<Away>,
}

impl<'c, K, V, S> Taken<'c, K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized,
    S: Send + Sync + 'static,
{
    pub(super) fn new(core: &'c Arc<Core<K, V, S>>, at: Away) -> Self {
        Self { core, at: Some(at) }
    }

    fn entry(&self) -> EntryRef<'_, K::Object> {
        match &self.at {
            Some(at) => self.core.table.unlinked_entry(at),
            None => unreachable!("only `drop` empties it"),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &K {
        self.entry().key()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &V {
        self.entry().value()
    }
}

impl<K, V, S> Deref for Taken<'_, K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized,
    S: Send + Sync + 'static,
{
    type Target = V;
    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K, V, S> Drop for Taken<'_, K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized,
    S: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(at) = self.at.take() {
            self.core.end_take(&self.core.local(), at);
        }
    }
}

/// A removal event: one for each entry that was ever visible, after it stopped being findable.
///
/// The listener runs outside the epoch and may call any function of the cache, block, or panic. A
/// panic is counted and goes to the caller of the operation, after all its events were delivered;
/// the listener stays.
///
/// Calls nest: a listener that removes other entries is called for each of those before it goes on,
/// one frame deeper each time.
pub struct Removal<'a, K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    core: &'a Arc<Core<K, V, S>>,
    entry: EntryRef<'a, K::Object>,
    cause: RemovalCause,
}

impl<'a, K, V, S> Removal<'a, K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized,
    S: Send + Sync + 'static,
{
    pub(super) fn new(
        core: &'a Arc<Core<K, V, S>>,
        entry: EntryRef<'a, K::Object>,
        cause: RemovalCause,
    ) -> Self {
        Self { core, entry, cause }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &'a K {
        self.entry.key()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &'a V {
        self.entry.value()
    }

    /// Why the entry left.
    #[must_use]
    pub fn cause(&self) -> RemovalCause {
        self.cause
    }

    /// A handle to the cache. (A listener that *owns* one would keep the cache alive for ever.)
    #[must_use]
    pub fn cache(&self) -> Cache<K, V, S> {
        Cache::from_core(self.core.clone())
    }
}

/// A walk over the live entries: see [`Cache::iter`].
pub struct Iter<'c, K, V, S = ahash::RandomState>
where
    K: ?Sized + Stored<V>,
    V: ?Sized + 'static,
    S: Send + Sync + 'static,
{
    cache: &'c Cache<K, V, S>,
    /// The set that is next, among those of all shards.
    set: u32,
    /// Ways of the set that were visited.
    visited: u64,
}

impl<'c, K, V, S> Iter<'c, K, V, S>
where
    K: ?Sized + Stored<V>,
    V: ?Sized,
    S: Send + Sync + 'static,
{
    pub(super) fn new(cache: &'c Cache<K, V, S>) -> Self {
        Self { cache, set: 0, visited: 0 }
    }
}

impl<'c, K, V, S> Iterator for Iter<'c, K, V, S>
where
    K: ?Sized + Stored<V> + Hash + Eq,
    V: ?Sized,
    S: BuildHasher + Send + Sync + 'static,
{
    type Item = PinnedRef<'c, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        let core = &*self.cache.core;
        let local = core.local();
        let now = core.time.now();
        while u64::from(self.set) < core.table.geometry.total_sets() {
            let set = core.table.set_number(self.set);
            let visited = &mut self.visited;
            let found = Held::find(local.pin(now), |guard, _| {
                let live = set.load(guard);
                let mut ways = crate::table::ways::ways_in(live.mask() & !*visited);
                ways.find_map(|way| {
                    // What was filled behind the walk is left out: a way is visited once.
                    *visited |= (bit(way) << 1) - 1;
                    let entry = live.entry(way);
                    (!entry.head().expired(now)).then_some((entry, way))
                })
            });
            if let Some((held, way)) = found {
                return Some(PinnedRef::new(held, (self.set, way)));
            }
            self.visited = 0;
            self.set += 1;
        }
        None
    }
}

const _: () = assert!(WAYS < 64);

macro_rules! debug_without_contents {
    ($($name:ident [$($gen:tt)*] [$($args:tt)*]),*) => {$(
        impl<$($gen)*> Debug for $name<'_, $($args)*>
        where
            K: ?Sized + Stored<V>,
            V: ?Sized + 'static,
        {
            /// Without key and value, which may be secret.
            fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug_without_contents!(
    PinnedRef [K, V] [K, V],
    Batch [K, V] [K, V],
    Taken [K, V, S: Send + Sync + 'static] [K, V, S],
    Removal [K, V, S: Send + Sync + 'static] [K, V, S],
    Iter [K, V, S: Send + Sync + 'static] [K, V, S]
);
