//! User code that panics where the cache calls it: `Drop`, `Eq`, `Hash`, weighers, predicates,
//! makers. Nothing may be lost, and nobody may stay pinned.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::world;
use crate::world::{Alive, Events, lock, panic_of, until};
use halfshake::{Cache, Maintenance, RemovalCause};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

/// Dropping it says so, and panics if it was told to.
#[derive(Debug)]
struct Fragile {
    number: u64,
    breaks: bool,
    dropped: Arc<Mutex<Vec<u64>>>,
    _alive: Alive,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        lock(&self.dropped).push(self.number);
        assert!(!self.breaks, "{} broke", self.number);
    }
}

/// Keys are equal by number.
impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Fragile {}
impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

#[test]
fn a_drop_that_panics_is_counted_and_everything_else_is_dropped() {
    let (dropped, alive) = (Arc::new(Mutex::new(Vec::new())), Alive::default());
    let fragile = |number, breaks| Fragile {
        number,
        breaks,
        dropped: dropped.clone(),
        _alive: alive.clone(),
    };
    let builder = Cache::<Fragile, Fragile>::builder().capacity(100);
    let cache = builder.maintenance(Maintenance::Embedder).build().unwrap();
    for n in 0..30 {
        // Of some the key panics, of some the value.
        cache.insert(fragile(n, n % 3 == 0), fragile(n + 100, n % 3 == 1)).unwrap();
    }
    cache.clear();
    for n in 30..40 {
        cache.insert(fragile(n, false), fragile(n + 100, n % 3 == 1)).unwrap();
    }
    until("what was cleared is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().retired_entries == 0
    });
    assert_eq!((cache.stats().drop_panics, alive.count()), (20, 20));
    cache.validate();
    drop(cache);
    assert_eq!(alive.count(), 0);
    let mut all = lock(&dropped).clone();
    all.sort_unstable();
    assert_eq!(all, (0..40).chain(100..140).collect::<Vec<_>>(), "each was dropped once");
}

#[test]
fn a_drop_that_panics_does_not_end_the_cache_s_own_threads() {
    let (dropped, alive) = (Arc::new(Mutex::new(Vec::new())), Alive::default());
    let cache = Cache::<u64, Fragile>::builder().capacity(100).build().unwrap();
    for round in 1..=2 {
        for number in 0..50 {
            let (dropped, _alive) = (dropped.clone(), alive.clone());
            cache.insert(number, Fragile { number, breaks: true, dropped, _alive }).unwrap();
        }
        cache.clear();
        until("all are reclaimed", || cache.stats().drop_panics == round * 50);
        until("the gauge is back", || cache.stats().retired_entries == 0);
    }
    assert_eq!(alive.count(), 0);
    cache.validate();
}

type Hook = Box<dyn Fn(u64, u64)>;

thread_local! {
    /// What comparing two keys does, on this thread.
    static ON_EQ: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static HASH_PANICS: Cell<bool> = const { Cell::new(false) };
}

fn on_eq(hook: Option<Hook>) {
    ON_EQ.with(|on_eq| *on_eq.borrow_mut() = hook);
}

/// A key whose comparison and hash do as they are told.
#[derive(Clone, Copy, Debug)]
struct Touchy(u64);

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        // Taken out: a hook may compare keys in turn.
        if let Some(hook) = ON_EQ.with(|on_eq| on_eq.borrow_mut().take()) {
            hook(self.0, other.0);
            on_eq(Some(hook));
        }
        self.0 == other.0
    }
}
impl Eq for Touchy {}
impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(!HASH_PANICS.get(), "the hash panics");
        self.0.hash(state);
    }
}

/// Everything in one set, with one tag: every look-up compares keys.
#[derive(Clone, Debug)]
struct OneTag;
impl BuildHasher for OneTag {
    type Hasher = Nothing;
    fn build_hasher(&self) -> Nothing {
        Nothing
    }
}
struct Nothing;
impl Hasher for Nothing {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, _: &[u8]) {}
}

type TouchyCache = Cache<Touchy, u64, OneTag>;

fn touchy() -> (TouchyCache, Events) {
    let events = Events::default();
    let log = events.clone();
    let cache = TouchyCache::builder_with_hasher(OneTag)
        .capacity(8)
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |r| log.push((r.key().0, *r.value(), r.cause())))
        .build()
        .unwrap();
    for n in 0..4 {
        cache.insert(Touchy(n), n).unwrap();
    }
    (cache, events)
}

/// Nothing has gone, nobody is pinned, and memory comes back.
fn unharmed(cache: &TouchyCache, events: &Events, entries: u64) {
    on_eq(None);
    HASH_PANICS.set(false);
    assert!(events.sorted().is_empty());
    assert_eq!((cache.len(), cache.iter().count() as u64), (entries, entries));
    assert_eq!(cache.stats().longest_pin, std::time::Duration::ZERO);
    assert!(cache.remove(&Touchy(0)));
    until("memory is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().retired_entries == 0
    });
    cache.validate();
}

#[test]
fn a_comparison_that_panics_changes_nothing() {
    let uses: [fn(&TouchyCache); 8] = [
        |c| drop(c.get(&Touchy(9))),
        |c| drop(c.get_many(&[&Touchy(9)])),
        |c| assert!(!c.contains(&Touchy(9))),
        |c| drop(c.take(&Touchy(9))),
        |c| assert!(!c.remove(&Touchy(9))),
        |c| c.insert(Touchy(9), 9).unwrap(),
        |c| drop(c.insert_many([(Touchy(9), 9)])),
        |c| assert!(c.reader().get(&Touchy(9)).is_none()),
    ];
    for used in uses {
        let (cache, events) = touchy();
        on_eq(Some(Box::new(|_, _| panic!("the comparison panics"))));
        assert_eq!(panic_of(|| used(&cache)), "the comparison panics");
        unharmed(&cache, &events, 4);
    }
}

