//! Ways that one thread has retired, and that anybody may take: a ring.
//!
//! # State
//!
//! Numbers of ways, written one after the other by the ring's own thread, and round. Those between
//! `taken` and `added`, both of which only grow, are there.
//!
//! # Operations
//!
//! `push` writes a number, then counts it: no read-modify-write, on a line that others read only
//! when they take. `take` copies what is there and then claims it, all at once, by one
//! compare-and-swap of `taken`: if that fails, somebody else has it, and what was copied is
//! dropped. A number is written over only when it was claimed.
//!
//! # Orderings
//!
//! Counting a number releases it, and everything before the unlink; whoever takes acquires.
//! Claiming releases, and `push` acquires, so that no number is written over before it was read.
//!
//! # Progress
//!
//! Wait-free, both.
//!
//! Loom: `ring_*`, `idle_retirer`, `reuse_*`.

use super::away::WayAt;
use super::retired::Ways;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// See the module's documentation. It holds `MOST` ways.
#[derive(Debug)]
pub(crate) struct Ring<const MOST: usize>(CachePadded<Inner<MOST>>);

#[derive(Debug)]
struct Inner<const MOST: usize> {
    /// Ways that were ever added; written by the ring's thread alone.
    added: AtomicU64,
    /// Ways that were ever taken.
    taken: AtomicU64,
    ways: [AtomicU32; MOST],
}

impl<const MOST: usize> Ring<MOST> {
    pub(crate) fn new() -> Self {
        let (added, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        let ways = std::array::from_fn(|_| AtomicU32::new(0));
        Self(CachePadded::new(Inner { added, taken, ways }))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder of a small number")]
    fn slot(&self, number: u64) -> &AtomicU32 {
        &self.0.ways[(number % MOST as u64) as usize]
    }

    /// Adds a way; the answer is how many there are now. Gives it back if the ring is full. Called
    /// by the ring's own thread.
    pub(crate) fn push(&self, at: WayAt) -> Result<u64, WayAt> {
        // Relaxed: this thread wrote it.
        let added = self.0.added.load(Ordering::Relaxed);
        // Acquire: pairs with the Release of `take`, which has read what it claimed.
        let count = added - self.0.taken.load(Ordering::Acquire);
        if count >= MOST as u64 {
            return Err(at);
        }
        // Relaxed: the count publishes it.
        self.slot(added).store(at.to_word(), Ordering::Relaxed);
        // Release: pairs with the Acquire of `take`; the number, and all before the unlink.
        self.0.added.store(added + 1, Ordering::Release);
        Ok(count + 1)
    }

    /// Takes all that is there, the oldest way first, unless somebody else does so just now.
    pub(crate) fn take(&self) -> Option<Ways<WayAt>> {
        // Relaxed: the compare-and-swap decides.
        let taken = self.0.taken.load(Ordering::Relaxed);
        // Acquire: pairs with the Release of `push`.
        let added = self.0.added.load(Ordering::Acquire);
        // More than the ring holds, or less than nothing: one of the two is out of date.
        if !(1..=MOST as u64).contains(&added.wrapping_sub(taken)) {
            return None;
        }
        // Relaxed: if a number is not the right one, the claim fails.
        let word = |number| self.slot(number).load(Ordering::Relaxed);
        let ways = (taken..added).map(|number| WayAt::from_word(word(number)));
        let ways = ways.collect::<Option<_>>();
        // Release: pairs with the Acquire of `push`; the numbers were read.
        let claim =
            self.0.taken.compare_exchange(taken, added, Ordering::Release, Ordering::Relaxed);
        claim.ok().and(ways)
    }

    /// A number that changes whenever anybody adds or takes; 0 if the ring is empty.
    pub(crate) fn state(&self) -> u64 {
        // Relaxed: compared with itself.
        let taken = self.0.taken.load(Ordering::Relaxed);
        let added = self.0.added.load(Ordering::Relaxed);
        if added <= taken { 0 } else { added }
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;
    use crate::sync::PlainBool;

    fn way(n: u32) -> WayAt {
        WayAt::new(n, 3)
    }

    #[test]
    fn what_was_pushed_is_taken_once_oldest_first_and_round() {
        let ring = Ring::<4>::new();
        assert!(ring.take().is_none() && ring.state() == 0);
        for round in 0..10 {
            for n in 0..3 {
                assert_eq!(ring.push(way(round + n)), Ok(u64::from(n) + 1));
            }
            assert_ne!(ring.state(), 0);
            let all = ring.take().expect("three");
            assert_eq!(all[..], [way(round), way(round + 1), way(round + 2)]);
            assert!(ring.take().is_none() && ring.state() == 0);
        }
    }

    #[test]
    fn a_full_ring_gives_back_and_keeps_what_it_has() {
        let ring = Ring::<4>::new();
        (0..4).for_each(|n| assert_eq!(ring.push(way(n)), Ok(u64::from(n) + 1)));
        assert_eq!(ring.push(way(9)), Err(way(9)));
        assert_eq!(ring.take().expect("four")[..], [way(0), way(1), way(2), way(3)]);
        assert_eq!(ring.push(way(9)), Ok(1));
    }

    #[test]
    fn each_way_is_with_one_taker() {
        let (ring, ended) = (&Ring::<64>::new(), &PlainBool::new(false));
        let most = 100_000;
        let mut all: Vec<_> = std::thread::scope(|scope| {
            let take = move || {
                let mut mine = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    mine.extend(ring.take().into_iter().flatten());
                    // On few processors the one who pushes gets none otherwise.
                    std::thread::yield_now();
                }
                mine
            };
            let takers = [scope.spawn(take), scope.spawn(take)];
            for n in 0..most {
                while ring.push(way(n)).is_err() {
                    std::thread::yield_now();
                }
            }
            ended.store(true, Ordering::Relaxed);
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        });
        all.extend(ring.take().into_iter().flatten());
        all.sort_by_key(|at| at.to_word());
        assert!(all.iter().copied().eq((0..most).map(way)), "{} of {most}", all.len());
    }
}
