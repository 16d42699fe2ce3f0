//! The engine: the table with its limits, its time, its events and its garbage, for any shape of
//! entry. Everything public is a thin layer over it.
//!
//! # Where user code runs
//!
//! | code | on | pinned by us |
//! | --- | --- | --- |
//! | removal listener | the unlinking thread, or the delivery thread | no |
//! | `Drop` of keys and values | writers, embedder, delivery thread ([`Engine::recycle`]) | no |
//! | `Hash` | the caller, before anything begins | no |
//! | `Eq` of a key, the predicate of `retain` | the caller | yes: it may panic, not block |
//! | `Clock` | the caller, the maintenance thread | no |
//!
//! The maintenance thread runs none of it but the clock.
//!
//! Loom: `handed_before_the_end`, `cleared_or_set`, `hand_over_after_first_listen`.

mod deliver;
mod evict;
#[expect(unsafe_code, reason = "entries whose lifetime is tied to the guard beside them")]
mod held;
mod insert;
mod local;
mod lookup;
mod remove;
mod sweep;
#[cfg(any(test, halfshake_loom, feature = "validate"))]
mod validate;

pub(crate) use deliver::{Owed, Untouched};
pub(crate) use held::{Held, HeldMany};
pub(crate) use insert::{Mode, Put};
#[cfg(halfshake_loom)]
pub(crate) use local::forget_model_locals;
pub(crate) use local::{Local, Pin};
pub(crate) use lookup::Miss;
pub(crate) use remove::{Exact, Met};

use crate::budget::Budget;
use crate::clock::{Clock, Time};
use crate::entry::{EntryRef, Home, Object};
use crate::error::Refusal;
use crate::hash::Geometry;
use crate::reclaim::Collector;
use crate::removal::RemovalCause;
use crate::stats::{Blocks, Counter, Stats};
use crate::sync::{Flag, Ordering, PlainBool, PlainU64, Seen, Swap, Thread};
use crate::table::Table;
use crate::table::retired::Ready;
use crossbeam_utils::CachePadded;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A removal listener, as the engine calls it.
pub(crate) type Listener<O, X> =
    Box<dyn Fn(&Arc<Engine<O, X>>, EntryRef<'_, O>, RemovalCause) + Send + Sync>;

/// On which thread removal events are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// The thread whose operation unlinked the entry, before the operation returns. What the
    /// maintenance thread expires goes to the delivery thread all the same.
    #[default]
    Caller,
    /// A thread of the cache's own, for all events. Entries whose events wait keep their storage: a
    /// listener that is slower than the removals makes inserts fail with
    /// [`NoRoom`](crate::Refusal::NoRoom).
    Thread,
}

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) geometry: Geometry,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether a maintenance thread ticks.
    pub(crate) ticked: bool,
    pub(crate) delivery: Delivery,
    pub(crate) sweep_interval: Duration,
    /// Whether small entries lie in memory of the cache's own, and how much of it there is from the
    /// beginning, in bytes.
    pub(crate) own_memory: Option<u64>,
}

/// See the module's documentation. `X` is what the layer above keeps with it.
pub(crate) struct Engine<O: Object, X: Send + Sync + 'static> {
    /// Unique in the process; larger than those of engines made before.
    id: u64,
    /// Gone when the engine is: what thread locals look at.
    #[cfg_attr(halfshake_loom, expect(dead_code, reason = "models end memberships themselves"))]
    alive: Arc<()>,
    pub(crate) table: Table<O>,
    /// After the table, whose entries end before their memory does.
    pub(crate) slab: Home,
    pub(crate) budget: Budget,
    pub(crate) time: Time,
    collector: Collector,
    ready: Arc<Ready>,
    pub(crate) blocks: Blocks,
    listener: Swap<Listener<O, X>>,
    /// Whether there was ever a listener: most look-ups of it find none, and cost two fences.
    heard: Flag,
    delivery: Delivery,
    /// Where the next sweep goes on, in sets of all shards together.
    cursor: CachePadded<PlainU64>,
    pub(crate) sweep_interval: Duration,
    /// The weight of unlinked entries; counted only where bytes are limited.
    garbage_weight: CachePadded<PlainU64>,
    /// Events of threads that wait in `shutdown`.
    waiting: PlainU64,
    /// What has expired is not swept until somebody flushes.
    keeps_expired: PlainBool,
    /// Tells the cache's own threads to end.
    stop: Flag,
    /// The thread that delivers what was handed over.
    deliverer: OnceLock<Thread>,
    pub(crate) extra: X,
}

