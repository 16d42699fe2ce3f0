//! Events: every unlinked entry is told about once, outside the epoch, and then retired; and the
//! way of its storage back to the table.

use super::evict::cause_of;
use super::{Delivery, Engine, Listener, Local};
use crate::entry::{EntryRef, Goes, Object};
use crate::panics::discard;
use crate::removal::RemovalCause;
use crate::stats::Counter;
use crate::sync::{Ordering, Seen};
use crate::table::away::Away;
use crate::table::retired::Lists;
use smallvec::SmallVec;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

pub(super) type Payload = Box<dyn Any + Send>;

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
    /// These events were handed over; this is the delivery thread, or stands in for it.
    handed: bool,
    /// The listener that was set when the operation began: it uses that one to the end. For events
    /// that were handed over: when they were taken.
    listener: Option<Seen<Listener<O, X>>>,
    /// The first panic of a listener; the others are counted like it, and dropped.
    first: Option<Payload>,
    /// Deliver nothing yet: the operation runs under a lock of the layer above.
    held: bool,
}

impl<'e, O: Object, X: Send + Sync + 'static> Owed<'e, O, X> {
    /// Delivered as the cache is set up. Made when the operation begins.
    pub(crate) fn new(engine: &'e Arc<Engine<O, X>>, local: &'e Rc<Local>) -> Self {
        Self::delivered(engine, local, engine.delivery == Delivery::Caller)
    }

    fn delivered(engine: &'e Arc<Engine<O, X>>, local: &'e Rc<Local>, here: bool) -> Self {
        let listener = if here { engine.listener() } else { None };
        Self {
            engine,
            local,
            list: SmallVec::new(),
            here,
            handed: false,
            listener,
            first: None,
            held: false,
        }
    }

    /// Whether events are kept back, also where an operation would deliver them on its way.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// As `new`; or, for a thread that runs no user code, handed to the delivery thread if there is
    /// one.
    pub(super) fn for_sweep(
        engine: &'e Arc<Engine<O, X>>,
        local: &'e Rc<Local>,
        hand_over: bool,
    ) -> Self {
        if hand_over {
            return Self::delivered(engine, local, !engine.has_deliverer());
        }
        Self::new(engine, local)
    }

    pub(super) fn push(&mut self, at: Away, cause: RemovalCause) {
        // No deadline is 0: such entries are never stored.
        self.push_unless_expired(at, cause, 0);
    }

    /// The cause is `Expired` if the entry had expired by `now`. The entry, which is cold as a
    /// rule, is read when it is delivered, and not here.
    pub(super) fn push_unless_expired(&mut self, at: Away, cause: RemovalCause, now: u64) {
        if self.engine.limits_bytes() {
            self.engine.charge(&at);
        }
        self.push_charged(at, cause, now);
    }

    fn push_charged(&mut self, at: Away, cause: RemovalCause, now: u64) {
        self.local.owe();
        self.list.push((at, cause, now));
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Delivers everything, retires it, and then resumes the first panic of a listener.
    pub(crate) fn settle(self) {
        if let Some(panic) = self.finish() {
            resume_unwind(panic);
        }
    }

    /// As `settle`, but hands the first panic over.
    pub(super) fn finish(mut self) -> Option<Payload> {
        self.run();
        self.first.take()
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
        self.deliver(self.engine.table.unlinked_entry(&at), cause);
        if let Some(panic) = self.first.take() {
            self.engine.retire(self.local, at);
            resume_unwind(panic);
        }
        Some(at)
    }

    /// Delivers everything so far, and retires it. Called outside the epoch, with nothing half-way.
    pub(super) fn run(&mut self) {
        if self.list.is_empty() || self.held {
            return;
        }
        if self.list.len() > 1 {
            self.prefetch();
            self.list.reverse();
        }
        // One by one: whatever panics in between, `drop` finds the rest.
        while let Some((at, cause, now)) = self.list.pop() {
            let entry = self.engine.table.unlinked_entry(&at);
            let cause = cause_of(entry, now, cause);
            if !self.here {
                self.hand_over(at, cause);
                continue;
            }
            let weight = self.deliver(entry, cause);
            if entry.head().leave() {
                let replaced = cause == RemovalCause::Replaced;
                self.engine.retire_soon(self.local, at, weight, replaced);
            } else {
                at.forget();
            }
            if self.handed {
                // Last: it is garbage by now, so that no gauge misses it.
                self.local.block.delivered_late();
            }
        }
        if !self.here {
            self.engine.wake_deliverer();
        }
    }

    /// The entries are cold as a rule: fetch them all before the first is read.
    fn prefetch(&self) {
        for (at, ..) in &self.list {
            crate::prefetch::prefetch(self.engine.table.unlinked_entry(at).as_ptr());
        }
    }

    fn hand_over(&self, at: Away, cause: RemovalCause) {
        // First, so that the delivery thread is never ahead.
        self.local.block.add(Counter::HandedOver, 1);
        self.engine.table.hand_over(&self.local.block.lists, at, cause as u8);
        self.local.paid();
    }

    /// Tells about an entry; the answer is its weight.
    fn deliver(&mut self, entry: EntryRef<'_, O>, cause: RemovalCause) -> u32 {
        let (engine, block) = (self.engine, &self.local.block);
        let weight = entry.weight();
        if let Some(listener) = self.listener.as_ref().and_then(|l| l.as_deref()) {
            if self.local.is_pinned() {
                block.add(Counter::PinnedDeliveries, 1);
            }
            let panic = catch_unwind(AssertUnwindSafe(|| listener(engine, entry, cause))).err();
            block.add(Counter::ListenerPanics, u64::from(panic.is_some()));
            keep_first(&mut self.first, panic);
        }
        block.delivered(cause, u64::from(weight));
        self.local.paid();
        weight
    }
}

