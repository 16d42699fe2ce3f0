//! A breaker: a store that fails keeps failing for a while, and no handshake has to wait for that.
//!
//! *Closed*, every look-up goes outside. After some failures in a row it *opens*: look-ups are
//! misses at once. When the pause is over it is *half open*: one look-up goes outside for each
//! pause; its success closes the breaker, its failure opens it again. A probe that never comes
//! back holds nobody up: the next pause lets the next one go.
//!
//! Loom: `breaker_*`.

use crate::sync::{Ordering, Word};
use std::time::Duration;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures since the last success.
    failures: Word,
    /// The tick until which it is open, above 0; 0: closed.
    open_until: Word,
    /// Failures that open it; 0: it never opens.
    most: u64,
    pause: u64,
}

/// What the breaker does with look-ups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// They go outside.
    #[default]
    Closed,
    /// They are misses.
    Open,
    /// The next one goes outside, and decides.
    HalfOpen,
}

impl Breaker {
    pub(super) fn new(most: u64, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { failures: Word::new(0), open_until: Word::new(0), most, pause }
    }

    /// Whether a look-up may go outside. Each one that may has to say how it ended.
    pub(super) fn lets_through(&self, now: u64) -> bool {
        // Relaxed: the breaker publishes nothing, and is only ever a moment wrong.
        let until = self.open_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let next = now.saturating_add(self.pause);
        // Relaxed: a read-modify-write, so one of them is the probe.
        now >= until
            && self
                .open_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// A look-up has brought an answer.
    pub(super) fn succeeded(&self) {
        // Relaxed: as above. Written only if it changes, for it is the common case.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.open_until.load(Ordering::Relaxed) != 0 {
            self.open_until.store(0, Ordering::Relaxed);
        }
    }

    /// A look-up has failed; whether that has opened it.
    pub(super) fn failed(&self, now: u64) -> bool {
        // Relaxed: as above.
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.most == 0 || failures < self.most {
            return false;
        }
        let until = now.saturating_add(self.pause).max(1);
        self.open_until.swap(until, Ordering::Relaxed) == 0
    }

    pub(super) fn state(&self, now: u64) -> BreakerState {
        // Relaxed: as above.
        match self.open_until.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            until if now < until => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaker_opens_after_failures_in_a_row_and_closes_by_one_success() {
        let breaker = Breaker::new(3, Duration::from_millis(100));
        for _ in 0..2 {
            assert!(breaker.lets_through(10));
            assert!(!breaker.failed(10));
        }
        breaker.succeeded();
        assert_eq!(
            [breaker.failed(10), breaker.failed(10), breaker.failed(10)],
            [false, false, true]
        );
        assert_eq!(breaker.state(109), BreakerState::Open);
        assert!(!breaker.lets_through(109));
        assert_eq!(breaker.state(110), BreakerState::HalfOpen);
        assert!(breaker.lets_through(110) && !breaker.lets_through(110), "one probe");
        assert!(!breaker.failed(120), "it was open");
        assert!(!breaker.lets_through(219) && breaker.lets_through(220), "the next pause");
        breaker.succeeded();
        assert_eq!(breaker.state(221), BreakerState::Closed);
        assert!(breaker.lets_through(221) && breaker.lets_through(221));
    }

    #[test]
    fn probe_that_never_comes_back_holds_nobody_up() {
        let breaker = Breaker::new(1, Duration::from_millis(100));
        assert!(breaker.failed(0));
        assert!(breaker.lets_through(100) && !breaker.lets_through(150));
        assert!(breaker.lets_through(200));
    }

    #[test]
    fn breaker_of_zero_failures_never_opens() {
        let breaker = Breaker::new(0, Duration::from_millis(100));
        assert!((0..1_000).all(|now| !breaker.failed(now) && breaker.lets_through(now)));
    }
}
