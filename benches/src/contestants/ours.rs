//! Halfshake: entries of bytes or of a key and a value type, through a reader or the cache.

use super::{Contestant, Lookups, Operations, Stalled, TIMEOUT};
use crate::keys::{Key, Value, word};
use halfshake::{BytesCache, Cache, Maintenance, ManualClock, Pinned, Reader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Who keeps time and sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The cache's own thread (the default of the library).
    ByThread,
    /// The measured thread, on a clock that the workload moves: nothing is done elsewhere.
    ByCaller,
}

/// What a listener of the comparison does: it reads the entry and counts.
#[derive(Debug, Default)]
pub struct Heard {
    events: AtomicU64,
    bytes: AtomicU64,
}

impl Heard {
    fn note(&self, value: &[u8]) {
        // Load and store, not an addition in one step: one thread delivers at a time here.
        self.events.store(self.events.load(Relaxed) + 1, Relaxed);
        self.bytes.store(self.bytes.load(Relaxed).wrapping_add(word(value)), Relaxed);
    }
}

/// Caches from this size on have memory of their own by default, too.
const LARGE: u64 = 16_384;
/// What an entry takes of that.
const BLOCK: u64 = (24 + size_of::<(Key, Value)>()).next_multiple_of(64) as u64;

macro_rules! build {
    ($builder:expr, $capacity:expr, $kept:expr, $listener:expr) => {{
        let clock = ManualClock::new();
        let heard = Arc::new(Heard::default());
        let mut builder = $builder.capacity($capacity).time_to_live(TIMEOUT);
        if $capacity >= LARGE {
            builder = builder.preallocate($capacity * BLOCK);
        }
        if $kept == Kept::ByCaller {
            builder = builder.clock(clock.clone()).maintenance(Maintenance::Embedder);
        }
        if $listener {
            builder = builder.removal_listener(move |r| heard.note(&r.value()[..]));
        }
        (builder.build().expect("good settings"), clock)
    }};
}

/// Moves a manual clock, and sweeps once for each second of it.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<ManualClock>,
    since_sweep: Duration,
}

impl Pace {
    pub(super) fn new(clock: &Arc<ManualClock>) -> Self {
        Self { clock: clock.clone(), since_sweep: Duration::ZERO }
    }

    /// Whether a second has gone by.
    pub(super) fn pass(&mut self, by: Duration) -> bool {
        self.clock.advance(by);
        self.since_sweep += by;
        let due = self.since_sweep >= Duration::from_secs(1);
        if due {
            self.since_sweep = Duration::ZERO;
        }
        due
    }
}

/// Removals in one call of maintenance.
pub(super) const SLICE: usize = 4096;

/// A cache of bytes.
#[derive(Debug)]
pub struct Bytes {
    /// The cache itself.
    pub cache: BytesCache,
    /// Its clock, if the caller keeps time.
    pub clock: Arc<ManualClock>,
}

impl Bytes {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: u64, kept: Kept, listener: bool) -> Self {
        let (cache, clock) = build!(BytesCache::builder(), capacity, kept, listener);
        Self { cache, clock }
    }
}

/// A cache of keys and values of a fixed size.
#[derive(Debug)]
pub struct Pairs {
    /// The cache itself.
    pub cache: Cache<Key, Value>,
    /// Its clock, if the caller keeps time.
    pub clock: Arc<ManualClock>,
}

impl Pairs {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: u64, kept: Kept, listener: bool) -> Self {
        let (cache, clock) = build!(Cache::<Key, Value>::builder(), capacity, kept, listener);
        Self { cache, clock }
    }
}

/// Look-ups through a reader handle, which stays pinned.
#[derive(Debug)]
pub struct Reading<C>(pub C);

/// What a thread holds of [`Bytes`].
#[derive(Debug)]
pub struct BytesHandle<'c>(&'c BytesCache, Pace);

impl Contestant for Bytes {
    type Handle<'c> = BytesHandle<'c>;
    fn handle(&self) -> BytesHandle<'_> {
        BytesHandle(&self.cache, Pace::new(&self.clock))
    }
    fn live(&self) -> Option<u64> {
        Some(self.cache.len())
    }
    fn retired(&self) -> Option<u64> {
        Some(self.cache.stats().retired_entries)
    }
    fn reader_that_stalls(&self) -> Option<Box<dyn Stalled + '_>> {
        let mut reader = self.cache.reader();
        reader.contains(&[][..]);
        Some(Box::new(reader))
    }
    fn refused(&self) -> Option<u64> {
        let stats = self.cache.stats();
        Some(stats.refused_no_room + stats.refused_full)
    }
}

impl Operations for BytesHandle<'_> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(&key[..]).map(|v| word(&v))
    }
    fn get_batch(&mut self, keys: &[Key; 16], found: impl FnMut(Option<u64>)) {
        let keys: [&[u8]; 16] = keys.each_ref().map(|k| &k[..]);
        self.0.get_many(&keys).iter().map(|v| v.map(word)).for_each(found);
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(&key, &value).is_ok()
    }
    fn insert_two(&mut self, two: [(Key, Value); 2]) -> bool {
        let [(k0, v0), (k1, v1)] = &two;
        let mut stored = true;
        self.0.insert_each(&[(k0, v0), (k1, v1)], |answer| stored &= answer.is_ok());
        stored
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(&key[..]).map(|v| word(&v))
    }
    fn time_passes(&mut self, by: Duration) {
        if self.1.pass(by) {
            self.0.run_maintenance(SLICE);
        }
    }
}

