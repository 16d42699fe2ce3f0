//! The two shapes of the cache behind one interface of small numbers.

use super::script::{Config, FixedHash};
use halfshake::{
    BytesCache, Cache, Handle, Maintenance, ManualClock, Progress, Reader, Refusal, Refused,
    RemovalCause, Stats,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a weigher of ours adds to the size of each value.
pub(crate) const BASE_WEIGHT: u64 = 10;

const MOST_LOOKS: u32 = 2;

/// What the removal listener writes and reads.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) events: Mutex<Vec<(u8, u64, RemovalCause)>>,
    /// What was wrong while a listener ran: a panic would not always reach the test.
    pub(crate) faults: Mutex<Vec<String>>,
    /// The most entries that may be live now.
    pub(crate) most: Mutex<u64>,
    /// Events of the present operation at which the listener looks through the cache: each look
    /// costs as much as the cache is large.
    pub(crate) looks: Mutex<u32>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Called by each listener: the entry must not be findable, and, if nobody else works
    /// meanwhile (a walk is no snapshot), no limit be passed.
    fn told(
        &self,
        (key, id, cause): (u8, u64, RemovalCause),
        alone: bool,
        most_bytes: Option<u64>,
        live: impl Iterator<Item = (u8, u64, u64)>,
    ) {
        lock(&self.events).push((key, id, cause));
        {
            let mut looks = lock(&self.looks);
            *looks += 1;
            if *looks > MOST_LOOKS {
                return;
            }
        }
        let (mut entries, mut bytes) = (0, 0);
        for (live_key, live_id, weight) in live {
            entries += 1;
            bytes += weight;
            if live_id == id {
                lock(&self.faults).push(format!("{id} of {live_key} lives after its event"));
            }
        }
        let too_many = entries > *lock(&self.most) || most_bytes.is_some_and(|most| bytes > most);
        if alone && too_many {
            lock(&self.faults).push(format!("{entries} entries of {bytes} bytes are live"));
        }
    }
}

/// How an insert treats a key that is, or is not, there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Upsert,
    IfAbsent,
    Replace,
}

pub(crate) trait Subject: Sized {
    type Reader;
    const HAS_GET_OR_INSERT: bool;

    fn build(config: &Config, clock: Arc<ManualClock>, world: Arc<World>) -> Self;
    /// Whether it was stored.
    fn put(
        &self,
        how: How,
        entry: (u8, u64, u8),
        timeout: Option<Duration>,
    ) -> Result<bool, Refusal>;
    fn put_many(&self, entries: &[(u8, u64, u8)]) -> Vec<Result<(), Refusal>>;
    fn get_or_insert(&self, entry: (u8, u64, u8)) -> u64;
    fn get(&self, key: u8) -> Option<(u64, Handle)>;
    fn get_many(&self, keys: &[u8]) -> Vec<Option<u64>>;
    fn contains(&self, key: u8) -> bool;
    fn take(&self, key: u8) -> Option<u64>;
    fn remove(&self, key: u8) -> bool;
    fn remove_exact(&self, handle: &Handle) -> bool;
    fn retain(&self, keep: impl FnMut(u8) -> bool);
    fn clear(&self);
    fn flush(&self, now: Duration) -> u64;
    fn set_capacity(&self, entries: u64) -> u64;
    fn maintain(&self, budget: usize) -> Progress;
    fn iterate(&self) -> Vec<(u8, u64)>;
    fn len(&self) -> u64;
    fn stats(&self) -> Stats;
    fn shutdown(&self);
    fn validate(&self);
    /// Objects that are alive, beside the first one; `None` where nobody can tell.
    fn alive(&self) -> Option<usize>;

