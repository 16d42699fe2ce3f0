//! A cache of bytes: all of its operations, with values that say whose they are.

use crate::ledger::{Ledger, Mistake, Sum, mix, same};
use crate::worker::Worker;
use crate::world::{Time, World, armed, panic_if_armed, settle, unless_nested};
use halfshake::{BytesCache, Delivery, Reader, Refusal, Removal, RemovalCause, Stats};
use std::sync::{Arc, RwLockReadGuard};
use std::time::Duration;

const KEY: usize = 32;
const HEAD: usize = 48;
const MOST_VALUE: u64 = 256;
/// A few are far longer.
const LONG: usize = 5000;
const BURST: u64 = 64;
const BATCH: usize = 8;

/// What one world is set up with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) capacity: u64,
    pub(crate) bytes: u64,
    pub(crate) keys: u64,
    pub(crate) delivery: Delivery,
    /// Whether time is the system's. It does not stand still for a check, so the cache is cleared
    /// before; else all that lives is checked.
    pub(crate) system_time: bool,
}

pub(crate) struct Bytes {
    plan: Plan,
    cache: BytesCache,
    ledger: Arc<Ledger>,
    time: Option<Time>,
}

fn key_of(n: u64) -> [u8; KEY] {
    let mut key = [0; KEY];
    for (i, word) in (0..).zip(key.chunks_exact_mut(8)) {
        word.copy_from_slice(&mix(n.wrapping_mul(4).wrapping_add(i)).to_le_bytes());
    }
    key
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map_or(u64::MAX, u64::from_le_bytes)
}

/// What a value says of itself.
struct Said {
    number: u64,
    /// Its deadline is neither later than the one nor earlier than the other.
    latest_ms: u64,
    earliest_ms: u64,
}

/// Reads a value under a key that is known.
///
/// # Panics
/// If it is not what was stored under that key: a violation.
fn read(key: &[u8], value: &[u8]) -> Said {
    let [number, latest_ms, check] = [0, 8, 16].map(|at| word(value, at));
    let end = value.len().checked_sub(8).map_or(0, |at| word(value, at));
    assert!(
        check == mix(number ^ word(key, 0)) && end == !check && word(value, 24) == word(key, 8),
        "a value that was not stored under its key: number {number:x}, {} bytes",
        value.len()
    );
    Said { number, latest_ms, earliest_ms: word(value, 32) }
}

fn listener(ledger: &Arc<Ledger>, keys: u64) -> impl Fn(&Removal<'_, [u8], [u8]>) + use<> {
    let ledger = ledger.clone();
    move |gone| {
        let said = read(gone.key(), gone.value());
        if gone.cause() == RemovalCause::Expired {
            let now = gone.cache().now();
            assert!(
                now >= Duration::from_millis(said.earliest_ms),
                "number {:x} expired at {now:?}, before its deadline, {said}",
                said.number
            );
        }
        ledger.tell(said.number, gone.cause() == RemovalCause::Taken);
        // Some of them use the cache.
        match mix(said.number) % 512 {
            0 => unless_nested(|| {
                let key = key_of(said.number % keys);
                ledger.lookups.count(1);
                if let Some(found) = gone.cache().get(&key[..]) {
                    ledger.hits.count(1);
                    read(&key, &found);
                }
            }),
            1 => unless_nested(|| _ = gone.cache().remove(&key_of(said.number % keys)[..])),
            _ => {}
        }
        panic_if_armed();
    }
}

fn timeout(worker: &mut Worker) -> Option<Duration> {
    match worker.below(8) {
        0 => Some(Duration::from_millis(1 + worker.below(40))),
        1 => Some(Duration::from_millis(1 + worker.below(2_000))),
        2 => Some(Duration::MAX),
        _ => None,
    }
}

const TIME_TO_LIVE: Duration = Duration::from_secs(5);

