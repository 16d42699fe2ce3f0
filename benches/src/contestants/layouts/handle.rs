//! What one thread does with a cache: look-ups, changes, and what was unlinked, until it is free.

use super::insert::{Insert, Step};
use super::layout::{Held, Layout, Magazine, Place};
use super::way::{bit, ways_in};
use super::{StandIn, count};
use crate::contestants::{Lookups, Operations};
use crate::keys::{Key, Value};
use crossbeam_epoch::{Guard, LocalHandle};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;
use std::time::Duration;

/// Ways that are handed to the collector together, and rounds of help for it before an insert is
/// refused: as many as ours.
const BATCH: usize = 64;
const MOST_HELPS: u32 = 4;
/// Items whose memory is fetched ahead where there is a row of them.
const AHEAD: usize = 8;
/// Sets that are swept together.
const SWEPT_TOGETHER: usize = 4;

/// A thread's part of it.
pub struct Handle<'c, L> {
    cache: &'c StandIn<L>,
    participant: LocalHandle,
    /// The pin of a row of look-ups.
    reading: Option<Guard>,
    /// Unlinked ways whose events are to be told.
    owed: Vec<Held>,
    /// Those whose events were.
    retired: Vec<Held>,
    magazine: Magazine,
    next_id: u64,
    since_sweep: Duration,
}

/// Look-ups in one pin.
pub(super) struct Pinned<'h, L>(&'h StandIn<L>);

impl<L: Layout> Lookups for Pinned<'_, L> {
    #[inline]
    fn get(&mut self, key: &Key) -> Option<u64> {
        self.0.look(self.0.place(key), key)
    }
}

impl<L: Layout> StandIn<L> {
    #[inline]
    fn place(&self, key: &Key) -> Place {
        self.table.place(self.hasher.hash_one(&key[..]))
    }

    /// The caller is pinned.
    #[inline(always)]
    fn look(&self, place: Place, key: &Key) -> Option<u64> {
        self.table.prefetch_cells(place.set);
        self.look_among(place, self.table.candidates(place), key)
    }

    #[inline(always)]
    fn look_among(&self, place: Place, ways: u64, key: &Key) -> Option<u64> {
        let (way, entry) = self.table.find_among(place, ways, key)?;
        if entry.deadline() <= self.now() {
            return None;
        }
        self.table.ways(place.set).visit(way);
        Some(entry.value())
    }

    pub(super) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    /// A way of the set that is to go: one that has expired, else by age and hits.
    pub(super) fn victim(&self, set: usize, live: u64) -> Option<u32> {
        let now = self.now();
        if self.table.due(set).load(Relaxed) <= now {
            let expired = self.table.entries_of(set, live).find(|(_, e)| e.deadline() <= now);
            if let Some((way, _)) = expired {
                return Some(way);
            }
        }
        self.table.ways(set).victim(live)
    }
}

impl<'c, L: Layout> Handle<'c, L> {
    pub(super) fn new(cache: &'c StandIn<L>) -> Self {
        let (retired, magazine) = std::mem::take(&mut *cache.parked.lock().expect("no panics"));
        Self {
            cache,
            participant: cache.collector.register(),
            reading: None,
            owed: Vec::new(),
            retired,
            magazine,
            next_id: cache.ids.fetch_add(1 << 32, Relaxed),
            since_sweep: Duration::ZERO,
        }
    }

    /// A new pin for look-ups.
    #[inline]
    fn repin(&mut self) {
        match &mut self.reading {
            Some(guard) => {
                guard.repin();
                // As ours: the epoch is loaded relaxed.
                fence(Acquire);
            }
            None => self.reading = Some(self.participant.pin()),
        }
    }

