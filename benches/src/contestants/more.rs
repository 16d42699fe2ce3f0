//! More caches: mini-moka, foyer's memory part, TinyUFO and segcache.

use super::{Contestant, Operations, TIMEOUT, live};
use crate::keys::{Key, Value, word};
use mini_moka::sync::ConcurrentCacheExt;
use std::sync::Arc;

type Hasher = ahash::RandomState;

/// mini-moka, with a timeout. It hands out clones, so values are shared.
pub struct MiniMoka(mini_moka::sync::Cache<Key, Arc<[u8]>, Hasher>);

impl MiniMoka {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let builder = mini_moka::sync::Cache::builder().max_capacity(capacity);
        Self(builder.time_to_live(TIMEOUT).build_with_hasher(Hasher::new()))
    }
}

impl Contestant for MiniMoka {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        self.0.sync();
        Some(self.0.entry_count())
    }
}

impl Operations for &MiniMoka {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(&v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, Arc::from(&value[..]));
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        // Its removal returns nothing.
        let found = self.0.get(key);
        self.0.invalidate(key);
        found.map(|v| word(&v))
    }
}

/// foyer's cache in memory. First in, first out: the one of its policies that changes least on a
/// look-up, and as good as any other at sessions.
pub struct Foyer(foyer_memory::Cache<Key, Value, Hasher>);

impl Foyer {
    /// An empty cache, in as many parts as the mutexes around `lru` are.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let builder = foyer_memory::CacheBuilder::new(capacity)
            .with_shards(16)
            .with_eviction_config(foyer_memory::FifoConfig {});
        Self(builder.with_hash_builder(Hasher::new()).build())
    }
}

impl Contestant for Foyer {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        live(self.0.entries())
    }
}

impl Operations for &Foyer {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|entry| word(entry.value()))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value);
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove(key).map(|entry| word(entry.value()))
    }
}

/// TinyUFO. It compares hashes and never keys, so it may answer with another's value.
pub struct TinyUfo(tinyufo::TinyUfo<Key, Value>);

impl TinyUfo {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(tinyufo::TinyUfo::new(capacity, capacity))
    }
}

impl Contestant for TinyUfo {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
}

impl Operations for &TinyUfo {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(&v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        drop(self.0.put(key, value, 1));
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove(key).map(|v| word(&v))
    }
}

/// segcache, as a library. Its limit is one of bytes.
pub struct Segments(segcache::Segcache);

/// What it keeps of an entry: a head, the key, the value, rounded up to eight.
const ITEM: usize = (8 + size_of::<Key>() + size_of::<Value>()).next_multiple_of(8);

impl Segments {
    /// An empty cache with room for `capacity` entries. Two slots for each: a set of its table
    /// that is full fails an insert.
    ///
    /// # Panics
    /// If there is no memory.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let power = (2 * capacity).next_power_of_two().ilog2().max(10);
        // Segments are given up as a whole, so they are small where there is little.
        let segment: usize = if capacity >= 1 << 20 { 1 << 20 } else { 1 << 16 };
        let heap = (capacity * ITEM).div_ceil(segment).max(16) * segment;
        let cache = segcache::Segcache::builder()
            .hash_power(u8::try_from(power).unwrap_or(u8::MAX))
            .heap_size(heap)
            .segment_size(i32::try_from(segment).unwrap_or(i32::MAX))
            .eviction(segcache::Policy::Fifo);
        Self(cache.build().expect("memory for a segcache"))
    }
}

impl Contestant for Segments {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
}

impl Segments {
    fn word(&self, key: &Key) -> Option<u64> {
        match self.0.get(key)?.value() {
            segcache::Value::Bytes(bytes) => Some(word(bytes)),
            segcache::Value::U64(number) => Some(number),
        }
    }
}

impl Operations for &Segments {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.word(key)
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(&key, &value[..], None, TIMEOUT).is_ok()
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        let found = self.word(key);
        self.0.delete(key).then_some(found).flatten()
    }
}