impl Bytes {
    pub(crate) fn new(plan: Plan, mistake: Option<Mistake>) -> Result<Self, String> {
        let ledger = Arc::new(Ledger::new(mistake));
        let mut builder = BytesCache::builder()
            .capacity(plan.capacity)
            .capacity_bytes(plan.bytes)
            .time_to_live(TIME_TO_LIVE)
            .sweep_interval(Duration::from_millis(50))
            .delivery(plan.delivery)
            .removal_listener(listener(&ledger, plan.keys));
        let time = (!plan.system_time).then(|| Time::new(Duration::ZERO));
        if let Some(time) = &time {
            builder = builder.clock(time.clock());
        }
        let cache = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { plan, cache, ledger, time })
    }

    /// How far what a value says of its deadline may be from what the cache took. Time stands
    /// still while something is inserted, but the system's does not: there the inserting thread,
    /// or the whole process, may lose its processor for as long as somebody stops it.
    fn slack(&self) -> Duration {
        if self.plan.system_time { Duration::from_secs(1_800) } else { Duration::ZERO }
    }

    /// Holds the time while something is inserted.
    fn hold(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.time.as_ref().map(Time::hold)
    }

    /// Makes a value for a key in the worker's buffer. Time is held.
    fn make(&self, worker: &mut Worker, key: &[u8], timeout: Duration) -> u64 {
        let number = worker.number();
        let ends = |now: u64| {
            let end = Duration::from_millis(now).saturating_add(timeout).as_millis();
            u64::try_from(end).unwrap_or(u64::MAX)
        };
        // The cache has seen no more of the time than there is.
        let seen = u64::try_from(self.cache.now().as_millis()).unwrap_or(u64::MAX);
        let latest = ends(self.time.as_ref().map_or(seen, Time::now_ms));
        let extra = if worker.once_in(1024) { LONG as u64 } else { MOST_VALUE - HEAD as u64 };
        let len = HEAD + usize::try_from(worker.below(extra)).unwrap_or(0);
        let check = mix(number ^ word(key, 0));
        let buffer = &mut worker.buffer;
        buffer.clear();
        for word in [number, latest, check, word(key, 8), ends(seen)] {
            buffer.extend_from_slice(&word.to_le_bytes());
        }
        buffer.resize(len - 8, 0);
        buffer.extend_from_slice(&(!check).to_le_bytes());
        number
    }

    fn stored(&self, number: u64, answer: Result<bool, Refusal>) {
        match answer {
            Ok(true) => self.ledger.stored.add(number),
            Ok(false) => {}
            Err(_) => self.ledger.refused.count(1),
        }
    }

    fn insert(&self, worker: &mut Worker, reader: &mut Reader<[u8], [u8]>) {
        let n = worker.key(self.plan.keys);
        let (key, cache) = (key_of(n), &self.cache);
        let timeout = timeout(worker);
        let held = self.hold();
        let number = self.make(worker, &key, timeout.unwrap_or(TIME_TO_LIVE));
        let value = std::mem::take(&mut worker.buffer);
        let way = worker.below(16);
        let answer = worker.call(1, || match (timeout, way) {
            (Some(timeout), _) => cache.insert_with_timeout(&key, &value, timeout).map(|()| true),
            (None, 0..=2) => cache.insert_if_absent(&key, &value),
            (None, 3..=5) => cache.replace(&key, &value),
            (None, 6..=7) => reader.insert(&key, &value).map(|()| true),
            (None, _) => cache.insert(&key, &value).map(|()| true),
        });
        drop(held);
        worker.buffer = value;
        self.stored(number, answer);
    }

    fn insert_many(&self, worker: &mut Worker) {
        let mut made = Vec::with_capacity(BATCH);
        let _held = self.hold();
        for _ in 0..BATCH {
            let key = key_of(worker.key(self.plan.keys));
            let number = self.make(worker, &key, TIME_TO_LIVE);
            made.push((number, key, worker.buffer.clone()));
        }
        let entries: Vec<(&[u8], &[u8])> =
            made.iter().map(|(_, key, value)| (&key[..], &value[..])).collect();
        let cache = &self.cache;
        let answers = worker.call(BATCH as u64, || cache.insert_many(&entries));
        for ((number, ..), answer) in made.iter().zip(answers) {
            self.stored(*number, answer.map(|()| true));
        }
    }

    /// Checks what a look-up found that began at `now`.
    fn found(&self, key: &[u8], value: Option<&[u8]>, now: Duration) -> Option<u64> {
        self.ledger.lookups.count(1);
        let value = value?;
        self.ledger.hits.count(1);
        let said = read(key, value);
        assert!(!self.ledger.misreads(), "a value that was misread on purpose");
        let latest = Duration::from_millis(said.latest_ms).saturating_add(self.slack());
        assert!(now < latest, "number {:x} was found at {now:?}, {said}", said.number);
        Some(said.number)
    }

    fn look(&self, worker: &mut Worker, reader: &mut Reader<[u8], [u8]>) {
        let n = worker.key(self.plan.keys);
        let key = key_of(n);
        let (cache, now, way) = (&self.cache, self.cache.now(), worker.below(32));
        match way {
            0..=15 => worker.call(1, || {
                let found = reader.get(&key[..]);
                self.found(&key, found.as_deref(), now);
            }),
            16..=27 => worker.call(1, || {
                let found = cache.get(&key[..]);
                self.found(&key, found.as_deref(), now);
            }),
            28 => worker.call(1, || {
                let found = cache.get_copied(&key[..]);
                self.found(&key, found.as_deref(), now);
            }),
            29 => _ = worker.call(1, || cache.contains(&key[..]) | reader.contains(&key[..])),
            _ => {
                let keys: [[u8; KEY]; BATCH] =
                    std::array::from_fn(|_| key_of(worker.key(self.plan.keys)));
                let asked = keys.each_ref().map(|key| &key[..]);
                worker.call(BATCH as u64, || {
                    if way == 30 {
                        let found = cache.get_many(&asked);
                        for (key, value) in keys.iter().zip(found.iter()) {
                            self.found(key, value, now);
                        }
                    } else {
                        let found = reader.get_many(&asked);
                        for (key, value) in keys.iter().zip(&found) {
                            self.found(key, value.as_deref(), now);
                        }
                    }
                });
            }
        }
    }

    fn take(&self, worker: &mut Worker, reader: &mut Reader<[u8], [u8]>) {
        let key = key_of(worker.key(self.plan.keys));
        let (cache, now, way) = (&self.cache, self.cache.now(), worker.below(4));
        let number = worker.call(1, || match way {
            0 => self.found(&key, cache.take_copied(&key[..]).as_deref(), now),
            1 => self.found(&key, reader.take(&key[..]).as_deref(), now),
            _ => self.found(&key, cache.take(&key[..]).as_deref(), now),
        });
        if let Some(number) = number {
            self.ledger.taken.add(number);
        }
    }

    fn remove(&self, worker: &mut Worker, reader: &mut Reader<[u8], [u8]>) {
        let key = key_of(worker.key(self.plan.keys));
        let (cache, now, way) = (&self.cache, self.cache.now(), worker.below(64));
        match way {
            // A listener that panics: its caller hears of it, and that is all.
            0 => {
                let panicked = worker.call(1, || armed(|| _ = cache.remove(&key[..])));
                self.ledger.panics.count(u64::from(panicked));
            }
            1..=7 => worker.call(2, || {
                let handle = cache.get(&key[..]).map(|found| {
                    self.found(&key, Some(&found), now);
                    found.handle()
                });
                match handle {
                    Some(handle) => _ = cache.remove_exact(&handle),
                    None => _ = self.found(&key, None, now),
                }
            }),
            8..=15 => _ = worker.call(1, || reader.remove(&key[..])),
            _ => _ = worker.call(1, || cache.remove(&key[..])),
        }
    }

    /// What concerns the whole cache.
    fn disturb(&self, worker: &mut Worker) {
        let (cache, plan) = (&self.cache, self.plan);
        match worker.below(64) {
            0..=15 => {
                let capacity = plan.capacity / 2 + worker.below(plan.capacity / 2) + 1;
                let resized = worker.call(1, || cache.set_capacity(capacity));
                assert!(resized.is_ok(), "capacity {capacity}: {resized:?}");
            }
            16..=31 => {
                let listener = listener(&self.ledger, plan.keys);
                worker.call(1, || cache.set_removal_listener(Some(listener)));
            }
            32..=47 => {
                let until = cache.now() + Duration::from_millis(worker.below(200));
                worker.call(1, || cache.flush(until));
            }
            48..=52 => {
                let spared = worker.below(8);
                worker.call(1, || {
                    cache.retain(|key, value| read(key, value).number % 64 != spared);
                });
            }
            53..=56 => worker.call(1, || {
                for found in cache.iter().take(1000) {
                    read(found.key(), found.value());
                }
            }),
            57 => worker.call(1, || cache.clear()),
            _ => {
                let progress = worker.call(1, || cache.run_maintenance(10_000));
                assert!(progress.expired <= plan.capacity * 2, "{progress:?}");
            }
        }
    }

    fn live(&self) -> Result<Sum, String> {
        let mut live = Sum::default();
        let now = self.cache.now();
        for found in self.cache.iter() {
            let said = read(found.key(), found.value());
            live.add(said.number);
            let latest = Duration::from_millis(said.latest_ms).saturating_add(self.slack());
            if now >= latest {
                return Err(format!("number {:x} is there at {now:?}, {said}", said.number));
            }
        }
        Ok(live)
    }

    fn check_counters(&self, live: Sum) -> Result<(), String> {
        let (stats, ledger) = (self.cache.stats(), &self.ledger);
        same("inserts", stats.inserts, ledger.stored.sum().count)?;
        same("entries", stats.entries, live.count)?;
        same("removals", stats.removed_total(), ledger.told.sum().count)?;
        same("look-ups", stats.lookups(), ledger.lookups.sum().count)?;
        same("hits", stats.hits, ledger.hits.sum().count)?;
        same("refusals", stats.refused_total(), ledger.refused.sum().count)?;
        same("listeners that panicked", stats.listener_panics, ledger.panics.sum().count)?;
        same("closed", stats.refused_closed, 0)
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "and its deadline was {} to {} ms", self.earliest_ms, self.latest_ms)
    }
}

