//! Counters: blocks of plain words, each written by one thread, summed when somebody reads.
//!
//! # State
//!
//! A thread that uses a cache owns one [`Block`] of it, a reader handle another. Adding is a load
//! and a store of the owner's own line: no read-modify-write, nothing shared. Blocks are never
//! freed before the cache; one whose thread has gone is given to the next, counts and all.
//!
//! # Orderings
//!
//! Counters are relaxed, but for those of delivered events, by which others wait for listeners.
//!
//! `shutdown` goes by two: `Inserted` is counted *before* an entry is published, `Delivered` (with
//! Release) after its event. So whoever has seen the last set closed, and then reads first all
//! `Delivered` (Acquire) and then all `Inserted`, and finds them equal, knows that every event was
//! delivered. In the same way `HandedOver` is counted before an event is left to the delivery
//! thread, and `DeliveredLate` after it: who finds them equal sees what the listeners did.
//!
//! Loom: `delivered_*`, `undelivered_is_seen`, `counted_*`, `block_*`.

use crate::removal::RemovalCause;
use crate::sync::{Flag, Ordering, PlainSwap, PlainU64, Word};
use crate::table::retired::Lists;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// What a block counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counter {
    Hits,
    Unknown,
    Expired,
    Inserted,
    InsertedWeight,
    Delivered,
    RemovedWeight,
    Retired,
    RetiredWeight,
    Recycled,
    RecycledWeight,
    NoRoom,
    Full,
    TooLarge,
    Closed,
    ListenerPanics,
    DropPanics,
    PinnedDeliveries,
    Swept,
    /// Events left to the delivery thread, and those of them that it has delivered.
    HandedOver,
    DeliveredLate,
    /// The first of nine, in the order of [`RemovalCause::ALL`].
    Removed,
}

const CAUSES: usize = RemovalCause::ALL.len();
const WORDS: usize = Counter::Removed as usize + CAUSES;

/// The counters of one thread.
#[derive(Debug)]
pub(crate) struct Block {
    words: CachePadded<[Word; WORDS]>,
    /// Ways that this thread has unlinked; others may take them.
    pub(crate) lists: Lists,
    /// The tick (plus one) at which the owner was pinned; 0 while it is not.
    pinned_since: PlainU64,
    owned: Flag,
}

impl Block {
    fn new() -> Self {
        Self {
            words: CachePadded::new(std::array::from_fn(|_| Word::new(0))),
            lists: Lists::new(),
            pinned_since: PlainU64::new(0),
            owned: Flag::new(true),
        }
    }

    /// Adds to a counter. Only the block's owner may call it.
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        let word = &self.words[counter as usize];
        // Relaxed: one writer; a sum is exact once the writers are quiet.
        word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes back what was counted too early. Only the block's owner may call it.
    pub(crate) fn sub(&self, counter: Counter, n: u64) {
        self.add(counter, n.wrapping_neg());
    }

    /// Counts a delivered event. Only the block's owner may call it.
    pub(crate) fn delivered(&self, cause: RemovalCause, weight: u64) {
        let removed = &self.words[Counter::Removed as usize + cause as usize];
        // Relaxed: as in `add`.
        removed.store(removed.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.add(Counter::RemovedWeight, weight);
        self.publish(Counter::Delivered);
    }

    /// Counts an event that was left to the delivery thread and is delivered, and its entry
    /// garbage. Only the block's owner may call it.
    pub(crate) fn delivered_late(&self) {
        self.publish(Counter::DeliveredLate);
    }

    fn publish(&self, counter: Counter) {
        let word = &self.words[counter as usize];
        // Relaxed: as in `add`.
        let next = word.load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the Acquire in `Blocks::published`; the callback has returned.
        word.store(next, Ordering::Release);
    }

    /// Notes that the owner was pinned, or unpinned (`None`).
    pub(crate) fn note_pin(&self, now: Option<u64>) {
        // Relaxed: a gauge.
        self.pinned_since.store(now.map_or(0, |t| t.saturating_add(1)), Ordering::Relaxed);
    }

    fn word(&self, at: usize) -> u64 {
        // Relaxed: as in `add`.
        self.words[at].load(Ordering::Relaxed)
    }
}

/// A block while somebody owns it.
#[derive(Debug)]
pub(crate) struct OwnedBlock(Arc<Block>);

impl std::ops::Deref for OwnedBlock {
    type Target = Block;
    fn deref(&self) -> &Block {
        &self.0
    }
}

impl Drop for OwnedBlock {
    fn drop(&mut self) {
        self.0.note_pin(None);
        // Release: pairs with the Acquire in `Blocks::claim`; the next owner goes on counting from
        // what this one wrote last.
        self.0.owned.store(false, Ordering::Release);
    }
}

/// All blocks of a cache.
#[derive(Debug)]
pub(crate) struct Blocks(PlainSwap<Vec<Arc<Block>>>);

impl Blocks {
    pub(crate) fn new() -> Self {
        Self(PlainSwap::new(Some(Arc::default())))
    }

