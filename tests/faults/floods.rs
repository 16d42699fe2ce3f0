//! Classes 1 and 3: floods of ids that nobody knows, and ids that are made to look alike.

use crate::tried::{Random, amount, is_long, law, resident, tried};
use halfshake::session::{Answer, IdTagKey, IdTags, Namespace, Rejection, SessionCache, SessionId};
use halfshake::{BytesCache, Maintenance};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

const GOOD: u64 = 1_000;
const TLS12: u16 = 0x0303;
/// What a process may grow by while it is flooded.
const MOST_GROWTH: u64 = 4 << 20;

fn name() -> Namespace {
    Namespace::new(b"www").unwrap()
}

/// Good clients resume all the time while others flood; how often they did, and how often not.
fn beside(cache: &SessionCache<u64>, good: &[SessionId], flood: impl FnOnce()) -> (u64, u64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (mut resumed, mut missed) = (0, 0);
            while !over.load(SeqCst) || resumed == 0 {
                for id in good {
                    match cache.resume(&0, &name(), id.as_bytes()) {
                        Some(_) => resumed += 1,
                        None => missed += 1,
                    }
                }
            }
            (resumed, missed)
        });
        flood();
        over.store(true, SeqCst);
        clients.join().unwrap()
    })
}

#[test]
fn flood_of_foreign_ids_reaches_neither_table_nor_store() {
    let ids = amount(10_000, 100_000_000);
    let tags = Arc::new(IdTags::new(IdTagKey::random().unwrap(), 2));
    let asked = Arc::new(AtomicU64::new(0));
    let counts = asked.clone();
    let cache = SessionCache::<u64>::builder()
        .capacity(GOOD)
        .id_tags(tags.clone())
        .get_callback(move |_, _| {
            counts.fetch_add(1, SeqCst);
            Answer::unknown()
        })
        .build()
        .unwrap();
    let good: Vec<_> = (0..GOOD).map(|_| tags.mint(&name()).unwrap()).collect();
    for id in &good {
        cache.add(&cache.make(&name(), *id, TLS12, &[7; 100])).unwrap();
    }
    let before = resident();
    let (resumed, missed) = beside(&cache, &good, || {
        let mut random = Random(1);
        for n in 0..ids {
            let id = random.id();
            match n % 2 {
                0 => assert!(cache.resume(&1, &name(), &id).is_none()),
                _ => assert!(cache.take(&1, &name(), &id).is_none()),
            }
        }
    });
    let stats = cache.stats();
    assert_eq!((asked.load(SeqCst), stats.engine.misses_unknown), (0, 0), "looked up");
    assert_eq!((stats.rejected_for(Rejection::ForeignId), missed), (ids, 0));
    assert_eq!(cache.len(), GOOD);
    let grown = resident().saturating_sub(before);
    assert!(!is_long() || grown < MOST_GROWTH, "{grown} bytes more");
    cache.validate();
    tried(
        "1",
        "flood of foreign ids, with tagged ids",
        &format!("{ids} ids; beside them {resumed} resumptions"),
        &law("0 look-ups in table or store, 0 good clients miss", ", no memory"),
    );
}

#[test]
fn flood_of_unknown_ids_evicts_nobody_and_takes_no_memory() {
    let (ids, outside) = (amount(10_000, 100_000_000), amount(1_000, 10_000_000));
    let asked = Arc::new(AtomicU64::new(0));
    let cache = SessionCache::<u64>::builder().capacity(GOOD).build().unwrap();
    let mut random = Random(2);
    let good: Vec<_> = (0..GOOD).map(|_| SessionId::new(&random.id()).unwrap()).collect();
    for id in &good {
        cache.add(&cache.make(&name(), *id, TLS12, &[7; 100])).unwrap();
    }
    let before = resident();
    let (resumed, missed) = beside(&cache, &good, || {
        for _ in 0..ids {
            assert!(cache.resume(&1, &name(), &random.id()).is_none());
        }
        // With a store: it is asked for each, and remembering them is bounded.
        let counts = asked.clone();
        cache.set_get_callback(move |_, _| {
            counts.fetch_add(1, SeqCst);
            Answer::unknown()
        });
        for _ in 0..outside {
            assert!(cache.resume(&1, &name(), &random.id()).is_none());
        }
    });
    assert_eq!((asked.load(SeqCst), missed, cache.len()), (outside, 0, GOOD));
    let grown = resident().saturating_sub(before);
    assert!(!is_long() || grown < MOST_GROWTH, "{grown} bytes more");
    cache.validate();
    tried(
        "1",
        "flood of unknown ids, without tags",
        &format!("{ids} ids, {outside} more with a store; beside them {resumed} resumptions"),
        &law("each is a miss, 0 good clients miss, nobody is evicted", ", no memory"),
    );
}