impl World for Bytes {
    fn name(&self) -> &'static str {
        self.plan.name
    }

    fn burst(&self) -> Box<dyn FnMut(&mut Worker) + '_> {
        let mut reader = self.cache.reader();
        Box::new(move |worker| {
            for _ in 0..BURST {
                match worker.below(1000) {
                    0..=549 => self.look(worker, &mut reader),
                    550..=819 => self.insert(worker, &mut reader),
                    820..=829 => self.insert_many(worker),
                    830..=919 => self.take(worker, &mut reader),
                    920..=998 => self.remove(worker, &mut reader),
                    _ if worker.once_in(16) => self.disturb(worker),
                    _ => {}
                }
            }
            if let Some(time) = &self.time {
                time.pass();
            }
            // Now and then a reader stays pinned while its thread is busy elsewhere.
            if !worker.once_in(16) {
                reader.unpin();
            }
        })
    }

    fn stats(&self) -> Stats {
        self.cache.stats()
    }

    fn maintain(&self) {
        self.cache.run_maintenance(usize::MAX);
    }

    fn walk(&self) -> u64 {
        self.cache.iter().count() as u64
    }

    fn check(&self) -> Result<(), String> {
        if self.plan.system_time {
            self.cache.clear();
        }
        settle(self)?;
        let live = self.live()?;
        self.ledger.check(live)?;
        self.check_counters(live)?;
        self.cache.validate();
        Ok(())
    }

    fn end(&self) -> Result<(), String> {
        self.cache.shutdown();
        settle(self)?;
        self.ledger.check(Sum::default())?;
        self.check_counters(Sum::default())?;
        self.cache.validate();
        Ok(())
    }
}
