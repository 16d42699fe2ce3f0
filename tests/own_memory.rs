//! A large cache has memory of its own, and gives it back.
//!
//! A test binary of its own, and one test: it looks at what the whole process holds.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use halfshake::{BytesCache, Maintenance};
use std::sync::mpsc::channel;

const ENTRIES: u64 = 60_000;
const VALUE: [u8; 200] = [7; 200];
/// How much more than the payload may be held. (The address sanitizer keeps freed memory.)
const MOST: u64 = if cfg!(crossbeam_sanitize) { 8 } else { 3 };

/// What the process holds of the machine's memory, in bytes.
fn held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Parts of the process's address space that the system tells apart.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

fn fill(cache: &BytesCache, keys: std::ops::Range<u64>) {
    for key in keys {
        cache.insert(&key.to_le_bytes(), &VALUE).unwrap();
    }
}

#[test]
fn memory_goes_back_with_the_cache_while_its_threads_live_on() {
    let payload = ENTRIES * VALUE.len() as u64;
    for _ in 0..3 {
        let before = held();
        let cache = BytesCache::builder()
            .capacity(ENTRIES)
            .maintenance(Maintenance::Embedder)
            .build()
            .unwrap();
        fill(&cache, 0..ENTRIES / 2);
        let (ended, end) = channel::<()>();
        let (filled, full) = channel();
        let other = cache.clone();
        // It keeps addresses of free blocks to its end.
        let thread = std::thread::spawn(move || {
            fill(&other, ENTRIES / 2..ENTRIES);
            let some = ENTRIES / 2..ENTRIES / 2 + 1000;
            let removed = some.filter(|key| other.remove(&key.to_le_bytes()[..])).count();
            // A set that is full evicts before the cache is.
            assert!(removed > 900, "{removed} were there");
            other.run_maintenance(usize::MAX);
            drop(other);
            filled.send(()).unwrap();
            end.recv().unwrap_err();
        });
        full.recv().unwrap();
        // One removes what the other has inserted, again and again: no memory is lost between them.
        for _ in 0..10 {
            for key in 0..ENTRIES / 4 {
                cache.remove(&key.to_le_bytes()[..]);
            }
            cache.run_maintenance(usize::MAX);
            fill(&cache, 0..ENTRIES / 4);
        }
        let most = held();
        assert!(most - before > payload, "{} are held", most - before);
        assert!(most - before < MOST * payload, "{} are held", most - before);
        drop(cache);
        let after = held();
        assert!(most - after > payload, "{} of {most} are held", after - before);
        drop(ended);
        thread.join().unwrap();
    }
    // Asked for, it is there from the beginning, also in a small cache.
    let asked = 40 << 20;
    let (before, maps) = (held(), mappings());
    let cache = BytesCache::builder().capacity(100).preallocate(asked).build().unwrap();
    let (built, mapped) = (held() - before, mappings() - maps);
    // The system allows for some tens of thousands, in all.
    assert!(mapped < 20, "{mapped} mappings for {asked} bytes");
    assert!((asked..asked + (8 << 20)).contains(&built), "{built} are held");
    drop(cache);
    let after = held() - before;
    assert!(after < asked / 4, "{after} are held");
}