/// Ids that somebody might choose to make them collide.
type Family = (&'static str, fn(u64) -> [u8; 32]);

fn families() -> [Family; 6] {
    [
        ("counted at the end", |n| at(24, n, 0)),
        ("counted at the beginning", |n| at(0, n, 0)),
        ("counted in the middle, among ones", |n| at(12, n, 0xff)),
        ("multiples of 2^32", |n| at(8, n << 32, 0)),
        ("multiples of a page", |n| at(16, n * 4096, 0x5a)),
        ("one word four times", |n| {
            let mut id = [0; 32];
            id.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&n.to_le_bytes()));
            id
        }),
    ]
}

fn at(at: usize, n: u64, rest: u8) -> [u8; 32] {
    let mut id = [rest; 32];
    id[at..at + 8].copy_from_slice(&n.to_be_bytes());
    id
}

/// Inserts as many as there is capacity for; how many had to go early, since their set was full.
fn crowded_out(capacity: u64, id: impl Fn(u64) -> [u8; 32]) -> u64 {
    crowded_out_under(ahash::RandomState::new(), capacity, id)
}

fn crowded_out_under<S: BuildHasher + Send + Sync + 'static>(
    hasher: S,
    capacity: u64,
    id: impl Fn(u64) -> [u8; 32],
) -> u64 {
    let cache = BytesCache::builder_with_hasher(hasher)
        .capacity(capacity)
        .maintenance(Maintenance::Embedder)
        .build()
        .unwrap();
    for n in 0..capacity {
        cache.insert(&id(n), b"session").unwrap();
    }
    cache.validate();
    capacity - cache.len()
}

/// As a hash that somebody can see through: it adds the words up.
#[derive(Default)]
struct Adds(u64);

impl Hasher for Adds {
    fn finish(&self) -> u64 {
        self.0.swap_bytes()
    }
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let word = word.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            self.0 = self.0.wrapping_add(word);
        }
    }
}

#[test]
fn a_hash_that_can_be_seen_through_is_seen_to_crowd() {
    let hasher = BuildHasherDefault::<Adds>::default();
    let (_, id) = families()[3];
    let crowded = crowded_out_under(hasher, 4_096, id);
    assert!(crowded > 2_000, "{crowded} of 4096: the test above would not see it");
}

#[test]
fn ids_that_look_alike_spread_as_random_ones_do() {
    let (capacity, caches) = (amount(4_096, 32_768), amount(1, 8));
    // How many were crowded out under all keys: of random ids, and of each family.
    let (mut of_random, mut of_families) = (0, [0; 6]);
    for seed in 0..caches {
        let random = crowded_out(capacity, |n| Random(seed << 32 | n).id());
        of_random += random;
        for ((family, id), sum) in families().into_iter().zip(&mut of_families) {
            let crowded = crowded_out(capacity, id);
            // Of so few, many more are chance.
            assert!(crowded < random * 2 + 40, "{family}: {crowded} of {capacity}; {random}");
            *sum += crowded;
        }
    }
    let most = of_families.into_iter().max().unwrap();
    // What is chance under one key is none under several.
    assert!(!is_long() || most * 2 < of_random * 3, "{of_families:?} crowded out; {of_random}");
    tried(
        "3",
        "ids made to look alike",
        &format!("6 families, {} ids under {caches} keys", 6 * caches * capacity),
        &law(
            "fewer are crowded out of full sets than 40 and twice as many as of random ids",
            "; under all keys together, than one and a half times as many",
        ),
    );
    println!("at most {most} were crowded out of a family, and {of_random} of random ids");
}
