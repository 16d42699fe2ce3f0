//! The cache's own threads. One advances time and epochs and sweeps, and calls no user code; the
//! other delivers what the first one expired (and everything, if the cache is set up so), and drops
//! keys and values whose `Drop` is user code. A blocked listener thus delays other events, never
//! time.
//!
//! # Processes
//!
//! Threads do not survive a `fork`. A cache belongs to the process that built it, or, under
//! `Maintenance::Lazy`, to the one that first inserted into it, which starts its threads then. In
//! any other process nothing is told of its end, and nobody waits for threads that are not there.

use crate::cache::{Cache, Stored};
use crate::engine::{Engine, Local, Untouched};
use crate::entry::Object;
use crate::error::BadSetting;
use crate::panics::discard;
use crate::sync::{
    JoinHandle, Ordering, PlainBool, PlainU64, ThreadBuilder, park_timeout, this_thread,
};
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two rounds: how coarse the clock of the look-ups is. While there is garbage the epoch
/// advances about once a round. (More often costs more than it brings: a wake-up takes some tens of
/// microseconds, and writers free what they retire themselves.)
const ROUND: Duration = Duration::from_millis(4);
/// The delivery thread is woken; this only bounds how late it sees a lost wake-up.
const DELIVERER: Duration = Duration::from_millis(100);
/// Removals in one slice of a sweep.
const SLICE: u64 = 4096;
/// Victims of a lowered limit in one round: time goes on in between.
const DEBT: u64 = 256;

/// The threads of one cache, until they are joined.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    fn lock(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the threads to end, but for the calling one.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.lock());
        for thread in threads {
            if thread.thread().id() != this_thread() {
                thread.thread().unpark();
                // Its panic, if any, was reported when it happened.
                let _ended = thread.join();
            }
        }
    }
}

/// To which process a cache belongs, and where its threads are.
#[derive(Debug)]
pub(crate) struct Process {
    /// Whether the threads start with the first insert.
    lazy: bool,
    /// 0: to none yet.
    owner: PlainU64,
    /// Under `lazy`, the process that has started its threads.
    maintained: PlainU64,
    /// It was shut down: there is nothing left for threads to do.
    is_closed: PlainBool,
}

impl Process {
    pub(crate) fn new(lazy: bool) -> Self {
        let owner = if lazy { 0 } else { this_process() };
        let (owner, maintained) = (PlainU64::new(owner), PlainU64::new(0));
        Self { lazy, owner, maintained, is_closed: PlainBool::new(false) }
    }

    /// Starts no threads from now on.
    pub(crate) fn close(&self) {
        // Relaxed: an insert that does not see it yet starts them, and they end with the cache.
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// For an insert: starts the threads, under `lazy`, if this process has none. If the system has
    /// no thread to give, the next insert tries again.
    #[inline]
    pub(crate) fn enter(&self, start: impl FnOnce() -> Result<(), BadSetting>) {
        if self.lazy {
            self.enter_lazily(start);
        }
    }

    /// Whether it belongs to another process: this one is a child of that.
    pub(crate) fn is_elsewhere(&self) -> bool {
        // Relaxed: of this process it is known, and of another one it was written before the fork.
        let owner = self.owner.load(Ordering::Relaxed);
        owner != 0 && owner != this_process()
    }

    #[cold]
    fn enter_lazily(&self, start: impl FnOnce() -> Result<(), BadSetting>) {
        let this = this_process();
        // Relaxed: nothing is published by it; the compare-exchange lets one thread start them.
        let seen = self.maintained.load(Ordering::Relaxed);
        if seen == this || self.is_closed.load(Ordering::Relaxed) || self.is_elsewhere() {
            return;
        }
        // Relaxed: see `is_elsewhere`. The first one stays.
        let _known = self.owner.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed);
        let starts =
            self.maintained.compare_exchange(seen, this, Ordering::Relaxed, Ordering::Relaxed);
        if starts.is_ok() && start().is_err() {
            // Relaxed: as above; what has been started, the lock of `Threads` tells the next one.
            self.maintained.store(0, Ordering::Relaxed);
        }
    }
}

fn this_process() -> u64 {
    std::process::id().into()
}

/// Starts the threads that a cache needs, and has not: one may have come, and the other not.
pub(crate) fn start<O: Object, X: Send + Sync + 'static>(
    engine: &Arc<Engine<O, X>>,
    threads: &Threads,
    maintenance: bool,
    deliverer: bool,
) -> Result<(), BadSetting>
where
    O::Key: Eq,
{
    let refused = |e: std::io::Error| BadSetting::Thread { message: e.to_string() };
    let spawn = |name: &str, body: fn(&Arc<Engine<O, X>>)| {
        let engine = engine.clone();
        ThreadBuilder::new().name(name.to_owned()).spawn(move || body(&engine))
    };
    let mut threads = threads.lock();
    if deliverer && !engine.has_deliverer() {
        let thread = spawn("halfshake-events", deliver).map_err(refused)?;
        engine.set_deliverer(thread.thread().clone());
        threads.push(thread);
    }
    if maintenance {
        threads.push(spawn("halfshake-time", maintain).map_err(refused)?);
    }
    Ok(())
}