    /// Inserts or replaces; whether there was room. What it unlinks is owed.
    fn put(&mut self, place: Place, key: &Key, value: &Value, fetched: bool) -> bool {
        let cache = self.cache;
        self.next_id += 1;
        let (id, mut helps) = (self.next_id, 0);
        let mut insert = Insert::new(cache, place, id, key, value);
        loop {
            let guard = self.participant.pin();
            if !fetched && helps == 0 {
                cache.prefetch_next(place.set);
            }
            let step = insert.step(&mut self.magazine);
            drop(guard);
            let helped = match step {
                Step::Stored(gone) => {
                    self.owed.extend(ways_in(gone).map(|way| cache.table.held(place.set, way)));
                    return true;
                }
                Step::Again => true,
                Step::Neighbour => {
                    insert.absorb(self.evict_from(cache.table.neighbours(place.set)))
                }
                Step::Elsewhere => {
                    let start = cache.table.place(id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).set;
                    let all = (start..cache.table.sets()).chain(0..start);
                    insert.absorb(self.evict_from(all))
                }
                Step::NoRoom => false,
            };
            if !helped {
                if helps == MOST_HELPS {
                    insert.refuse(&mut self.magazine);
                    return false;
                }
                helps += 1;
                self.settle();
                self.collect();
                self.recycle();
            }
        }
    }

    /// Unlinks the victim of the first of some sets that has one; its unit is the caller's.
    fn evict_from(&mut self, sets: impl Iterator<Item = usize>) -> bool {
        let cache = self.cache;
        for set in sets {
            let _guard = self.participant.pin();
            let ways = cache.table.ways(set);
            let way = cache.victim(set, ways.live());
            if let Some(way) = way.filter(|way| ways.unlink(bit(*way)) != 0) {
                self.owed.push(cache.table.held(set, way));
                return true;
            }
        }
        false
    }

    /// Tells about what was unlinked, and retires it.
    fn settle(&mut self) {
        let table = &self.cache.table;
        if self.owed.len() > 1 {
            self.owed.iter().for_each(|held| table.entry(*held).prefetch_head());
        }
        for at in 0..self.owed.len() {
            self.tell(self.owed[at]);
            self.retire(self.owed[at]);
        }
        self.owed.clear();
    }

    fn tell(&self, held: Held) {
        (self.cache.listener)(self.cache.table.entry(held).value());
    }

    fn retire(&mut self, held: Held) {
        self.retired.push(held);
        count(&self.cache.retired);
        if self.retired.len() >= BATCH {
            self.collect();
            self.recycle();
        }
    }

    /// Hands what is retired to the collector, which hands it back after a grace period.
    fn collect(&mut self) {
        let ways = std::mem::replace(&mut self.retired, Vec::with_capacity(BATCH));
        let (guard, ready) = (self.participant.pin(), self.cache.ready.clone());
        if !ways.is_empty() {
            guard.defer(move || ready.lock().expect("no panics").push(ways));
        }
        guard.flush();
    }

