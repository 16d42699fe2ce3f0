//! Concurrent maps. They have no limit, so for the workloads that need one they get the simplest:
//! the oldest entry goes.

use super::{Contestant, Operations, live};
use crate::keys::{Key, Value, word};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Hasher = ahash::RandomState;

/// papaya.
#[derive(Debug)]
pub struct Papaya(papaya::HashMap<Key, Value, Hasher>);

impl Papaya {
    /// An empty map with room for `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(papaya::HashMap::with_capacity_and_hasher(capacity, Hasher::new()))
    }
}

/// A pin of papaya that lasts as long as the handle: its fastest way.
pub struct PapayaPinned<'c>(papaya::HashMapRef<'c, Key, Value, Hasher, papaya::LocalGuard<'c>>);

impl Contestant for Papaya {
    type Handle<'c> = PapayaPinned<'c>;
    fn handle(&self) -> PapayaPinned<'_> {
        PapayaPinned(self.0.pin())
    }
    fn live(&self) -> Option<u64> {
        live(self.0.len())
    }
}

impl Operations for PapayaPinned<'_> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(v))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value);
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove(key).map(|v| word(v))
    }
}

/// papaya, pinned for each operation.
#[derive(Debug)]
pub struct PapayaPinning(pub Papaya);

impl Contestant for PapayaPinning {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        self.0.live()
    }
}

impl Operations for &PapayaPinning {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.handle().get(key)
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.handle().insert(key, value)
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.handle().take(key)
    }
}

/// dashmap.
#[derive(Debug)]
pub struct Dashmap(dashmap::DashMap<Key, Value, Hasher>);

impl Dashmap {
    /// An empty map with room for `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(dashmap::DashMap::with_capacity_and_hasher(capacity, Hasher::new()))
    }
}

impl Contestant for Dashmap {
    type Handle<'c> = &'c Self;
    fn handle(&self) -> &Self {
        self
    }
    fn live(&self) -> Option<u64> {
        live(self.0.len())
    }
}

impl Operations for &Dashmap {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(v.value()))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value);
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.remove(key).map(|(_, v)| word(&v))
    }
}

/// A map with a limit: a queue of keys in the order of their insertion. For one thread, since the
/// handle keeps the queue.
#[derive(Debug)]
pub struct Fifo<M> {
    map: M,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    keys: VecDeque<Key>,
    live: usize,
    limit: usize,
}

impl<M> Fifo<M> {
    /// The map with a limit.
    #[must_use]
    pub fn new(map: M, limit: usize) -> Self {
        let keys = VecDeque::with_capacity(2 * limit);
        Self { map, queue: Mutex::new(Queue { keys, live: 0, limit }) }
    }
}

/// What the thread holds of a [`Fifo`].
#[derive(Debug)]
pub struct FifoHandle<'c, H> {
    map: H,
    queue: MutexGuard<'c, Queue>,
}

impl<M: Contestant> Contestant for Fifo<M> {
    type Handle<'c> = FifoHandle<'c, M::Handle<'c>>;
    fn handle(&self) -> Self::Handle<'_> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        FifoHandle { map: self.map.handle(), queue }
    }
    fn live(&self) -> Option<u64> {
        self.map.live()
    }
}

impl<H: Operations> Operations for FifoHandle<'_, H> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.map.get(key)
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        while self.queue.live >= self.queue.limit {
            let Some(oldest) = self.queue.keys.pop_front() else { break };
            // What was taken meanwhile is still in the queue.
            self.queue.live -= usize::from(self.map.take(&oldest).is_some());
        }
        self.map.insert(key, value);
        self.queue.keys.push_back(key);
        self.queue.live += 1;
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        let taken = self.map.take(key);
        self.queue.live -= usize::from(taken.is_some());
        taken
    }
}
