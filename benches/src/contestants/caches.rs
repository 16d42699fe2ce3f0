//! Other caches: quick_cache, moka, and what people write by hand, a mutex around each of sixteen
//! least-recently-used caches.

use super::{Contestant, Operations, TIMEOUT, live};
use crate::keys::{Key, Value, word};
use lru::LruCache;
use moka::policy::EvictionPolicy;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Hasher = ahash::RandomState;

/// How a contestant holds values: in place, or behind a pointer.
pub trait Held: AsRef<[u8]> + Clone + Send + Sync + 'static {
    /// Makes one of a value.
    fn hold(value: &Value) -> Self;
}

impl Held for Value {
    fn hold(value: &Value) -> Self {
        *value
    }
}

impl Held for Arc<[u8]> {
    fn hold(value: &Value) -> Self {
        Arc::from(&value[..])
    }
}

impl Held for Vec<u8> {
    fn hold(value: &Value) -> Self {
        value.to_vec()
    }
}

/// quick_cache. It hands out clones.
#[derive(Debug)]
pub struct Quick<V: Held>(quick_cache::sync::Cache<Key, V>);

impl<V: Held> Quick<V> {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::new(capacity))
    }

    /// What a look-up finds, to be held.
    #[must_use]
    pub fn found(&self, key: &Key) -> Option<V> {
        self.0.get(key)
    }
}

impl<V: Held> Contestant for Quick<V> {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        live(self.0.len())
    }
}

impl<V: Held> Operations for &Quick<V> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(v.as_ref()))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, V::hold(&value));
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove(key).map(|(_, v)| word(v.as_ref()))
    }
}

/// moka, with a timeout. It hands out clones, so values are shared.
#[derive(Debug)]
pub struct Moka(moka::sync::Cache<Key, Arc<[u8]>, Hasher>);

impl Moka {
    /// An empty cache with the timeout of all contestants.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::with_timeout(capacity, TIMEOUT)
    }

    /// An empty cache with a timeout of its own.
    #[must_use]
    pub fn with_timeout(capacity: u64, timeout: Duration) -> Self {
        Self::with_policy(capacity, timeout, EvictionPolicy::default())
    }

    /// One that lets everything in, and evicts what was used least recently.
    #[must_use]
    pub fn lru(capacity: u64) -> Self {
        Self::with_policy(capacity, TIMEOUT, EvictionPolicy::lru())
    }

    fn with_policy(capacity: u64, timeout: Duration, policy: EvictionPolicy) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(capacity).time_to_live(timeout);
        Self(builder.eviction_policy(policy).build_with_hasher(Hasher::new()))
    }

    /// Does what is pending; the answer is how many entries went.
    pub fn run_pending(&self) -> u64 {
        let before = self.0.entry_count();
        self.0.run_pending_tasks();
        before.saturating_sub(self.0.entry_count())
    }
}

impl Contestant for Moka {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        self.0.run_pending_tasks();
        Some(self.0.entry_count())
    }
}

impl Operations for &Moka {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(&v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, Held::hold(&value));
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove(key).map(|v| word(&v))
    }
}

const PARTS: usize = 16;

/// Sixteen mutexes, each around a cache that forgets what was used least recently.
#[derive(Debug)]
pub struct Lru<V: Held>([Mutex<LruCache<Key, V, Hasher>>; PARTS]);

impl<V: Held> Lru<V> {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let share = NonZeroUsize::new(capacity.div_ceil(PARTS)).unwrap_or(NonZeroUsize::MIN);
        Self(std::array::from_fn(|_| Mutex::new(LruCache::with_hasher(share, Hasher::new()))))
    }

    /// The part of a key. The keys are random, so a byte of them is as good as a hash, and free.
    fn part(&self, key: &Key) -> MutexGuard<'_, LruCache<Key, V, Hasher>> {
        self.0[usize::from(key[31]) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Held> Contestant for Lru<V> {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        let locked = |part: &Mutex<LruCache<_, _, _>>| {
            part.lock().unwrap_or_else(PoisonError::into_inner).len()
        };
        live(self.0.iter().map(locked).sum())
    }
}

impl<V: Held> Operations for &Lru<V> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.part(key).get(key).map(|v| word(v.as_ref()))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        let value = V::hold(&value);
        // Dropped outside the lock.
        let _gone = self.part(&key).push(key, value);
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        let taken = self.part(key).pop(key);
        taken.map(|v| word(v.as_ref()))
    }
}
