//! Time: a monotonic clock that can be injected, and the coarse word that look-ups read.
//!
//! One *tick* is a millisecond of the cache's clock. An entry is expired when `now >= deadline`.
//!
//! Loom: `time_goes_on`.

use crate::sync::{Ordering, PlainU64, Word};
use crossbeam_utils::CachePadded;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A monotonic clock.
///
/// A clock that steps back is tolerated: a cache never uses a time older than the latest that it
/// has seen, so an expired entry stays expired.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Time since an origin of the clock's own choice.
    fn now(&self) -> Duration;
}

/// The operating system's monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock that starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the room of the clock")]
        Self { origin: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// How long something takes, by the operating system's clock: for waiting, and for statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the room of the clock")]
        Self(std::time::Instant::now())
    }

    /// In models no time goes by.
    pub(crate) fn elapsed(self) -> Duration {
        if cfg!(halfshake_loom) { Duration::ZERO } else { self.0.elapsed() }
    }
}

/// The operating system's wall clock: time since 1970. For what leaves the process.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WallClock;

impl Clock for WallClock {
    /// A machine whose clock stands before 1970 has the time 0.
    fn now(&self) -> Duration {
        #[expect(clippy::disallowed_methods, reason = "this is the room of the clock")]
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that moves only when it is told to: for tests of whatever depends on a timeout.
///
/// ```
/// use halfshake::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Duration::from_secs(3));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    nanoseconds: PlainU64,
}

impl ManualClock {
    /// A clock that stands at zero, ready to be shared with a cache.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Moves the clock forward; if several threads do at once, by the sum. It stops at the largest
    /// time that it can tell, 584 years.
    pub fn advance(&self, by: Duration) {
        let by = whole_nanoseconds(by);
        let later = |now: u64| Some(now.saturating_add(by));
        // Relaxed: the time publishes nothing but itself. It always changes.
        let _was = self.nanoseconds.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Sets the clock, also back (a cache then keeps to the latest time that it has seen).
    pub fn set(&self, to: Duration) {
        // Relaxed: as above.
        self.nanoseconds.store(whole_nanoseconds(to), Ordering::Relaxed);
    }
}

fn whole_nanoseconds(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// A deadline that no clock reaches.
pub(crate) const NEVER: u64 = u64::MAX;

/// Whole ticks, rounded up: a timeout never ends before it was asked to.
pub(crate) fn ticks_up(d: Duration) -> u64 {
    u64::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(NEVER)
}

/// Whole ticks, rounded down: the clock's present tick, before `NEVER` whatever the clock says.
pub(crate) fn ticks_down(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(NEVER).min(NEVER - 1)
}

/// What the engine asks for the time.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    /// Whether somebody calls [`Time::tick`] all the time, so that operations need not.
    ticked: bool,
    /// The latest tick seen by anybody; never decreases.
    seen: CachePadded<Word>,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>, ticked: bool) -> Self {
        let seen = CachePadded::new(Word::new(ticks_down(clock.now())));
        Self { clock, ticked, seen }
    }

    /// The present tick: one relaxed load where a maintenance thread ticks, else the clock itself.
    pub(crate) fn now(&self) -> u64 {
        // Relaxed: a time publishes nothing; a thread's own view never steps back (coherence).
        if self.ticked { self.seen() } else { self.tick() }
    }

    /// As `now`; but if a clock of the user's own panics, the latest tick that was seen: for the
    /// end of a cache, which must come in any case.
    pub(crate) fn now_in_any_case(&self) -> u64 {
        let now = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.now()));
        now.unwrap_or_else(|payload| {
            crate::panics::discard(payload);
            self.seen()
        })
    }

    /// The latest tick that anybody has seen.
    pub(crate) fn seen(&self) -> u64 {
        // Relaxed: as in `now`.
        self.seen.load(Ordering::Relaxed)
    }

    /// Reads the clock and moves the shared word forward, never back.
    pub(crate) fn tick(&self) -> u64 {
        let read = ticks_down(self.clock.now());
        let seen = self.seen.load(Ordering::Relaxed);
        if read <= seen {
            return seen;
        }
        // Relaxed: as above. A read-modify-write, so that a late thread can't set the word back.
        self.seen.fetch_max(read, Ordering::Relaxed).max(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_and_the_clock_down() {
        assert_eq!(ticks_up(Duration::from_micros(1)), 1);
        assert_eq!(ticks_up(Duration::ZERO), 0);
        assert_eq!(ticks_down(Duration::from_micros(1999)), 1);
        assert_eq!(ticks_up(Duration::MAX), NEVER);
    }

    #[test]
    fn a_manual_clock_goes_forward_by_all_that_it_is_told_and_stops_at_its_end() {
        let clock = ManualClock::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| clock.advance(Duration::from_micros(1))));
            }
        });
        assert_eq!(clock.now(), Duration::from_millis(4));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Duration::from_nanos(u64::MAX));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_turn_time_back() {
        let clock = ManualClock::new();
        let time = Time::new(clock.clone(), false);
        clock.set(Duration::from_secs(5));
        assert_eq!(time.now(), 5000);
        clock.set(Duration::from_secs(1));
        assert_eq!(time.now(), 5000);
    }

    #[test]
    fn a_ticked_clock_stands_still_until_it_is_ticked() {
        let clock = ManualClock::new();
        let time = Time::new(clock.clone(), true);
        clock.set(Duration::from_secs(5));
        assert_eq!(time.now(), 0);
        time.tick();
        assert_eq!(time.now(), 5000);
    }

    #[test]
    fn clocks_of_the_system_go_on_and_count_from_where_they_say() {
        let clock = SystemClock::new();
        let before = clock.now();
        assert!((0..u32::MAX).any(|_| clock.now() > before), "it stands still");
        let year_2026 = Duration::from_secs(1_767_225_600);
        assert!(WallClock.now() > year_2026);
        assert!(clock.now() < year_2026);
    }
}
