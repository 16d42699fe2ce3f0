//! What a look-up outside ends with, for all who wait for it.
//!
//! One asker's look-up is shared by those who join it. Each has a *seat*. Of a callback that
//! answers at once the first asker brings the outcome. Of an asynchronous one the future lies in
//! the outcome as its *cargo*, and whoever is polled takes it out, polls it, and puts it back: so
//! any asker may be cancelled, or panic, and the others go on. The last one who leaves takes the
//! cargo with him, which ends the flight.
//!
//! # Nobody is stranded
//!
//! Between two polls of the cargo somebody must be woken. The future wakes all seats that wait, so
//! whoever leaves, or is polled no more, strands nobody: the others go on. One that finds the cargo
//! out waits in vain if the future has woken him just then. So whoever puts the cargo back, and was
//! woken meanwhile, wakes all others once more. (Model: `joins::woken`.)
//!
//! # Too long
//!
//! Each asker waits for the time-out at most, and a look-up that takes longer is joined no more:
//! who would join ends it, and asks anew. But while somebody polls it, he has a miss at once; so
//! the id of a callback that blocks for ever is a miss, and costs no second thread.
//!
//! # The lock
//!
//! It is held for a few instructions: futures, wakers and what they drop run without it.

use super::callbacks::AnswerFuture;
use super::flights::Departed;
use super::record::Session;
use crate::clock::Stopwatch;
use crate::panics::discard;
use crate::sync::{Flag, Lock, Ordering, Thread, current_thread, park_timeout};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Empty until the look-up is over, in whatever way.
pub(super) struct Outcome(Lock<State>);

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outcome")
    }
}

struct State {
    begun: Stopwatch,
    answer: Option<Option<Session>>,
    cargo: Option<Cargo>,
    /// By the number of their seat.
    waiting: BTreeMap<u64, Waker>,
    /// Askers that have come, ever, and that have left.
    came: u64,
    left: u64,
    /// It takes too long, or has failed, and the breaker has heard of it.
    has_failed: bool,
}

impl State {
    fn is_abandoned(&self) -> bool {
        self.answer.is_none() && self.left == self.came
    }
}

/// An asynchronous look-up that is under way.
pub(super) struct Cargo {
    pub(super) future: AnswerFuture,
    pub(super) flight: Departed<Outcome>,
    /// Whether its answer may be stored.
    pub(super) stores: bool,
    pub(super) since: Stopwatch,
}

/// One who waits for an outcome.
pub(super) struct Seat {
    outcome: Arc<Outcome>,
    number: u64,
    has_left: bool,
}

/// What becomes of one who would join.
pub(super) enum Joining {
    Waits(Seat),
    /// The answer is not there, and should be. Nobody polls its look-up now: it is his to end.
    Overdue {
        outcome: Arc<Outcome>,
        cargo: Cargo,
        waiting: u64,
    },
    /// The answer is not there, and should be: he has waited long enough without coming.
    TooLate(Arc<Outcome>),
}

/// The answer did not come in time.
#[derive(Debug)]
pub(super) struct TimedOut;

/// The look-up of a callback that answers at once: if it ends without an answer (the callback
/// panics), there is none.
pub(super) struct Bringing<'o>(pub(super) &'o Outcome);

impl Drop for Bringing<'_> {
    fn drop(&mut self) {
        self.0.tell(None);
    }
}

impl Outcome {
    /// The first asker's seat.
    pub(super) fn open() -> Seat {
        let state = State {
            begun: Stopwatch::start(),
            answer: None,
            cargo: None,
            waiting: BTreeMap::new(),
            came: 1,
            left: 0,
            has_failed: false,
        };
        Seat { outcome: Arc::new(Self(Lock::new(state))), number: 0, has_left: false }
    }

