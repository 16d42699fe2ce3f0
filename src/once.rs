//! The one place where callers wait for one another: `get_or_insert_with`.
//!
//! A *flight* is a key (its hash: a collision only waits for nothing) that somebody is making a
//! value for. A lock guards the list of flights and is held for moments, never while a value is
//! made. Nothing here is on the path of any other operation.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// The flights of one cache.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flying: Mutex<Vec<(u64, ThreadId)>>,
    landed: Condvar,
}

/// The right to make the value of one key. Dropping it, also in a panic, lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn<'f> {
    flights: &'f Flights,
    hash: u64,
}

impl Flights {
    /// A panic can't leave the list half-way: it is only pushed to and filtered.
    fn flying(&self) -> MutexGuard<'_, Vec<(u64, ThreadId)>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody makes a value for `hash`.
    ///
    /// # Panics
    /// If the calling thread itself does: it would wait for ever.
    pub(crate) fn wait_for_turn(&self, hash: u64) -> Turn<'_> {
        let me = std::thread::current().id();
        let mut flying = self.flying();
        while let Some((_, maker)) = flying.iter().find(|(h, _)| *h == hash) {
            assert!(
                *maker != me,
                "get_or_insert_with: the function that makes a value asked for the same key"
            );
            flying = self.landed.wait(flying).unwrap_or_else(PoisonError::into_inner);
        }
        flying.push((hash, me));
        Turn { flights: self, hash }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.flights.flying().retain(|(hash, _)| *hash != self.hash);
        self.flights.landed.notify_all();
    }
}
