//! What every kind of cache under load has.

use crate::worker::Worker;
use halfshake::{ManualClock, Stats};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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

/// Time that stands still while the books are checked, and while the whole process does.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Arc<ManualClock>,
    begun: Instant,
    /// When time passed last, in nanoseconds since then.
    passed: AtomicU64,
}

/// Most that passes at a time: a process that was stopped has not lived on.
const MOST_PASSES: Duration = Duration::from_millis(50);

impl Time {
    pub(crate) fn new(from: Duration) -> Self {
        let clock = ManualClock::new();
        clock.set(from);
        Self { clock, begun: Instant::now(), passed: AtomicU64::new(0) }
    }

    pub(crate) fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }

    /// Lets the clock go on. Two threads at once may set it back a little: caches bear that.
    pub(crate) fn pass(&self) {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let passed = now.saturating_sub(self.passed.fetch_max(now, Relaxed));
        self.clock.advance(Duration::from_nanos(passed).min(MOST_PASSES));
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

/// Waits until every event is delivered and all memory is reclaimed.
pub(crate) fn settle(world: &dyn World) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        world.maintain();
        let stats = world.stats();
        let is_quiet = stats.undelivered == 0 && stats.retired_entries == 0;
        if is_quiet && stats.entries == world.walk() {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("nothing comes to rest: {stats:?}"));
        }
        std::thread::yield_now();
    }
}
