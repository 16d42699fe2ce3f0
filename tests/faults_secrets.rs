//! Class 24: after sessions have left, by whatever way and under load, none of their secrets lies
//! anywhere in the process's memory.
//!
//! A test binary of its own, and one test: it reads all of its own memory.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

mod memory;
mod tried;

use halfshake::session::{
    Answer, Modes, Namespace, Session, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{Maintenance, ManualClock};
use memory::{copies, with};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tried::{Random, amount, tried};

const IDS: u64 = 200;
const THREADS: u64 = 3;

fn name() -> Namespace {
    Namespace::new(b"www").unwrap()
}

fn id(of: u64) -> [u8; 32] {
    [of.to_le_bytes()[0]; 32]
}

/// All sessions of a round have one secret: one look through memory finds any of them.
fn session(cache: &SessionCache<u64>, of: u64, secret: u64) -> Session {
    let id = SessionId::new(&id(of)).unwrap();
    with(secret, |bytes| cache.make(&name(), id, 0x0303, bytes))
}

fn cache(capacity: u64, secret: u64, clock: &Arc<ManualClock>) -> SessionCache<u64> {
    SessionCache::<u64>::builder()
        .capacity(capacity)
        .timeout(Duration::from_millis(50))
        .modes(Modes::SERVER | Modes::UPDATE_TIME)
        .maintenance(Maintenance::Embedder)
        .clock(clock.clone())
        .wall_clock(clock.clone())
        .new_callback(|n, _| if n % 7 == 0 { Verdict::Refuse } else { Verdict::Keep })
        .remove_callback(|gone| drop(gone.to_session()))
        .get_callback(move |n, asked| {
            let made = || session(asked.cache(), asked.id()[0].into(), secret);
            match n % 4 {
                0 => Answer::handed_over(made()),
                1 => Answer::borrowed(&made()),
                2 => Answer::serialised(made().to_bytes().to_vec()),
                _ => Answer::unknown(),
            }
        })
        .build()
        .unwrap()
}

fn step(cache: &SessionCache<u64>, random: &mut Random, (n, secret): (u64, u64)) {
    let of = random.below(IDS);
    match random.below(16) {
        0..=4 => _ = cache.new_session(&n, Side::Server, &session(cache, of, secret)),
        5 => _ = cache.add(&session(cache, of, secret)),
        6..=9 => drop(cache.resume(&n, &name(), &id(of)).map(|found| found.to_session())),
        10..=11 => drop(cache.take(&n, &name(), &id(of)).map(|taken| taken.to_session())),
        12 => _ = cache.remove(&name(), &id(of)),
        13 => _ = cache.connection_failed(&name(), &id(of)),
        14 => _ = cache.set_capacity(20 + random.below(20)),
        _ if n % 64 == 0 => _ = cache.flush_all(),
        _ => _ = cache.run_maintenance(usize::MAX),
    }
}

/// Until what was removed has passed its grace period.
fn reclaim(cache: &SessionCache<u64>) {
    for _ in 0..200 {
        cache.run_maintenance(usize::MAX);
    }
    assert_eq!(cache.stats().engine.retired_entries, 0);
}

fn round(secret: u64, capacity: u64) -> u64 {
    let clock = ManualClock::new();
    clock.set(Duration::from_secs(1_800_000_000));
    let cache = cache(capacity, secret, &clock);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, clock, done) = (&cache, &clock, &done);
            scope.spawn(move || {
                let mut random = Random(secret << 8 | thread);
                for _ in 0..4_000 {
                    let n = done.fetch_add(1, SeqCst);
                    step(cache, &mut random, (n, secret));
                    if n % 50 == 0 {
                        clock.advance(Duration::from_millis(10));
                    }
                }
            });
        }
    });
    // What lives lies in the cache, once each: the scanner sees what is there.
    reclaim(&cache);
    let live = usize::try_from(cache.len()).unwrap();
    assert_eq!(copies(secret), live, "of those that live");
    cache.flush_all();
    reclaim(&cache);
    assert_eq!(copies(secret), 0, "after all have left");
    // One that is forgotten somewhere is found.
    let forgotten = session(&cache, 1, secret);
    assert_eq!(copies(secret), 1, "one that was planted");
    drop(forgotten);
    cache.validate();
    let removed = cache.stats().engine.removed_total();
    drop(cache);
    assert_eq!(copies(secret), 0, "after the cache");
    removed
}

#[test]
fn no_secret_of_a_session_that_has_left_lies_anywhere_in_memory() {
    let rounds = amount(2, 60);
    // With the allocator's memory, and with memory of the cache's own.
    let removed: u64 =
        (0..rounds).map(|n| round(50_000 + n, if n % 2 == 0 { 40 } else { 20_000 })).sum();
    tried(
        "24",
        "secrets of sessions that have left by every way, under load",
        &format!("{removed} sessions, {rounds} looks through all memory"),
        "no copy is left; one that is planted is found",
    );
}