impl<O: Object, X: Send + Sync + 'static> Debug for Engine<O, X> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<O: Object, X: Send + Sync + 'static> Engine<O, X> {
    /// `Err`: the bytes that the machine does not have.
    pub(crate) fn new(settings: Settings, extra: X) -> Result<Arc<Self>, u64> {
        static NEXT: PlainU64 = PlainU64::new(1);
        Ok(Arc::new(Self {
            // Relaxed: uniqueness is all that is asked of it.
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            alive: Arc::new(()),
            table: Table::new(settings.geometry)?,
            slab: Home::new(settings.own_memory)?,
            budget: Budget::new(settings.entries, settings.bytes),
            time: Time::new(settings.clock, settings.ticked),
            collector: Collector::new(),
            ready: Arc::new(Ready::new(settings.geometry.total_sets())),
            blocks: Blocks::new(),
            listener: Swap::new(None),
            heard: Flag::new(false),
            delivery: settings.delivery,
            cursor: CachePadded::new(PlainU64::new(0)),
            sweep_interval: settings.sweep_interval,
            garbage_weight: CachePadded::new(PlainU64::new(0)),
            waiting: PlainU64::new(0),
            keeps_expired: PlainBool::new(false),
            stop: Flag::new(false),
            deliverer: OnceLock::new(),
            extra,
        }))
    }

    /// Sets, replaces or clears the removal listener. Operations under way use the one they saw.
    pub(crate) fn set_listener(&self, listener: Option<Listener<O, X>>) {
        let some = listener.is_some();
        self.listener.swap(listener.map(Arc::new));
        if some {
            // Relaxed: an operation that begins after this has returned finds both, and so does who
            // takes what it hands over, by the list; one that is under way may go without. Never
            // cleared again: a listener that was set meanwhile would be missed.
            self.heard.store(true, Ordering::Relaxed);
        }
    }

    /// The listener of an operation that begins now.
    fn listener(&self) -> Option<Seen<Listener<O, X>>> {
        // Relaxed: see `set_listener`; the pointer itself is ordered by arc-swap.
        self.heard.load(Ordering::Relaxed).then(|| self.listener.load())
    }

    pub(crate) fn has_listener(&self) -> bool {
        self.listener.load().is_some()
    }

    pub(crate) fn stats(&self) -> Stats {
        let now = self.time.now();
        let sets = self.table.geometry.total_sets();
        let limit_bytes = self.budget.limit_bytes();
        Stats {
            capacity: self.budget.limit(),
            capacity_bytes: (limit_bytes != crate::budget::UNLIMITED).then_some(limit_bytes),
            // Relaxed: a gauge.
            sweeps: self.cursor.load(Ordering::Relaxed) / sets,
            longest_pin: Duration::from_millis(self.blocks.longest_pin(now)),
            undelivered: self.blocks.undelivered(),
            ..self.blocks.read()
        }
    }

    /// The weight of an entry as its header holds it; counted and refused if it is too large.
    pub(crate) fn check_weight(&self, weight: u64) -> Result<u32, Refusal> {
        let limit = self.budget.limit_bytes().min(u64::from(u32::MAX));
        match u32::try_from(weight) {
            Ok(fits) if weight <= limit => Ok(fits),
            _ => {
                self.local().block.add(Counter::TooLarge, 1);
                Err(Refusal::TooLarge { weight, limit })
            }
        }
    }

    /// Names the thread that delivers what is handed over. Called once; operations that have begun
    /// by then may wake nobody, and it finds what they hand over when it looks by itself.
    pub(crate) fn set_deliverer(&self, thread: Thread) {
        let first = self.deliverer.set(thread);
        debug_assert!(first.is_ok(), "a cache has one delivery thread");
    }

    pub(crate) fn has_deliverer(&self) -> bool {
        self.deliverer.get().is_some()
    }

    pub(crate) fn wake_deliverer(&self) {
        if let Some(thread) = self.deliverer.get() {
            thread.unpark();
        }
    }

    /// Whether sweeps are left to the layer above.
    pub(crate) fn keep_expired(&self, keep: bool) {
        // Relaxed: the next round of maintenance goes by it.
        self.keeps_expired.store(keep, Ordering::Relaxed);
    }

    pub(crate) fn keeps_expired(&self) -> bool {
        // Relaxed: as above.
        self.keeps_expired.load(Ordering::Relaxed)
    }

    /// Tells the cache's own threads to end.
    pub(crate) fn ask_to_stop(&self) {
        // Release: pairs with the Acquire in `must_stop`; what was handed over before is seen.
        self.stop.store(true, Ordering::Release);
    }

    pub(crate) fn must_stop(&self) -> bool {
        // Acquire: pairs with the Release in `ask_to_stop`.
        self.stop.load(Ordering::Acquire)
    }
}