impl<O: Object, X: Send + Sync + 'static> Drop for Owed<'_, O, X> {
    fn drop(&mut self) {
        if cfg!(halfshake_loom) && std::thread::panicking() {
            return; // a loom step while unwinding aborts the process
        }
        self.held = false;
        self.run();
        // Something else is already on its way up.
        discard(self.first.take());
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
        let weight = self.table.unlinked_entry(&at).weight();
        self.retire_soon(local, at, weight, false);
    }

    /// As `retire`. A key that is replaced again and again needs the ways of its one set sooner
    /// than a batch is full: once several of them wait, they are handed over.
    fn retire_soon(&self, local: &Rc<Local>, mut at: Away, weight: u32, replaced: bool) {
        let set = at.set();
        let again = local.last_retired.replace(set) == set && replaced;
        local.block.add(Counter::Retired, 1);
        local.block.add(Counter::RetiredWeight, u64::from(weight));
        let lists = &local.block.lists;
        let listed = loop {
            match self.table.retire(lists, at) {
                Ok(listed) => break listed,
                Err(back) => at = back,
            }
            self.collect_lists(local, std::iter::once(lists));
        };
        let is_full = listed >= crate::reclaim::retire_batch();
        if is_full || again && self.table.is_short(set) && !self.ready.is_behind() {
            self.collect_lists(local, std::iter::once(lists));
            self.recycle(local);
        } else if self.ready.has_fallen_behind(&local.behind_at) {
            // Where there are more threads than processors, it is one of them that holds the ways
            // back: it has lost its processor while it was pinned, and gets one sooner if others
            // make room. Once each: a reader may stand still for good.
            crate::sync::yield_now();
        }
    }

    /// Hands what all threads have retired to the collector, advances the epoch if it can be, and
    /// moves what is past its grace period to the ready list. Runs no user code.
    pub(crate) fn collect(&self, local: &Rc<Local>) {
        self.collect_lists(local, self.blocks.all().iter().map(|block| &block.lists));
    }

