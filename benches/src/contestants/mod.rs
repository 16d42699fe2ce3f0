//! Who takes part, behind one small interface.

pub mod caches;
pub mod each;
pub mod layouts;
pub mod limits;
pub mod maps;
pub mod more;
pub mod ours;
pub mod scc;
pub mod sessions;
pub mod singly;
pub mod stores;

use crate::keys::{Key, Value};
use std::time::Duration;

/// How long entries live where the contestant can let them expire.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// A cache or map that threads share.
pub trait Contestant: Send + Sync + 'static {
    /// What one thread works through. It may keep a guard.
    type Handle<'c>: Operations;

    /// A handle for the calling thread.
    fn handle(&self) -> Self::Handle<'_>;

    /// How many entries it holds, if it knows.
    fn live(&self) -> Option<u64> {
        None
    }

    /// A reader that stands still in its pin until it is dropped, if the contestant has pins.
    fn reader_that_stalls(&self) -> Option<Box<dyn Stalled + '_>> {
        None
    }

    /// How many inserts were refused so far, if it counts them.
    fn refused(&self) -> Option<u64> {
        None
    }

    /// How many removed entries wait for readers, if it knows.
    fn retired(&self) -> Option<u64> {
        None
    }
}

/// A reader that stands still.
pub trait Stalled {}

impl<T> Stalled for T {}

fn live(entries: usize) -> Option<u64> {
    u64::try_from(entries).ok()
}

/// What is done with a contestant. What is found is read: the answer is a word of the value.
pub trait Operations {
    /// Looks a key up.
    fn get(&mut self, key: &Key) -> Option<u64>;

    /// Looks sixteen keys up and hands each answer out.
    fn get_batch(&mut self, keys: &[Key; 16], mut found: impl FnMut(Option<u64>)) {
        for key in keys {
            found(self.get(key));
        }
    }

    /// Inserts or replaces; whether it was stored. Only ours refuses, and only if threads stall.
    fn insert(&mut self, key: Key, value: Value) -> bool;

    /// Inserts both tickets of a handshake; whether both were stored.
    fn insert_two(&mut self, two: [(Key, Value); 2]) -> bool {
        two.into_iter().fold(true, |all, (key, value)| self.insert(key, value) && all)
    }

    /// Takes an entry out.
    fn take(&mut self, key: &Key) -> Option<u64>;

    /// For a row of look-ups: in one pin, where the contestant has such a thing.
    fn held(&mut self) -> impl Lookups
    where
        Self: Sized,
    {
        self
    }

    /// Time goes by, for contestants whose clock can be moved.
    fn time_passes(&mut self, _by: Duration) {}
}

/// Look-ups alone.
pub trait Lookups {
    /// Looks a key up; the answer is a word of the value.
    fn get(&mut self, key: &Key) -> Option<u64>;
}

impl<T: Operations> Lookups for &mut T {
    fn get(&mut self, key: &Key) -> Option<u64> {
        T::get(self, key)
    }
}

/// Nobody: what a workload costs without a cache, its keys above all.
#[derive(Debug, Default)]
pub struct Nobody;

impl Contestant for Nobody {
    type Handle<'c> = Nobody;
    fn handle(&self) -> Nobody {
        Nobody
    }
}

impl Operations for Nobody {
    fn get(&mut self, key: &Key) -> Option<u64> {
        Some(crate::keys::word(std::hint::black_box(key)))
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        std::hint::black_box((&key, &value));
        true
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.get(key)
    }
}
