//! One thread's part of the load: its random numbers, its numbers for entries, its clock.

use crate::ledger::mix;
use hdrhistogram::Histogram;
use std::time::Instant;

/// One call in so many is timed.
const TIMED: u64 = 64;
/// Longer ones count as this long.
const LONGEST_NS: u64 = 60_000_000_000;

/// What a worker keeps over all windows.
pub(crate) struct Worker {
    pub(crate) random: fastrand::Rng,
    /// Operations so far; a batch counts one for each key.
    pub(crate) operations: u64,
    /// How long the calls of this window took, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    next: u64,
    calls: u64,
    pub(crate) buffer: Vec<u8>,
}

pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("good bounds")
}

impl Worker {
    pub(crate) fn new(number: u64, seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(mix(seed ^ mix(number))),
            operations: 0,
            latency: latencies(),
            // No two workers give the same number.
            next: (number + 1) << 48,
            calls: 0,
            buffer: Vec::new(),
        }
    }

    /// A number for a new entry.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.random.u64(..n)
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A key: small ones come more often.
    pub(crate) fn key(&mut self, keys: u64) -> u64 {
        let below = 1 + self.random.u64(..keys);
        self.random.u64(..below)
    }

    /// Does it and, at times, times it.
    pub(crate) fn call<T>(&mut self, operations: u64, call: impl FnOnce() -> T) -> T {
        self.operations += operations;
        self.calls += 1;
        if !self.calls.is_multiple_of(TIMED) {
            return call();
        }
        let begun = Instant::now();
        let answer = call();
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(LONGEST_NS);
        self.latency.saturating_record(took);
        answer
    }
}
