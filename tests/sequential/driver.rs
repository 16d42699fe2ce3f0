//! Plays a script on a cache and on the model, and compares.

use super::model::{Expected, Model, NEVER, Stored};
use super::script::{Config, Op, Timeout};
use super::subject::{BASE_WEIGHT, How, Subject, World, lock};
use halfshake::{Delivery, Handle, ManualClock, Refusal, RemovalCause};
use std::sync::Arc;
use std::time::Duration;

/// Tries that an insert has while the delivery thread retires what it was handed.
const MOST_TRIES: u32 = 100_000;

struct Driver<S: Subject> {
    subject: S,
    reader: S::Reader,
    clock: Arc<ManualClock>,
    world: Arc<World>,
    config: Config,
    model: Model,
    handles: Vec<(Handle, u64)>,
    next_id: u64,
}

/// Plays `ops` on a new cache.
///
/// # Panics
/// With the difference, if cache and model differ.
pub(crate) fn run<S: Subject>(config: &Config, ops: &[Op]) {
    let mut driver = Driver::<S>::new(config);
    for op in ops {
        driver.step(op);
        driver.compare();
    }
    driver.end();
}

/// A clock's reading in ticks, as a deadline.
fn deadline(now: u64, timeout: Duration) -> u64 {
    let ticks = timeout.as_nanos().div_ceil(1_000_000);
    u64::try_from(ticks).map_or(NEVER, |ticks| now.saturating_add(ticks))
}

