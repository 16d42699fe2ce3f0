//! Parts of the engine by themselves, as models see them. Model builds only.

use super::{Held, Model};
use crate::cache::handles::Handles as HandleCount;
use crate::clock::{ManualClock, Time};
use crate::entry::depot::{self, Block, Depot};
use crate::entry::slab::Slab;
use crate::removal::RemovalCause;
use crate::stats::{Blocks as CounterBlocks, Counter, OwnedBlock};
use crate::sync::exploring_words;
use crate::table::away::WayAt;
use crate::table::retired::{Lists, Ready};
use crate::table::ring::Ring;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// Free blocks that threads share; they are numbers here, above 0.
#[derive(Clone, Debug)]
pub struct Blocks(Arc<Depot<depot::Blocks>>);

impl Default for Blocks {
    fn default() -> Self {
        Self(Arc::new(Depot::new()))
    }
}

impl Blocks {
    /// Gives some.
    pub fn give(&self, blocks: &[usize]) {
        let block = |n: &usize| NonNull::new(std::ptr::without_provenance_mut(*n));
        let blocks = blocks.iter().map(|n| Block::new(block(n).expect("above 0")));
        self.0.give(blocks.collect());
    }

    /// Takes those that were given together last; none, if there are none.
    pub fn take(&self) -> Vec<usize> {
        let taken = self.0.take().into_iter().flatten();
        taken.map(|block| block.at().addr().get()).collect()
    }
}

/// Memory that threads take blocks of, where a chunk comes to its end: it has so many batches left,
/// and there is a spare one. Its words are explored.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Slab>);

impl Memory {
    /// See the type.
    ///
    /// # Panics
    /// There is no memory for two chunks.
    pub fn nearly_used_up(batches: usize) -> Self {
        Self(Slab::nearly_used_up(batches).expect("four megabytes"))
    }

    /// The addresses of a batch of blocks.
    pub fn take(&self) -> Vec<usize> {
        self.0.take_smallest()
    }

    /// How many chunks there are, and how many of them are spare; asked once, at the end.
    pub fn mapped_and_spare(&self) -> [usize; 2] {
        self.0.mapped_and_spare()
    }
}

/// Ways that one thread retires and others take, two at most; they are numbers here.
#[derive(Clone, Debug)]
pub struct Retired(Arc<Ring<2>>);

impl Default for Retired {
    fn default() -> Self {
        Self(Arc::new(Ring::new()))
    }
}

impl Retired {
    /// Adds one; whether there was room. Called by one thread alone.
    pub fn push(&self, way: u32) -> bool {
        self.0.push(WayAt::new(way, 0)).is_ok()
    }

    /// Takes all that are there, unless somebody else does so just now.
    pub fn take(&self) -> Vec<u32> {
        self.0.take().into_iter().flatten().map(WayAt::set).collect()
    }
}

/// Ways whose grace period passes, of which none is usual; the gauge of them is explored.
#[derive(Clone, Debug)]
pub struct Grace(Arc<Ready>);

impl Default for Grace {
    fn default() -> Self {
        Self(Arc::new(exploring_words(|| Ready::where_usual(0))))
    }
}

impl Grace {
    /// Hands some ways to the collector: what it does when their grace period is over.
    pub fn hand_over(&self, ways: &[u32]) -> impl FnOnce() + use<> {
        self.0.after_grace(ways.iter().map(|way| WayAt::new(*way, 0)).collect())
    }

    /// Whether the collector has any.
    pub fn is_behind(&self) -> bool {
        self.0.is_behind()
    }
}

/// The count of a cache's handles, which is explored.
#[derive(Clone, Debug)]
pub struct Handles(Arc<HandleCount>);

impl Handles {
    /// So many handles.
    pub fn of(count: usize) -> Self {
        let handles = exploring_words(HandleCount::new);
        (0..count).for_each(|_| handles.come());
        Self(Arc::new(handles))
    }

    /// One is cloned.
    pub fn come(&self) {
        self.0.come();
    }

    /// One is dropped; whether the cache ends.
    pub fn go(&self) -> bool {
        self.0.go()
    }
}

/// The counters of a cache, each word of which is explored.
#[derive(Clone, Debug)]
pub struct Counters(Arc<CounterBlocks>);

impl Default for Counters {
    fn default() -> Self {
        Self(Arc::new(CounterBlocks::new()))
    }
}

impl Counters {
    /// A block for a thread that counts.
    pub fn claim(&self) -> Counting {
        Counting(exploring_words(|| self.0.claim()))
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.0.all().len()
    }

    /// What all threads have counted with [`Counting::hit`].
    pub fn hits(&self) -> u64 {
        self.0.count(Counter::Hits)
    }

    /// Entries that are counted as inserted, and not as delivered.
    pub fn outstanding(&self) -> u64 {
        self.0.outstanding()
    }

    /// Events that are counted as handed over, and not as delivered late.
    pub fn undelivered(&self) -> u64 {
        self.0.undelivered()
    }
}

/// A thread's counters; dropped, they are given to the next thread.
#[derive(Debug)]
pub struct Counting(OwnedBlock);

impl Counting {
    /// Counts a look-up.
    pub fn hit(&self) {
        self.0.add(Counter::Hits, 1);
    }

    /// Counts an entry that is about to be published.
    pub fn inserted(&self) {
        self.0.add(Counter::Inserted, 1);
    }

    /// Counts an event whose listener has returned.
    pub fn delivered(&self) {
        self.0.delivered(RemovalCause::Removed, 1);
    }

    /// Counts an event that is about to be left to the delivery thread.
    pub fn handed_over(&self) {
        self.0.add(Counter::HandedOver, 1);
    }

    /// Counts such an event, whose listener has returned.
    pub fn delivered_late(&self) {
        self.0.delivered_late();
    }
}

/// What a thread has handed over, whose gauges are explored.
#[derive(Clone, Debug)]
pub struct Handed(Arc<Lists>);

impl Default for Handed {
    fn default() -> Self {
        Self(Arc::new(exploring_words(Lists::new)))
    }
}

impl Handed {
    /// Hands a taken entry over. Called by one thread alone.
    pub fn give(&self, cache: &Model, entry: Held) {
        cache.0.table.hand_over(&self.0, entry.0, RemovalCause::Taken as u8);
    }

    /// Takes what is there.
    pub fn take(&self, cache: &Model) -> Vec<Held> {
        cache.0.table.take_handed(&self.0).map(|(at, _)| Held(at)).collect()
    }
}

/// The time of a cache, which everybody asks the clock for.
#[derive(Clone, Debug)]
pub struct Ticks(Arc<Time>, Arc<ManualClock>);

impl Default for Ticks {
    fn default() -> Self {
        let clock = ManualClock::new();
        Self(Arc::new(exploring_words(|| Time::new(clock.clone(), false))), clock)
    }
}

impl Ticks {
    /// Sets the clock, forward or back.
    pub fn set_clock(&self, tick: u64) {
        self.1.set(Duration::from_millis(tick));
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.0.now()
    }

    /// The latest time that anybody has seen.
    pub fn seen(&self) -> u64 {
        self.0.seen()
    }
}
