//! The limits: units of capacity, and bytes.
//!
//! # State
//!
//! A [`Pool`] holds what is free of a limit. The law: free + granted + what live entries weigh =
//! limit. A pool may be negative: after the limit was lowered, what is released pays the debt
//! first.
//!
//! # Operations
//!
//! An insert has its unit (and its bytes) *before* it publishes, from the pool or from an entry
//! that the same step, or an earlier one, unlinked; so the limit is not passed at any instant. A
//! [`Grant`] is what an operation holds; dropping it gives everything back, also in a panic.
//!
//! A change of the limit is two steps: of the limit, and of what is free. Those who change it wait
//! for one another ([`Budget::set_limit`]): between the steps of several, what is free would be
//! more, or less, than any limit that was set allows.
//!
//! Whoever evicts for a debt first takes a unit of it on ([`Budget::take_on`]), so that two who pay
//! at once do not both pay the same one: an entry too many would go.
//!
//! # Orderings
//!
//! Release when units are given back, Acquire when they are reserved: an observer that sees the
//! entry for which a unit was reserved also sees the unlink that had freed it.
//!
//! A payer counts until what it has evicted is released. Who counts himself in (Acquire) sees what
//! those have released who have counted themselves out (Release), and leaves as much of the debt to
//! those who still count. Who counts himself out (Acquire) sees the debts of those who relied on
//! him, and looks again.
//!
//! # Progress
//!
//! Lock-free: a failed compare-and-swap means that another reservation or release succeeded. Who
//! takes a debt on looks again only if there is more of it than others count for; if he is too late
//! again, one of those who came in between has taken it on, or something was released. Only changes
//! of the limit wait, for one another alone.
//!
//! Loom: `limit_*`.

use crate::sync::{AtomicI64, AtomicU64, Lock, Ordering};
use crossbeam_utils::CachePadded;

/// What is free of one limit, in a cache line of its own.
#[derive(Debug)]
struct Pool {
    free: AtomicI64,
    limit: AtomicU64,
}

/// A limit that nothing reaches: such a pool is never touched.
pub(crate) const UNLIMITED: u64 = u64::MAX;

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Pool {
    fn new(limit: u64) -> CachePadded<Self> {
        CachePadded::new(Self { free: AtomicI64::new(signed(limit)), limit: AtomicU64::new(limit) })
    }

    fn reserve(&self, n: u64) -> bool {
        let n = signed(n);
        // Relaxed: the compare-and-swap decides.
        let mut free = self.free.load(Ordering::Relaxed);
        while free >= n {
            // Acquire: pairs with the Release of `release`.
            match self.free.compare_exchange(free, free - n, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => free = now,
            }
        }
        false
    }

    fn release(&self, n: u64) {
        // Release: pairs with the Acquire of `reserve`; the unlink comes before the unit's reuse.
        self.free.fetch_add(signed(n), Ordering::Release);
    }

    /// One call at a time.
    fn set_limit(&self, limit: u64) {
        // Relaxed: the limit itself decides nothing; `free` does.
        let old = self.limit.swap(limit, Ordering::Relaxed);
        // Release: as `release`, when the limit was raised.
        self.free.fetch_add(signed(limit) - signed(old), Ordering::Release);
    }
}

/// The limits of one cache.
#[derive(Debug)]
pub(crate) struct Budget {
    entries: CachePadded<Pool>,
    /// Absent where bytes are not limited: nothing is then counted here.
    bytes: Option<CachePadded<Pool>>,
    /// Units of the debt that somebody is about to pay.
    paying: AtomicU64,
    /// The limit is being changed.
    changing: Lock<()>,
}

impl Budget {
    pub(crate) fn new(entries: u64, bytes: u64) -> Self {
        let bytes = (bytes != UNLIMITED).then(|| Pool::new(bytes));
        let (paying, changing) = (AtomicU64::new(0), Lock::new(()));
        Self { entries: Pool::new(entries), bytes, paying, changing }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.entries.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.bytes.as_ref().map_or(UNLIMITED, |b| b.limit.load(Ordering::Relaxed))
    }

    /// Changes the limit of entries at once. What is above it is a debt: see [`Budget::debt`].
    pub(crate) fn set_limit(&self, entries: u64) {
        let _alone = self.changing.lock();
        self.entries.set_limit(entries);
    }

    /// Units that must still be freed for the limit to hold.
    pub(crate) fn debt(&self) -> u64 {
        // Relaxed: the caller evicts until it is gone; a late view costs a round.
        u64::try_from(-self.entries.free.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Takes on a unit of the debt; `None` if as many are being paid as there are. Whoever pays
    /// goes on until there is no more to take on (or leaves the rest to the sweeper), so that
    /// others may rely on it.
    pub(crate) fn take_on(&self) -> Option<Payment<'_>> {
        while self.debt() != 0 {
            // Acquire: pairs with the Release of `count_out`.
            let ahead = self.paying.fetch_add(1, Ordering::Acquire);
            if self.debt() > ahead {
                return Some(Payment(self));
            }
            let others = self.count_out();
            if self.debt() <= others {
                return None; // the last of them to count himself out looks again
            }
        }
        None
    }

    /// How many others pay, or look whether they should.
    fn count_out(&self) -> u64 {
        // Release: pairs with the Acquire of `take_on`; what was released is seen. Acquire: pairs
        // with the Release of those who relied on this one; their debt is seen.
        self.paying.fetch_sub(1, Ordering::AcqRel) - 1
    }

    /// For `validate`: what is free of both limits.
    #[cfg(any(test, halfshake_loom, feature = "validate"))]
    pub(crate) fn free(&self) -> (i64, Option<i64>) {
        let bytes = self.bytes.as_ref().map(|b| b.free.load(Ordering::Relaxed));
        (self.entries.free.load(Ordering::Relaxed), bytes)
    }

    /// Gives back what entries held that were unlinked.
    pub(crate) fn release(&self, entries: u64, weight: u64) {
        if entries != 0 {
            self.entries.release(entries);
        }
        if let (Some(bytes), true) = (&self.bytes, weight != 0) {
            bytes.release(weight);
        }
    }

    pub(crate) fn grant(&self) -> Grant<'_> {
        Grant { budget: self, entries: 0, bytes: 0 }
    }
}

