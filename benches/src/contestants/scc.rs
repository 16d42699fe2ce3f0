//! scc: its index, which is read without locks, and its cache.

use super::{Contestant, Lookups, Operations, live};
use crate::keys::{Key, Value, word};
use scc::Guard;
use scc::hash_cache::Entry as CacheEntry;

type Hasher = ahash::RandomState;

/// `HashIndex`, for look-ups the faster one of scc's maps. It has no limit.
#[derive(Debug)]
pub struct Index(scc::HashIndex<Key, Value, Hasher>);

impl Index {
    /// An empty index with room for `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(scc::HashIndex::with_capacity_and_hasher(capacity, Hasher::new()))
    }
}

impl Contestant for Index {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        live(self.0.len())
    }
}

impl Operations for &Index {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.peek_with(key, |_, v| word(v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        if let Err((key, value)) = self.0.insert_sync(key, value)
            && let Some(mut entry) = self.0.get_sync(&key)
        {
            entry.update(value);
        }
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        let found = Operations::get(self, key)?;
        self.0.remove_sync(key).then_some(found)
    }
    fn held(&mut self) -> impl Lookups {
        Peeking(&self.0, Guard::new())
    }
}

/// Look-ups under one guard.
struct Peeking<'c>(&'c scc::HashIndex<Key, Value, Hasher>, Guard);

impl Lookups for Peeking<'_> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.peek(key, &self.1).map(|v| word(v))
    }
}

/// `HashCache`: each of its buckets forgets what was used least recently.
#[derive(Debug)]
pub struct BucketLru(scc::HashCache<Key, Value, Hasher>);

impl BucketLru {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let hasher = Hasher::new();
        Self(scc::HashCache::with_capacity_and_hasher(capacity, capacity, hasher))
    }
}

impl Contestant for BucketLru {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        live(self.0.len())
    }
}

impl Operations for &BucketLru {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.read_sync(key, |_, v| word(v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        match self.0.entry_sync(key) {
            CacheEntry::Occupied(mut entry) => drop(entry.put(value)),
            CacheEntry::Vacant(entry) => drop(entry.put_entry(value)),
        }
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove_sync(key).map(|(_, v)| word(&v))
    }
}
