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
//! Between two polls of the cargo somebody must be woken. The future wakes all seats that wait.
//! One that finds the cargo out waits: whoever has it polls it again if it was woken meanwhile, for
//! that one was woken, too. And if he leaves instead, he wakes all others.
//!
//! # The lock
//!
//! It is held for a few instructions: futures, wakers and what they drop run without it.

use super::callbacks::AnswerFuture;
use super::flights::Departed;
use super::record::Session;
use crate::clock::Stopwatch;
use crate::panics::discard;
use crate::sync::Lock;
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

#[derive(Default)]
struct State {
    answer: Option<Option<Session>>,
    cargo: Option<Cargo>,
    /// By the number of their seat.
    waiting: Vec<(u64, Waker)>,
    /// Askers that have come, ever, and that have left.
    came: u64,
    left: u64,
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
        let outcome = Self(Lock::new(State { came: 1, ..State::default() }));
        Seat { outcome: Arc::new(outcome), number: 0, has_left: false }
    }

    /// A seat for one who joins; `None` if everybody has left.
    pub(super) fn join(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.0.lock();
        if state.is_abandoned() {
            return None;
        }
        let number = state.came;
        state.came += 1;
        Some(Seat { outcome: self.clone(), number, has_left: false })
    }

    /// Tells everybody, once: what comes later changes nothing.
    pub(super) fn tell(&self, session: Option<Session>) {
        self.0.lock().answer.get_or_insert(session);
        self.wake_all();
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut self.0.lock().waiting);
        for (_, waker) in waiting {
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
            self.outcome.0.lock().cargo = Some(cargo);
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
        let old = state.waiting.iter().position(|(number, _)| *number == self.number);
        let old = old.map(|at| state.waiting.swap_remove(at));
        state.waiting.push((self.number, waker));
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
    /// Leaves; whether that has ended the look-up.
    pub(super) fn leave(mut self) -> bool {
        self.go()
    }

    fn go(&mut self) -> bool {
        if std::mem::replace(&mut self.has_left, true) {
            return false;
        }
        let mut state = self.outcome.0.lock();
        state.left += 1;
        let mine = state.waiting.iter().position(|(number, _)| *number == self.number);
        let mine = mine.map(|at| state.waiting.swap_remove(at));
        let abandoned = state.is_abandoned();
        let cargo = if abandoned { state.cargo.take() } else { None };
        drop(state);
        let ends = cargo.is_some();
        drop((mine, cargo));
        if !abandoned {
            // Somebody has to go on with it.
            self.outcome.wake_all();
        }
        ends
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.go();
    }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls on this thread until it is ready, or the time is over.
pub(super) fn block_on<T>(
    timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, TimedOut> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let begin = Stopwatch::start();
    loop {
        if let Poll::Ready(answer) = poll(&mut Context::from_waker(&waker)) {
            return Ok(answer);
        }
        let left = timeout.checked_sub(begin.elapsed()).ok_or(TimedOut)?;
        std::thread::park_timeout(left);
    }
}