impl<S: Subject> Driver<S> {
    fn new(config: &Config) -> Self {
        let (clock, world) = (ManualClock::new(), Arc::new(World::default()));
        *lock(&world.most) = config.capacity;
        let subject = S::build(config, clock.clone(), world.clone());
        let reader = subject.reader();
        let model = Model { limit: config.capacity, limit_bytes: config.bytes, ..Model::default() };
        let config = config.clone();
        Self { subject, reader, clock, world, config, model, handles: Vec::new(), next_id: 1 }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Insert { key, size } => self.put(How::Upsert, key, size, None),
            Op::InsertWithTimeout { key, size, timeout } => {
                self.put(How::Upsert, key, size, Some(self.duration(timeout)));
            }
            Op::InsertIfAbsent { key, size } => self.put(How::IfAbsent, key, size, None),
            Op::Replace { key, size } => self.put(How::Replace, key, size, None),
            Op::InsertMany(ref entries) => self.put_many(entries),
            Op::GetOrInsert { key, size } if S::HAS_GET_OR_INSERT => self.get_or_insert(key, size),
            Op::GetOrInsert { key, size } => self.put(How::IfAbsent, key, size, None),
            Op::ReaderInsert { key, size } => {
                let id = self.fresh();
                let answer = S::reader_insert(&mut self.reader, (key, id, size));
                assert!(!S::is_pinned(&self.reader), "a write through a reader unpins it");
                self.was_put(How::Upsert, (key, id, size), None, answer.map(|()| true));
            }
            Op::Retain { modulus, rest } => self.retain(modulus.max(1), rest),
            Op::Clear => self.remove_all(|s| s.clear(), RemovalCause::Flushed),
            Op::Flush { ahead_ms } => self.flush(u64::from(ahead_ms)),
            Op::SetCapacity(entries) => self.set_capacity(u64::from(entries)),
            Op::Advance { ms } => {
                self.clock.advance(Duration::from_millis(u64::from(ms)));
                self.see_time();
            }
            Op::StepBack { ms } => {
                let back = self.model.now.saturating_sub(u64::from(ms));
                self.clock.set(Duration::from_millis(back));
            }
            Op::Maintain { budget } => self.maintain(usize::from(budget)),
            Op::Iterate => self.iterate(),
            Op::Unpin => S::unpin(&mut self.reader),
            _ => self.look_or_remove(op),
        }
    }

    fn look_or_remove(&mut self, op: &Op) {
        match *op {
            Op::Get(key) => {
                let found = self.subject.get(key).map(|(id, _)| id);
                assert_eq!(found, self.model.look_up(key), "get {key}");
            }
            Op::GetMany(ref keys) => {
                let right: Vec<_> = keys.iter().map(|k| self.model.look_up(*k)).collect();
                assert_eq!(self.subject.get_many(keys), right, "get_many {keys:?}");
            }
            Op::Contains(key) => {
                let right = self.model.live(key).is_some();
                assert_eq!(self.subject.contains(key), right, "contains {key}");
            }
            Op::ReaderGet(key) => {
                let found = S::reader_get(&mut self.reader, key);
                assert_eq!(found, self.model.look_up(key), "reader: get {key}");
            }
            Op::ReaderGetMany(ref keys) => {
                let right: Vec<_> = keys.iter().map(|k| self.model.look_up(*k)).collect();
                let found = S::reader_get_many(&mut self.reader, keys);
                assert_eq!(found, right, "reader: get_many {keys:?}");
            }
            Op::ReaderContains(key) => {
                let right = self.model.live(key).is_some();
                assert_eq!(S::reader_contains(&mut self.reader, key), right, "reader: {key}");
            }
            Op::Take(key) => self.take(key, |driver| driver.subject.take(key)),
            Op::ReaderTake(key) => self.take(key, |d| S::reader_take(&mut d.reader, key)),
            Op::Remove(key) => self.remove(key, |driver| driver.subject.remove(key)),
            Op::ReaderRemove(key) => self.remove(key, |d| S::reader_remove(&mut d.reader, key)),
            Op::Identify(key) => {
                let found = self.subject.get(key);
                assert_eq!(found.map(|(id, _)| id), self.model.look_up(key), "get {key}");
                self.handles.extend(found.map(|(id, handle)| (handle, id)));
            }
            Op::RemoveExact(at) => self.remove_exact(usize::from(at)),
            _ => unreachable!("played by `step`: {op:?}"),
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn see_time(&mut self) {
        let tick = u64::try_from(self.subject_time().as_millis()).expect("a manual clock is small");
        self.model.now = self.model.now.max(tick);
    }

    fn subject_time(&self) -> Duration {
        halfshake::Clock::now(&*self.clock)
    }

    fn duration(&self, timeout: Timeout) -> Duration {
        match timeout {
            Timeout::Zero => Duration::ZERO,
            // Where another thread delivers, only what nobody removes may be there at a comparison.
            _ if self.config.delivery == Delivery::Thread => Duration::MAX,
            Timeout::Nanosecond => Duration::from_nanos(1),
            Timeout::Milliseconds(ms) => Duration::from_millis(u64::from(ms)),
            Timeout::Huge => Duration::from_secs(u64::MAX),
        }
    }

    fn put(&mut self, how: How, key: u8, size: u8, timeout: Option<Duration>) {
        let id = self.fresh();
        let mut answer = self.subject.put(how, (key, id, size), timeout);
        for _ in 0..MOST_TRIES {
            if answer != Err(Refusal::NoRoom) {
                break;
            }
            self.may_have_no_room();
            answer = self.subject.put(how, (key, id, size), timeout);
        }
        self.was_put(how, (key, id, size), timeout, answer);
    }

    /// A refusal is right only while somebody is pinned; afterwards nobody of ours is.
    fn may_have_no_room(&mut self) {
        let deliverer = self.config.delivery == Delivery::Thread;
        assert!(S::is_pinned(&self.reader) || deliverer, "no room, and nobody is pinned");
        S::unpin(&mut self.reader);
        std::thread::yield_now();
        self.settle(Expected { others: true, ..Expected::default() }, false);
    }

    fn was_put(
        &mut self,
        how: How,
        (key, id, size): (u8, u64, u8),
        timeout: Option<Duration>,
        answer: Result<bool, Refusal>,
    ) {
        let weight = BASE_WEIGHT + u64::from(size);
        if let Some(limit) = self.config.bytes.filter(|limit| weight > *limit) {
            assert_eq!(answer, Err(Refusal::TooLarge { weight, limit }));
            self.model.counted.too_large += 1;
            return self.settle(Expected::default(), false);
        }
        let forbidden = match how {
            How::Upsert => false,
            How::IfAbsent => self.model.live(key).is_some(),
            How::Replace => self.model.live(key).is_none(),
        };
        assert_eq!(answer, Ok(!forbidden), "{how:?} of {key}");
        let mut expected = Expected::default();
        let stored = !forbidden && self.store((key, id, weight), timeout, &mut expected, &[]);
        self.settle(expected, stored);
    }

    /// What a successful insert does to the model; whether anything was stored.
    fn store(
        &mut self,
        (key, id, weight): (u8, u64, u64),
        timeout: Option<Duration>,
        expected: &mut Expected,
        more_causes: &[RemovalCause],
    ) -> bool {
        if let Some(old) = self.model.holder(key, expected) {
            let causes = [&[RemovalCause::Replaced], more_causes].concat();
            self.model.goes(old, &causes, expected);
        }
        let by_cache = || self.config.timeout_ms.map(Duration::from_millis);
        let deadline = timeout.or_else(by_cache).map_or(NEVER, |t| deadline(self.model.now, t));
        let stored = deadline > self.model.now;
        if stored {
            self.model.stored.insert(id, Stored { key, deadline, weight });
            self.model.counted.inserts += 1;
            expected.others = true;
        }
        stored
    }

    fn put_many(&mut self, entries: &[(u8, u8)]) {
        // A batch may not come back to room while somebody is pinned.
        S::unpin(&mut self.reader);
        let given: Vec<_> = entries.iter().map(|(key, size)| (*key, self.fresh(), *size)).collect();
        let answers = self.subject.put_many(&given);
        assert_eq!(answers.len(), given.len());
        let mut expected = Expected::default();
        for (answer, (key, id, size)) in answers.into_iter().zip(given) {
            let weight = BASE_WEIGHT + u64::from(size);
            match answer {
                Ok(()) => {
                    // An earlier one of the batch may have made room with it.
                    let evicted = &[RemovalCause::Evicted];
                    self.store((key, id, weight), None, &mut expected, evicted);
                }
                Err(Refusal::TooLarge { .. }) => {
                    assert!(self.config.bytes.is_some_and(|limit| weight > limit));
                    self.model.counted.too_large += 1;
                }
                // Ways that one batch unlinks wait until its events are delivered, at its end.
                Err(Refusal::NoRoom) => {
                    assert!(entries.len() > 1 || self.config.delivery == Delivery::Thread)
                }
                Err(refusal) => panic!("{refusal}"),
            }
        }
        self.settle(expected, false);
    }

    fn get_or_insert(&mut self, key: u8, size: u8) {
        S::unpin(&mut self.reader);
        let id = self.fresh();
        let refused = self.subject.stats().refused_no_room;
        let got = self.subject.get_or_insert((key, id, size));
        if let Some(found) = self.model.look_up(key) {
            assert_eq!(got, found, "get_or_insert_with {key}");
            return self.settle(Expected::default(), false);
        }
        // Looked for twice: before and after waiting for the turn.
        self.model.look_up(key);
        assert_eq!(got, id, "get_or_insert_with {key}");
        if self.subject.stats().refused_no_room != refused {
            assert_eq!(self.config.delivery, Delivery::Thread, "no room, and nobody is pinned");
            return self.settle(Expected { others: true, ..Expected::default() }, false);
        }
        let too_large = self.config.bytes.is_some_and(|b| BASE_WEIGHT + u64::from(size) > b);
        let answer = self.config.bytes.filter(|_| too_large).map_or(Ok(true), |limit| {
            Err(Refusal::TooLarge { weight: BASE_WEIGHT + u64::from(size), limit })
        });
        self.was_put(How::Upsert, (key, id, size), None, answer);
    }

    fn take(&mut self, key: u8, take: impl FnOnce(&mut Self) -> Option<u64>) {
        let right = self.model.look_up(key);
        assert_eq!(take(self), right, "take {key}");
        self.one_goes(right, RemovalCause::Taken);
    }

    fn remove(&mut self, key: u8, remove: impl FnOnce(&mut Self) -> bool) {
        let (right, there) = (self.model.live(key), self.model.holder(key, &Expected::default()));
        assert_eq!(remove(self), right.is_some(), "remove {key}");
        self.one_goes(there, RemovalCause::Removed);
    }

    fn remove_exact(&mut self, at: usize) {
        let Some((handle, id)) = self.handles.get(at % self.handles.len().max(1)).copied() else {
            return;
        };
        let there = self.model.stored.get(&id);
        let lives = there.is_some_and(|s| !self.model.is_expired(s));
        let there = there.map(|_| id);
        assert_eq!(self.subject.remove_exact(&handle), lives, "remove_exact {id}");
        self.one_goes(there, RemovalCause::Removed);
    }

    fn one_goes(&mut self, id: Option<u64>, cause: RemovalCause) {
        let mut expected = Expected::default();
        if let Some(id) = id {
            self.model.goes(id, &[cause], &mut expected);
        }
        self.settle(expected, false);
    }

    fn retain(&mut self, modulus: u8, rest: u8) {
        let keep = |key: u8| key % modulus != rest;
        self.subject.retain(keep);
        let mut expected = Expected::default();
        for (id, stored) in &self.model.stored {
            if self.model.is_expired(stored) || !keep(stored.key) {
                self.model.goes(*id, &[RemovalCause::Removed], &mut expected);
            }
        }
        self.settle(expected, false);
    }

    fn remove_all(&mut self, remove: impl FnOnce(&S), cause: RemovalCause) {
        remove(&self.subject);
        let mut expected = Expected::default();
        for id in self.model.stored.keys() {
            self.model.goes(*id, &[cause], &mut expected);
        }
        self.settle(expected, false);
        assert!(self.model.stored.is_empty());
    }

    fn flush(&mut self, ahead: u64) {
        let until = self.model.now + ahead;
        let removed = self.subject.flush(Duration::from_millis(until));
        let mut expected = Expected::default();
        for (id, stored) in &self.model.stored {
            if stored.deadline <= until {
                self.model.goes(*id, &[RemovalCause::Flushed], &mut expected);
            }
        }
        assert_eq!(removed, expected.must.len() as u64, "flush of what expires by {until}");
        self.settle(expected, false);
    }

    fn set_capacity(&mut self, entries: u64) {
        let entries = entries.clamp(1, self.config.max_capacity);
        *lock(&self.world.most) = entries.max(self.model.limit);
        let before = self.model.stored.len() as u64;
        assert_eq!(self.subject.set_capacity(entries), 0, "nothing is under way");
        self.model.limit = entries;
        self.settle(Expected { others: true, ..Expected::default() }, false);
        *lock(&self.world.most) = entries;
        let left = self.model.stored.len() as u64;
        assert_eq!(left, before.min(entries), "lowered to {entries}: evicts no more than it must");
    }

    fn maintain(&mut self, budget: usize) {
        let expired = self.model.stored.values().filter(|s| self.model.is_expired(s)).count();
        let before = self.model.stored.len();
        let progress = self.subject.maintain(budget);
        self.settle(Expected { others: true, ..Expected::default() }, false);
        let gone = before - self.model.stored.len();
        assert_eq!(progress.expired, gone as u64, "progress tells what went");
        if progress.complete {
            assert_eq!(gone, expired, "a complete pass leaves nothing that has expired");
        } else {
            assert!(gone >= budget.min(expired), "{gone} of {expired} with a budget of {budget}");
        }
    }

    fn iterate(&mut self) {
        let mut met = self.subject.iterate();
        met.sort_unstable();
        assert_eq!(met, self.model.all_live(), "iter");
    }

    /// Takes in the events of one operation. `stored`: of an insert, which may need room.
    fn settle(&mut self, mut expected: Expected, stored: bool) {
        self.await_deliveries();
        let events = std::mem::take(&mut *lock(&self.world.events));
        *lock(&self.world.looks) = 0;
        let mut gone = Vec::new();
        for event in events {
            gone.extend(self.model.told(event, &mut expected));
        }
        assert!(expected.must.is_empty(), "no event of {:?}", expected.must);
        let is_spread = !self.config.one_set && !self.config.few_sets;
        if stored && is_spread && !gone.is_empty() {
            // At least the last victim was needed: no set is full.
            let largest = gone.iter().map(|s| s.weight).max().unwrap_or(0);
            let entries = self.model.stored.len() as u64 + 1;
            let bytes = self.model.weight() + largest;
            let needed =
                entries > self.model.limit || self.model.limit_bytes.is_some_and(|b| bytes > b);
            assert!(needed, "{gone:?} went although there was room");
        }
    }

    /// Where another thread delivers, nothing expires: what is live is what has had no event. That
    /// thread counts once more when it has done with one.
    fn await_deliveries(&self) {
        if self.config.delivery == Delivery::Thread {
            let live = self.subject.iterate().len() as u64;
            while self.subject.len() != live || self.subject.stats().undelivered != 0 {
                std::thread::yield_now();
            }
        }
    }

    fn compare(&self) {
        assert_eq!(*lock(&self.world.faults), [""; 0], "seen by the listener");
        let (model, stats) = (&self.model, self.subject.stats());
        assert_eq!(self.subject.len(), model.stored.len() as u64, "entries");
        assert_eq!(stats.bytes, model.weight(), "bytes");
        assert!(stats.entries <= model.limit, "{} entries", stats.entries);
        assert!(model.limit_bytes.is_none_or(|limit| stats.bytes <= limit));
    }

    fn end(mut self) {
        self.iterate();
        self.subject.validate();
        self.count();
        S::unpin(&mut self.reader);
        self.remove_all(|s| s.shutdown(), RemovalCause::Shutdown);
        let refused = self.subject.put(How::Upsert, (1, 1, 0), None);
        let too_large = self.config.bytes.is_some_and(|b| b < BASE_WEIGHT);
        assert!(too_large || refused == Err(Refusal::Closed), "{refused:?}");
        self.compare();
        self.subject.validate();
        let alone = self.config.delivery == Delivery::Caller;
        for _ in 0..MOST_TRIES {
            // The delivery thread may stand still while it frees: an entry counts as freed before.
            let is_freed = alone || self.subject.alive().is_none_or(|alive| alive == 0);
            if is_freed && self.subject.stats().retired_entries == 0 {
                break;
            }
            self.subject.maintain(usize::MAX);
            std::thread::yield_now();
        }
        assert_eq!(self.subject.stats().retired_entries, 0, "memory that nobody waits for");
        assert!(self.subject.alive().is_none_or(|alive| alive == 0), "objects leaked");
    }

    fn count(&self) {
        let (stats, right) = (self.subject.stats(), self.model.counted);
        assert_eq!((stats.hits, stats.inserts), (right.hits, right.inserts), "hits, inserts");
        assert_eq!(stats.misses_unknown, right.unknown, "misses of unknown keys");
        assert_eq!(stats.misses_expired, right.expired, "misses of expired entries");
        assert_eq!(stats.refused_too_large, right.too_large, "refused as too large");
        assert_eq!(stats.listener_panics + stats.drop_panics, 0);
        for cause in RemovalCause::ALL {
            let told = self.model.removed.get(&cause).copied().unwrap_or(0);
            assert_eq!(stats.removed_by(cause), told, "removals: {cause}");
        }
    }
}