    fn reader(&self) -> Self::Reader;
    fn reader_get(reader: &mut Self::Reader, key: u8) -> Option<u64>;
    fn reader_get_many(reader: &mut Self::Reader, keys: &[u8]) -> Vec<Option<u64>>;
    fn reader_contains(reader: &mut Self::Reader, key: u8) -> bool;
    fn reader_insert(reader: &mut Self::Reader, entry: (u8, u64, u8)) -> Result<(), Refusal>;
    fn reader_take(reader: &mut Self::Reader, key: u8) -> Option<u64>;
    fn reader_remove(reader: &mut Self::Reader, key: u8) -> bool;
    fn unpin(reader: &mut Self::Reader);
    fn is_pinned(reader: &Self::Reader) -> bool;
}

/// A value of the generic cache.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    id: u64,
    size: u8,
    /// Counted by its clones.
    _alive: Arc<()>,
}

/// A cache of strings and values.
pub(crate) struct Pairs {
    cache: Cache<String, Value, FixedHash>,
    alive: Arc<()>,
}

/// A cache of bytes.
pub(crate) struct Bytes(BytesCache<FixedHash>);

fn text(key: u8) -> String {
    format!("key {key}")
}

fn number(text: &str) -> u8 {
    text[4..].parse().expect("made by `text`")
}

/// Keys of many lengths, so that wrong bounds show.
fn key_bytes(key: u8) -> Vec<u8> {
    vec![key; 1 + usize::from(key % 40)]
}

fn first_byte(bytes: &[u8]) -> u8 {
    assert!(bytes.iter().all(|b| *b == bytes[0]), "a key is damaged: {bytes:?}");
    bytes[0]
}

fn value_bytes(id: u64, size: u8) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.resize(8 + usize::from(size), size);
    bytes
}

fn id_in(bytes: &[u8]) -> u64 {
    let (id, rest) = bytes.split_first_chunk().expect("made by `value_bytes`");
    assert!(rest.iter().all(|b| usize::from(*b) == rest.len()), "a value is damaged: {bytes:?}");
    u64::from_le_bytes(*id)
}

macro_rules! build {
    ($type:ty, $config:ident, $clock:ident, $world:ident, $key_of:expr, $id_of:expr,
     $size:expr) => {{
        let most_bytes = $config.bytes;
        // An operation that needs room may have its events delivered before it has ended.
        let alone = $config.delivery == halfshake::Delivery::Caller;
        let weigh = |v: &_| BASE_WEIGHT + $size(v);
        let builder = <$type>::builder_with_hasher(FixedHash { one_set: $config.one_set })
            .capacity($config.capacity)
            .max_capacity($config.max_capacity)
            .shards($config.shards)
            .weigher(move |_, v| weigh(v))
            .clock($clock)
            .maintenance(Maintenance::Embedder)
            .delivery($config.delivery)
            .removal_listener(move |removal| {
                let cache = removal.cache();
                let live = cache.iter().map(|r| ($key_of(r.key()), $id_of(r.value()), weigh(&r)));
                let event = ($key_of(removal.key()), $id_of(removal.value()), removal.cause());
                $world.told(event, alone, most_bytes, live);
            });
        let builder =
            if $config.few_sets { builder.fewest_sets($config.shards as u64) } else { builder };
        let builder = match $config.bytes {
            Some(bytes) => builder.capacity_bytes(bytes),
            None => builder,
        };
        let builder = match $config.timeout_ms {
            Some(ms) => builder.time_to_live(Duration::from_millis(ms)),
            None => builder,
        };
        builder.build().expect("the configuration is fine")
    }};
}

