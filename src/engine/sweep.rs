//! What time removes: bounded sweeps, flushes, and the debt of a lowered limit.

use super::evict::cause_of;
use super::{Engine, Local, Owed, Pin};
use crate::clock::NEVER;
use crate::entry::Object;
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::sync::Ordering;
use crate::table::Shard;
use crate::table::ways::{bit, ways_in};
use smallvec::SmallVec;
use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

/// Sets that one step of a sweep looks at.
const STRIDE: u64 = 64;
/// Sets whose entries are on their way at a time: each has eight, in a line of its own.
const AHEAD: usize = 4;

/// What a payment of the debt of a lowered limit did.
#[derive(Debug)]
pub(crate) struct Paid {
    pub(crate) evicted: u64,
    /// The first panic of a listener; the others went all the same.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

/// What a bounded piece of a sweep did.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) sets: u64,
    pub(crate) removed: u64,
    /// The first panic of a listener; the sweep went on.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X>
where
    O::Key: Eq,
{
    /// Looks at the next sets for what has expired, until `sets` were looked at or `removals`
    /// entries removed (and the rest of a step of 64 sets). With `hand_over`, events go to the
    /// delivery thread. Lock-free; pinned for four sets at a time.
    pub(crate) fn sweep(
        self: &Arc<Self>,
        local: &Rc<Local>,
        (sets, removals): (u64, u64),
        hand_over: bool,
    ) -> Swept {
        let now = self.time.tick();
        let total = self.table.geometry.total_sets();
        let mut swept = Swept::default();
        let mut owed = Owed::for_sweep(self, local, hand_over);
        while swept.sets < sets && swept.removed < removals {
            // Relaxed: each step belongs to whoever drew its number.
            let first = self.cursor.fetch_add(STRIDE.min(total), Ordering::Relaxed);
            self.sweep_step(local, first % total, STRIDE.min(total), now, &mut owed);
            swept.sets += STRIDE.min(total);
            swept.removed += owed.len() as u64;
            owed.run();
        }
        swept.panic = owed.finish();
        local.block.add(Counter::Swept, swept.sets);
        swept
    }

    /// Sweeps `left` sets from number `at` on, and round: the ticks of a shard's sets are read in a
    /// row, and only sets that are due are touched.
    fn sweep_step(
        &self,
        local: &Rc<Local>,
        mut at: u64,
        mut left: u64,
        now: u64,
        owed: &mut Owed<'_, O, X>,
    ) {
        while left != 0 {
            let (number, mut first) = self.set_at(at);
            let rest = self.table.geometry.sets - first;
            let run = u32::try_from(left).map_or(rest, |left| left.min(rest));
            let shard = self.table.shard(number);
            let end = first + run;
            loop {
                let mut some: SmallVec<[u32; AHEAD]> = SmallVec::new();
                while let Some(set) = shard.summary.next_due(first, end, now) {
                    some.push(set);
                    first = set + 1;
                    if some.len() == AHEAD {
                        break;
                    }
                }
                // Set and entries are cold as a rule: those of the next few are fetched together.
                some.iter().for_each(|set| shard.set(*set).prefetch());
                some.iter().for_each(|set| shard.set(*set).prefetch_live());
                let pin = local.pin(now);
                some.iter().for_each(|set| self.expire_in(shard, *set, &pin, now, owed));
                if some.len() < AHEAD {
                    break;
                }
            }
            let run = u64::from(run);
            left -= run;
            at = (at + run) % self.table.geometry.total_sets();
        }
    }

    /// The set that has this number among all sets.
    #[expect(clippy::cast_possible_truncation, reason = "quotient and remainder fit by geometry")]
    fn set_at(&self, number: u64) -> (u32, u32) {
        let sets = u64::from(self.table.geometry.sets);
        ((number / sets) as u32, (number % sets) as u32)
    }

    /// Unlinks what has expired in one set. Wait-free; one read-modify-write, two if it finds any.
    pub(crate) fn expire_set(
        &self,
        local: &Rc<Local>,
        (number, set): (u32, u32),
        now: u64,
        owed: &mut Owed<'_, O, X>,
    ) {
        let shard = self.table.shard(number);
        if shard.summary.is_due(set, now) {
            self.expire_in(shard, set, &local.pin(now), now, owed);
        }
    }

    /// The same of a set that is due, or was a moment ago.
    fn expire_in(
        &self,
        shard: Shard<'_, O>,
        set: u32,
        pin: &Pin,
        now: u64,
        owed: &mut Owed<'_, O, X>,
    ) {
        shard.summary.clear_due(set);
        let live = shard.set(set).load_ordered(pin.guard());
        let (mut expired, mut next) = (0, NEVER);
        for way in ways_in(live.mask()) {
            let head = live.entry(way).head();
            if head.expired(now) {
                expired |= bit(way);
            } else {
                next = next.min(head.deadline);
            }
        }
        shard.summary.due_by(set, next);
        let won = (expired != 0).then(|| live.unlink(expired)).into_iter().flatten();
        self.owe(owed, shard.number(set), won, |_| RemovalCause::Expired);
    }

    /// Removes all entries whose deadline is `flush_now` or earlier.
    pub(crate) fn flush(self: &Arc<Self>, local: &Rc<Local>, flush_now: u64) -> u64 {
        let now = self.time.now();
        self.remove_where(local, |entry| {
            let due = entry.head().expired(flush_now.max(now));
            due.then(|| cause_of(entry, now, RemovalCause::Flushed))
        })
    }

    /// Changes the limit of entries at once; the answer is by how many the cache is still above it,
    /// and the first panic of a listener.
    pub(crate) fn set_limit(
        self: &Arc<Self>,
        local: &Rc<Local>,
        entries: u64,
    ) -> (u64, Option<Box<dyn Any + Send>>) {
        self.budget.set_limit(entries);
        let paid = self.pay_debt(local, u64::MAX, false);
        (self.budget.debt(), paid.panic)
    }

    /// Evicts until the limit holds or others pay for the rest, `most` were evicted, or nothing is
    /// left to evict (the rest is held by inserts under way).
    pub(crate) fn pay_debt(
        self: &Arc<Self>,
        local: &Rc<Local>,
        most: u64,
        hand_over: bool,
    ) -> Paid {
        let mut owed = Owed::for_sweep(self, local, hand_over);
        let (mut evicted, mut anywhere) = (0, 0u64);
        while evicted < most {
            let Some(payment) = self.budget.take_on() else { break };
            // Golden ratio: consecutive victims come from sets far apart.
            anywhere = anywhere.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let now = self.time.now();
            let victim = self.evict_elsewhere(local, None, now, anywhere);
            let Some((at, cause)) = victim else { break };
            self.owe_one(&mut owed, at, cause);
            // Paid: a listener may change the limit, and pay.
            drop(payment);
            owed.run();
            evicted += 1;
        }
        Paid { evicted, panic: owed.finish() }
    }
}

impl<O: Object> Shard<'_, O> {
    /// Takes the mark of a set that turned out to be empty back, unless something came meanwhile.
    pub(crate) fn tidy_occupied(self, set: u32, guard: &crate::reclaim::Guard) {
        self.summary.clear_occupied(set);
        if self.set(set).load_ordered(guard).count() != 0 {
            self.summary.mark_occupied(set);
        }
    }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use crate::cache::BytesCache;

    #[test]
    fn a_set_that_holds_something_stays_marked() {
        let cache = BytesCache::builder().capacity(1).fewest_sets(1).embedded();
        cache.insert(b"key", b"value").expect("room");
        let (shard, local) = (cache.core.table.shard(0), cache.core.local());
        shard.tidy_occupied(0, local.pin(0).guard());
        assert!(shard.summary.is_occupied(0));
        cache.validate();
    }

    #[test]
    fn as_much_of_a_debt_is_paid_as_was_said() {
        let cache = BytesCache::builder().capacity(100).embedded();
        for key in 0..100u8 {
            cache.insert(&[key], b"value").expect("room");
        }
        // As after a `set_capacity` that has not paid yet.
        cache.core.budget.set_limit(90);
        let local = cache.core.local();
        let pay = |most| cache.core.pay_debt(&local, most, false).evicted;
        assert_eq!((pay(0), pay(3), pay(6), cache.len()), (0, 3, 6, 91));
        assert_eq!((pay(64), pay(64), cache.len()), (1, 0, 90));
        cache.validate();
    }
}
