//! A cache of keys and values with a `Drop` of their own: none is lost, and none dropped twice.

use crate::ledger::{Ledger, Mistake, Shared, mix, same};
use crate::worker::Worker;
use crate::world::{Time, World, settle, unless_nested};
use halfshake::{Cache, Delivery, Reader, Refused, Removal, Stats};
use std::sync::Arc;
use std::time::Duration;

const CAPACITY: u64 = 3_000;
const KEYS: u64 = 9_000;
const BURST: u64 = 64;
const BATCH: u64 = 8;

/// A value that is counted while it is alive, and knows whether it was dropped.
#[derive(Debug)]
struct Value {
    key: u64,
    check: u64,
    alive: Arc<Shared>,
}

impl Value {
    fn new(key: u64, alive: &Arc<Shared>) -> Self {
        alive.count(1);
        Self { key, check: mix(key), alive: alive.clone() }
    }

    fn assert_of(&self, key: u64) {
        assert!(self.key == key && self.check == mix(key), "a value of {} for {key}", self.key);
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.assert_of(self.key);
        Self::new(self.key, &self.alive)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.assert_of(self.key);
        self.check = 0;
        self.alive.discount();
    }
}

pub(crate) struct Pairs {
    cache: Cache<u64, Value>,
    ledger: Arc<Ledger>,
    alive: Arc<Shared>,
    time: Time,
}

fn listener(ledger: &Arc<Ledger>) -> impl Fn(&Removal<'_, u64, Value>) + use<> {
    let ledger = ledger.clone();
    move |gone| {
        gone.value().assert_of(*gone.key());
        ledger.tell(*gone.key(), false);
        if gone.key().is_multiple_of(199) {
            unless_nested(|| _ = gone.cache().remove(&(gone.key() + 1)));
        }
    }
}

impl Pairs {
    pub(crate) fn new(mistake: Option<Mistake>) -> Result<Self, String> {
        let (ledger, time) = (Arc::new(Ledger::new(mistake)), Time::new(Duration::ZERO));
        let cache = Cache::builder()
            .capacity(CAPACITY)
            .time_to_live(Duration::from_secs(1))
            .sweep_interval(Duration::from_millis(50))
            .clock(time.clock())
            .delivery(Delivery::Thread)
            .removal_listener(listener(&ledger))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { cache, ledger, alive: Arc::default(), time })
    }

    /// Of an insert that is refused, key and value come back.
    fn answered(&self, answer: Result<Option<(u64, Value)>, Refused<u64, Value>>) {
        let back = answer.unwrap_or_else(|refused| {
            self.ledger.refused.count(1);
            Some((refused.key, refused.value))
        });
        if let Some((key, value)) = back {
            value.assert_of(key);
        }
    }

    fn insert(&self, worker: &mut Worker, reader: &mut Reader<u64, Value>) {
        let (key, way, cache) = (worker.key(KEYS), worker.below(16), &self.cache);
        let value = Value::new(key, &self.alive);
        let timeout = Duration::from_millis(1 + worker.below(500));
        match way {
            0 => {
                drop(value);
                let got = worker
                    .call(1, || cache.get_or_insert_with(key, || Value::new(key, &self.alive)));
                got.assert_of(key);
            }
            1 => {
                drop(value);
                let keys: Vec<u64> = (0..BATCH).map(|_| worker.key(KEYS)).collect();
                let batch = keys.iter().map(|key| (*key, Value::new(*key, &self.alive)));
                let answers = worker.call(BATCH, || cache.insert_many(batch));
                answers.into_iter().for_each(|answer| self.answered(answer.map(|()| None)));
            }
            2..=3 => self.answered(worker.call(1, || cache.insert_if_absent(key, value))),
            4..=5 => self.answered(worker.call(1, || cache.replace(key, value))),
            6..=7 => {
                let insert = || cache.insert_with_timeout(key, value, timeout);
                self.answered(worker.call(1, insert).map(|()| None));
            }
            8 => self.answered(worker.call(1, || reader.insert(key, value)).map(|()| None)),
            _ => self.answered(worker.call(1, || cache.insert(key, value)).map(|()| None)),
        }
    }

    fn look(&self, worker: &mut Worker, reader: &mut Reader<u64, Value>) {
        let (key, way, cache) = (worker.key(KEYS), worker.below(16), &self.cache);
        let of = |value: Option<&Value>| value.into_iter().for_each(|value| value.assert_of(key));
        match way {
            0 => of(worker.call(1, || cache.get_cloned(&key)).as_ref()),
            1 => worker.call(1, || {
                let mut found = cache.get_many(&[&key, &(key + 1)]);
                of(found.get(0));
                found = cache.get_many(&[&key]);
                of(found.get(0));
            }),
            2..=8 => worker.call(1, || of(cache.get(&key).as_deref())),
            _ => worker.call(1, || of(reader.get(&key).as_deref())),
        }
    }

    fn step(&self, worker: &mut Worker, reader: &mut Reader<u64, Value>) {
        let key = worker.key(KEYS);
        let cache = &self.cache;
        match worker.below(1000) {
            0..=499 => self.look(worker, reader),
            500..=799 => self.insert(worker, reader),
            800..=879 => {
                let taken = worker.call(1, || cache.take(&key));
                taken.iter().for_each(|taken| taken.assert_of(key));
            }
            880..=899 => {
                let taken = worker.call(1, || cache.take_cloned(&key));
                taken.iter().for_each(|taken| taken.assert_of(key));
            }
            900..=949 => _ = worker.call(1, || reader.remove(&key)),
            950..=998 => _ = worker.call(1, || cache.remove(&key)),
            _ => match worker.below(16) {
                0 => worker.call(1, || cache.clear()),
                1..=3 => worker.call(1, || cache.retain(|key, _| !key.is_multiple_of(7))),
                4..=6 => {
                    let capacity = 1 + worker.below(CAPACITY);
                    let resized = worker.call(1, || cache.set_capacity(capacity));
                    assert!(resized.is_ok(), "capacity {capacity}: {resized:?}");
                }
                7..=9 => {
                    let listener = listener(&self.ledger);
                    worker.call(1, || cache.set_removal_listener(Some(listener)));
                }
                _ => {
                    let until = cache.now() + Duration::from_millis(worker.below(500));
                    worker.call(1, || cache.flush(until));
                }
            },
        }
    }

    fn check_quiet(&self, live: u64) -> Result<(), String> {
        let (stats, told) = (self.cache.stats(), self.ledger.told.sum().count);
        same("the law: stored = told + live", stats.inserts, told + live)?;
        same("entries", stats.entries, live)?;
        same("values that are alive", self.alive.sum().count, live)?;
        same("refusals", stats.refused_closed + stats.drop_panics, 0)?;
        self.cache.validate();
        Ok(())
    }
}

impl World for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn burst(&self) -> Box<dyn FnMut(&mut Worker) + '_> {
        let mut reader = self.cache.reader();
        Box::new(move |worker| {
            for _ in 0..BURST {
                self.step(worker, &mut reader);
            }
            self.time.pass();
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
        settle(self)?;
        self.cache.iter().for_each(|found| found.assert_of(*found.key()));
        self.check_quiet(self.walk())
    }

    fn end(&self) -> Result<(), String> {
        self.cache.shutdown();
        settle(self)?;
        self.check_quiet(0)
    }
}