#[test]
fn a_comparison_that_panics_when_an_insert_tries_again_takes_nothing_along() {
    let (cache, events) = touchy();
    let (other, calls) = (cache.clone(), Cell::new(0));
    // The set changes under the insert, so that it has to look again; then comparing panics.
    on_eq(Some(Box::new(move |_, _| {
        calls.set(calls.get() + 1);
        match calls.get() {
            1 => other.insert(Touchy(5), 5).unwrap(),
            n => assert!(n <= 4, "the comparison panics"),
        }
    })));
    assert_eq!(panic_of(|| cache.insert(Touchy(9), 9).unwrap()), "the comparison panics");
    unharmed(&cache, &events, 5);
    cache.shutdown();
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_comparison_that_panics_in_a_batch_loses_nothing_of_what_came_before() {
    let (cache, events) = touchy();
    on_eq(Some(Box::new(|a, b| assert!(a != 9 && b != 9, "the comparison panics"))));
    let panic = panic_of(|| drop(cache.insert_many([(Touchy(0), 100), (Touchy(9), 9)])));
    assert_eq!(panic, "the comparison panics");
    assert_eq!(events.sorted(), [(0, 0, RemovalCause::Replaced)]);
    unharmed(&cache, &events, 4);
}

#[test]
fn a_hash_that_panics_changes_nothing() {
    let uses: [fn(&TouchyCache); 4] = [
        |c| drop(c.get(&Touchy(0))),
        |c| assert!(!c.remove(&Touchy(0))),
        |c| c.insert(Touchy(9), 9).unwrap(),
        |c| drop(c.insert_many([(Touchy(9), 9), (Touchy(8), 8)])),
    ];
    for used in uses {
        let (cache, events) = touchy();
        HASH_PANICS.set(true);
        assert_eq!(panic_of(|| used(&cache)), "the hash panics");
        unharmed(&cache, &events, 4);
    }
}

#[test]
fn a_weigher_that_panics_changes_nothing() {
    let alive = Alive::default();
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let cache = Cache::<u64, Alive>::builder()
        .capacity(10)
        .maintenance(Maintenance::Embedder)
        .weigher(|key, _| if *key == 3 { panic!("no weight") } else { 10 })
        .removal_listener(move |r| lock(&log).push((*r.key(), r.cause())))
        .build()
        .unwrap();
    cache.insert(1, alive.clone()).unwrap();
    assert_eq!(panic_of(|| cache.insert(3, alive.clone()).unwrap()), "no weight");
    assert_eq!(alive.count(), 1);
    let batch: Vec<_> = (0..6).map(|key| (key, alive.clone())).collect();
    assert_eq!(panic_of(|| drop(cache.insert_many(batch))), "no weight");
    assert!(lock(&events).is_empty());
    assert_eq!((cache.len(), alive.count()), (1, 1));
    cache.validate();
}

#[test]
fn a_predicate_that_panics_keeps_what_it_has_not_rejected() {
    let (builder, _, events) = world::logged(100);
    let cache = builder.build().unwrap();
    for key in 0..50 {
        cache.insert(key, key).unwrap();
    }
    let mut asked = 0;
    let panic = panic_of(|| {
        cache.retain(|_, _| {
            asked += 1;
            assert!(asked <= 20, "the predicate panics");
            false
        });
    });
    assert_eq!(panic, "the predicate panics");
    let gone = events.sorted();
    assert!(!gone.is_empty() && gone.len() <= 20, "{gone:?}");
    assert_eq!(cache.len(), 50 - gone.len() as u64);
    assert!(
        gone.iter()
            .all(|(key, _, cause)| { *cause == RemovalCause::Removed && !cache.contains(key) })
    );
    cache.validate();
}

#[test]
fn a_maker_that_panics_lets_the_next_one_in() {
    let (builder, _) = world::builder(10);
    let cache = builder.build().unwrap();
    let make = |_: ()| -> u64 { panic!("nothing made") };
    assert_eq!(panic_of(|| _ = cache.get_or_insert_with(1, || make(()))), "nothing made");
    assert_eq!(cache.get_or_insert_with(1, || 10), 10);
    let again = panic_of(|| {
        cache.get_or_insert_with(2, || cache.get_or_insert_with(2, || 20));
    });
    assert!(again.contains("asked for a key whose value waits for this one"), "{again}");
    assert_eq!(cache.get_or_insert_with(2, || 21), 21);
    cache.validate();
}

#[test]
fn one_caller_makes_and_the_others_get_what_it_made() {
    let (builder, _) = world::builder(10);
    let cache = builder.build().unwrap();
    let made = Mutex::new(0);
    let got: HashSet<u64> = std::thread::scope(|scope| {
        let ask = || {
            cache.get_or_insert_with(1, || {
                let mut made = lock(&made);
                *made += 1;
                // A key of one's own may be asked for meanwhile.
                *made + cache.get_or_insert_with(2, || 100)
            })
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((got, *lock(&made)), (HashSet::from([101]), 1));
    cache.validate();
}
