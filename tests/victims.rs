//! Who goes when there is no room: within a set, the oldest that was not used, or the oldest.
//!
//! Everything lies in one set here; whatever the script, the order is that of a queue in which what
//! was used is passed over once.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod seeded;
mod world;

use halfshake::{Cache, Maintenance, RemovalCause};
use seeded::{OneSet, Random, seed};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex};
use world::{lock, until};

type OfOneSet = Cache<u64, u64, BuildHasherDefault<OneSet>>;
type Evicted = Arc<Mutex<Vec<u64>>>;

fn cache(capacity: u64) -> (OfOneSet, Evicted) {
    let evicted = Evicted::default();
    let log = evicted.clone();
    let cache = Cache::builder_with_hasher(BuildHasherDefault::<OneSet>::default())
        .capacity(capacity)
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |gone| {
            if gone.cause() == RemovalCause::Evicted {
                lock(&log).push(*gone.key());
            }
        })
        .build()
        .unwrap();
    (cache, evicted)
}

/// Inserts, once no way waits for readers; the keys that went for it.
fn insert((cache, evicted): &(OfOneSet, Evicted), key: u64) -> Vec<u64> {
    until("nothing is retired", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().retired_entries == 0
    });
    cache.insert(key, key).unwrap();
    std::mem::take(&mut lock(evicted))
}

#[test]
fn without_any_use_the_oldest_goes() {
    let subject = cache(8);
    for key in 0..8 {
        assert_eq!(insert(&subject, key), []);
    }
    for key in 8..100 {
        assert_eq!(insert(&subject, key), [key - 8]);
    }
    subject.0.validate();
}

#[test]
fn what_was_used_is_passed_over_once() {
    let subject = cache(4);
    for key in 0..4 {
        assert_eq!(insert(&subject, key), []);
    }
    assert!(subject.0.get(&0).is_some() && subject.0.get(&1).is_some());
    assert_eq!(insert(&subject, 4), [2]);
    assert_eq!(insert(&subject, 5), [0], "it has been passed over");
    for key in [1, 3, 4, 5] {
        assert!(subject.0.get(&key).is_some());
    }
    assert_eq!(insert(&subject, 6), [1], "all were used: the oldest");
    assert_eq!(insert(&subject, 7), [3], "and all have been passed over");
    subject.0.validate();
}

/// One of so many, if there are any.
fn any(random: &mut Random, of: usize) -> Option<usize> {
    let of = u64::try_from(of).unwrap();
    (of > 0).then(|| usize::try_from(random.below(of)).unwrap())
}

/// Keys from the oldest to the newest, and whether each was used.
struct Queue(Vec<(u64, bool)>);

impl Queue {
    fn evict(&mut self) -> u64 {
        let at = self.0.iter().position(|(_, used)| !used);
        let passed = at.unwrap_or(self.0.len());
        self.0[..passed].iter_mut().for_each(|(_, used)| *used = false);
        self.0.remove(at.unwrap_or(0)).0
    }
}

/// As many as a set has: until all have been claimed once, ways are in the order of their entries.
const WAYS: u64 = 16;

#[test]
fn victims_are_those_of_a_queue_whatever_the_script() {
    let seed = seed();
    let mut random = Random(seed);
    for round in 0..100 {
        let capacity = [1, 2, 5, 8][round % 4];
        let subject = cache(capacity);
        let mut queue = Queue(Vec::new());
        for key in 0..WAYS {
            for _ in 0..random.below(3) {
                let Some(at) = any(&mut random, queue.0.len()) else { break };
                assert!(subject.0.get(&queue.0[at].0).is_some(), "seed {seed}");
                queue.0[at].1 = true;
            }
            if random.below(8) == 0
                && let Some(at) = any(&mut random, queue.0.len())
            {
                assert!(subject.0.remove(&queue.0.remove(at).0), "seed {seed}");
            }
            let full = queue.0.len() == usize::try_from(capacity).unwrap();
            let expected: Vec<u64> = full.then(|| queue.evict()).into_iter().collect();
            assert_eq!(insert(&subject, key), expected, "capacity {capacity}, seed {seed}");
            queue.0.push((key, false));
        }
        subject.0.validate();
    }
}

#[test]
fn an_entry_does_not_inherit_that_its_way_was_used() {
    let subject = cache(4);
    assert_eq!(insert(&subject, 0), []);
    assert!(subject.0.get(&0).is_some());
    assert!(subject.0.remove(&0));
    for key in 1..WAYS + 4 {
        let expected = key.checked_sub(4).filter(|oldest| *oldest > 0);
        assert_eq!(insert(&subject, key), Vec::from_iter(expected));
    }
    // This one took the way of the first.
    assert_eq!(insert(&subject, WAYS + 4), [WAYS]);
    subject.0.validate();
}