fn maintain<O: Object, X: Send + Sync + 'static>(engine: &Arc<Engine<O, X>>)
where
    O::Key: Eq,
{
    let local = engine.local();
    // A pass takes half of the interval, so that whatever expires behind it is met in time.
    let sets = engine.table.geometry.total_sets();
    let pass_ms = u64::try_from(engine.sweep_interval.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    let mut untouched = Untouched::default();
    // Counted from the clock's origin, not from when this thread came to run: whatever expired
    // before then is met in time, too.
    let mut swept = 0u64;
    while !engine.must_stop() {
        let round = AssertUnwindSafe(|| {
            let now = engine.time.tick();
            sweep_up_to(engine, &local, &mut swept, sets, (now, pass_ms));
            // No listener runs here, so there is no panic to tell of.
            let paid = engine.pay_debt(&local, DEBT, true);
            let more_memory = engine.slab.prepare();
            let (retired, _) = engine.blocks.retired();
            if retired != 0 {
                match engine.collect_stale(&local, &mut untouched) {
                    true if O::DROPS_USER_CODE => engine.wake_deliverer(),
                    true => _ = engine.recycle_for_good(&local),
                    false => {}
                }
            }
            // What others pay, or hold, is theirs to end: this thread can't hasten it.
            let may_pay_more = paid.evicted != 0 && engine.budget.debt() != 0;
            if may_pay_more || more_memory { Duration::ZERO } else { ROUND }
        });
        // The only user code here is a clock of the user's own: it may panic, and is asked again.
        match catch_unwind(round) {
            Ok(wait) => park_timeout(wait),
            Err(payload) => {
                discard(payload);
                park_timeout(ROUND);
            }
        }
    }
}

/// Sweeps what is due by now at one pass in `pass_ms`.
fn sweep_up_to<O: Object, X: Send + Sync + 'static>(
    engine: &Arc<Engine<O, X>>,
    local: &Rc<Local>,
    swept: &mut u64,
    sets: u64,
    (now, pass_ms): (u64, u64),
) where
    O::Key: Eq,
{
    let due = u128::from(sets) * u128::from(now) / u128::from(pass_ms);
    while u128::from(*swept) < due && !engine.must_stop() {
        let left = u64::try_from(due - u128::from(*swept)).unwrap_or(u64::MAX);
        // More than one pass behind (a suspended machine): one pass is enough.
        if left > sets {
            *swept += left - sets;
        }
        *swept += match engine.keeps_expired() {
            true => left.min(sets),
            false => engine.sweep(local, (left.min(sets), SLICE), true).sets,
        };
    }
}

fn deliver<O: Object, X: Send + Sync + 'static>(engine: &Arc<Engine<O, X>>)
where
    O::Key: Eq,
{
    let local = engine.local();
    loop {
        // Looked at first: what was handed over before the end is delivered before the end.
        let last = engine.must_stop();
        let delivered = engine.deliver_handed(&local);
        engine.recycle_for_good(&local);
        if last {
            return;
        }
        if delivered == 0 {
            park_timeout(DELIVERER);
        }
    }
}

impl<K, V, S> Cache<K, V, S>
where
    K: ?Sized + Stored<V> + Hash + Eq,
    V: ?Sized + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Does what the maintenance thread would: sweeps until `budget` entries were removed or every
    /// set was looked at, advances the epoch, frees memory. Events are delivered as ever: here, or
    /// by the delivery thread if the cache has one for all events.
    ///
    /// # Panics
    /// If a removal listener does; the sweep was finished then, too.
    pub fn run_maintenance(&self, budget: usize) -> Progress {
        run(&self.core, u64::MAX, budget as u64)
    }

    /// The same in a bounded time, for a thread that must not pause: looks at the room for 512
    /// entries, where the call before has ended. It maps no memory ahead: see
    /// [`Builder::preallocate`](crate::Builder::preallocate).
    ///
    /// # Panics
    /// As for [`run_maintenance`](Self::run_maintenance).
    pub fn run_maintenance_step(&self) -> Progress {
        run(&self.core, STEP, u64::MAX)
    }
}

/// Sets that a step of maintenance looks at: those of 512 entries in a cache that is full.
const STEP: u64 = 64;

/// What the maintenance thread does, on the embedder's, for so many sets at `most`.
fn run<O: Object, X: Send + Sync + 'static>(
    core: &Arc<Engine<O, X>>,
    most: u64,
    budget: u64,
) -> Progress
where
    O::Key: Eq,
{
    let local = core.local();
    let sets = core.table.geometry.total_sets();
    let sets_to_sweep = if core.keeps_expired() { 0 } else { sets.min(most) };
    let swept = core.sweep(&local, (sets_to_sweep, budget), false);
    let paid = core.pay_debt(&local, most, false);
    core.collect(&local);
    if most == u64::MAX {
        core.slab.prepare_all();
    }
    let progress = Progress {
        expired: swept.removed,
        recycled: core.recycle_for_good(&local),
        swept_sets: swept.sets,
        complete: swept.sets >= sets,
    };
    match swept.panic.or(paid.panic) {
        Some(panic) => std::panic::resume_unwind(panic),
        None => progress,
    }
}

/// What [`Cache::run_maintenance`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Entries that had expired and were removed.
    pub expired: u64,
    /// Removed entries whose memory was freed.
    pub recycled: u64,
    /// Sets that were looked at.
    pub swept_sets: u64,
    /// Whether every set was looked at.
    pub complete: bool,
}

#[cfg(all(test, not(halfshake_loom)))]
mod tests {
    use crate::{BytesCache, Delivery, Maintenance};

    #[test]
    fn nobody_gets_threads_that_are_not_needed() {
        use Delivery::{Caller, Thread};
        let threads = |maintenance, delivery| {
            let builder = BytesCache::builder().capacity(1).maintenance(maintenance);
            builder.delivery(delivery).build().unwrap().core.extra.threads.0.lock().unwrap().len()
        };
        assert_eq!(threads(Maintenance::Embedder, Caller), 0);
        assert_eq!(threads(Maintenance::Embedder, Thread), 1);
        assert_eq!(threads(Maintenance::Thread, Caller), 2);
        assert_eq!(threads(Maintenance::Lazy, Thread), 0);
    }
}