macro_rules! same_for_both {
    ($cache:tt, $owned_key:expr, $key_of:expr, $id_of:expr) => {
        fn get(&self, key: u8) -> Option<(u64, Handle)> {
            let found = self.$cache.get(&*$owned_key(key))?;
            assert_eq!($key_of(found.key()), key, "an entry of another key was found");
            Some(($id_of(&found), found.handle()))
        }
        fn get_many(&self, keys: &[u8]) -> Vec<Option<u64>> {
            let keys: Vec<_> = keys.iter().map(|k| $owned_key(*k)).collect();
            let keys: Vec<_> = keys.iter().map(|k| &**k).collect();
            let batch = self.$cache.get_many(&keys);
            assert_eq!(batch.len(), keys.len());
            batch.iter().map(|v| v.map($id_of)).collect()
        }
        fn contains(&self, key: u8) -> bool {
            self.$cache.contains(&*$owned_key(key))
        }
        fn take(&self, key: u8) -> Option<u64> {
            let taken = self.$cache.take(&*$owned_key(key))?;
            assert_eq!($key_of(taken.key()), key, "an entry of another key was taken");
            Some($id_of(&taken))
        }
        fn remove(&self, key: u8) -> bool {
            self.$cache.remove(&*$owned_key(key))
        }
        fn remove_exact(&self, handle: &Handle) -> bool {
            self.$cache.remove_exact(handle)
        }
        fn retain(&self, mut keep: impl FnMut(u8) -> bool) {
            self.$cache.retain(|key, _| keep($key_of(key)));
        }
        fn clear(&self) {
            self.$cache.clear();
        }
        fn flush(&self, now: Duration) -> u64 {
            self.$cache.flush(now)
        }
        fn set_capacity(&self, entries: u64) -> u64 {
            self.$cache.set_capacity(entries).expect("within bounds").pending
        }
        fn maintain(&self, budget: usize) -> Progress {
            self.$cache.run_maintenance(budget)
        }
        fn iterate(&self) -> Vec<(u8, u64)> {
            self.$cache.iter().map(|r| ($key_of(r.key()), $id_of(&r))).collect()
        }
        fn len(&self) -> u64 {
            self.$cache.len()
        }
        fn stats(&self) -> Stats {
            self.$cache.stats()
        }
        fn shutdown(&self) {
            self.$cache.shutdown();
        }
        fn validate(&self) {
            self.$cache.validate();
        }
        fn reader(&self) -> Self::Reader {
            self.$cache.reader()
        }
        fn reader_get(reader: &mut Self::Reader, key: u8) -> Option<u64> {
            reader.get(&*$owned_key(key)).map(|r| {
                assert_eq!($key_of(r.key()), key, "an entry of another key was found");
                $id_of(&r)
            })
        }
        fn reader_get_many(reader: &mut Self::Reader, keys: &[u8]) -> Vec<Option<u64>> {
            let keys: Vec<_> = keys.iter().map(|k| $owned_key(*k)).collect();
            let keys: Vec<_> = keys.iter().map(|k| &**k).collect();
            let found = reader.get_many(&keys);
            found.iter().map(|r| r.as_ref().map(|r| $id_of(r.value()))).collect()
        }
        fn reader_contains(reader: &mut Self::Reader, key: u8) -> bool {
            reader.contains(&*$owned_key(key))
        }
        fn reader_take(reader: &mut Self::Reader, key: u8) -> Option<u64> {
            reader.take(&*$owned_key(key)).map(|taken| $id_of(&taken))
        }
        fn reader_remove(reader: &mut Self::Reader, key: u8) -> bool {
            reader.remove(&*$owned_key(key))
        }
        fn unpin(reader: &mut Self::Reader) {
            reader.unpin();
        }
        fn is_pinned(reader: &Self::Reader) -> bool {
            reader.is_pinned()
        }
    };
}

impl Pairs {
    fn entry(&self, (key, id, size): (u8, u64, u8)) -> (String, Value) {
        (text(key), Value { id, size, _alive: self.alive.clone() })
    }

    /// What was handed back must be what was given.
    fn handed_back(key: &str, value: &Value, given: (u8, u64, u8)) {
        assert_eq!((number(key), value.id, value.size), given, "handed back");
    }

    fn refused(refused: &Refused<String, Value>, given: (u8, u64, u8)) -> Refusal {
        Self::handed_back(&refused.key, &refused.value, given);
        refused.refusal
    }
}

impl Subject for Pairs {
    type Reader = Reader<String, Value, FixedHash>;
    const HAS_GET_OR_INSERT: bool = true;

    fn build(config: &Config, clock: Arc<ManualClock>, world: Arc<World>) -> Self {
        let cache = build!(
            Cache<String, Value, FixedHash>,
            config,
            clock,
            world,
            |k: &String| number(k),
            |v: &Value| v.id,
            |v: &Value| u64::from(v.size)
        );
        Self { cache, alive: Arc::new(()) }
    }