/// What a thread holds of [`Pairs`].
#[derive(Debug)]
pub struct PairsHandle<'c>(&'c Cache<Key, Value>, Pace);

impl Contestant for Pairs {
    type Handle<'c> = PairsHandle<'c>;
    fn handle(&self) -> PairsHandle<'_> {
        PairsHandle(&self.cache, Pace::new(&self.clock))
    }
    fn live(&self) -> Option<u64> {
        Some(self.cache.len())
    }
    fn retired(&self) -> Option<u64> {
        Some(self.cache.stats().retired_entries)
    }
    fn reader_that_stalls(&self) -> Option<Box<dyn Stalled + '_>> {
        let mut reader = self.cache.reader();
        reader.contains(&Key::default());
        Some(Box::new(reader))
    }
    fn refused(&self) -> Option<u64> {
        let stats = self.cache.stats();
        Some(stats.refused_no_room + stats.refused_full)
    }
}

impl Operations for PairsHandle<'_> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(&v[..]))
    }
    fn get_batch(&mut self, keys: &[Key; 16], found: impl FnMut(Option<u64>)) {
        let answers = self.0.get_many(&keys.each_ref());
        answers.iter().map(|v| v.map(|v| word(v))).for_each(found);
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value).is_ok()
    }
    fn insert_two(&mut self, two: [(Key, Value); 2]) -> bool {
        self.0.insert_many(two).iter().all(Result::is_ok)
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(key).map(|v| word(&v[..]))
    }
    fn time_passes(&mut self, by: Duration) {
        if self.1.pass(by) {
            self.0.run_maintenance(SLICE);
        }
    }
}

/// Look-ups through a handle that begins no new pin for each, as long as it is
/// [held](Operations::held).
#[derive(Debug)]
pub struct Holding<C>(pub C);

/// A handle that can stay in one pin.
pub trait Pins: Operations {
    /// Look-ups in one pin.
    fn pinned(&mut self) -> impl Lookups;
}

/// Such a handle, which does so when it is held.
#[derive(Debug)]
pub struct Held<H>(H);

impl<C> Contestant for Holding<C>
where
    C: Contestant,
    for<'c> C::Handle<'c>: Pins,
{
    type Handle<'c> = Held<C::Handle<'c>>;
    fn handle(&self) -> Self::Handle<'_> {
        Held(self.0.handle())
    }
}

impl<H: Pins> Operations for Held<H> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key)
    }
    fn get_batch(&mut self, keys: &[Key; 16], found: impl FnMut(Option<u64>)) {
        self.0.get_batch(keys, found);
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value)
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(key)
    }
    fn held(&mut self) -> impl Lookups {
        self.0.pinned()
    }
}

impl Pins for BytesReader {
    fn pinned(&mut self) -> impl Lookups {
        self.0.pinned()
    }
}

impl Pins for PairsReader {
    fn pinned(&mut self) -> impl Lookups {
        self.0.pinned()
    }
}

impl Lookups for Pinned<'_, [u8], [u8]> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        Pinned::get(self, &key[..]).map(|v| word(&v))
    }
}

impl Lookups for Pinned<'_, Key, Value> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        Pinned::get(self, key).map(|v| word(&v[..]))
    }
}

/// A reader of [`Bytes`].
#[derive(Debug)]
pub struct BytesReader(Reader<[u8], [u8]>);

impl Contestant for Reading<Bytes> {
    type Handle<'c> = BytesReader;
    fn handle(&self) -> BytesReader {
        BytesReader(self.0.cache.reader())
    }
}

impl Operations for BytesReader {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(&key[..]).map(|v| word(&v))
    }
    fn get_batch(&mut self, keys: &[Key; 16], mut found: impl FnMut(Option<u64>)) {
        let keys: [&[u8]; 16] = keys.each_ref().map(|k| &k[..]);
        self.0.get_each(&keys, |v| found(v.map(|v| word(&v))));
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(&key, &value).is_ok()
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(&key[..]).map(|v| word(&v))
    }
}

/// A reader of [`Pairs`].
#[derive(Debug)]
pub struct PairsReader(Reader<Key, Value>);

impl Contestant for Reading<Pairs> {
    type Handle<'c> = PairsReader;
    fn handle(&self) -> PairsReader {
        PairsReader(self.0.cache.reader())
    }
}

impl Operations for PairsReader {
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|v| word(&v[..]))
    }
    fn get_batch(&mut self, keys: &[Key; 16], mut found: impl FnMut(Option<u64>)) {
        self.0.get_each(&keys.each_ref(), |v| found(v.map(|v| word(&v[..]))));
    }
    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.0.insert(key, value).is_ok()
    }
    fn take(&mut self, key: &Key) -> Option<u64> {
        self.0.take(key).map(|v| word(&v[..]))
    }
}
