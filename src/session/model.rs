//! The board of flights as models see it, over the engine's own model. Model builds only.
//!
//! Values are names below 100; what has landed carries its landing number above them.

use super::flights::{Boarding, Flights};
use crate::model::{Inserted, Member, Model};
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

const NAMES: u64 = 100;

/// A cache, its flights, and an external store of one session.
#[derive(Clone, Debug)]
pub struct Outside {
    cache: Model,
    flights: Arc<Flights<()>>,
    /// The name of the session, or 0.
    store: Arc<AtomicU64>,
}

impl Outside {
    /// Over a cache; the store holds a session of this name.
    pub fn new(cache: &Model, name: u64) -> Self {
        let store = Arc::new(AtomicU64::new(name));
        Self { cache: cache.clone(), flights: Arc::new(Flights::new()), store }
    }

    /// Deletes the session in the store; its name, if it was there.
    pub fn delete(&self) -> Option<u64> {
        // AcqRel: pairs with itself and with `resume`; a store orders those who use it.
        Some(self.store.swap(0, Ordering::AcqRel)).filter(|name| *name != 0)
    }

    /// Asks outside and lets the answer land: the name that is used, and whether it was stored.
    pub fn resume(&self, me: &Member, key: u64) -> Option<(u64, bool)> {
        let Boarding::Departed(flight) =
            self.flights.board(&key.to_le_bytes(), Some(Arc::new(())), &[], false)
        else {
            panic!("one flight for each thread");
        };
        // AcqRel: pairs with `delete`. A read-modify-write: the store answers with the latest.
        let name = Some(self.store.fetch_add(0, Ordering::AcqRel)).filter(|name| *name != 0)?;
        let mut stored = false;
        flight.land(|number| {
            let value = name + number * NAMES;
            stored = self.cache.insert_if_absent(me, key, value) == Inserted::Stored;
        });
        Some((name, stored))
    }

    /// Removes the key; whether what landed too late was removed, too.
    pub fn remove(&self, me: &Member, key: u64) -> bool {
        let bytes = key.to_le_bytes();
        let before = self.flights.before(&bytes);
        self.cache.remove(me, key);
        let landed = self.flights.mark(before, |name| *name == bytes);
        landed.is_some_and(|landed| self.remove_late(me, key, landed))
    }

    fn remove_late(&self, me: &Member, key: u64, landed: u64) -> bool {
        let Some(identity) = self.cache.identify(me, key) else { return false };
        let late = self.cache.get(me, key).is_some_and(|value| value / NAMES > landed);
        late && self.cache.remove_exact(me, identity)
    }

    /// Takes the key: inside, else outside. What is taken inside is deleted outside.
    pub fn take(&self, me: &Member, key: u64) -> Option<u64> {
        let bytes = key.to_le_bytes();
        let first = self.flights.before(&bytes);
        let taken = self.take_anywhere(me, key);
        let landed = self.flights.mark(first, |name| *name == bytes);
        if let (Some(_), Some(landed)) = (taken, landed) {
            self.remove_late(me, key, landed);
        }
        taken
    }

    fn take_anywhere(&self, me: &Member, key: u64) -> Option<u64> {
        let bytes = key.to_le_bytes();
        let before = self.flights.before(&bytes);
        let take_inside = || {
            let value = self.cache.take(me, key)?;
            self.delete();
            Some(self.flights.keeps(before, &bytes).then_some(value % NAMES))
        };
        if let Some(taken) = take_inside() {
            return taken;
        }
        let Boarding::Departed(flight) = self.flights.board(&bytes, None, &[], false) else {
            panic!("one flight for each thread");
        };
        if let Some(taken) = take_inside() {
            return taken;
        }
        let name = self.delete()?;
        flight.claim().then_some(name)
    }
}
