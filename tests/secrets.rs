//! Values that were removed are no longer in the process's memory, and never in what is printed.
//!
//! A test binary of its own, and one test: it reads all of its own memory.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use halfshake::{BytesCache, Maintenance, RemovalCause};
use std::io::{BufRead, Read, Seek, SeekFrom};
use zeroize::{Zeroize, Zeroizing};

const LEN: usize = 48;
/// A larger mapping is address space that is only reserved, such as a sanitizer's shadow.
const MOST_MAPPED: u64 = 1 << 32;

/// Byte `i` of secret number `which`: computed, so that it lies nowhere.
fn byte(which: u64, i: usize) -> u8 {
    let mixed = (which * 1_000 + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_le_bytes()[7]
}

/// Lends a secret, in one place that is wiped afterwards: a value that is moved leaves copies.
fn with<T>(which: u64, use_it: impl FnOnce(&[u8]) -> T) -> T {
    let mut secret = vec![0; LEN];
    secret.iter_mut().enumerate().for_each(|(i, b)| *b = byte(which, i));
    let used = use_it(&secret);
    secret.zeroize();
    used
}

fn copies_in(mut rest: &[u8], which: u64) -> usize {
    let mut found = 0;
    while !rest.is_empty() {
        // To behind the next byte that may be the first; the standard library is quick at it.
        rest.skip_until(byte(which, 0)).unwrap();
        let goes_on = |(i, b): (usize, &u8)| *b == byte(which, i + 1);
        let is_whole = rest.len() >= LEN - 1;
        found += usize::from(is_whole && rest[..LEN - 1].iter().enumerate().all(goes_on));
    }
    found
}

/// How many copies of a secret there are in the process's writable memory.
fn copies(which: u64) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut piece = Zeroizing::new(vec![0; 1 << 20]);
    let own = piece.as_ptr().addr() as u64..piece.as_ptr().addr() as u64 + piece.len() as u64;
    let mut found = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") || rest.ends_with("[vvar]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let mut at = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        if end - at > MOST_MAPPED {
            continue;
        }
        while at < end {
            // Not what was read just before.
            if own.contains(&at) {
                at = own.end;
                continue;
            }
            let next_stop = if at < own.start { end.min(own.start) } else { end };
            let len = usize::try_from(next_stop - at).unwrap().min(piece.len());
            memory.seek(SeekFrom::Start(at)).unwrap();
            let Ok(read) = memory.read(&mut piece[..len]) else { break };
            found += copies_in(&piece[..read], which);
            // A secret may lie across two pieces: the next one begins before the end of this.
            let advance =
                if read == len && at + (len as u64) < next_stop { len - LEN } else { len };
            at += advance as u64;
        }
    }
    found
}

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