    /// For one who would join; `None` if everybody has left.
    pub(super) fn join(self: &Arc<Self>, timeout: Duration) -> Option<Joining> {
        let mut state = self.0.lock();
        if state.is_abandoned() {
            return None;
        }
        if state.answer.is_none() && state.begun.elapsed() > timeout {
            return Some(match state.cargo.take() {
                Some(cargo) => {
                    let waiting = state.came - state.left;
                    // They have waited in vain, and are counted by him: not again when they leave.
                    state.answer = Some(None);
                    Joining::Overdue { outcome: self.clone(), cargo, waiting }
                }
                None => Joining::TooLate(self.clone()),
            });
        }
        let number = state.came;
        state.came += 1;
        Some(Joining::Waits(Seat { outcome: self.clone(), number, has_left: false }))
    }

    /// Whether this is the first time that the look-up is said to fail.
    pub(super) fn fails_first(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().has_failed, true)
    }

    /// Begins once more for those who have joined, unless there are none, or they were told.
    pub(super) fn begin_again(&self) -> bool {
        let mut state = self.0.lock();
        let is_awaited = state.answer.is_none() && state.came - state.left > 1;
        if is_awaited {
            state.begun = Stopwatch::start();
            state.has_failed = false;
        }
        is_awaited
    }

    /// Tells everybody, once: what comes later changes nothing.
    pub(super) fn tell(&self, session: Option<Session>) {
        self.0.lock().answer.get_or_insert(session);
        self.wake_all();
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut self.0.lock().waiting);
        for waker in waiting.into_values() {
            // One that panics must not keep the others asleep.
            discard(catch_unwind(AssertUnwindSafe(|| waker.wake())).err());
        }
    }
}

impl Wake for Outcome {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl Seat {
    /// What the others share.
    pub(super) fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    /// Puts the look-up where any asker finds it.
    pub(super) fn load(&self, cargo: Cargo) {
        let old = self.outcome.0.lock().cargo.replace(cargo);
        debug_assert!(old.is_none(), "a look-up has one future");
    }

    /// The answer, if it is there; else polls the look-up by way of `fly`, unless somebody else is
    /// doing that. `fly` gives the cargo back until the answer is there, which it tells.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        fly: impl FnOnce(Cargo, &mut Context<'_>) -> Option<Cargo>,
    ) -> Poll<Option<Session>> {
        if let Some(answer) = self.answer_or_wait(cx.waker()) {
            return Poll::Ready(answer);
        }
        let Some(cargo) = self.outcome.0.lock().cargo.take() else { return Poll::Pending };
        let all = Waker::from(self.outcome.clone());
        if let Some(cargo) = fly(cargo, &mut Context::from_waker(&all)) {
            let mut state = self.outcome.0.lock();
            state.cargo = Some(cargo);
            let was_woken = !state.waiting.contains_key(&self.number);
            drop(state);
            if was_woken {
                // Others were woken, too, and found the cargo out.
                self.outcome.wake_all();
            }
            return Poll::Pending;
        }
        let answer = self.outcome.0.lock().answer.clone();
        Poll::Ready(answer.flatten())
    }

    fn answer_or_wait(&self, waker: &Waker) -> Option<Option<Session>> {
        let waker = waker.clone();
        let mut state = self.outcome.0.lock();
        if state.answer.is_some() {
            return state.answer.clone();
        }
        let old = state.waiting.insert(self.number, waker);
        drop(state);
        drop(old);
        None
    }

    /// As `poll`, on a thread that blocks until the answer is there, or the time is over.
    pub(super) fn wait(
        &self,
        timeout: Duration,
        fly: impl Fn(Cargo, &mut Context<'_>) -> Option<Cargo>,
    ) -> Result<Option<Session>, TimedOut> {
        block_on(timeout, |cx| self.poll(cx, &fly))
    }
}

impl Seat {
    /// Leaves. The last one who does takes the cargo with him, and ends it. `Ok`: the answer is
    /// there all the same.
    pub(super) fn leave(mut self) -> Result<Option<Session>, Option<Cargo>> {
        self.go()
    }

