//! Behind rustls's own interface, which hands keys and values over in vectors: rustls's cache, and
//! ours through its adapter.

use super::ours::{Pace, SLICE};
use super::{Contestant, Operations, TIMEOUT};
use crate::keys::{Key, Value, word};
use halfshake::rustls::{Namespace, session_store};
use halfshake::session::SessionCache;
use halfshake::{Maintenance, ManualClock};
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use std::sync::Arc;
use std::time::Duration;

/// What a workload moves and sweeps.
type Ours = (SessionCache<()>, Arc<ManualClock>);

/// A session store.
#[derive(Debug)]
pub struct Store {
    store: Arc<dyn StoresServerSessions>,
    ours: Option<Ours>,
}

impl Store {
    /// rustls's default: a mutex around a hash map and a queue.
    #[must_use]
    pub fn of_rustls(capacity: usize) -> Self {
        Self { store: ServerSessionMemoryCache::new(capacity), ours: None }
    }

    /// Ours.
    #[must_use]
    pub fn of_halfshake(capacity: u64) -> Self {
        let clock = ManualClock::new();
        let cache = SessionCache::<()>::builder()
            .capacity(capacity)
            .timeout(TIMEOUT)
            .clock(clock.clone())
            .wall_clock(clock.clone())
            .maintenance(Maintenance::Embedder)
            .build()
            .expect("good settings");
        let namespace = Namespace::new(b"bench").expect("short");
        let store = session_store(&cache, &namespace);
        Self { store, ours: Some((cache, clock)) }
    }
}

/// What a thread holds of a [`Store`].
pub struct StoreHandle<'c> {
    store: &'c dyn StoresServerSessions,
    time: Option<(&'c SessionCache<()>, Pace)>,
}

impl Contestant for Store {
    type Handle<'c> = StoreHandle<'c>;
    fn handle(&self) -> StoreHandle<'_> {
        let time = self.ours.as_ref().map(|(cache, clock)| (cache, Pace::new(clock)));
        StoreHandle { store: &*self.store, time }
    }
}

impl Operations for StoreHandle<'_> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.store.get(key).map(|v| word(&v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.store.put(key.to_vec(), value.to_vec())
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.store.take(key).map(|v| word(&v))
    }
    fn time_passes(&mut self, by: Duration) {
        if let Some((cache, pace)) = &mut self.time
            && pace.pass(by)
        {
            cache.run_maintenance(SLICE);
        }
    }
}
