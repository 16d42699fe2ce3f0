//! Events: every unlinked entry is told about once, outside the epoch, and then retired; and the
//! way of its storage back to the table.

use super::evict::cause_of;
use super::{Delivery, Engine, Listener, Local};
use crate::entry::{Magazine, Object};
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::sync::{Ordering, Seen};
use crate::table::Away;
use crate::table::retired::Lists;
use smallvec::SmallVec;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

type Payload = Box<dyn Any + Send>;

/// Entries that an operation has unlinked and still has to tell about.
///
/// Dropping it tells about them, too: what an operation has unlinked is delivered and retired even
/// if a later step of it panics.
pub(crate) struct Owed<'e, O: Object, X: Send + Sync + 'static> {
    engine: &'e Arc<Engine<O, X>>,
    local: &'e Rc<Local>,
    /// Why each left; and from which tick on that would be for having expired.
    list: SmallVec<[(Away, RemovalCause, u64); 2]>,
    /// Deliver here, whatever the cache's [`Delivery`] is.
    here: bool,
    /// The listener of the whole operation, once it has delivered anything.
    listener: Option<Seen<Listener<O, X>>>,
}

impl<'e, O: Object, X: Send + Sync + 'static> Owed<'e, O, X> {
    /// Delivered as the cache is set up.
    pub(crate) fn new(engine: &'e Arc<Engine<O, X>>, local: &'e Rc<Local>) -> Self {
        Self::delivered(engine, local, engine.delivery == Delivery::Caller)
    }

    fn delivered(engine: &'e Arc<Engine<O, X>>, local: &'e Rc<Local>, here: bool) -> Self {
        Self { engine, local, list: SmallVec::new(), here, listener: None }
    }

    /// Handed to the delivery thread, if there is one: for threads that run no user code.
    pub(super) fn elsewhere(engine: &'e Arc<Engine<O, X>>, local: &'e Rc<Local>) -> Self {
        Self::delivered(engine, local, engine.deliverer.get().is_none())
    }

    pub(super) fn push(&mut self, at: Away, cause: RemovalCause) {
        // No deadline is 0: such entries are never stored.
        self.push_unless_expired(at, cause, 0);
    }

    /// The cause is `Expired` if the entry had expired by `now`. The entry, which is cold as a
    /// rule, is read when it is delivered, and not here.
    pub(super) fn push_unless_expired(&mut self, at: Away, cause: RemovalCause, now: u64) {
        self.local.owing.set(self.local.owing.get() + 1);
        self.list.push((at, cause, now));
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Delivers everything, retires it, and then resumes the first panic of a listener.
    pub(crate) fn settle(mut self) {
        if let Some(panic) = self.run() {
            resume_unwind(panic);
        }
    }

    /// As `settle`, but for one entry, whose way the caller keeps.
    pub(super) fn settle_one(mut self) -> Option<Away> {
        let (at, cause, _) = self.list.pop()?;
        if !self.here {
            // Two holders from now on: the caller, and the delivery thread.
            self.engine.table.unlinked_entry(&at).head().share();
            let second = at.second();
            self.hand_over(at, cause);
            self.engine.wake_deliverer();
            return Some(second);
        }
        let listener = self.engine.listener();
        let callable = listener.as_ref().and_then(|l| l.as_deref());
        if let Some(panic) = self.deliver(callable, &at, cause) {
            self.engine.retire(self.local, at);
            resume_unwind(panic);
        }
        Some(at)
    }

    /// The first panic, if any: the others are counted like it, and dropped.
    pub(super) fn run(&mut self) -> Option<Payload> {
        let mut first = None;
        if self.list.is_empty() {
            return first;
        }
        self.prefetch();
        // One for the whole operation, also if it runs again: a listener that is replaced meanwhile
        // is asked to the end.
        let listener = self.listener.take().or_else(|| self.engine.listener());
        let callable = listener.as_ref().and_then(|l| l.as_deref());
        for (at, cause, now) in std::mem::take(&mut self.list) {
            let cause = cause_of(self.engine.table.unlinked_entry(&at), now, cause);
            if !self.here {
                self.hand_over(at, cause);
                continue;
            }
            let panic = self.deliver(callable, &at, cause);
            let last_holder = self.engine.table.unlinked_entry(&at).head().leave();
            if last_holder {
                self.engine.retire(self.local, at);
            } else {
                at.forget();
            }
            match panic {
                Some(panic) if first.is_none() => first = Some(panic),
                // Its destructor is user code that may panic again: leave it.
                Some(panic) => std::mem::forget(panic),
                None => {}
            }
        }
        self.listener = listener;
        if !self.here {
            self.engine.wake_deliverer();
        }
        first
    }

    /// The entries are cold as a rule: fetch them all before the first is read.
    fn prefetch(&self) {
        for (at, ..) in &self.list {
            crate::prefetch::prefetch(self.engine.table.unlinked_entry(at).as_ptr());
        }
    }

    fn hand_over(&self, at: Away, cause: RemovalCause) {
        self.engine.table.hand_over(&self.local.block.lists, at, cause as usize);
        self.paid();
    }

    fn paid(&self) {
        self.local.owing.set(self.local.owing.get() - 1);
    }

    fn deliver(
        &self,
        listener: Option<&Listener<O, X>>,
        at: &Away,
        cause: RemovalCause,
    ) -> Option<Payload> {
        let (engine, block) = (self.engine, &self.local.block);
        let entry = engine.table.unlinked_entry(at);
        let mut panic = None;
        if let Some(listener) = listener {
            if self.local.is_pinned() {
                block.add(Counter::PinnedDeliveries, 1);
            }
            panic = catch_unwind(AssertUnwindSafe(|| listener(engine, entry, cause))).err();
            block.add(Counter::ListenerPanics, u64::from(panic.is_some()));
        }
        block.delivered(cause, u64::from(entry.head().weight));
        self.paid();
        panic
    }
}