    fn go(&mut self) -> Result<Option<Session>, Option<Cargo>> {
        if std::mem::replace(&mut self.has_left, true) {
            return Err(None);
        }
        let mut state = self.outcome.0.lock();
        state.left += 1;
        let mine = state.waiting.remove(&self.number);
        let cargo = if state.is_abandoned() { state.cargo.take() } else { None };
        let answer = state.answer.clone();
        drop(state);
        drop(mine);
        answer.ok_or(cargo)
    }
}

impl Drop for Seat {
    /// For who comes to no end, in a panic.
    fn drop(&mut self) {
        let left = self.go();
        discard(catch_unwind(AssertUnwindSafe(|| drop(left))).err());
    }
}

/// Wakes a thread. That it is woken is noted, too: whatever it does while it polls may park it, and
/// use up what `unpark` leaves. (Model: `woken_sees`.)
struct Unpark {
    thread: Thread,
    woken: Flag,
}

impl Unpark {
    /// Whether it was woken since the last time. (For loom a swap alone may miss it for ever.)
    fn was_woken(&self) -> bool {
        // Relaxed: `unpark` ends the next park, after the store. Acquire: the Release in `wake`.
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire)
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        // Release: pairs with the Acquire in `was_woken`.
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls on this thread until it is ready, or the time is over: if it was woken by then, once more.
pub(super) fn block_on<T>(
    timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, TimedOut> {
    let unpark = Arc::new(Unpark { thread: current_thread(), woken: Flag::new(false) });
    let waker = Waker::from(unpark.clone());
    let begin = Stopwatch::start();
    let mut is_over = false;
    loop {
        if let Poll::Ready(answer) = poll(&mut Context::from_waker(&waker)) {
            return Ok(answer);
        }
        // Also for a future that is woken again and again.
        if is_over {
            return Err(TimedOut);
        }
        loop {
            let left = timeout.saturating_sub(begin.elapsed());
            is_over = left.is_zero();
            if unpark.was_woken() {
                break;
            }
            if is_over {
                return Err(TimedOut);
            }
            park_timeout(left);
        }
    }
}

#[cfg(all(test, not(any(halfshake_loom, halfshake_shuttle))))]
mod tests {
    use super::*;

    /// How often a future is polled until `block_on` ends, which is woken `wakes` times at once.
    fn polls(timeout: Duration, wakes: u32) -> (u32, Result<(), TimedOut>) {
        let mut polls = 0;
        let ended = block_on(timeout, |cx| {
            polls += 1;
            if polls > wakes {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        (polls, ended)
    }

    #[test]
    fn who_was_woken_by_the_end_of_the_time_is_polled_once_more_and_no_further() {
        assert!(matches!(polls(Duration::ZERO, 0), (1, Ok(()))));
        assert!(matches!(polls(Duration::ZERO, 1), (2, Ok(()))));
        assert!(matches!(polls(Duration::ZERO, 9), (2, Err(TimedOut))));
        let idle: Result<(), _> = block_on(Duration::ZERO, |_| Poll::Pending);
        assert!(idle.is_err());
    }

    #[test]
    fn answer_that_has_come_in_the_last_moment_is_there_for_who_leaves() {
        let first = Outcome::open();
        let outcome = first.outcome().clone();
        let Some(Joining::Waits(second)) = outcome.join(Duration::MAX) else { panic!("joins") };
        assert!(matches!(second.leave(), Err(None)), "nothing has come");
        outcome.tell(None);
        assert!(matches!(first.leave(), Ok(None)));
    }

    #[test]
    fn look_up_that_begins_again_may_fail_again() {
        let first = Outcome::open();
        let outcome = first.outcome().clone();
        assert!(!outcome.begin_again(), "for nobody");
        assert!(outcome.fails_first());
        assert!(!outcome.fails_first());
        let Some(Joining::Waits(_second)) = outcome.join(Duration::MAX) else { panic!("joins") };
        assert!(outcome.begin_again());
        assert!(outcome.fails_first(), "it is another question");
    }
}