    fn put(
        &self,
        how: How,
        given: (u8, u64, u8),
        timeout: Option<Duration>,
    ) -> Result<bool, Refusal> {
        let (key, value) = self.entry(given);
        let answer = match (how, timeout) {
            (How::Upsert, None) => self.cache.insert(key, value).map(|()| None),
            (How::Upsert, Some(timeout)) => {
                self.cache.insert_with_timeout(key, value, timeout).map(|()| None)
            }
            (How::IfAbsent, _) => self.cache.insert_if_absent(key, value),
            (How::Replace, _) => self.cache.replace(key, value),
        };
        let back = answer.map_err(|refused| Self::refused(&refused, given))?;
        if let Some((key, value)) = &back {
            Self::handed_back(key, value, given);
        }
        Ok(back.is_none())
    }

    fn put_many(&self, entries: &[(u8, u64, u8)]) -> Vec<Result<(), Refusal>> {
        let answers = self.cache.insert_many(entries.iter().map(|given| self.entry(*given)));
        let answers = answers.into_iter().zip(entries);
        answers.map(|(a, given)| a.map_err(|refused| Self::refused(&refused, *given))).collect()
    }

    fn get_or_insert(&self, given: (u8, u64, u8)) -> u64 {
        let (key, value) = self.entry(given);
        self.cache.get_or_insert_with(key, || value).id
    }

    fn alive(&self) -> Option<usize> {
        Some(Arc::strong_count(&self.alive) - 1)
    }

    fn reader_insert(reader: &mut Self::Reader, given: (u8, u64, u8)) -> Result<(), Refusal> {
        let (key, id, size) = given;
        let value = Value { id, size, _alive: Arc::default() };
        reader.insert(text(key), value).map_err(|refused| Self::refused(&refused, given))
    }

    same_for_both!(cache, text, |k: &String| number(k), |v: &Value| v.id);
}

impl Subject for Bytes {
    type Reader = Reader<[u8], [u8], FixedHash>;
    const HAS_GET_OR_INSERT: bool = false;

    fn build(config: &Config, clock: Arc<ManualClock>, world: Arc<World>) -> Self {
        Self(build!(
            BytesCache<FixedHash>,
            config,
            clock,
            world,
            first_byte,
            id_in,
            |v: &[u8]| v.len() as u64 - 8
        ))
    }

    fn put(
        &self,
        how: How,
        (key, id, size): (u8, u64, u8),
        timeout: Option<Duration>,
    ) -> Result<bool, Refusal> {
        let (key, value) = (key_bytes(key), value_bytes(id, size));
        match (how, timeout) {
            (How::Upsert, None) => self.0.insert(&key, &value).map(|()| true),
            (How::Upsert, Some(timeout)) => {
                self.0.insert_with_timeout(&key, &value, timeout).map(|()| true)
            }
            (How::IfAbsent, _) => self.0.insert_if_absent(&key, &value),
            (How::Replace, _) => self.0.replace(&key, &value),
        }
    }

    fn put_many(&self, entries: &[(u8, u64, u8)]) -> Vec<Result<(), Refusal>> {
        let owned: Vec<_> =
            entries.iter().map(|(k, id, size)| (key_bytes(*k), value_bytes(*id, *size))).collect();
        let lent: Vec<_> = owned.iter().map(|(k, v)| (&**k, &**v)).collect();
        self.0.insert_many(&lent)
    }

    fn get_or_insert(&self, _: (u8, u64, u8)) -> u64 {
        unreachable!("a cache of bytes has no such operation")
    }

    fn alive(&self) -> Option<usize> {
        None
    }

    fn reader_insert(
        reader: &mut Self::Reader,
        (key, id, size): (u8, u64, u8),
    ) -> Result<(), Refusal> {
        reader.insert(&key_bytes(key), &value_bytes(id, size))
    }

    same_for_both!(0, key_bytes, first_byte, id_in);
}
