//! Removals by key, by identity, and of whole sets.
//!
//! # Progress
//!
//! Removals by key are lock-free: they retry only if the key was replaced meanwhile, for then it
//! was never absent. So are those by a predicate, for each set: they look at it again if another
//! thread has unlinked what was picked, for it may have put something in its place. All others are
//! wait-free for each set.
//!
//! # What has expired
//!
//! A removal by key, or of one entry, takes it out all the same, told of as what it is. By the time
//! of another operation, which began before, it may live: a replacement of it that stood still
//! would succeed after the removal had found nothing.
//!
//! Loom: `take_*`, `expire_*`, `removed_at_its_end`.

use super::evict::cause_of;
use super::{Engine, Local, Owed};
use crate::entry::{EntryRef, Object};
use crate::hash::Place;
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::sync::{Ordering, Thread};
use crate::table::Shard;
use crate::table::away::Away;
use crate::table::away::Unlinked;
use crate::table::ways::{bit, ways_in};
use std::rc::Rc;
use std::sync::Arc;

/// What a removal met, and took out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing that was meant.
    Nothing,
    /// An entry that had expired: it was told of as such.
    Expired,
    /// An entry that lived.
    Live,
}

/// The identity of one entry: its way, and its id. Outlives guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exact {
    /// Its set, among those of all shards.
    pub(crate) set: u32,
    pub(crate) way: u32,
    pub(crate) id: u64,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X> {
    /// Unlinks the entry of a key, unless it `stays`: of any number of callers exactly one gets it.
    fn unlink_key(
        &self,
        local: &Rc<Local>,
        place: Place,
        now: u64,
        stays: impl Fn(EntryRef<'_, O>) -> Option<Counter>,
        mut is_key: impl FnMut(&O::Key) -> bool,
    ) -> Result<Away, Counter> {
        loop {
            let pin = local.pin(now);
            let live = self.table.load(place, pin.guard());
            let (way, entry) = live.find(place.tag, &mut is_key).ok_or(Counter::Unknown)?;
            if let Some(why) = stays(entry) {
                return Err(why);
            }
            let won = live.unlink(bit(way)).next();
            drop(pin);
            if let Some(unlinked) = won {
                let at = Away::new(place.at, unlinked);
                self.release(&at);
                return Ok(at);
            }
        }
    }

    /// Takes the live entry of a key: its event is delivered here; the caller retires it.
    pub(crate) fn take(
        self: &Arc<Self>,
        local: &Rc<Local>,
        place: Place,
        now: u64,
        is_key: impl FnMut(&O::Key) -> bool,
    ) -> Option<Away> {
        let expired =
            |entry: EntryRef<'_, O>| entry.head().expired(now).then_some(Counter::Expired);
        match self.unlink_key(local, place, now, expired, is_key) {
            Ok(at) => {
                local.block.add(Counter::Hits, 1);
                let mut owed = Owed::new(self, local);
                owed.push(at, RemovalCause::Taken);
                owed.settle_one()
            }
            Err(miss) => {
                local.block.add(miss, 1);
                None
            }
        }
    }

    /// Ends what `take` began, when the taker has done with the entry.
    pub(crate) fn end_take(self: &Arc<Self>, local: &Rc<Local>, at: Away) {
        if self.table.unlinked_entry(&at).head().leave() {
            self.retire(local, at);
        } else {
            at.forget();
        }
    }

    /// Removes the entry of a key.
    pub(crate) fn remove(
        self: &Arc<Self>,
        local: &Rc<Local>,
        place: Place,
        now: u64,
        cause: RemovalCause,
        is_key: impl FnMut(&O::Key) -> bool,
    ) -> Met {
        let at = self.unlink_key(local, place, now, |_| None, is_key);
        at.map_or(Met::Nothing, |at| self.tell_of_removed(local, at, now, cause))
    }

    /// Removes that very entry. Wait-free.
    pub(crate) fn remove_exact(
        self: &Arc<Self>,
        local: &Rc<Local>,
        exact: Exact,
        now: u64,
        cause: RemovalCause,
    ) -> Met {
        let pin = local.pin(now);
        let live = self.table.set_number(exact.set).load(pin.guard());
        if live.mask() & bit(exact.way) == 0 {
            return Met::Nothing;
        }
        if live.entry(exact.way).head().id != exact.id {
            return Met::Nothing;
        }
        let won = live.unlink(bit(exact.way)).next();
        drop(pin);
        let Some(unlinked) = won else { return Met::Nothing };
        let at = Away::new(exact.set, unlinked);
        self.release(&at);
        self.tell_of_removed(local, at, now, cause)
    }

    /// Tells of what was removed, as expired if it was by then.
    fn tell_of_removed(
        self: &Arc<Self>,
        local: &Rc<Local>,
        at: Away,
        now: u64,
        cause: RemovalCause,
    ) -> Met {
        let cause = cause_of(self.table.unlinked_entry(&at), now, cause);
        let mut owed = Owed::new(self, local);
        owed.push(at, cause);
        owed.settle();
        if cause == RemovalCause::Expired { Met::Expired } else { Met::Live }
    }

    /// Gives back what an unlinked entry held of the limits.
    pub(super) fn release(&self, at: &Away) {
        self.budget.release(1, u64::from(self.table.unlinked_entry(at).weight()));
    }

    /// Gives back what an unlinked entry held, and owes its event.
    pub(crate) fn owe_one<'e>(&self, owed: &mut Owed<'e, O, X>, at: Away, cause: RemovalCause) {
        self.release(&at);
        owed.push(at, cause);
    }

    /// Owes the events of what was unlinked from one set (its number among those of all shards).
    pub(super) fn owe<'e>(
        &self,
        owed: &mut Owed<'e, O, X>,
        set: u32,
        unlinked: impl Iterator<Item = Unlinked>,
        cause: impl Fn(EntryRef<'_, O>) -> RemovalCause,
    ) {
        for unlinked in unlinked {
            let at = Away::new(set, unlinked);
            let cause = cause(self.table.unlinked_entry(&at));
            self.owe_one(owed, at, cause);
        }
    }

    /// Removes what `doomed` picks, set by set, and says for each why. The predicate runs pinned,
    /// and again for what is in a set if another thread has unlinked there what it has picked.
    pub(crate) fn remove_where(
        self: &Arc<Self>,
        local: &Rc<Local>,
        mut doomed: impl FnMut(EntryRef<'_, O>) -> Option<RemovalCause>,
    ) -> u64 {
        let now = self.time.now();
        let mut removed = 0;
        let mut owed = Owed::new(self, local);
        self.each_set(|shard, set| {
            let pin = local.pin(now);
            loop {
                let live = shard.load(set, pin.guard());
                let mut causes = [None; crate::table::ways::WAYS as usize];
                let mut ways = 0;
                for way in ways_in(live.mask()) {
                    causes[way as usize] = doomed(live.entry(way));
                    ways |= u64::from(causes[way as usize].is_some()) << way;
                }
                let won = (ways != 0).then(|| live.unlink(ways)).into_iter().flatten();
                for unlinked in won {
                    let cause = causes[unlinked.way() as usize].unwrap_or(RemovalCause::Removed);
                    ways &= !bit(unlinked.way());
                    self.owe(&mut owed, shard.number(set), std::iter::once(unlinked), |_| cause);
                }
                if ways == 0 {
                    break;
                }
                // Somebody else has unlinked those. What he has put in their place is in the set.
            }
            drop(pin);
            removed += owed.len() as u64;
            owed.run();
        });
        // Every event of the operation is delivered before the first panic goes on.
        owed.settle();
        removed
    }

    /// Removes everything, one step for each set.
    pub(crate) fn clear(self: &Arc<Self>, local: &Rc<Local>) {
        let now = self.time.now();
        let mut owed = Owed::new(self, local);
        self.each_set(|shard, set| {
            let unlinked = shard.set(set).clear();
            let cause = |entry: EntryRef<'_, O>| cause_of(entry, now, RemovalCause::Flushed);
            self.owe(&mut owed, shard.number(set), unlinked, cause);
            owed.run();
        });
        owed.settle();
    }

    /// Closes every set, delivers `Shutdown` for all that was live, and returns when no delivery
    /// but this thread's own is under way. The answer is the first panic of a listener.
    pub(crate) fn shutdown(
        self: &Arc<Self>,
        local: &Rc<Local>,
    ) -> Option<Box<dyn std::any::Any + Send>> {
        let now = self.time.now_in_any_case();
        let mut owed = Owed::new(self, local);
        self.each_set(|shard, set| {
            let unlinked = shard.set(set).close();
            let cause = |entry: EntryRef<'_, O>| cause_of(entry, now, RemovalCause::Shutdown);
            self.owe(&mut owed, shard.number(set), unlinked, cause);
            owed.run();
        });
        let panic = owed.finish();
        self.await_deliveries(local);
        // Three epochs, so that a grace period can pass.
        for _ in 0..3 {
            self.collect(local);
            self.recycle(local);
        }
        panic
    }

    fn await_deliveries(self: &Arc<Self>, local: &Rc<Local>) {
        // Two listeners that each wait here must excuse one another's events; whoever waits outside
        // of any listener excuses none.
        let own = local.owing();
        let deliverer = self.deliverer.get().map(Thread::id);
        let on_deliverer = deliverer == Some(crate::sync::this_thread());
        // Relaxed: they see one another sooner or later, and a late view costs a round.
        self.waiting.fetch_add(own, Ordering::Relaxed);
        let excused = || if own == 0 { 0 } else { self.waiting.load(Ordering::Relaxed) };
        let mut round = 0u32;
        while self.blocks.outstanding() > excused() {
            // On the delivery thread, inside a listener, nobody else would.
            if on_deliverer && self.deliver_handed(local) != 0 {
                continue;
            }
            if !on_deliverer {
                self.wake_deliverer();
            }
            crate::sync::wait(round);
            round = round.saturating_add(1);
        }
        self.waiting.fetch_sub(own, Ordering::Relaxed);
    }

    /// Visits every set, for what must miss nothing: a set is marked as occupied only after others
    /// may have seen what was inserted into it.
    fn each_set(&self, mut visit: impl FnMut(Shard<'_, O>, u32)) {
        for (_, shard) in self.table.shards() {
            for set in 0..self.table.geometry.sets {
                visit(shard, set);
            }
        }
    }
}
