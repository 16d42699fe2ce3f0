//! A cache of keys and values with a `Drop` of their own: none is lost, and none dropped twice.

use crate::ledger::{Ledger, Mistake, Sum, mix, same};
use crate::worker::Worker;
use crate::world::{Time, World, settle, unless_nested};
use halfshake::{Cache, Delivery, Reader, Refused, Removal, RemovalCause, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const CAPACITY: u64 = 3_000;
const KEYS: u64 = 9_000;
const BURST: u64 = 64;
const BATCH: u64 = 8;
const TIME_TO_LIVE: Duration = Duration::from_secs(1);

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Its first copy is what `get_or_insert_with` stores, or not: nobody is told which.
    Original,
    /// That copy.
    Perhaps,
    /// Who stores it knows whether it was stored; or it is a copy of something stored.
    Plain,
}

/// A value that is counted while it is alive, and knows whether it was dropped.
#[derive(Debug)]
struct Value {
    key: u64,
    /// Its own, but for copies.
    number: u64,
    /// No deadline of it is later.
    latest_ms: u64,
    check: u64,
    role: Role,
    told: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Value {
    fn new((key, number): (u64, u64), latest_ms: u64, role: Role, ledger: &Arc<Ledger>) -> Self {
        ledger.alive.count(1);
        if role == Role::Perhaps {
            ledger.stored.add(number);
        }
        let check = mix(key ^ number);
        let ledger = ledger.clone();
        Self { key, number, latest_ms, check, role, told: AtomicBool::new(false), ledger }
    }

    fn assert_of(&self, key: u64) {
        let is_whole = self.key == key && self.check == mix(key ^ self.number);
        assert!(is_whole, "a value of {} for {key}", self.key);
    }

    /// The same of one that was found by a look-up that began at `now`.
    fn assert_found(&self, key: u64, now: Duration) {
        self.assert_of(key);
        assert!(!self.ledger.misreads(), "a value that was misread on purpose");
        let (number, latest) = (self.number, self.latest_ms);
        assert!(
            now < Duration::from_millis(latest),
            "number {number:x} was found at {now:?}, and its deadline was {latest} ms"
        );
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.assert_of(self.key);
        let role = if self.role == Role::Original { Role::Perhaps } else { Role::Plain };
        Self::new((self.key, self.number), self.latest_ms, role, &self.ledger)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.assert_of(self.key);
        self.check = !self.check;
        self.ledger.alive.discount();
        // What is dropped and was never told of was never stored, or a lost event: then one more
        // was stored by the cache's own books.
        if self.role == Role::Perhaps && !*self.told.get_mut() {
            self.ledger.stored.take_back(self.number);
            self.ledger.refused.count(1);
        }
    }
}

pub(crate) struct Pairs {
    cache: Cache<u64, Value>,
    ledger: Arc<Ledger>,
    time: Time,
}

fn listener(ledger: &Arc<Ledger>) -> impl Fn(&Removal<'_, u64, Value>) + use<> {
    let ledger = ledger.clone();
    move |gone| {
        gone.value().assert_of(*gone.key());
        gone.value().told.store(true, Relaxed);
        ledger.tell(gone.value().number, gone.cause() == RemovalCause::Taken);
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
            .time_to_live(TIME_TO_LIVE)
            .sweep_interval(Duration::from_millis(50))
            .clock(time.clock())
            .delivery(Delivery::Thread)
            .removal_listener(listener(&ledger))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { cache, ledger, time })
    }

    /// A value for a key. Time is held.
    fn make(&self, worker: &mut Worker, key: u64, timeout: Duration, role: Role) -> Value {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let latest = self.time.now_ms().saturating_add(timeout);
        Value::new((key, worker.number()), latest, role, &self.ledger)
    }

    /// Of an insert that is refused, key and value come back; also of one that had nothing to do.
    fn answered(&self, number: u64, answer: Result<Option<(u64, Value)>, Refused<u64, Value>>) {
        match answer {
            Ok(None) => self.ledger.stored.add(number),
            Ok(Some((key, value))) => value.assert_of(key),
            Err(refused) => {
                self.ledger.refused.count(1);
                refused.value.assert_of(refused.key);
            }
        }
    }

