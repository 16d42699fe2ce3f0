//! Who goes when there is no room: within a set, the oldest that was not used, or the oldest; and
//! which set it is.
//!
//! Where everything lies in one set the order is that of a queue, whatever the script, in which
//! what was used is passed over once. Where a test says which key lies in which set, keys are
//! `in_set(SET, NUMBER)`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::seeded::{OneSet, Random, seed};
use crate::world::{lock, until};
use halfshake::{Builder, Cache, Maintenance, RemovalCause};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

type Evicted = Arc<Mutex<Vec<u64>>>;
type BuilderBy<H> = Builder<u64, u64, BuildHasherDefault<H>>;
type Subject<H> = (Cache<u64, u64, BuildHasherDefault<H>>, Evicted);

fn cache(capacity: u64) -> Subject<OneSet> {
    cache_by(capacity)
}

fn cache_by<H: Hasher + Default + 'static>(capacity: u64) -> Subject<H>
where
    BuildHasherDefault<H>: Clone + Send + Sync,
{
    built(|builder| builder.capacity(capacity))
}

fn built<H: Hasher + Default + 'static>(
    set_up: impl FnOnce(BuilderBy<H>) -> BuilderBy<H>,
) -> Subject<H>
where
    BuildHasherDefault<H>: Clone + Send + Sync,
{
    let evicted = Evicted::default();
    let log = evicted.clone();
    let cache = set_up(Cache::builder_with_hasher(BuildHasherDefault::<H>::default()))
        .shards(1)
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
fn insert<H>((cache, evicted): &Subject<H>, key: u64) -> Vec<u64>
where
    BuildHasherDefault<H>: BuildHasher + Send + Sync + 'static,
{
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

/// A key is its own hash, whose upper bits choose the set.
#[derive(Clone, Debug, Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// What a cache of up to 2,048 entries has.
const SETS: u64 = 256;
/// Of a cache whose sets hold four entries on average.
const DENSE: u64 = 4 * SETS;

fn in_set(set: u64, number: u64) -> u64 {
    set * (u64::MAX / SETS + 1) + number
}

fn set_of(key: u64) -> u64 {
    key / in_set(1, 0)
}

/// A full cache: `counts` in the first sets, which come last, and the rest in all others, the same
/// in each as far as that is possible.
fn filled(capacity: u64, counts: &[u64]) -> Subject<Itself> {
    let subject = cache_by(capacity);
    let first = counts.len() as u64;
    let rest = capacity - counts.iter().sum::<u64>();
    for number in 0..rest {
        let key = in_set(first + number % (SETS - first), number);
        subject.0.insert(key, key).unwrap();
    }
    for (set, count) in (0..).zip(counts) {
        for number in 0..*count {
            let key = in_set(set, number);
            subject.0.insert(key, key).unwrap();
        }
    }
    assert_eq!((subject.0.len(), lock(&subject.1).len()), (capacity, 0));
    subject
}

#[test]
fn a_set_with_half_of_its_share_gives_its_own_oldest() {
    for (capacity, counts) in [(DENSE, [2, 3, 4, 8]), (2 * DENSE, [4, 5, 8, 9])] {
        let subject = filled(capacity, &counts);
        for set in 0..4 {
            assert_eq!(insert(&subject, in_set(set, 100)), [in_set(set, 0)], "of {capacity}");
        }
        subject.0.validate();
    }
}

#[test]
fn a_set_with_less_than_half_of_its_share_grows_and_another_one_gives() {
    const FEW: usize = 16;
    let subject = filled(DENSE, &[1; FEW]);
    let gone: Vec<_> =
        (0..).take(FEW).map(|set| (set, insert(&subject, in_set(set, 100)))).collect();
    assert!(gone.iter().all(|(_, gone)| gone.len() == 1), "{gone:?}");
    // Others begin anywhere: one time in 256 with this very set.
    let grew = gone.iter().filter(|(set, gone)| set_of(gone[0]) != *set).count();
    assert!(grew > 10, "{gone:?}");
    subject.0.validate();
}

#[test]
fn where_sets_hold_little_on_average_even_a_full_one_is_spared() {
    // All others are older.
    let subject = filled(DENSE - 1, &[8]);
    for number in 100..104 {
        let gone = insert(&subject, in_set(0, number));
        assert!(gone.len() == 1 && set_of(gone[0]) != 0, "{gone:?}");
    }
    subject.0.validate();
}

#[test]
fn of_a_few_sets_the_oldest_goes_and_what_was_used_after_what_was_not() {
    // Five sets, and so many are sampled: the order is that of all.
    let subject = cache_by::<Itself>(5);
    let key = |number| in_set(number * 50, number);
    for number in 0..5 {
        assert_eq!(insert(&subject, key(number)), []);
    }
    assert!(subject.0.get(&key(0)).is_some() && subject.0.get(&key(2)).is_some());
    assert_eq!(insert(&subject, in_set(1, 5)), [key(1)]);
    // That look has taken the marks of both back.
    assert_eq!(insert(&subject, in_set(2, 6)), [key(0)]);
    assert_eq!(insert(&subject, in_set(3, 7)), [key(2)]);
    subject.0.validate();
}

#[test]
fn a_few_sets_are_sampled_and_not_all() {
    const ENTRIES: u64 = 64;
    let subject = cache_by::<Itself>(ENTRIES);
    let mut present = Vec::new();
    for number in 0..ENTRIES {
        present.push(in_set(4 * number, number));
        assert_eq!(insert(&subject, in_set(4 * number, number)), []);
    }
    let mut oldest = 0;
    for number in ENTRIES..3 * ENTRIES {
        let key = in_set(4 * (number % ENTRIES) + number / ENTRIES, number);
        let gone = insert(&subject, key);
        let rank = present.iter().position(|key| [*key] == *gone).unwrap();
        assert!(rank < present.len() - 4, "older than four others that were sampled: {rank}");
        present.remove(rank);
        present.push(key);
        oldest += u64::from(rank == 0);
    }
    assert!(oldest < ENTRIES, "{oldest} of {}: who looks at all sets pays for it", 2 * ENTRIES);
    subject.0.validate();
}

#[test]
fn what_replaces_a_lighter_one_takes_the_rest_of_what_it_needs_from_the_same_set() {
    let subject = built::<Itself>(|builder| {
        builder.capacity(100).capacity_bytes(30).weigher(|_, weight| *weight)
    });
    let (cache, evicted) = &subject;
    for key in [in_set(100, 0), in_set(0, 1), in_set(0, 2)] {
        cache.insert(key, 10).unwrap();
    }
    cache.insert(in_set(0, 1), 15).unwrap();
    assert_eq!(*lock(evicted), [in_set(0, 2)], "in the step that replaces");
    cache.validate();
}
