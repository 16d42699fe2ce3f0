//! Class 12: readers that stall while everything is written.

use crate::tried::{Random, amount, is_long, law, tried};
use crate::world::until;
use halfshake::{BytesCache, Refusal, Stats};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// So many that the limit in bytes is what decides, not the ways that there are.
const CAPACITY: u64 = 16_000;
const BYTES: u64 = 1 << 20;
const WRITERS: u64 = 4;
const VALUE: usize = 200;
/// What inserts under way may retire beyond the limit.
const UNDER_WAY: u64 = WRITERS * 8 * 1024;
/// Keys that are written, and those that nobody touches but readers.
const KEYS: u64 = 12_000;

#[derive(Default)]
struct Seen {
    writes: AtomicU64,
    refused: AtomicU64,
    most_retired: AtomicU64,
}

fn write(cache: &BytesCache, random: &mut Random, seen: &Seen) {
    let key = random.below(KEYS).to_le_bytes();
    match random.below(10) {
        0..=6 => match cache.insert(&key, &[9; VALUE]) {
            Ok(()) => {}
            Err(Refusal::NoRoom | Refusal::Full) => _ = seen.refused.fetch_add(1, SeqCst),
            Err(other) => panic!("{other}"),
        },
        7 => drop(cache.take(&key[..])),
        // A removal always works; a look-up too.
        8 => _ = cache.remove(&key[..]),
        _ => cache.get(&key[..]).iter().for_each(|found| assert_eq!(found.len(), VALUE)),
    }
    if seen.writes.fetch_add(1, SeqCst).is_multiple_of(64) {
        seen.most_retired.fetch_max(cache.stats().retired_bytes, SeqCst);
        // Gauges are sums over threads, read one after the other: who loses its processor in
        // between sees more than there is. What is too much in truth is so again and again.
        let too_much = |_| {
            let stats = cache.stats();
            std::thread::yield_now();
            passes_bound(&stats).then_some(stats)
        };
        let seen_again: Vec<_> = (0..100).map_while(too_much).collect();
        assert!(seen_again.len() < 100, "the bound of garbage is passed: {:?}", seen_again[0]);
    }
}

/// An insert asks that what waits be within the limit; removals go on, and add what lived.
fn passes_bound(stats: &Stats) -> bool {
    stats.bytes + stats.retired_bytes > 2 * BYTES + UNDER_WAY
}

/// What stays pinned until it is let go.
fn stall(cache: &BytesCache, key: u64, (pinned, release): (&Barrier, &Barrier)) {
    let mut reader = cache.reader();
    let found = reader.get(&key.to_le_bytes()[..]).unwrap();
    pinned.wait();
    release.wait();
    // Whatever has become of it since.
    assert_eq!(found.value(), [5; VALUE]);
}

/// Writes and time after which a tenth was left of what had waited.
struct Recovery {
    waited: u64,
    writes: u64,
    time: Duration,
}

/// Ends the writers, also where the law is broken.
struct Ends<'o>(&'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Lets the readers go, under load as before.
fn recover(cache: &BytesCache, seen: &Seen, release: &Barrier) -> Recovery {
    let (waited, refused) = (seen.most_retired.load(SeqCst), seen.refused.load(SeqCst));
    let (released, work) = (Instant::now(), seen.writes.load(SeqCst));
    // First: who waits there would wait for good.
    release.wait();
    assert!(waited > BYTES / 2, "{waited} bytes: nothing had to wait for the readers");
    assert!(refused > 0, "memory was to be had all the same");
    while cache.stats().retired_bytes > waited / 10 {
        assert!(released.elapsed() < Duration::from_secs(60), "{:?}", cache.stats());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let recovery =
        Recovery { waited, writes: seen.writes.load(SeqCst) - work, time: released.elapsed() };
    assert!(!is_long() || recovery.time < Duration::from_secs(1), "{:?}", recovery.time);
    recovery
}

/// So many readers stall until enough was written; then all of it comes back.
fn stalled(readers: u64, writes: u64, time: Duration) {
    let cache = BytesCache::builder().capacity(CAPACITY).capacity_bytes(BYTES).build().unwrap();
    let seen = Seen::default();
    for n in 0..readers {
        cache.insert(&(KEYS + n).to_le_bytes(), &[5; VALUE]).unwrap();
    }
    let together = usize::try_from(1 + readers).unwrap();
    let (pinned, release) = (Barrier::new(together), Barrier::new(together));
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let recovery = std::thread::scope(|scope| {
        let _ends = Ends(&over);
        for n in 0..readers {
            let (cache, barriers) = (&cache, (&pinned, &release));
            scope.spawn(move || stall(cache, KEYS + n, barriers));
        }
        pinned.wait();
        let write_all = |writer| {
            let (cache, seen, over) = (&cache, &seen, &over);
            move || {
                let mut random = Random(writer);
                while !over.load(SeqCst) {
                    write(cache, &mut random, seen);
                }
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write_all(writer))).collect();
        let enough = || seen.writes.load(SeqCst) >= writes && begun.elapsed() >= time;
        while !enough() && !writers.iter().any(|writer| writer.is_finished()) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        recover(&cache, &seen, &release)
    });
    assert!(cache.insert(b"afterwards", &[1; VALUE]).is_ok());
    until("all is reclaimed", || {
        cache.run_maintenance(usize::MAX);
        cache.stats().retired_entries == 0
    });
    cache.validate();
    let kib = |bytes: u64| bytes / 1024;
    tried(
        "12",
        &format!("{readers} of its readers stalled for {} s, all else is written", time.as_secs()),
        &format!(
            "{} writes of {WRITERS} threads, {} refused; at most {} KiB waited, of a limit of {} \
             KiB; a tenth of it {} ms and {} writes after the release",
            seen.writes.load(SeqCst),
            seen.refused.load(SeqCst),
            kib(recovery.waited),
            kib(BYTES),
            recovery.time.as_millis(),
            recovery.writes
        ),
        &law(
            "what waits and what lives are within twice the limit",
            "; a tenth is left within 1 s",
        ),
    );
}

#[test]
fn garbage_is_bounded_while_a_reader_stalls_and_gone_soon_after() {
    stalled(1, 50_000, Duration::from_secs(amount(0, 60)));
}

#[test]
fn garbage_is_bounded_while_eight_readers_stall_and_gone_soon_after() {
    stalled(8, 50_000, Duration::from_secs(amount(0, 60)));
}