    pub(crate) fn all(&self) -> Arc<Vec<Arc<Block>>> {
        self.0.load_full().unwrap_or_default()
    }

    /// A block for a thread or a reader: one whose owner has gone, or a new one. Lock-free.
    pub(crate) fn claim(&self) -> OwnedBlock {
        for block in self.all().iter() {
            // Acquire: pairs with the Release of the owner before. Relaxed on failure: not ours.
            let claim =
                block.owned.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_ok() {
                return OwnedBlock(block.clone());
            }
        }
        let new = Arc::new(Block::new());
        self.0.update(|blocks| {
            let mut blocks = blocks.as_deref().cloned().unwrap_or_default();
            blocks.push(new.clone());
            Some(Arc::new(blocks))
        });
        OwnedBlock(new)
    }

    /// Entries whose events are not delivered yet: call it only when nothing can be inserted any
    /// more. Never too small.
    pub(crate) fn outstanding(&self) -> u64 {
        // First all deliveries, then all inserts: see the module's documentation.
        let delivered = self.published(Counter::Delivered);
        let inserted = self.sum(Counter::Inserted as usize);
        inserted.wrapping_sub(delivered)
    }

    /// A sum that shows what was done before it was counted.
    fn published(&self, counter: Counter) -> u64 {
        self.all().iter().fold(0, |sum, b| {
            // Acquire: pairs with the Release in `Block::publish`.
            let n = b.words[counter as usize].load(Ordering::Acquire);
            sum.wrapping_add(n)
        })
    }

    fn sum(&self, at: usize) -> u64 {
        // All blocks anew: one may have been added since the caller looked.
        self.all().iter().fold(0, |sum, b| sum.wrapping_add(b.word(at)))
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.sum(counter as usize)
    }

    /// What was retired and is not recycled yet: entries, and their weight.
    pub(crate) fn retired(&self) -> (u64, u64) {
        let gauge = |more, less| {
            // The smaller one first, so that a race shows too much rather than a wrapped number.
            let less = self.count(less);
            self.count(more).saturating_sub(less)
        };
        (
            gauge(Counter::Retired, Counter::Recycled),
            gauge(Counter::RetiredWeight, Counter::RecycledWeight),
        )
    }

    /// Events that were left to the delivery thread and are not delivered yet. Never too small.
    pub(crate) fn undelivered(&self) -> u64 {
        // The smaller one first: as in `outstanding`.
        let delivered = self.published(Counter::DeliveredLate);
        self.count(Counter::HandedOver).saturating_sub(delivered)
    }

    /// How long the longest pin of the present has lasted, in ticks.
    pub(crate) fn longest_pin(&self, now: u64) -> u64 {
        let blocks = self.all();
        // Relaxed: a gauge.
        let since = blocks.iter().map(|b| b.pinned_since.load(Ordering::Relaxed));
        since.filter(|s| *s != 0).map(|s| now.saturating_sub(s - 1)).max().unwrap_or(0)
    }