    fn collect_lists<'l>(&self, local: &Rc<Local>, lists: impl Iterator<Item = &'l Lists>) {
        // The tick is for a gauge: no clock is asked, which may be user code.
        let pin = local.pin(self.time.seen());
        for lists in lists {
            // Pinned first, taken afterwards: the ways were unlinked before, and their grace period
            // begins no earlier than this pin.
            if let Some(ways) = lists.retired.take() {
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
        self.recycle_into(local, Goes::To(&local.magazine))
    }

    /// As `recycle`, for threads that make no entries: memory of the allocator's goes back there.
    pub(crate) fn recycle_for_good(&self, local: &Rc<Local>) -> u64 {
        let magazine = &local.magazine;
        // What is a slab's goes there in batches, by way of the magazine.
        let goes = if magazine.has_slab() { Goes::To(magazine) } else { Goes::Back };
        self.recycle_into(local, goes)
    }

    fn recycle_into(&self, local: &Rc<Local>, goes: Goes<'_>) -> u64 {
        let mut ways = 0;
        for batch in self.ready.take() {
            // Counted first: whoever looks meanwhile sees no more garbage than there are ways.
            local.block.add(Counter::Recycled, batch.len());
            let freed = self.table.recycle(&batch, goes);
            local.block.add(Counter::RecycledWeight, freed.weight);
            local.block.add(Counter::DropPanics, freed.panics);
            if self.limits_bytes() {
                // Relaxed: as in `charge`.
                self.garbage_weight.fetch_sub(freed.weight, Ordering::Relaxed);
            }
            ways += batch.len();
        }
        ways
    }

    /// Counts an unlinked entry as garbage, told about or not, until it is recycled.
    fn charge(&self, at: &Away) {
        let weight = u64::from(self.table.unlinked_entry(at).weight());
        // Relaxed: a bound that is checked before an insert, not a lock.
        self.garbage_weight.fetch_add(weight, Ordering::Relaxed);
    }

    pub(super) fn limits_bytes(&self) -> bool {
        self.budget.limit_bytes() != crate::budget::UNLIMITED
    }

    /// Whether unlinked entries weigh so much that nothing more may be inserted: as much as all
    /// live ones together may.
    pub(super) fn too_much_garbage(&self) -> bool {
        // Relaxed: as in `charge`.
        self.limits_bytes()
            && self.garbage_weight.load(Ordering::Relaxed) > self.budget.limit_bytes()
    }

    /// Delivers what was handed over. The answer is how many events.
    pub(crate) fn deliver_handed(self: &Arc<Self>, local: &Rc<Local>) -> u64 {
        let mut delivered = 0;
        for block in self.blocks.all().iter() {
            // First: whoever handed them over may have set the listener that is looked up below.
            let handed = self.table.take_handed(&block.lists);
            let mut owed = Owed::delivered(self, local, true);
            owed.handed = true;
            for (at, cause) in handed {
                owed.push_charged(at, RemovalCause::ALL[usize::from(cause)], 0);
            }
            delivered += owed.len() as u64;
            // A panic is counted; there is no caller to tell.
            discard(owed.finish());
        }
        delivered
    }
}

fn keep_first(first: &mut Option<Payload>, next: Option<Payload>) {
    match next {
        Some(next) if first.is_none() => *first = Some(next),
        Some(next) => discard(next),
        None => {}
    }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use super::Untouched;
    use crate::cache::BytesCache;

    /// A cache of 100 entries.
    fn embedded() -> BytesCache {
        BytesCache::builder().capacity(100).embedded()
    }

    #[test]
    fn what_a_thread_retired_is_collected_once_nobody_touches_it() {
        let cache = embedded();
        let (engine, local) = (&cache.core, cache.core.local());
        let waits = || local.block.lists.retired.state() != 0;
        let retire = |key: &[u8]| {
            cache.insert(key, b"value").expect("room");
            assert!(cache.remove(key) && waits());
        };
        let mut before = Untouched::default();
        retire(b"one");
        engine.collect_stale(&local, &mut before);
        assert!(waits(), "new since then, for all that is known");
        retire(b"two");
        engine.collect_stale(&local, &mut before);
        assert!(waits(), "its owner is busy");
        engine.collect_stale(&local, &mut before);
        assert!(!waits());
    }

    #[test]
    fn what_is_ready_is_stale_if_it_was_the_same_before() {
        let cache = embedded();
        let (engine, local) = (&cache.core, cache.core.local());
        let make_ready = || {
            let was = engine.ready.state();
            cache.insert(b"key", b"value").expect("room");
            assert!(cache.remove(&b"key"[..]));
            while engine.ready.state() == was {
                engine.collect(&local);
            }
        };
        let mut before = Untouched::default();
        let mut is_stale = || engine.collect_stale(&local, &mut before);
        assert!(!is_stale() && !is_stale(), "there is nothing");
        make_ready();
        assert!(!is_stale() && is_stale());
        make_ready();
        assert!(!is_stale(), "somebody is busy with it");
    }

    #[test]
    fn what_is_handed_over_wakes_who_delivers_which_knows_how_much_it_was() {
        let cache = embedded();
        let (engine, local) = (&cache.core, cache.core.local());
        let (wakes, woken) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            std::thread::park();
            wakes.send(()).expect("somebody waits for it");
        });
        engine.set_deliverer(sleeper.thread().clone());
        for key in 0..3u8 {
            cache.insert(&[key], b"value").expect("room");
        }
        let mut owed = super::Owed::delivered(engine, &local, false);
        let now = engine.time.now();
        for number in 0..3 {
            let (at, cause) = engine.evict_elsewhere(&local, None, now, number).expect("an entry");
            engine.budget.release(1, 0);
            owed.push(at, cause);
        }
        owed.settle();
        woken.recv_timeout(std::time::Duration::from_secs(60)).expect("it is woken");
        assert_eq!((engine.deliver_handed(&local), engine.deliver_handed(&local)), (3, 0));
        cache.validate();
    }
}
