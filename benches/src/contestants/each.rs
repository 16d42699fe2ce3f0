//! moka with a timeout for each entry: the only peer that has such a thing.

use super::{Contestant, Operations, TIMEOUT};
use crate::keys::{Key, Value, value, word};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A cache whose entries name their timeouts.
#[derive(Debug)]
pub struct MokaEach {
    /// The cache itself.
    pub cache: moka::sync::Cache<Key, Arc<[u8]>, ahash::RandomState>,
    /// Entries of whose expiry the listener was told.
    pub heard: Arc<AtomicU64>,
}

/// In the value's second word: nanoseconds that the entry lives.
struct ByValue;

impl moka::Expiry<Key, Arc<[u8]>> for ByValue {
    fn expire_after_create(&self, _: &Key, value: &Arc<[u8]>, _: Instant) -> Option<Duration> {
        Some(Duration::from_nanos(word(&value[8..])))
    }
}

impl MokaEach {
    /// An empty cache, with a listener that reads the entry and counts, or without.
    #[must_use]
    pub fn new(capacity: u64, listener: bool) -> Self {
        let heard = Arc::new(AtomicU64::new(0));
        let counts = heard.clone();
        let mut builder = moka::sync::Cache::builder().max_capacity(capacity).expire_after(ByValue);
        if listener {
            builder = builder.eviction_listener(move |_, value: Arc<[u8]>, cause| {
                std::hint::black_box(word(&value));
                let expired = cause == moka::notification::RemovalCause::Expired;
                counts.fetch_add(u64::from(expired), Relaxed);
            });
        }
        Self { cache: builder.build_with_hasher(ahash::RandomState::new()), heard }
    }

    /// Inserts an entry that lives so long.
    pub fn insert_for(&self, key: Key, n: u64, life: Duration) {
        let mut value = value(n);
        let life = u64::try_from(life.as_nanos()).unwrap_or(u64::MAX);
        value[8..16].copy_from_slice(&life.to_le_bytes());
        self.cache.insert(key, Arc::from(&value[..]));
    }
}

impl Contestant for MokaEach {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
}

impl Operations for &MokaEach {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.cache.get(key).map(|v| word(&v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.insert_for(key, word(&value), TIMEOUT);
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.cache.remove(key).map(|v| word(&v))
    }
}
