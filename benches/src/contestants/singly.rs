//! A batch that is none: each of its look-ups by itself, but in one pin. What a contestant's own
//! batches gain is the difference.

use super::{Contestant, Lookups, Operations};
use crate::keys::{Key, Value};

/// Look-ups of a batch one by one.
#[derive(Debug)]
pub struct Singly<C>(pub C);

/// What a thread holds of it.
#[derive(Debug)]
pub struct Single<H>(H);

impl<C: Contestant> Contestant for Singly<C> {
    type Handle<'c> = Single<C::Handle<'c>>;
    fn handle(&self) -> Self::Handle<'_> {
        Single(self.0.handle())
    }
}

impl<H: Operations> Operations for Single<H> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key)
    }
    fn get_batch(&mut self, keys: &[Key; 16], mut found: impl FnMut(Option<u64>)) {
        let mut held = self.0.held();
        for key in keys {
            found(held.get(key));
        }
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value)
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(key)
    }
}