    fn insert(&self, worker: &mut Worker, reader: &mut Reader<u64, Value>) {
        let (key, way, cache) = (worker.key(KEYS), worker.below(16), &self.cache);
        let most = if worker.once_in(2) { 30 } else { 500 };
        let own = Duration::from_millis(1 + worker.below(most));
        let _held = self.time.hold();
        if way == 0 {
            let now = cache.now();
            let made = self.make(worker, key, TIME_TO_LIVE, Role::Original);
            let got = worker.call(1, || cache.get_or_insert_with(key, || made));
            return got.assert_found(key, now);
        }
        if way == 1 {
            let keys: Vec<u64> = (0..BATCH).map(|_| worker.key(KEYS)).collect();
            let make = |key: &u64| (*key, self.make(worker, *key, TIME_TO_LIVE, Role::Plain));
            let batch: Vec<_> = keys.iter().map(make).collect();
            let numbers: Vec<u64> = batch.iter().map(|(_, value)| value.number).collect();
            let answers = worker.call(BATCH, || cache.insert_many(batch));
            let answers = numbers.into_iter().zip(answers);
            return answers.for_each(|(n, answer)| self.answered(n, answer.map(|()| None)));
        }
        let timeout = if (6..=9).contains(&way) { own } else { TIME_TO_LIVE };
        let value = self.make(worker, key, timeout, Role::Plain);
        let number = value.number;
        let answer = worker.call(1, || match way {
            2..=3 => cache.insert_if_absent(key, value),
            4..=5 => cache.replace(key, value),
            6..=9 => cache.insert_with_timeout(key, value, timeout).map(|()| None),
            10 => reader.insert(key, value).map(|()| None),
            _ => cache.insert(key, value).map(|()| None),
        });
        self.answered(number, answer);
    }

    fn look(&self, worker: &mut Worker, reader: &mut Reader<u64, Value>) {
        let (key, way, cache) = (worker.key(KEYS), worker.below(16), &self.cache);
        let now = cache.now();
        let of = |value: Option<&Value>| value.into_iter().for_each(|v| v.assert_found(key, now));
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

    /// What takers get.
    fn taken(&self, key: u64, value: Option<&Value>, now: Duration) {
        let Some(value) = value else { return };
        value.assert_found(key, now);
        self.ledger.taken.add(value.number);
    }

    fn step(&self, worker: &mut Worker, reader: &mut Reader<u64, Value>) {
        let key = worker.key(KEYS);
        let cache = &self.cache;
        match worker.below(1000) {
            0..=499 => self.look(worker, reader),
            500..=799 => self.insert(worker, reader),
            800..=879 => {
                let now = cache.now();
                let taken = worker.call(1, || cache.take(&key));
                self.taken(key, taken.as_deref(), now);
            }
            880..=899 => {
                let now = cache.now();
                let taken = worker.call(1, || cache.take_cloned(&key));
                self.taken(key, taken.as_ref(), now);
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

    /// What lives, and has not expired.
    fn live(&self) -> Sum {
        let (mut live, now) = (Sum::default(), self.cache.now());
        for found in self.cache.iter() {
            found.assert_found(*found.key(), now);
            live.add(found.number);
        }
        live
    }

    fn check_quiet(&self, live: Sum) -> Result<(), String> {
        let (stats, ledger) = (self.cache.stats(), &self.ledger);
        ledger.check(live)?;
        same("inserts", stats.inserts, ledger.stored.sum().count)?;
        same("removals", stats.removed_total(), ledger.told.sum().count)?;
        same("entries", stats.entries, live.count)?;
        same("values that are alive", ledger.alive.sum().count, live.count)?;
        same("refusals", stats.refused_total(), ledger.refused.sum().count)?;
        same("panics, and closed", stats.refused_closed + stats.drop_panics, 0)?;
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
        self.check_quiet(self.live())
    }

    fn end(&self) -> Result<(), String> {
        self.cache.shutdown();
        settle(self)?;
        self.check_quiet(Sum::default())
    }
}
