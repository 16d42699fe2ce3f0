//! All operations on real threads, for the thread sanitizer: `ci/tsan` builds it so, and a race
//! ends it there. As a test of its own it is short, and checks what it reads. Not under the
//! harness, whose own threads the sanitizer takes for races.
//!
//! ```text
//! races [ROUNDS]        each round plays all parts with another seed
//! races --planted       reads what was published relaxed: the sanitizer must see it
//! ```
//!
//! Not raced: `get_or_insert_with`, which waits on the standard library's lock and condition. That
//! library is not instrumented, so what its slow paths order looks like a race. For the same reason
//! threads are joined by their handles, and are waited for with atomics.
#![expect(unsafe_code, reason = "the planted race, and memory that the library has to publish")]
#![expect(clippy::disallowed_types, reason = "the library's room of atomics is not for tests")]

#[path = "races/published.rs"]
mod published;
mod random;

use halfshake::session::{
    Answer, Modes, Namespace, Purpose, SessionCache, SessionId, Side, Verdict,
};
use halfshake::{BytesCache, Cache, Delivery, Maintenance, RemovalCause};
use random::Random;
use std::cell::UnsafeCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

const THREADS: u64 = 4;
/// Operations of each thread in a part of a round.
const OPERATIONS: u64 = 600;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Runs one operation after the other on all threads at once.
fn race<T: Send + Sync + 'static>(seed: u64, shared: T, operate: fn(&T, &mut Random)) -> Arc<T> {
    let shared = Arc::new(shared);
    let begun = Arc::new(AtomicU64::new(0));
    let play = |number: u64| {
        let (shared, begun) = (shared.clone(), begun.clone());
        move || {
            let mut random = Random(seed ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
            begun.fetch_add(1, SeqCst);
            while begun.load(SeqCst) < THREADS {
                std::thread::yield_now();
            }
            for _ in 0..OPERATIONS {
                operate(&shared, &mut random);
            }
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|n| std::thread::spawn(play(n))).collect();
    for thread in threads {
        thread.join().expect("no operation panics");
    }
    shared
}

/// For what an operation answers.
fn done<T>(_: T) {}

/// A value that is memory of its own, and can be told from a half-written one.
type Value = Box<[u64; 3]>;

fn value(key: u64, id: u64) -> Value {
    Box::new([key, id, key ^ id])
}

fn is_whole(key: u64, value: &Value) {
    assert_eq!((value[0], value[2]), (key, key ^ value[1]), "half an entry");
}

/// What the listeners were told.
#[derive(Default)]
struct Told(AtomicU64);

impl Told {
    fn listener(self: &Arc<Self>) -> impl Fn(&halfshake::Removal<'_, u64, Value>) + use<> {
        let told = self.clone();
        move |gone| {
            is_whole(*gone.key(), gone.value());
            told.0.fetch_add(1, Relaxed);
            // A listener may use the cache.
            if gone.cause() == RemovalCause::Evicted && gone.key().is_multiple_of(8) {
                drop(gone.cache().get(gone.key()));
            }
        }
    }
}

struct Pairs {
    cache: Cache<u64, Value>,
    told: Arc<Told>,
}

fn pairs(seed: u64, delivery: Delivery, maintenance: Maintenance) {
    let told = Arc::new(Told::default());
    let builder = Cache::builder()
        .capacity(48)
        .max_capacity(64)
        .sweep_interval(MILLISECOND)
        // Half of them in memory of the cache's own.
        .preallocate(seed % 2)
        .maintenance(maintenance)
        .delivery(delivery)
        .removal_listener(told.listener());
    let cache = builder.build().expect("good settings");
    let Pairs { cache, .. } = &*race(seed, Pairs { cache, told }, one_of_pairs);
    cache.shutdown();
    cache.validate();
    let stats = cache.stats();
    assert_eq!(stats.inserts, stats.removed.iter().sum::<u64>(), "one event for each");
}

fn one_of_pairs(Pairs { cache, told }: &Pairs, random: &mut Random) {
    let (key, id) = (random.below(80), random.next());
    match random.below(40) {
        0..=7 => done(cache.insert(key, value(key, id))),
        8..=9 => {
            let timeout = MILLISECOND * u32::try_from(1 + random.below(5)).expect("small");
            done(cache.insert_with_timeout(key, value(key, id), timeout));
        }
        10 => done(cache.insert_if_absent(key, value(key, id))),
        11 => done(cache.replace(key, value(key, id))),
        12 => done(cache.insert_many([(key, value(key, id)), (key + 1, value(key + 1, id))])),
        13..=14 => done(cache.take(&key).inspect(|taken| is_whole(key, taken))),
        15..=16 => done(cache.remove(&key)),
        17 => {
            let handle = cache.get(&key).map(|found| found.handle());
            done(handle.map(|handle| cache.remove_exact(&handle)));
        }
        18..=21 => read(cache, key),
        22 => cache.get_many(&[&key, &(key + 1)]).iter().flatten().for_each(|v| is_whole(v[0], v)),
        23 => cache.iter().for_each(|entry| is_whole(*entry.key(), entry.value())),
        24 => done(cache.run_maintenance(64)),
        25 => match random.below(8) {
            0 => cache.clear(),
            1 => cache.retain(|key, _| !key.is_multiple_of(3)),
            2 => done(cache.set_capacity(32 + random.below(32))),
            3 => cache.set_removal_listener(Some(told.listener())),
            4 => done(cache.flush(cache.now())),
            _ => done((cache.stats(), cache.len(), cache.contains(&key))),
        },
        _ => done(cache.get(&key).inspect(|found| is_whole(key, found))),
    }
}

/// A reader's life: it pins, repins and stands still.
fn read(cache: &Cache<u64, Value>, key: u64) {
    let mut reader = cache.reader();
    for key in key..key + 4 {
        if let Some(found) = reader.get(&key) {
            is_whole(key, found.value());
        }
    }
    if let Some(taken) = reader.take(&key) {
        is_whole(key, &taken);
    }
    reader.unpin();
    let pinned = reader.pinned();
    if let Some(found) = pinned.get(&(key + 5)) {
        is_whole(key + 5, found.value());
    }
}

fn bytes(seed: u64) {
    let builder = BytesCache::builder()
        .capacity(64)
        .capacity_bytes(8_000)
        .preallocate(seed % 2)
        .maintenance(Maintenance::Embedder);
    let cache = race(seed, builder.build().expect("good settings"), |cache, random| {
        let key = [u8::try_from(random.below(80)).expect("small"); 32];
        let value = vec![key[0]; usize::try_from(40 + random.below(400)).expect("small")];
        match random.below(8) {
            0..=2 => done(cache.insert(&key, &value)),
            3 => done(cache.take(&key[..])),
            4 => done(cache.remove(&key[..])),
            5 => done(cache.run_maintenance(16)),
            _ => {
                let found = cache.get_copied(&key[..]).unwrap_or_default();
                assert!(found.iter().all(|byte| *byte == key[0]), "half an entry");
            }
        }
    });
    cache.shutdown();
    cache.validate();
}

/// A session cache, and an external store of few sessions: a name for each id, or 0.
struct Sessions {
    cache: SessionCache<u64>,
    store: Arc<[AtomicU64; 16]>,
    name: Namespace,
}

fn id(number: usize) -> SessionId {
    SessionId::new(&[u8::try_from(number).expect("small"); 32]).expect("32 bytes")
}

fn number(id: &[u8]) -> usize {
    usize::from(id[0])
}

fn sessions(seed: u64) {
    let store: Arc<[AtomicU64; 16]> = Arc::default();
    let gone = store.clone();
    let builder = SessionCache::builder()
        .capacity(12)
        .maintenance(Maintenance::Embedder)
        .lookup_timeout(Duration::from_secs(600))
        .remove_callback(move |session| {
            gone[number(session.id())].store(0, SeqCst);
        });
    let cache = builder.build().expect("good settings");
    let sessions = Sessions { cache, store, name: Namespace::new(b"www").expect("short") };
    sessions.set_callbacks();
    let sessions = race(seed, sessions, one_of_sessions);
    sessions.cache.shutdown();
    sessions.cache.validate();
}

impl Sessions {
    fn set_callbacks(&self) {
        let (store, name) = (self.store.clone(), self.name.clone());
        self.cache.set_get_callback(move |_, question| {
            let number = number(question.id());
            let held = match question.purpose() {
                Purpose::Take => store[number].swap(0, SeqCst),
                _ => store[number].load(SeqCst),
            };
            match held {
                0 => Answer::unknown(),
                held => Answer::handed_over(question.cache().make(
                    &name,
                    id(number),
                    0x0303,
                    &held.to_le_bytes(),
                )),
            }
        });
        let store = self.store.clone();
        self.cache.set_new_callback(move |_, new| {
            let number = number(new.session().id().as_bytes());
            store[number].store(1 + number as u64, SeqCst);
            if number.is_multiple_of(5) { Verdict::Refuse } else { Verdict::Keep }
        });
    }
}

fn one_of_sessions(sessions: &Sessions, random: &mut Random) {
    let Sessions { cache, name, .. } = sessions;
    let number = usize::try_from(random.below(16)).expect("small");
    let bytes = [u8::try_from(number).expect("small"); 32];
    let session = || cache.make(name, id(number), 0x0303, &[7; 100]);
    match random.below(24) {
        0..=4 => done(cache.new_session(&0, Side::Server, &session())),
        5..=6 => done(cache.add(&session())),
        7..=9 => done(cache.take(&0, name, &bytes)),
        10..=11 => done(cache.remove(name, &bytes)),
        12 => match random.below(6) {
            0 => done(cache.flush_all()),
            1 => done(cache.flush_namespace(name)),
            2 => sessions.set_callbacks(),
            3 => done(cache.set_modes(Modes::SERVER | Modes::UPDATE_TIME)),
            4 => done(cache.sessions().count()),
            _ => done((cache.stats(), cache.run_maintenance(16))),
        },
        _ => done(cache.resume(&0, name, &bytes)),
    }
}

/// What the sanitizer must see: it is published relaxed.
struct Planted {
    published: AtomicUsize,
    value: UnsafeCell<u64>,
}

// SAFETY: it is not, and that is what it is for; nobody else uses it.
unsafe impl Sync for Planted {}

fn planted() {
    let shared = Planted { published: AtomicUsize::new(0), value: UnsafeCell::new(0) };
    let shared = Arc::new(shared);
    let writer = shared.clone();
    let thread = std::thread::spawn(move || {
        // SAFETY: before it is published, the only one.
        unsafe { *writer.value.get() = 7 };
        // The bug: it needs Release.
        writer.published.store(1, Relaxed);
    });
    while shared.published.load(Acquire) == 0 {
        std::thread::yield_now();
    }
    // SAFETY: nobody writes any more; but nothing orders the two.
    let read = unsafe { *shared.value.get() };
    thread.join().expect("it ends");
    println!("races: read {read}, published relaxed");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.find(|argument| argument == "--planted" || !argument.starts_with('-'));
    if first.as_deref() == Some("--planted") {
        return planted();
    }
    let rounds: u64 = first.and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let given = std::env::var("HALFSHAKE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("HALFSHAKE_SEED={seed}");
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        pairs(seed, Delivery::Caller, Maintenance::Embedder);
        pairs(seed, Delivery::Thread, Maintenance::Thread);
        bytes(seed);
        sessions(seed);
        published::all();
    }
    println!("races: {} operations", rounds * 4 * THREADS * OPERATIONS);
}
