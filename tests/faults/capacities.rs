//! Class 11: capacities of 0, 1, 2, 3, and more than any machine has; weights above the limit.

use crate::tried::{Random, amount, tried};
use halfshake::session::SessionCache;
use halfshake::{BadSetting, BytesCache, Cache, Maintenance, Refusal};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const KEYS: u64 = 6;
const STEPS: u64 = 24;
/// A limit in bytes that few values fit under.
const BYTES: u64 = 10;

fn script(seed: u64) {
    let mut random = Random(seed);
    let capacity = 1 + seed % 3;
    let told = Arc::new(AtomicU64::new(0));
    let counts = told.clone();
    let mut builder = Cache::<u64, u64>::builder()
        .capacity(capacity)
        .max_capacity(3)
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |_| _ = counts.fetch_add(1, SeqCst));
    let weighs = seed.is_multiple_of(2);
    if weighs {
        builder = builder.capacity_bytes(BYTES).weigher(|_, value| 1 + value % 12);
    }
    let cache = builder.build().unwrap();
    let mut limit = capacity;
    // What each key was given last: a look-up finds that or nothing.
    let mut last = HashMap::new();
    for value in 0..STEPS {
        let (key, what) = (random.below(KEYS), format!("seed {seed}, step {value}"));
        match random.below(8) {
            0..=3 => {
                let held = cache.get(&((key + 1) % KEYS)).map(|found| (*found.key(), *found));
                match cache.insert(key, value) {
                    Ok(()) => {
                        last.insert(key, value);
                        assert_eq!(cache.get_cloned(&key), Some(value), "{what}");
                    }
                    Err(refused) => {
                        let weight = 1 + value % 12;
                        let too_large = Refusal::TooLarge { weight, limit: BYTES };
                        assert_eq!(refused.refusal, too_large, "{what}");
                        assert!(weighs && weight > BYTES, "{what}");
                    }
                }
                assert!(held.is_none_or(|(k, v)| last.get(&k) == Some(&v) || k == key), "{what}");
            }
            4 => {
                let taken = cache.take_cloned(&key);
                assert!(taken.is_none() || taken == last.remove(&key), "{what}");
                assert!(!cache.contains(&key), "{what}");
            }
            5 => {
                limit = 1 + random.below(3);
                assert_eq!(cache.set_capacity(limit).unwrap().pending, 0, "{what}");
            }
            6 => {
                assert!(matches!(cache.set_capacity(0), Err(e) if e.settings().len() == 1));
                assert!(cache.set_capacity(4).is_err(), "{what}");
            }
            _ => {
                let found = cache.get(&key);
                assert!(found.is_none_or(|found| last.get(&key) == Some(&*found)), "{what}");
            }
        }
        let stats = cache.stats();
        assert!(stats.entries <= limit && (!weighs || stats.bytes <= BYTES), "{what}: {stats:?}");
        assert_eq!(stats.inserts, stats.entries + told.load(SeqCst), "{what}");
    }
    cache.validate();
}

#[test]
fn tiny_capacities_hold_what_they_say_and_never_more() {
    let scripts = amount(1_000, 1_000_000);
    (0..scripts).for_each(script);
    tried(
        "11",
        "capacities 1, 2 and 3, changed meanwhile, with and without 10 bytes",
        &format!("{scripts} scripts of {STEPS} steps"),
        "what was stored is found, the limit is never passed, one event each",
    );
}

#[test]
fn impossible_capacities_are_mistakes_that_are_told() {
    let built = |entries| BytesCache::builder().capacity(entries).build();
    let of = |entries| built(entries).expect_err("there is no such capacity");
    assert_eq!(of(0).settings(), [BadSetting::NoCapacity]);
    let enormous = [u64::MAX, u64::MAX / 2, 1 << 62, 1 << 48, 1 << 45];
    for entries in enormous {
        let error = of(entries);
        let told = error.settings();
        let named = |bad: &BadSetting| {
            matches!(bad, BadSetting::CapacityTooLarge { .. } | BadSetting::Memory { .. })
        };
        assert!(told.len() == 1 && named(&told[0]), "{entries}: {error}");
    }
    assert!(SessionCache::<()>::builder().capacity(0).build().is_err());
    assert!(SessionCache::<()>::builder().capacity(u64::MAX).build().is_err());
    // A limit in bytes may be as large as it likes: it reserves nothing.
    let builder = BytesCache::builder().capacity(3).capacity_bytes(u64::MAX);
    let cache = builder.maintenance(Maintenance::Embedder).build().unwrap();
    cache.insert(b"key", &[7; 100_000]).unwrap();
    assert_eq!(cache.len(), 1);
    cache.validate();
    tried(
        "11",
        "capacity 0, and 2^45 to 2^64",
        &format!("{}", enormous.len() + 3),
        "a `ConfigError` that says which, and no memory",
    );
}