/// A unit of the debt that an operation has taken on, until it has released an entry's unit for it,
/// or given up.
#[derive(Debug)]
#[must_use = "dropping it lets others pay"]
pub(crate) struct Payment<'b>(&'b Budget);

impl Drop for Payment<'_> {
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        self.0.count_out();
    }
}

/// What an operation holds of the limits; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping a grant gives it back"]
pub(crate) struct Grant<'b> {
    budget: &'b Budget,
    entries: u64,
    bytes: u64,
}

impl Grant<'_> {
    /// Takes over what an unlinked entry held.
    pub(crate) fn absorb(&mut self, entries: u64, weight: u64) {
        self.entries += entries;
        self.bytes += weight;
    }

    /// Whether this grant, with what `entries` entries of `weight` in all would bring, is enough
    /// for one entry of `wanted` bytes; reserves from the pools what is missing, if it is there.
    pub(crate) fn covers(&mut self, entries: u64, weight: u64, wanted: u64) -> bool {
        if self.entries + entries == 0 && self.budget.entries.reserve(1) {
            self.entries += 1;
        }
        if let Some(bytes) = &self.budget.bytes {
            let missing = wanted.saturating_sub(self.bytes + weight);
            if missing != 0 && bytes.reserve(missing) {
                self.bytes += missing;
            }
        } else {
            self.bytes = wanted.saturating_sub(weight);
        }
        self.entries + entries != 0 && self.bytes + weight >= wanted
    }

    /// Spends it on an entry that was published.
    pub(crate) fn spend(&mut self, weight: u64) {
        self.entries -= 1;
        self.bytes -= weight;
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        self.budget.release(self.entries, self.bytes);
    }
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_held_once() {
        let budget = Budget::new(1, UNLIMITED);
        let mut a = budget.grant();
        assert!(a.covers(0, 0, 10));
        assert!(!budget.grant().covers(0, 0, 10));
        drop(a);
        assert!(budget.grant().covers(0, 0, 10));
    }

    #[test]
    fn a_grant_that_has_its_unit_takes_no_other() {
        let budget = Budget::new(2, UNLIMITED);
        let mut a = budget.grant();
        assert!(a.covers(0, 0, 1));
        assert!(a.covers(0, 0, 1));
        assert!(budget.grant().covers(0, 0, 1));
    }

    #[test]
    fn an_unlinked_entry_brings_its_unit_and_its_bytes() {
        let budget = Budget::new(2, 100);
        let mut a = budget.grant();
        assert!(a.covers(0, 0, 90));
        let mut b = budget.grant();
        assert!(!b.covers(0, 0, 20), "only ten bytes are free");
        b.absorb(1, 10);
        assert!(b.covers(0, 0, 20));
        b.spend(20);
        a.spend(90);
        drop((a, b));
        // One entry was absorbed from nowhere: one unit and ten bytes too many came back.
        assert_eq!(budget.free(), (1, Some(0)));
    }

    #[test]
    fn a_lowered_limit_is_a_debt_that_releases_pay() {
        let budget = Budget::new(3, UNLIMITED);
        for _ in 0..3 {
            let mut g = budget.grant();
            assert!(g.covers(0, 0, 1));
            g.spend(1);
        }
        budget.set_limit(1);
        assert_eq!(budget.debt(), 2);
        budget.release(2, 0);
        assert_eq!(budget.debt(), 0);
        assert!(!budget.grant().covers(0, 0, 1));
        budget.release(1, 0);
        assert!(budget.grant().covers(0, 0, 1));
    }

    #[test]
    fn a_payer_that_panics_pays_no_more() {
        let budget = Budget::new(1, UNLIMITED);
        let mut held = budget.grant();
        assert!(held.covers(0, 0, 1));
        budget.set_limit(0);
        let pays = std::panic::AssertUnwindSafe(|| {
            let _payment = budget.take_on().unwrap();
            std::panic::panic_any(());
        });
        assert!(std::panic::catch_unwind(pays).is_err());
        assert!(budget.take_on().is_some(), "nobody pays now");
    }

    #[test]
    fn a_debt_is_taken_on_once() {
        let budget = Budget::new(2, UNLIMITED);
        assert!(budget.take_on().is_none(), "nothing is owed");
        let mut held = vec![budget.grant(), budget.grant()];
        assert!(held.iter_mut().all(|grant| grant.covers(0, 0, 1)));
        budget.set_limit(0);
        assert_eq!(budget.debt(), 2);
        let (one, two) = (budget.take_on().unwrap(), budget.take_on().unwrap());
        assert!(budget.take_on().is_none(), "both are being paid");
        drop(held.pop());
        drop(one);
        assert!(budget.take_on().is_none(), "the other one is still being paid");
        drop(two);
        assert!(budget.take_on().is_some(), "it was given up");
    }
}