    /// Frees what is past its grace period.
    fn recycle(&mut self) {
        let table = &self.cache.table;
        let batches = std::mem::take(&mut *self.cache.ready.lock().expect("no panics"));
        for ways in batches {
            ways.iter().take(AHEAD).for_each(|held| table.prefetch_to_free(*held));
            for (at, held) in ways.iter().enumerate() {
                if let Some(next) = ways.get(at + AHEAD) {
                    table.prefetch_to_free(*next);
                }
                table.free(*held, &mut self.magazine);
                count(&self.cache.recycled);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn free_all(&mut self) {
        self.collect();
        self.recycle();
    }

    /// A pass over all sets for what has expired.
    fn sweep(&mut self) {
        let (cache, mut from) = (self.cache, 0);
        let (table, now) = (&cache.table, cache.now());
        while from < table.sets() {
            let mut some = Vec::with_capacity(SWEPT_TOGETHER);
            while from < table.sets() && some.len() < SWEPT_TOGETHER {
                if table.due(from).load(Relaxed) <= now {
                    some.push(from);
                }
                from += 1;
            }
            let guard = self.participant.pin();
            for set in &some {
                table.prefetch_set(*set);
                table.prefetch_cells(*set);
            }
            some.iter().for_each(|set| table.prefetch_heads(*set, table.ways(*set).live()));
            some.iter().for_each(|set| self.expire(*set, now));
            drop(guard);
            self.settle();
        }
    }

    fn expire(&mut self, set: usize, now: u64) {
        let (cache, table) = (self.cache, &self.cache.table);
        let (mut expired, mut next) = (0, u64::MAX);
        for (way, entry) in table.entries_of(set, table.ways(set).live()) {
            match entry.deadline() {
                deadline if deadline <= now => expired |= bit(way),
                deadline => next = next.min(deadline),
            }
        }
        table.due(set).store(next, Relaxed);
        let won = if expired == 0 { 0 } else { table.ways(set).unlink(expired) };
        for way in ways_in(won) {
            cache.units.release();
            self.owed.push(cache.table.held(set, way));
        }
    }
}

impl<L: Layout> Operations for Handle<'_, L> {
    fn get(&mut self, key: &Key) -> Option<u64> {
        let place = self.cache.place(key);
        let _guard = self.participant.pin();
        self.cache.look(place, key)
    }

    /// In stages, as ours: the lines of all sets, then those of all entries, then the answers.
    fn get_batch(&mut self, keys: &[Key; 16], mut found: impl FnMut(Option<u64>)) {
        self.repin();
        let (cache, table) = (self.cache, &self.cache.table);
        let places = keys.each_ref().map(|key| cache.place(key));
        places.iter().for_each(|place| table.prefetch_set(place.set));
        let ways = places.map(|place| {
            let ways = table.candidates(place);
            // As a rule there is only one.
            let first = ways & ways.wrapping_neg();
            match (L::IN_PLACE, first) {
                (_, 0) => {}
                (true, _) => table.prefetch_heads(place.set, first),
                (false, _) => table.prefetch_cell(place.set, first.trailing_zeros()),
            }
            ways
        });
        if !L::IN_PLACE {
            for (place, ways) in places.iter().zip(ways) {
                table.prefetch_heads(place.set, ways & ways.wrapping_neg());
            }
        }
        for ((place, ways), key) in places.into_iter().zip(ways).zip(keys) {
            found(cache.look_among(place, ways, key));
        }
    }

    fn insert(&mut self, key: Key, value: Value) -> bool {
        self.reading = None;
        let place = self.cache.place(&key);
        self.cache.table.prefetch_to_insert(place.set);
        let stored = self.put(place, &key, &value, false);
        self.settle();
        stored
    }

    /// The memory of both is fetched together, and events are told after the second.
    fn insert_two(&mut self, two: [(Key, Value); 2]) -> bool {
        self.reading = None;
        let cache = self.cache;
        let places = two.each_ref().map(|(key, _)| cache.place(key));
        places.iter().for_each(|place| cache.table.prefetch_to_insert(place.set));
        places.iter().for_each(|place| cache.prefetch_next(place.set));
        let mut stored = true;
        for (place, (key, value)) in places.into_iter().zip(&two) {
            stored &= self.put(place, key, value, true);
        }
        self.settle();
        stored
    }

    fn take(&mut self, key: &Key) -> Option<u64> {
        self.reading = None;
        let (cache, place) = (self.cache, self.cache.place(key));
        loop {
            let guard = self.participant.pin();
            cache.table.prefetch_cells(place.set);
            let ways = cache.table.candidates(place);
            let (way, entry) = cache.table.find_among(place, ways, key)?;
            if entry.deadline() <= cache.now() {
                return None;
            }
            let won = cache.table.ways(place.set).unlink(bit(way)) != 0;
            drop(guard);
            if won {
                cache.units.release();
                let held = cache.table.held(place.set, way);
                self.tell(held);
                let value = entry.value();
                self.retire(held);
                return Some(value);
            }
        }
    }

    fn held(&mut self) -> impl Lookups {
        self.repin();
        Pinned(self.cache)
    }

    fn time_passes(&mut self, by: Duration) {
        self.cache.now.fetch_add(super::nanos(by), Relaxed);
        self.since_sweep += by;
        if self.since_sweep >= Duration::from_secs(1) {
            self.since_sweep = Duration::ZERO;
            self.sweep();
        }
    }
}

impl<L> Drop for Handle<'_, L> {
    /// What it has retired, and has free, is left to the next handle.
    fn drop(&mut self) {
        if let Ok(mut parked) = self.cache.parked.lock() {
            parked.0.append(&mut self.retired);
            parked.1.append(&mut self.magazine);
        }
    }
}
