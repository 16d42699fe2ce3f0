//! Who was stored and who was told of: the other side of the cache's own books.
//!
//! Each entry has a number of its own. A list of all would grow with the run, so sums are kept: of
//! how many there were, and of two mixtures of their numbers. One that is told of twice while
//! another one is lost leaves the count right, and the mixtures wrong.

#[path = "../../tests/random/mod.rs"]
mod random;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const STRIPES: usize = 16;

/// SplitMix64's mixture.
pub(crate) fn mix(n: u64) -> u64 {
    random::nth(n, 1)
}

/// What a set of numbers comes to; equal for equal sets, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    first: u64,
    second: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, number: u64) {
        *self = self.and(Self { count: 1, first: mix(number), second: mix(!number) });
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count.wrapping_add(other.count),
            first: self.first.wrapping_add(other.first),
            second: self.second.wrapping_add(other.second),
        }
    }
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; 3]);

/// A sum that all threads add to.
#[derive(Debug, Default)]
pub(crate) struct Shared([Stripe; STRIPES]);

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

impl Shared {
    pub(crate) fn add(&self, number: u64) {
        let words = &self.0[stripe()].0;
        words[0].fetch_add(1, Relaxed);
        words[1].fetch_add(mix(number), Relaxed);
        words[2].fetch_add(mix(!number), Relaxed);
    }

    /// Takes one back.
    pub(crate) fn take_back(&self, number: u64) {
        let words = &self.0[stripe()].0;
        words[0].fetch_sub(1, Relaxed);
        words[1].fetch_sub(mix(number), Relaxed);
        words[2].fetch_sub(mix(!number), Relaxed);
    }

    /// Counts only.
    pub(crate) fn count(&self, n: u64) {
        self.0[stripe()].0[0].fetch_add(n, Relaxed);
    }

    /// Counts one less: how many there are now.
    pub(crate) fn discount(&self) {
        self.0[stripe()].0[0].fetch_sub(1, Relaxed);
    }

    pub(crate) fn sum(&self) -> Sum {
        self.0.iter().fold(Sum::default(), |sum, Stripe(words)| {
            let [count, first, second] = [0, 1, 2].map(|i: usize| words[i].load(Relaxed));
            sum.and(Sum { count, first, second })
        })
    }
}

/// The names of which many were told lately, to see one that comes again. For those of which nobody
/// knows whether they were stored.
#[derive(Debug)]
pub(crate) struct Lately(Box<[AtomicU64]>);

impl Lately {
    const NAMES: usize = 1 << 16;

    /// # Panics
    /// If it has been told before: a violation.
    pub(crate) fn tell(&self, name: u64) {
        let at = usize::try_from(mix(name)).unwrap_or(0) % Self::NAMES;
        let before = self.0[at].swap(name, Relaxed);
        assert!(before != name, "{name:x} was told of twice");
    }
}

impl Default for Lately {
    fn default() -> Self {
        Self((0..Self::NAMES).map(|_| AtomicU64::new(u64::MAX)).collect())
    }
}

/// A mistake that is made on purpose, to see it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mistake {
    /// An event that nobody is told of.
    Lost,
    /// An event that is told twice.
    Twice,
    /// One event is told twice and another one lost.
    Swapped,
    /// A value that is not the one that was stored.
    Wrong,
}

/// The books of one cache.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) stored: Shared,
    pub(crate) told: Shared,
    /// What takers got, and what was told of as taken.
    pub(crate) taken: Shared,
    pub(crate) told_taken: Shared,
    pub(crate) lookups: Shared,
    pub(crate) hits: Shared,
    pub(crate) refused: Shared,
    pub(crate) panics: Shared,
    /// Values that were made and not dropped, where they are counted.
    pub(crate) alive: Shared,
    mistake: Option<Mistake>,
    calls: AtomicU64,
}

/// Which event the mistake is made at: by then a run is warm.
const MISTAKE_AT: u64 = 1000;

impl Ledger {
    pub(crate) fn new(mistake: Option<Mistake>) -> Self {
        Self { mistake, ..Self::default() }
    }

    /// An event.
    pub(crate) fn tell(&self, number: u64, is_taken: bool) {
        if is_taken {
            self.told_taken.add(number);
        }
        // Whoever misreads counts look-ups, not events.
        match self.mistake.filter(|mistake| *mistake != Mistake::Wrong && self.is_due()) {
            Some(Mistake::Lost) => return,
            Some(Mistake::Twice) => self.told.add(number),
            Some(Mistake::Swapped) => return self.told.add(number + 1),
            Some(Mistake::Wrong) | None => {}
        }
        self.told.add(number);
    }

    /// Whether a value is to be misread.
    pub(crate) fn misreads(&self) -> bool {
        self.mistake == Some(Mistake::Wrong) && self.is_due()
    }

    fn is_due(&self) -> bool {
        self.calls.fetch_add(1, Relaxed) == MISTAKE_AT
    }

    /// What was stored and not told of.
    pub(crate) fn check(&self, live: Sum) -> Result<(), String> {
        let (stored, told) = (self.stored.sum(), self.told.sum());
        same("the law: stored = told + live", stored, told.and(live))?;
        same("taken = told as taken", self.taken.sum(), self.told_taken.sum())
    }
}

/// An error that says what two things are that should be the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    left: T,
    right: T,
) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what}: {left:?}, {right:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_the_same_numbers_are_equal_and_of_others_are_not() {
        let (shared, mut sum) = (Shared::default(), Sum::default());
        for number in 0..1000 {
            shared.add(number);
            sum.add(999 - number);
        }
        assert_eq!(shared.sum(), sum);
        // One twice, another one not at all: as many as before.
        shared.add(5);
        sum.add(6);
        assert_eq!(shared.sum().count, sum.count);
        assert_ne!(shared.sum(), sum);
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let shared = Shared::default();
        (0..10).for_each(|number| shared.add(number));
        (0..10).for_each(|number| shared.take_back(number));
        assert_eq!(shared.sum(), Sum::default());
    }

    #[test]
    #[should_panic(expected = "told of twice")]
    fn a_name_that_comes_again_is_a_panic() {
        let lately = Lately::default();
        (0..1000).for_each(|name| lately.tell(name));
        lately.tell(900);
    }

    #[test]
    fn every_mistake_with_events_is_found() {
        for mistake in [None, Some(Mistake::Lost), Some(Mistake::Twice), Some(Mistake::Swapped)] {
            let ledger = Ledger::new(mistake);
            for number in 0..2 * MISTAKE_AT {
                ledger.stored.add(number);
                ledger.tell(number, false);
            }
            assert_eq!(ledger.check(Sum::default()).is_err(), mistake.is_some(), "{mistake:?}");
        }
    }
}