impl<O: Object, X: Send + Sync + 'static> Drop for Owed<'_, O, X> {
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        if let Some(panic) = self.run() {
            // Something else is already on its way up.
            std::mem::forget(panic);
        }
    }
}

/// What [`Engine::collect_stale`] saw when it was called before.
#[derive(Debug, Default)]
pub(crate) struct Untouched {
    lists: Vec<u64>,
    ready: usize,
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X> {
    /// Retires a way whose event was delivered. The caller is not pinned by us.
    pub(crate) fn retire(&self, local: &Rc<Local>, at: Away) {
        let weight = u64::from(self.table.unlinked_entry(&at).head().weight);
        local.block.add(Counter::Retired, 1);
        local.block.add(Counter::RetiredWeight, weight);
        if self.limits_bytes() {
            // Relaxed: a bound that is checked before an insert, not a lock.
            self.retired_weight.fetch_add(weight, Ordering::Relaxed);
        }
        let lists = &local.block.lists;
        if self.table.retire(lists, at) >= crate::reclaim::retire_batch() {
            self.collect_lists(local, std::iter::once(lists));
            self.recycle(local);
        }
    }

    /// Hands what all threads have retired to the collector, advances the epoch if it can be, and
    /// moves what is past its grace period to the ready list. Runs no user code.
    pub(crate) fn collect(&self, local: &Rc<Local>) {
        self.collect_lists(local, self.blocks.all().iter().map(|block| &block.lists));
    }

    fn collect_lists<'l>(&self, local: &Rc<Local>, lists: impl Iterator<Item = &'l Lists>) {
        let pin = local.pin(self.time.now());
        for lists in lists {
            // Pinned first, taken afterwards: the ways were unlinked before, and their grace period
            // begins no earlier than this pin.
            if let Some(ways) = self.table.take_retired(lists) {
                pin.guard().defer(self.ready.after_grace(ways));
            }
        }
        pin.guard().flush();
    }

    /// Collects what nobody has touched since the call before: the maintenance thread takes what
    /// idle threads left, and leaves to busy writers what they free sooner, and on the thread that
    /// allocated it. Whether the ready list should be recycled, by the same rule.
    pub(crate) fn collect_stale(&self, local: &Rc<Local>, before: &mut Untouched) -> bool {
        let blocks = self.blocks.all();
        before.lists.resize(blocks.len(), 0);
        let stale = blocks.iter().zip(&mut before.lists).filter(|(block, before)| {
            let state = block.lists.retired.state();
            state != 0 && **before == state
        });
        self.collect_lists(local, stale.map(|(block, _)| &block.lists));
        for (block, before) in blocks.iter().zip(&mut before.lists) {
            *before = block.lists.retired.state();
        }
        let ready = self.ready.state();
        ready != 0 && std::mem::replace(&mut before.ready, ready) == ready
    }

    /// Frees what is past its grace period; drops keys and values. The answer is how many ways.
    pub(crate) fn recycle(&self, local: &Rc<Local>) -> u64 {
        self.recycle_into(local, Some(&local.magazine))
    }

    /// As `recycle`, for threads that make no entries: the memory goes back to the allocator.
    pub(crate) fn recycle_for_good(&self, local: &Rc<Local>) -> u64 {
        self.recycle_into(local, None)
    }

    fn recycle_into(&self, local: &Rc<Local>, magazine: Option<&Magazine>) -> u64 {
        let mut ways = 0;
        for batch in self.ready.take() {
            let freed = self.table.recycle(&batch, magazine);
            local.block.add(Counter::Recycled, freed.ways);
            local.block.add(Counter::RecycledWeight, freed.weight);
            local.block.add(Counter::DropPanics, freed.panics);
            if self.limits_bytes() {
                // Relaxed: as in `retire`.
                self.retired_weight.fetch_sub(freed.weight, Ordering::Relaxed);
            }
            ways += freed.ways;
        }
        ways
    }

    pub(super) fn limits_bytes(&self) -> bool {
        self.budget.limit_bytes() != crate::budget::UNLIMITED
    }

    /// Whether retired entries weigh so much that nothing more may be inserted: as much as all live
    /// ones together may.
    pub(super) fn retired_too_much(&self) -> bool {
        // Relaxed: as in `retire`.
        self.limits_bytes()
            && self.retired_weight.load(Ordering::Relaxed) > self.budget.limit_bytes()
    }

    /// Delivers what was handed over. The answer is how many events.
    pub(crate) fn deliver_handed(self: &Arc<Self>, local: &Rc<Local>) -> u64 {
        let mut delivered = 0;
        for block in self.blocks.all().iter() {
            let mut owed = Owed::delivered(self, local, true);
            for (at, cause) in self.table.take_handed(&block.lists) {
                owed.push(at, RemovalCause::ALL[cause]);
            }
            delivered += owed.len() as u64;
            if let Some(panic) = owed.run() {
                // Counted; there is no caller to tell.
                std::mem::forget(panic);
            }
        }
        delivered
    }
}
