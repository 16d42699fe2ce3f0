//! What a thread, or a reader handle, owns of a cache: its participant and its counters.

use super::Engine;
use crate::entry::{Magazine, Object};
use crate::holding::Holding;
use crate::reclaim::{Guard, Participant};
use crate::stats::OwnedBlock;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
#[cfg(not(halfshake_loom))]
use std::sync::{Arc, Weak};

/// A thread's, or a reader's, membership of one cache.
#[derive(Debug)]
pub(crate) struct Local {
    participant: Participant,
    pub(crate) block: OwnedBlock,
    /// Memory of entries that this thread recycled.
    pub(crate) magazine: Magazine,
    /// The set of the way that this thread retired last.
    pub(super) last_retired: Cell<u32>,
    /// When this thread has last seen the collector fall behind.
    pub(super) behind_at: Cell<u64>,
    /// Guards that are alive.
    pins: Cell<u32>,
    /// Events that this thread has still to deliver: `shutdown` must not wait for its own.
    owing: Cell<u64>,
    /// Made for one operation of a thread that is past its thread locals.
    late: bool,
}

thread_local! {
    /// What a thread past its thread locals owes, to all caches together: its memberships do not
    /// last. It has no destructor, so it is there to the end.
    static LATE_OWING: Cell<u64> = const { Cell::new(0) };
}

impl Local {
    /// Enters the epoch. `now` is for the gauge of long pins.
    #[inline]
    pub(crate) fn pin(self: &Rc<Self>, now: u64) -> Pin {
        if self.pins.get() == 0 {
            self.block.note_pin(Some(now));
        }
        self.pins.set(self.pins.get() + 1);
        let holding = Holding::begin();
        Pin { guard: self.participant.pin(), local: self.clone(), holding }
    }

    fn with_owing<R>(&self, f: impl FnOnce(&Cell<u64>) -> R) -> R {
        if self.late { LATE_OWING.with(f) } else { f(&self.owing) }
    }

    /// Events that this thread has still to deliver.
    pub(super) fn owing(&self) -> u64 {
        self.with_owing(Cell::get)
    }

    /// One event more to deliver.
    pub(super) fn owe(&self) {
        self.with_owing(|owing| owing.set(owing.get() + 1));
    }

    /// One event was delivered, or handed over.
    pub(super) fn paid(&self) {
        self.with_owing(|owing| owing.set(owing.get() - 1));
    }

    /// Whether the thread is inside a listener, or about to call one.
    pub(crate) fn is_delivering(&self) -> bool {
        self.owing() != 0
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pins.get() != 0
    }
}

/// A guard, and the gauge that shows it.
#[derive(Debug)]
pub(crate) struct Pin {
    guard: Guard,
    local: Rc<Local>,
    holding: Holding,
}

impl Pin {
    /// The same pin, as the user's own: callbacks may run under it.
    #[inline(always)]
    pub(crate) fn lent(mut self) -> Self {
        self.holding.lend();
        self
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Ends this pin and begins another, without a full fence.
    pub(crate) fn repin(&mut self, now: u64) {
        self.guard.repin();
        self.local.block.note_pin(Some(now));
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        self.local.pins.set(self.local.pins.get() - 1);
        if self.local.pins.get() == 0 {
            self.local.block.note_pin(None);
        }
    }
}

#[cfg(not(halfshake_loom))]
struct Membership {
    engine: u64,
    alive: Weak<()>,
    local: Rc<Local>,
}

#[cfg(not(halfshake_loom))]
crate::sync::per_thread! {
    /// This thread's memberships, in the order of the engines' ids.
    static LOCALS: RefCell<Vec<Membership>> = RefCell::new(Vec::new());
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X> {
    /// A membership of its own: for a reader handle.
    pub(crate) fn register(&self) -> Rc<Local> {
        self.register_as(false)
    }

    fn register_as(&self, late: bool) -> Rc<Local> {
        Rc::new(Local {
            late,
            participant: self.collector.register(),
            block: self.blocks.claim(),
            magazine: Magazine::new(self.slab.shared()),
            last_retired: Cell::new(u32::MAX),
            behind_at: Cell::new(0),
            pins: Cell::new(0),
            owing: Cell::new(0),
        })
    }

    /// The calling thread's membership; the first call of a thread registers it, and forgets those
    /// of caches that are gone.
    #[cfg(not(halfshake_loom))]
    pub(crate) fn local(&self) -> Rc<Local> {
        LOCALS
            .try_with(|locals| {
                let locals_now = locals.borrow();
                if let Ok(at) = locals_now.binary_search_by_key(&self.id, |m| m.engine) {
                    return locals_now[at].local.clone();
                }
                drop(locals_now);
                let local = self.register();
                let new = Membership {
                    engine: self.id,
                    alive: Arc::downgrade(&self.alive),
                    local: local.clone(),
                };
                let gone: Vec<_> = {
                    let mut all = locals.borrow_mut();
                    let gone = all.extract_if(.., |m| m.alive.strong_count() == 0).collect();
                    let at = all.partition_point(|m| m.engine < self.id);
                    all.insert(at, new);
                    gone
                };
                drop(gone); // outside the borrow: a participant's end runs deferred functions
                local
            })
            // A thread that is past its thread locals (a cache used from a destructor of one).
            .unwrap_or_else(|_| self.register_as(true))
    }

    /// As in a plain build, for loom's threads.
    #[cfg(halfshake_loom)]
    pub(crate) fn local(&self) -> Rc<Local> {
        let key = (self.id, crate::sync::model_thread());
        let known = MODEL_LOCALS.with_borrow(|locals| locals.get(&key).cloned());
        known.unwrap_or_else(|| {
            let local = self.register();
            MODEL_LOCALS.with_borrow_mut(|locals| locals.insert(key, local.clone()));
            local
        })
    }
}

#[cfg(halfshake_loom)]
thread_local! {
    /// The memberships of loom's threads, by engine and thread: see `forget_model_locals`.
    static MODEL_LOCALS: RefCell<std::collections::BTreeMap<(u64, u64), Rc<Local>>> =
        const { RefCell::new(std::collections::BTreeMap::new()) };
}

/// Ends all memberships: a model calls it at its end, for loom's threads have none themselves.
#[cfg(halfshake_loom)]
pub(crate) fn forget_model_locals() {
    let all = MODEL_LOCALS.with_borrow_mut(std::mem::take);
    drop(all);
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use crate::cache::BytesCache;

    #[test]
    fn a_thread_joins_each_cache_once_whichever_it_uses_first() {
        let caches: Vec<_> =
            (0..4).map(|_| BytesCache::builder().capacity(1).build().expect("valid")).collect();
        for order in [[2, 0, 3, 1], [0, 1, 2, 3], [3, 2, 1, 0]] {
            for at in order {
                caches[at].get(&b"key"[..]);
            }
        }
        // Its own, and what the caches' two threads have.
        let blocks = |cache: &BytesCache| cache.core.blocks.all().len();
        assert!(caches.iter().all(|cache| blocks(cache) <= 3));
        let known = || super::LOCALS.with_borrow(Vec::len);
        assert_eq!(known(), caches.len());
        drop(caches);
        let next = BytesCache::builder().capacity(1).build().expect("valid");
        next.get(&b"key"[..]);
        assert_eq!(known(), 1, "those of caches that are gone are forgotten");
    }
}
