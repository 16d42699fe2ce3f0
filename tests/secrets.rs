//! Values that were removed are no longer in the process's memory, and never in what is printed.
//!
//! A test binary of its own, and one test: it reads all of its own memory.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod memory;

use halfshake::{BytesCache, Maintenance, RemovalCause};
use memory::{copies, with};

/// Until what was removed has passed its grace period.
fn reclaim(cache: &BytesCache) {
    for _ in 0..100 {
        cache.run_maintenance(usize::MAX);
    }
    assert_eq!(cache.stats().retired_entries, 0);
}

/// In the allocator's memory, and in that of a large cache's own.
#[test]
fn a_secret_leaves_memory_with_its_entry_and_is_never_printed() {
    for capacity in [4, 20_000] {
        secrets_leave(capacity);
    }
}

fn secrets_leave(capacity: u64) {
    let cache = BytesCache::builder()
        .capacity(capacity)
        .maintenance(Maintenance::Embedder)
        .removal_listener(|removal| {
            let shown = format!("{removal:?} {:?} {}", removal.cause(), removal.cause());
            assert!(!shown.contains(&format!("{}", removal.value()[0])), "{shown}");
        })
        .build()
        .unwrap();
    let ways: [fn(&BytesCache); 6] = [
        |c| assert!(c.remove(&b"key"[..])),
        |c| drop(c.take(&b"key"[..]).unwrap()),
        |c| c.insert(b"key", b"another").unwrap(),
        |c| c.clear(),
        |c| c.retain(|_, _| false),
        |c| (0..8u8).for_each(|key| c.insert(&[key], &[key]).unwrap()),
    ];
    // Eight entries push nothing out of a large one.
    let ways = &ways[..if capacity < 8 { 6 } else { 5 }];
    for (which, go) in (capacity..).zip(ways) {
        cache.clear();
        with(which, |secret| cache.insert(b"key", secret)).unwrap();
        assert_eq!(copies(which), 1, "way {which}: there, or this test sees nothing");
        let printed = [
            format!("{cache:?}"),
            format!("{:?}", cache.get(&b"key"[..])),
            format!("{:?}", cache.get_many(&[&b"key"[..]])),
            format!("{:?}", cache.reader()),
            format!("{:?}", cache.reader().get(&b"key"[..])),
            format!("{:?}", cache.iter()),
            format!("{:?}", cache.stats()),
        ];
        let list = with(which, |secret| format!("{:?}", &secret[..4]));
        let inner = list.trim_matches(['[', ']']);
        assert!(printed.iter().all(|text| !text.contains(inner)), "{printed:?}");
        go(&cache);
        reclaim(&cache);
        assert_eq!(copies(which), 0, "way {which}");
    }
    // As a key, and of an insert that was refused.
    with(capacity + 100, |secret| cache.insert(secret, b"value")).unwrap();
    assert_eq!(copies(capacity + 100), 1);
    assert!(with(capacity + 100, |secret| cache.remove(secret)));
    reclaim(&cache);
    assert_eq!(copies(capacity + 100), 0);
    with(capacity + 101, |secret| cache.insert(b"last", secret)).unwrap();
    assert!(!with(capacity + 102, |secret| cache.insert_if_absent(b"last", secret)).unwrap());
    assert_eq!((copies(capacity + 101), copies(capacity + 102)), (1, 0));
    cache.shutdown();
    assert!(with(capacity + 103, |secret| cache.insert(b"late", secret)).is_err());
    assert!(cache.stats().removed_by(RemovalCause::Shutdown) > 0);
    cache.validate();
    drop(cache);
    assert_eq!((copies(capacity + 101), copies(capacity + 103)), (0, 0));
}
