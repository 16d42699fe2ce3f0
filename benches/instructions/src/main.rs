//! Does one operation so and so often, for a counter of instructions: `ci/instructions` runs it
//! under callgrind twice, and what the longer run takes more is the operation's own.

#[path = "../../src/keys.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a module of the comparison, of which this uses a part"
)]
mod keys;

use clap::{Parser, ValueEnum};
use halfshake::session::{Namespace, SessionCache, SessionId};
use halfshake::{BytesCache, Maintenance, ManualClock};
use keys::{Key, Sequence, key, value, word};
use std::hint::black_box;
use std::time::Duration;

/// That of the comparison.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entries in the cache: few, for callgrind is slow, and instructions do not depend on it.
const ENTRIES: u64 = 4096;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Operation {
    /// The sequence of keys alone.
    Nothing,
    /// A look-up that finds, in a pin that is held.
    HitPinned,
    /// A look-up that finds, of a reader, which repins.
    HitReader,
    /// A look-up that finds, of the cache, which pins.
    HitCache,
    /// A look-up of an unknown key, of a reader.
    Miss,
    /// A look-up that finds, one of sixteen.
    HitBatch,
    /// An insert of a new key at the limit.
    Insert,
    /// The same, one of two.
    InsertTwo,
    /// An insert of a key that is there.
    Replace,
    /// A take of a key that is there, and its insert before.
    InsertTake,
    /// A resumption that the internal cache answers.
    Resume,
}

#[derive(Debug, Parser)]
struct Arguments {
    operation: Operation,
    /// How often.
    times: u64,
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.operation {
        Operation::Resume => resume(arguments.times),
        operation => on_bytes(operation, arguments.times),
    }
}

/// The same hashes in each run, so that the same sets are met.
fn fixed() -> ahash::RandomState {
    ahash::RandomState::with_seeds(1, 2, 3, 4)
}

fn on_bytes(operation: Operation, times: u64) {
    let cache: BytesCache<_> = BytesCache::builder_with_hasher(fixed())
        .capacity(ENTRIES)
        .time_to_live(Duration::from_secs(300))
        .clock(ManualClock::new())
        .maintenance(Maintenance::Embedder)
        .build()
        .expect("good settings");
    for n in 0..ENTRIES {
        cache.insert(&key(n), &value(n)).expect("there is room");
    }
    let read = look_up(operation, times, &cache) ^ change(operation, times, &cache);
    black_box(read);
}

/// A key of the younger half, which depends on what was read before.
fn next(sequence: &mut Sequence, read: u64) -> Key {
    key(sequence.below(ENTRIES / 2, read) + ENTRIES / 2)
}

fn look_up(operation: Operation, times: u64, cache: &BytesCache) -> u64 {
    let mut reader = cache.reader();
    let (mut sequence, mut read) = (Sequence::new(7), 0);
    let mut next = |read| next(&mut sequence, read);
    match operation {
        Operation::Nothing => (0..times).for_each(|_| read = word(&next(read))),
        Operation::HitPinned => {
            let pinned = reader.pinned();
            for _ in 0..times {
                read = pinned.get(&next(read)[..]).map_or(0, |found| word(found.value()));
            }
        }
        Operation::HitReader => {
            for _ in 0..times {
                read = reader.get(&next(read)[..]).map_or(0, |found| word(found.value()));
            }
        }
        Operation::HitCache => {
            for _ in 0..times {
                read = cache.get(&next(read)[..]).map_or(0, |found| word(found.value()));
            }
        }
        Operation::Miss => {
            for n in 0..times {
                let unknown = key(n + 2 * ENTRIES);
                read ^= u64::from(reader.get(&unknown[..]).is_some());
            }
        }
        Operation::HitBatch => {
            for _ in 0..times / 16 {
                let keys: [_; 16] = std::array::from_fn(|_| next(read));
                reader.get_each(&keys.each_ref().map(|key| &key[..]), |found| {
                    read ^= found.map_or(0, |found| word(found.value()));
                });
            }
        }
        _ => {}
    }
    read
}

fn change(operation: Operation, times: u64, cache: &BytesCache) -> u64 {
    let (mut sequence, mut read) = (Sequence::new(7), 0);
    match operation {
        Operation::Insert => {
            for n in 0..times {
                black_box(cache.insert(&key(n + ENTRIES), &value(n))).expect("there is room");
            }
        }
        Operation::InsertTwo => {
            for n in 0..times / 2 {
                let two = [2 * n, 2 * n + 1].map(|n| (key(n + ENTRIES), value(n)));
                let two = two.each_ref().map(|(key, value)| (&key[..], &value[..]));
                cache.insert_each(&two, |answer| black_box(answer).expect("there is room"));
            }
        }
        Operation::Replace => {
            for n in 0..times {
                let old = next(&mut sequence, read);
                black_box(cache.insert(&old, &value(n))).expect("there is room");
            }
        }
        Operation::InsertTake => {
            for n in 0..times {
                let new = key(n + ENTRIES);
                cache.insert(&new, &value(n)).expect("there is room");
                read ^= cache.take(&new[..]).map_or(0, |taken| word(taken.value()));
            }
        }
        _ => {}
    }
    read
}

fn resume(times: u64) {
    let cache: SessionCache<()> = SessionCache::builder()
        .capacity(ENTRIES)
        .maintenance(Maintenance::Embedder)
        .build()
        .expect("good settings");
    let www = Namespace::new(b"www.example.org").expect("short");
    for n in 0..ENTRIES {
        let id = SessionId::new(&key(n)).expect("32 bytes");
        cache.add(&cache.make(&www, id, 0x0303, &value(n))).expect("there is room");
    }
    let (mut sequence, mut read) = (Sequence::new(7), 0);
    for _ in 0..times {
        let key = next(&mut sequence, read);
        read = cache.resume(&(), &www, &key).map_or(0, |found| word(found.payload()));
    }
    black_box(read);
}
