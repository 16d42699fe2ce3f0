//! What every kind of cache under load has.

use crate::watch;
use crate::worker::Worker;
use halfshake::{Clock, ManualClock, Stats};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// One cache, its books, and what may be done with it.
pub(crate) trait World: Sync {
    fn name(&self) -> &'static str;

    /// What a thread does here: a few operations for each call.
    fn burst(&self) -> Box<dyn FnMut(&mut Worker) + '_>;

    /// The engine's counters.
    fn stats(&self) -> Stats;

    /// One round of maintenance.
    fn maintain(&self);

    /// How many entries a walk meets.
    fn walk(&self) -> u64;

    /// Once all is quiet: every law that can be checked, on what is there.
    fn check(&self) -> Result<(), String>;

    /// Shuts the cache down and checks that all was told of.
    fn end(&self) -> Result<(), String>;
}

/// Time that stands still while the books are checked, while the whole process does, and while
/// something is inserted: so what an entry says of its own deadline is no earlier than what the
/// cache goes by. (A cache's own view of the time may still come after, and move meanwhile.)
#[derive(Debug)]
pub(crate) struct Time {
    clock: Arc<ManualClock>,
    begun: Instant,
    /// When time passed last.
    passed: Mutex<Duration>,
    still: RwLock<()>,
}

/// Most that passes at a time: a process that was stopped has not lived on.
const MOST_PASSES: Duration = Duration::from_millis(50);
/// And the least: who inserts is seldom held up.
const LEAST_PASSES: Duration = Duration::from_micros(500);

impl Time {
    pub(crate) fn new(from: Duration) -> Self {
        let clock = ManualClock::new();
        clock.set(from);
        Self { clock, begun: Instant::now(), passed: Mutex::default(), still: RwLock::default() }
    }

    pub(crate) fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }

    /// Lets the clock go on, unless somebody does already.
    pub(crate) fn pass(&self) {
        let Ok(mut passed) = self.passed.try_lock() else { return };
        let now = self.begun.elapsed();
        let since = now.saturating_sub(*passed);
        if since < LEAST_PASSES {
            return;
        }
        let _alone = self.still.write().unwrap_or_else(PoisonError::into_inner);
        self.clock.advance(since.min(MOST_PASSES));
        *passed = now;
    }

    /// No time passes while this is held. Not to be asked for twice by one thread.
    pub(crate) fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.still.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// In whole milliseconds, as caches count.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX)
    }
}

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// What a listener panics with on purpose.
pub(crate) const INJECTED: &str = "injected";

/// Lets the next listener of this thread panic, and says whether one did.
pub(crate) fn armed(call: impl FnOnce()) -> bool {
    ARMED.set(true);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    ARMED.set(false);
    match ended {
        Ok(()) => false,
        Err(panic) if panic.downcast_ref::<&str>() == Some(&INJECTED) => true,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// In a listener, last: panics if it is to. Not in a listener's listener: that would be two panics,
/// and one caller that hears of it.
pub(crate) fn panic_if_armed() {
    if DEPTH.get() == 0 && ARMED.replace(false) {
        std::panic::panic_any(INJECTED);
    }
}

/// In a listener: does it unless this is a listener's listener already.
pub(crate) fn unless_nested(call: impl FnOnce()) {
    if DEPTH.get() == 0 {
        DEPTH.set(1);
        // A panic of what is called is a violation, and ends the run.
        call();
        DEPTH.set(0);
    }
}

/// What does not come to rest in this time, or in half of the run's patience, never will.
const RESTS: Duration = Duration::from_secs(60);

/// Waits until every event is delivered and all memory is reclaimed.
pub(crate) fn settle(world: &dyn World) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        world.maintain();
        let stats = world.stats();
        // Another thread may be at it: entries are counted as reclaimed before they are dropped,
        // and their bytes when they have been.
        let has_garbage = stats.retired_entries > 0 || stats.retired_bytes > 0;
        let is_quiet = stats.undelivered == 0 && !has_garbage;
        if is_quiet && stats.entries == world.walk() {
            return Ok(());
        }
        if begun.elapsed() > RESTS.min(watch::patience() / 2) {
            return Err(format!("an event or an entry never comes back: {stats:?}"));
        }
        std::thread::yield_now();
    }
}
