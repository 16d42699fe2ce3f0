//! Inserts of a cache of any key and value: they own both, and hand both back.

use super::{Cache, Core, STAGE};
use crate::clock::ticks_up;
use crate::engine::{Local, Mode, Owed, Put};
use crate::entry::{Owned, Pair};
use crate::error::{Refusal, Refused};
use equivalent::Equivalent;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Inserts an entry, or replaces the one of its key in one step. It expires after the cache's
    /// timeout. Lock-free.
    ///
    /// # Errors
    /// [`Refused`], with key and value; nothing has changed then.
    ///
    /// # Panics
    /// If the removal listener or the weigher does.
    pub fn insert(&self, key: K, value: V) -> Result<(), Refused<K, V>> {
        self.insert_until(key, value, self.core.extra.timeout)
    }

    /// As [`insert`](Self::insert), but it expires after `timeout` (rounded up to a millisecond).
    /// A timeout of 0 stores nothing, and the old entry of the key goes.
    ///
    /// # Errors
    /// As for `insert`.
    ///
    /// # Panics
    /// As for `insert`.
    pub fn insert_with_timeout(
        &self,
        key: K,
        value: V,
        timeout: Duration,
    ) -> Result<(), Refused<K, V>> {
        self.insert_until(key, value, ticks_up(timeout))
    }

    /// Inserts an entry unless its key has a live one. `None`: stored; else key and value are
    /// handed back. Lock-free.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    ///
    /// # Panics
    /// As for `insert`.
    pub fn insert_if_absent(&self, key: K, value: V) -> Result<Option<(K, V)>, Refused<K, V>> {
        self.put(key, value, self.core.extra.timeout, Mode::IfAbsent)
    }

    /// Replaces the live entry of a key. `None`: replaced; else there was none, and key and value
    /// are handed back. Lock-free.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    ///
    /// # Panics
    /// As for `insert`.
    pub fn replace(&self, key: K, value: V) -> Result<Option<(K, V)>, Refused<K, V>> {
        self.put(key, value, self.core.extra.timeout, Mode::Replace)
    }

    /// Inserts many entries (both tickets of a handshake, say): their cache misses overlap, and all
    /// events are delivered after the last one, or as soon as an insert needs the room. Lock-free;
    /// one answer each.
    ///
    /// # Panics
    /// As for `insert`, after the last one.
    pub fn insert_many(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Vec<Result<(), Refused<K, V>>> {
        let core = &self.core;
        let (local, now) = (self.local_to_insert(), core.time.now());
        let deadline = now.saturating_add(core.extra.timeout);
        let mut owed = Owed::new(core, &local);
        let mut entries = entries.into_iter();
        let mut done = Vec::with_capacity(entries.size_hint().0);
        loop {
            let begun = done.len();
            let mut stage: SmallVec<[_; STAGE]> = SmallVec::new();
            for (key, value) in entries.by_ref().take(STAGE) {
                let place = self.place(&key);
                core.table.shard(place.shard).prefetch(place.set);
                let made = self.allocate(&local, key, value, deadline);
                done.push(made.map(|entry| stage.push((done.len(), place, entry))));
            }
            if done.len() == begun {
                break;
            }
            stage.iter().for_each(|(_, place, _)| core.table.set(*place).prefetch_victim());
            for (at, place, entry) in stage {
                let put = core.put(&local, place, entry, Mode::Upsert, now, &mut owed);
                if let Err(refused) = self.answer(put) {
                    done[at] = Err(refused);
                }
            }
        }
        owed.settle();
        done
    }

    /// A copy of the value of a key. Wait-free, but for the clone.
    pub fn get_cloned<Q>(&self, key: &Q) -> Option<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: Clone,
    {
        self.get(key).map(|found| found.value().clone())
    }

    /// As [`take`](Self::take), as a copy of the value.
    ///
    /// # Panics
    /// As for `take`.
    pub fn take_cloned<Q>(&self, key: &Q) -> Option<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: Clone,
    {
        self.take(key).map(|taken| taken.value().clone())
    }

    /// The value of a key, made by `make` if there is none: of all callers of one key at a time,
    /// one makes it and the others **wait** for it. This is the one operation that waits; it takes
    /// a lock, and callers of other keys are not held up. If `make` panics, the next caller makes.
    ///
    /// A value that can't be stored is returned all the same; the refusal is counted.
    ///
    /// # Panics
    /// If `make` asks for a key whose value waits for this one (its own, or crosswise with another
    /// thread: they would wait for ever), and as for [`insert`](Self::insert).
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        if let Some(found) = self.get(&key) {
            return found.value().clone();
        }
        let hash = self.core.extra.hasher.hash_one(&key);
        let turn = self.core.extra.flights.wait_for_turn(hash);
        // Somebody may have made it while this thread waited.
        if let Some(found) = self.get(&key) {
            return found.value().clone();
        }
        let value = make();
        // The turn ends when the value is there, before any listener runs. A refusal is counted,
        // and costs the next caller the making.
        let _refused =
            self.put_then(key, value.clone(), self.core.extra.timeout, Mode::Upsert, || {
                drop(turn);
            });
        value
    }

    fn insert_until(&self, key: K, value: V, timeout: u64) -> Result<(), Refused<K, V>> {
        self.put(key, value, timeout, Mode::Upsert).map(|_| ())
    }

    fn put(
        &self,
        key: K,
        value: V,
        timeout: u64,
        mode: Mode,
    ) -> Result<Option<(K, V)>, Refused<K, V>> {
        self.put_then(key, value, timeout, mode, || ())
    }

    fn put_then(
        &self,
        key: K,
        value: V,
        timeout: u64,
        mode: Mode,
        before_events: impl FnOnce(),
    ) -> Result<Option<(K, V)>, Refused<K, V>> {
        let place = self.place(&key);
        let make = |local: &Local, deadline| self.allocate(local, key, value, deadline);
        self.answer(self.put_made(place, timeout, mode, make, before_events)?)
    }

    fn allocate(
        &self,
        local: &Local,
        key: K,
        value: V,
        deadline: u64,
    ) -> Result<Owned<Pair<K, V>>, Refused<K, V>> {
        let core: &Arc<Core<K, V, S>> = &self.core;
        let own = core.extra.weigher.as_ref().map(|w| w(&key, &value));
        match core.check_weight(own.unwrap_or(Pair::<K, V>::WEIGHT)) {
            Ok(weight) => {
                let weight = own.map(|_| weight);
                Ok(Pair::allocate(deadline, weight, key, value, &local.magazine))
            }
            Err(refusal) => Err(Refused { key, value, refusal }),
        }
    }

    /// The memory of what was not stored goes to the thread's own free memory.
    fn answer(&self, put: Put<Pair<K, V>>) -> Result<Option<(K, V)>, Refused<K, V>> {
        let parts = |entry| Pair::into_parts(entry, &self.core.local().magazine);
        let refused = |entry, refusal: Refusal| {
            let (key, value) = parts(entry);
            Refused { key, value, refusal }
        };
        match put {
            Put::Stored => Ok(None),
            Put::Expired(entry) => {
                // Its end is user code: it runs here, where nothing is pinned.
                drop(entry);
                Ok(None)
            }
            Put::Unchanged(entry) => Ok(Some(parts(entry))),
            Put::Refused(entry, refusal) => Err(refused(entry, refusal)),
        }
    }
}