    /// Fills in everything that the blocks know.
    pub(crate) fn read(&self) -> Stats {
        let delivered = self.count(Counter::Delivered);
        let removed_weight = self.count(Counter::RemovedWeight);
        let (retired_entries, retired_bytes) = self.retired();
        let inserts = self.count(Counter::Inserted);
        let mut removed = [0; CAUSES];
        for (i, n) in removed.iter_mut().enumerate() {
            *n = self.sum(Counter::Removed as usize + i);
        }
        Stats {
            hits: self.count(Counter::Hits),
            misses_unknown: self.count(Counter::Unknown),
            misses_expired: self.count(Counter::Expired),
            inserts,
            removed,
            refused_no_room: self.count(Counter::NoRoom),
            refused_full: self.count(Counter::Full),
            refused_too_large: self.count(Counter::TooLarge),
            refused_closed: self.count(Counter::Closed),
            entries: inserts.saturating_sub(delivered),
            bytes: self.count(Counter::InsertedWeight).saturating_sub(removed_weight),
            retired_entries,
            retired_bytes,
            listener_panics: self.count(Counter::ListenerPanics),
            drop_panics: self.count(Counter::DropPanics),
            pinned_deliveries: self.count(Counter::PinnedDeliveries),
            swept_sets: self.count(Counter::Swept),
            ..Stats::default()
        }
    }
}

/// A snapshot of a cache's counters and gauges.
///
/// Counters are sums over threads: exact once the threads are quiet, and a little late while they
/// are not. `inserts == entries + removed_total()` then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Look-ups that found a live entry (`get`, `get_many`, `take`).
    pub hits: u64,
    /// Look-ups of a key that the cache does not hold.
    pub misses_unknown: u64,
    /// Look-ups that found an entry past its deadline.
    pub misses_expired: u64,
    /// Entries that became visible.
    pub inserts: u64,
    /// Removal events by cause, in the order of [`RemovalCause::ALL`].
    pub removed: [u64; CAUSES],
    /// Inserts refused for [`Refusal::NoRoom`](crate::Refusal::NoRoom).
    pub refused_no_room: u64,
    /// Inserts refused for [`Refusal::Full`](crate::Refusal::Full).
    pub refused_full: u64,
    /// Inserts refused for [`Refusal::TooLarge`](crate::Refusal::TooLarge) or
    /// [`KeyTooLong`](crate::Refusal::KeyTooLong).
    pub refused_too_large: u64,
    /// Inserts refused for [`Refusal::Closed`](crate::Refusal::Closed).
    pub refused_closed: u64,
    /// Gauge: entries whose removal event is not delivered, live ones above all.
    pub entries: u64,
    /// Gauge: what those entries weigh, in bytes.
    pub bytes: u64,
    /// The limit of entries.
    pub capacity: u64,
    /// The limit in bytes; `None` without one.
    pub capacity_bytes: Option<u64>,
    /// Gauge: removed entries whose memory waits for readers.
    pub retired_entries: u64,
    /// Gauge: what those entries weigh, in bytes.
    pub retired_bytes: u64,
    /// Removal listeners that panicked.
    pub listener_panics: u64,
    /// Keys or values whose `Drop` panicked.
    pub drop_panics: u64,
    /// Events delivered while the thread held a `Ref` of its own: memory can't be reclaimed
    /// meanwhile. Drop `Ref`s before writing.
    pub pinned_deliveries: u64,
    /// Sets that the sweeper has looked at.
    pub swept_sets: u64,
    /// Full passes of the sweeper.
    pub sweeps: u64,
    /// How long the longest pin of the present has lasted.
    pub longest_pin: std::time::Duration,
    /// Events that were left to the delivery thread, until their listener has returned: whoever
    /// sees none left sees what the listeners did. (What the cache's own thread has removed and is
    /// about to leave to that one is not among them yet, but among `entries`.)
    pub undelivered: u64,
}

impl Stats {
    /// All look-ups: hits and misses.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.hits + self.misses()
    }

    /// Misses of both kinds.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses_unknown + self.misses_expired
    }

    /// Removals for one cause.
    #[must_use]
    pub fn removed_by(&self, cause: RemovalCause) -> u64 {
        self.removed[cause as usize]
    }

    /// Removals for all causes.
    #[must_use]
    pub fn removed_total(&self) -> u64 {
        self.removed.iter().sum()
    }

    /// Inserts refused, for all reasons.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused_no_room + self.refused_full + self.refused_too_large + self.refused_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_whose_owner_has_gone_is_given_to_the_next() {
        let blocks = Blocks::new();
        let (one, other) = (blocks.claim(), blocks.claim());
        one.add(Counter::Hits, 3);
        one.note_pin(Some(5));
        assert_eq!((blocks.all().len(), blocks.longest_pin(7)), (2, 2));
        drop(one);
        assert_eq!(blocks.longest_pin(7), 0, "who has gone pins nothing");
        let next = blocks.claim();
        next.add(Counter::Hits, 4);
        drop(other);
        assert_eq!((blocks.all().len(), blocks.count(Counter::Hits)), (2, 7));
    }

    #[test]
    fn each_counter_is_shown_under_its_own_name() {
        type Field = fn(&Stats) -> u64;
        let shown: [(Counter, Field); 11] = [
            (Counter::Hits, |stats| stats.hits),
            (Counter::Unknown, |stats| stats.misses_unknown),
            (Counter::Expired, |stats| stats.misses_expired),
            (Counter::NoRoom, |stats| stats.refused_no_room),
            (Counter::Full, |stats| stats.refused_full),
            (Counter::TooLarge, |stats| stats.refused_too_large),
            (Counter::Closed, |stats| stats.refused_closed),
            (Counter::ListenerPanics, |stats| stats.listener_panics),
            (Counter::DropPanics, |stats| stats.drop_panics),
            (Counter::PinnedDeliveries, |stats| stats.pinned_deliveries),
            (Counter::Swept, |stats| stats.swept_sets),
        ];
        let blocks = Blocks::new();
        let block = blocks.claim();
        (1..).zip(&shown).for_each(|(n, (counter, _))| block.add(*counter, n));
        let stats = blocks.read();
        let shown = shown.map(|(_, field)| field(&stats));
        assert!(shown.into_iter().eq(1..=11), "{shown:?}");
    }

    #[test]
    fn refusals_are_summed_up() {
        let mut stats = Blocks::new().read();
        stats.refused_no_room = 1;
        stats.refused_full = 20;
        stats.refused_too_large = 300;
        stats.refused_closed = 4000;
        assert_eq!(stats.refused_total(), 4321);
    }
}
