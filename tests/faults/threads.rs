//! Classes 13 and 15: threads that exit or panic while they are pinned, and caches that end under
//! those who use them.

use crate::tried::{INJECTED, Random, amount, silence_injected, tried};
use crate::world::{Alive, lock, until};
use halfshake::{Cache, Maintenance, Reader, Refusal};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

type Values = Cache<u64, Alive>;

thread_local! {
    /// Before the cache's own thread locals, or after them, as the thread uses them first.
    static READER: RefCell<Option<Reader<u64, Alive>>> = const { RefCell::new(None) };
    static HANDLE: RefCell<Option<Values>> = const { RefCell::new(None) };
}

/// One thread's short life, and how it ends.
fn live_and_end(cache: &Values, alive: &Alive, n: u64) {
    if n.is_multiple_of(2) {
        // Ends last: after the cache's thread locals of this thread.
        READER.with_borrow_mut(|reader| *reader = None);
        HANDLE.with_borrow_mut(|handle| *handle = None);
    }
    // Garbage of its own.
    for key in 0..20 {
        _ = cache.insert(key, alive.clone());
        _ = cache.remove(&(key + n % 7));
    }
    _ = cache.insert(100, alive.clone());
    match n % 6 {
        // Pinned by what it holds when it panics.
        0 | 1 => {
            let (found, mut reader) = (cache.get(&100), cache.reader());
            assert!(reader.get(&100).is_some() || found.is_none() || !cache.contains(&100));
            std::panic::panic_any(INJECTED);
        }
        // What was taken is delivered and dropped while it panics.
        2 => {
            let _taken = cache.take(&100);
            std::panic::panic_any(INJECTED);
        }
        // A reader that stays pinned to the thread's very end.
        3 | 4 => {
            let mut reader = cache.reader();
            let _found = reader.get(&100).is_some();
            assert!(reader.is_pinned());
            READER.set(Some(reader));
        }
        // A handle that is dropped there.
        _ => HANDLE.set(Some(cache.clone())),
    }
}

/// Rounds of maintenance in which all comes back; a few, unless other tests pin.
const ROUNDS: u64 = 1_000;

/// In how many rounds all has come back.
fn reclaimed(cache: &Values, alive: &Alive) -> u64 {
    for round in 0..ROUNDS {
        let stats = cache.stats();
        if stats.retired_entries == 0 && alive.count() as u64 == stats.entries {
            return round;
        }
        cache.run_maintenance(usize::MAX);
    }
    panic!("{} alive: {:?}", alive.count(), cache.stats());
}

#[test]
fn threads_that_exit_or_panic_pinned_leave_nothing_behind() {
    silence_injected();
    let threads = amount(120, 10_000);
    let (alive, told) = (Alive::default(), Arc::new(AtomicU64::new(0)));
    let counts = told.clone();
    let cache = Values::builder()
        .capacity(60)
        .maintenance(Maintenance::Embedder)
        .removal_listener(move |_| _ = counts.fetch_add(1, SeqCst))
        .build()
        .unwrap();
    let mut most_rounds = 0;
    for batch in 0..threads / 6 {
        let lives: Vec<_> = (0..6)
            .map(|n| {
                let (cache, alive) = (cache.clone(), alive.clone());
                std::thread::spawn(move || live_and_end(&cache, &alive, batch * 6 + n))
            })
            .collect();
        for life in lives {
            if let Err(panic) = life.join() {
                assert_eq!(panic.downcast_ref::<&str>(), Some(&INJECTED), "an assertion failed");
            }
        }
        if batch.is_multiple_of(8) {
            most_rounds = most_rounds.max(reclaimed(&cache, &alive));
        }
    }
    reclaimed(&cache, &alive);
    let stats = cache.stats();
    assert_eq!(stats.inserts, stats.entries + told.load(SeqCst));
    cache.validate();
    drop(cache);
    assert_eq!(alive.count(), 0);
    tried(
        "13",
        "threads that exit with a pinned reader, or panic with pinned references",
        &format!("{threads} threads; at most {most_rounds} rounds of maintenance were needed"),
        &format!("all is freed by others, within {ROUNDS} rounds of maintenance"),
    );
}

/// What one round of ends is set up with, and has seen.
struct Round {
    alive: Alive,
    stored: AtomicU64,
    told: AtomicU64,
    /// Handles that a listener has made.
    kept: Mutex<Vec<Values>>,
}

fn round_of(round: &Arc<Round>, n: u64) -> Values {
    let seen = round.clone();
    let maintenance = if n.is_multiple_of(4) { Maintenance::Thread } else { Maintenance::Embedder };
    Values::builder()
        .capacity(6)
        .maintenance(maintenance)
        .removal_listener(move |gone| {
            seen.told.fetch_add(1, SeqCst);
            // In some, the last handle is one that a listener had.
            if n.is_multiple_of(3) && gone.key().is_multiple_of(5) {
                lock(&seen.kept).push(gone.cache());
            }
        })
        .build()
        .unwrap()
}

fn use_until_the_end(cache: Values, round: &Round, random: &mut Random) {
    for _ in 0..1 + random.below(12) {
        let key = random.below(12);
        match random.below(8) {
            0..=4 => {
                let stored = cache.insert(key, round.alive.clone()).map_err(|e| e.refusal);
                assert_ne!(stored, Err(Refusal::Closed), "it has ended under who holds a handle");
                round.stored.fetch_add(u64::from(stored.is_ok()), SeqCst);
            }
            5 => drop(cache.take(&key)),
            6 => _ = cache.remove(&key),
            _ => drop(cache.get(&key)),
        }
    }
    match random.below(4) {
        0 => HANDLE.set(Some(cache)),
        1 => {
            let mut reader = cache.reader();
            drop(cache);
            _ = reader.get(&1);
        }
        _ => drop(cache),
    }
}

#[test]
fn caches_that_end_under_load_tell_of_all_and_free_all() {
    let rounds = amount(100, 100_000);
    let mut stored = 0;
    for n in 0..rounds {
        let round = Arc::new(Round {
            alive: Alive::default(),
            stored: AtomicU64::new(0),
            told: AtomicU64::new(0),
            kept: Mutex::default(),
        });
        let cache = round_of(&round, n);
        let users: Vec<_> = (0..4)
            .map(|user| {
                let (cache, round) = (cache.clone(), round.clone());
                let mut random = Random(n << 8 | user);
                std::thread::spawn(move || use_until_the_end(cache, &round, &mut random))
            })
            .collect();
        drop(cache);
        users.into_iter().for_each(|user| user.join().unwrap());
        // A listener of the end may make handles of its own: dropped in turn, they begin nothing.
        for _ in 0..2 {
            let kept = std::mem::take(&mut *lock(&round.kept));
            drop(kept);
        }
        let what = || format!("round {n}");
        assert_eq!(round.told.load(SeqCst), round.stored.load(SeqCst), "{}", what());
        until("all values are dropped", || round.alive.count() == 0);
        stored += round.stored.load(SeqCst);
    }
    tried(
        "15",
        "the last handle goes under load, in a listener, or at a thread's very end",
        &format!("{rounds} caches, 4 threads each, {stored} entries"),
        "each entry is told of once, and every value dropped",
    );
}
