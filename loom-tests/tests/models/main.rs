//! The engine's models. Each begins with the property, the threads, and what it does not cover.
//!
//! Keys: K, X and Y live in set 0, O in set 1. A set has four ways, of which two may be live. The
//! value of an entry is its name, so that every event tells which entry it was about.

mod capacity;
mod ends;
mod events;
mod expiry;
mod flights;
mod inserts;
mod joins;
mod late;
mod namespaces;
mod reads;
mod real;
mod removals;
mod reuse;
mod whole;
mod words;

use halfshake::model::{Inserted, Model};
use halfshake::{Refusal, RemovalCause};
use loom_tests::{Role, role};

const K: u64 = 6;
const X: u64 = 8;
const Y: u64 = 10;
const O: u64 = 7;

/// A cache with these entries (key, value) that never expire.
fn cache_of(limit: u64, entries: &[(u64, u64)]) -> Model {
    let cache = Model::new(limit);
    fill(&cache, entries);
    cache
}

fn fill(cache: &Model, entries: &[(u64, u64)]) {
    let me = cache.member();
    for (key, value) in entries {
        assert_eq!(cache.insert(&me, *key, *value), Inserted::Stored);
    }
}

fn live(cache: &Model) -> Vec<u64> {
    cache.live(&cache.member())
}

fn has_event(cache: &Model, value: u64, cause: RemovalCause) -> bool {
    cache.events().contains(&(value, cause))
}

/// Inserts, and must succeed.
fn insert<T: Default + 'static>(key: u64, value: u64) -> Role<T> {
    role(move |cache, me| {
        assert_eq!(cache.insert(me, key, value), Inserted::Stored);
        T::default()
    })
}

/// Inserts, and may be refused for want of room, but for no other reason.
fn try_insert<T: From<bool> + 'static>(key: u64, value: u64) -> Role<T> {
    role(move |cache, me| T::from(is_stored(cache.insert(me, key, value))))
}

fn is_stored(inserted: Inserted) -> bool {
    match inserted {
        Inserted::Stored => true,
        Inserted::Refused(Refusal::NoRoom | Refusal::Full) => false,
        other => panic!("{other:?}"),
    }
}

fn take(key: u64) -> Role<Option<u64>> {
    role(move |cache, me| cache.take(me, key))
}
