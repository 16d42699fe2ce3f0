//! Look-ups outside: the get callback is asked. What becomes of its answer: `arrival.rs`.
//!
//! Nothing here is on the path of an internal hit. What keeps the many from hurting: single flight
//! (`flights.rs`, `outcome.rs`), unknown ids (`unknown.rs`), the breaker (`breaker.rs`), the budget
//! of a ClientHello (`hello.rs`).

use super::SessionCache;
use super::callbacks::{Answer, AnswerFuture, Asked, Getter, Purpose};
use super::counters::Count;
use super::flights::{Boarding, Departed, FlightName};
use super::found::{Found, Resumed};
use super::id::{Key, Namespace};
use super::modes::Modes;
use super::outcome::{Bringing, Cargo, Joining, Outcome, Seat, TimedOut};
use crate::clock::Stopwatch;
use crate::engine::Miss;
use crate::panics::discard;
use crate::sync::per_thread;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::Result as Caught;

per_thread! {
    /// The look-ups outside whose callback the thread is inside of. Such a thread waits for nobody,
    /// or two could wait for one another.
    static INSIDE: RefCell<Vec<FlightName>> = RefCell::new(Vec::new());
}

/// The thread is inside of a callback.
pub(super) struct Inside;

impl Inside {
    pub(super) fn of<T>(flight: &Departed<T>) -> Self {
        let _late = INSIDE.try_with(|inside| inside.borrow_mut().push(flight.name()));
        Self
    }

    /// What this thread is inside of, and whether it may wait for others: not inside of anything,
    /// nor at the end of the thread, when its own variables are gone.
    pub(super) fn names<R>(use_names: impl FnOnce(&[FlightName], bool) -> R) -> R {
        let names = INSIDE.try_with(|inside| inside.borrow().clone());
        let may_wait = names.as_ref().is_ok_and(Vec::is_empty);
        use_names(&names.unwrap_or_default(), may_wait)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _late = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}

/// A look-up outside, begun.
pub(super) enum Begun<'c> {
    /// It is over.
    Over(Option<Resumed<'c>>),
    /// Somebody has to wait for it.
    Waits(Seat),
}

/// What the callback said.
pub(super) enum Said {
    Now(Answer),
    Later(AnswerFuture),
}

/// What the two have brought, unless one of them has panicked: then the first one that did goes on.
pub(super) fn first_panic<R, S>(first: Caught<R>, second: Caught<S>) -> (R, S) {
    match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Ok(_), Err(panic)) => resume_unwind(panic),
        (Err(panic), second) => {
            discard(second.err());
            resume_unwind(panic)
        }
    }
}

/// Who asks for what: a connection, a namespace, an id.
pub(super) struct Question<'q, C> {
    pub(super) connection: &'q C,
    pub(super) namespace: &'q Namespace,
    pub(super) id: &'q [u8],
    pub(super) key: &'q Key,
    /// Whether the look-up may go outside.
    pub(super) spend: &'q dyn Fn() -> bool,
}

impl<C: 'static> SessionCache<C> {
    /// Waits for a look-up outside on this thread.
    #[cold]
    pub(super) fn resume_outside(
        &self,
        question: &Question<'_, C>,
        modes: Modes,
        missed: Option<Miss>,
    ) -> Option<Resumed<'_>> {
        let seat = match self.depart(question, modes, missed) {
            Begun::Over(found) => return found,
            Begun::Waits(seat) => seat,
        };
        let outcome = seat.outcome().clone();
        match seat.wait(self.shared.lookup_timeout, |cargo, cx| self.fly(&outcome, cargo, cx)) {
            Ok(answer) => self.use_late_answer(answer),
            Err(TimedOut) => self.give_up(seat),
        }
    }

    /// One who waits does so no longer. An answer that has come in the last moment is one.
    pub(super) fn give_up(&self, seat: Seat) -> Option<Resumed<'static>> {
        let outcome = seat.outcome().clone();
        match seat.leave() {
            Ok(answer) => self.use_late_answer(answer),
            Err(cargo) => {
                self.count_time_out(&outcome);
                cargo.into_iter().for_each(|cargo| self.end_cargo(cargo));
                None
            }
        }
    }

    /// One who waits goes, whatever comes.
    #[cfg(feature = "async")]
    pub(super) fn leave(&self, seat: Seat) {
        seat.leave().err().flatten().into_iter().for_each(|cargo| self.end_cargo(cargo));
    }

    /// The future ends, then the flight.
    fn end_cargo(&self, cargo: Cargo) {
        let Cargo { future, flight, .. } = cargo;
        self.end_quietly(future);
        drop(flight);
    }

    /// The breaker hears once of a look-up that takes too long, however many wait for it.
    fn count_time_out(&self, outcome: &Outcome) {
        self.shared.counters.count(Count::TimedOut);
        if outcome.fails_first() {
            self.failed();
        }
    }

    /// Begins a look-up outside, or joins one. Of a callback that answers at once it is over then.
    /// `missed`: what it was counted as inside, if it looked there.
    pub(super) fn depart(
        &self,
        question: &Question<'_, C>,
        modes: Modes,
        mut missed: Option<Miss>,
    ) -> Begun<'_> {
        if self.expired_hides(modes, question.key) {
            return Begun::Over(None);
        }
        let mut callback = self.may_ask(question);
        if callback.is_none() {
            return Begun::Over(None);
        }
        let key = question.key.bytes();
        let mut again = None;
        loop {
            let may_join = again.is_none();
            let seat = again.take().unwrap_or_else(Outcome::open);
            let flight = match self.board(key, &seat, may_join) {
                Ok(flight) => flight,
                Err(begun) => return begun,
            };
            let bringing = Bringing(seat.outcome());
            // Again, after boarding: whoever changes them marks the flights that he finds, and
            // those that board later see what he did (the board's lock).
            let now = self.rules();
            let stores = modes.store_inside() && now.store_inside();
            // It may have been put since it was looked for: what is inside hides what is outside.
            if modes.look_inside() && now.look_inside() && self.store.contains(key) {
                // Its end, if it was replaced meanwhile, must not find the thread pinned.
                callback = None;
                // Off the board before it looks: who joined it began before, and may be told of
                // what is inside then. Who comes later may know it to be removed.
                drop(flight);
                if let Some(found) = self.look_inside_again(key, seat.outcome(), &mut missed) {
                    return Begun::Over(Some(found));
                }
                // It has left meanwhile, and may be outside. Who has joined and was told nothing
                // waits for that, too.
                if seat.outcome().begin_again() {
                    std::mem::forget(bringing);
                    again = Some(seat);
                }
                continue;
            }
            let Some(callback) = callback.or_else(|| self.shared.callbacks.get.load_full()) else {
                return Begun::Over(None);
            };
            if !self.lets_through() {
                return Begun::Over(None);
            }
            let since = Stopwatch::start();
            let said = {
                let _inside = Inside::of(&flight);
                self.ask(question, &callback, Purpose::Resume)
            };
            return match said {
                Said::Now(answer) => {
                    let answer = self.arrive(seat.outcome(), flight, stores, since, answer);
                    Begun::Over(self.use_answer(answer))
                }
                Said::Later(future) => {
                    std::mem::forget(bringing);
                    seat.load(Cargo { future, flight, stores, since });
                    Begun::Waits(seat)
                }
            };
        }
    }

    /// What is inside after all; those who have joined are told of it, too.
    fn look_inside_again(
        &self,
        key: &[u8],
        outcome: &Outcome,
        missed: &mut Option<Miss>,
    ) -> Option<Resumed<'_>> {
        let inside = |found| Resumed(Found::Inside(found));
        let there = self.store.peek(key).map(inside)?;
        let copy = there.to_session();
        // Nothing is pinned when those who have joined are woken.
        drop(there);
        outcome.tell(Some(copy));
        // One look-up, and one count of it: the last one.
        let found = self.store.get_or_miss(key);
        let earlier = std::mem::replace(missed, found.as_ref().err().copied());
        self.shared.counters.take_back(earlier);
        found.ok().map(inside)
    }

    /// Puts a look-up on the board, unless another one may be joined, or it may not wait for one.
    /// `may_join`: whether nobody waits for this one.
    fn board(
        &self,
        key: &[u8],
        seat: &Seat,
        may_join: bool,
    ) -> Result<Departed<Outcome>, Begun<'_>> {
        let counters = &self.shared.counters;
        loop {
            let shared = seat.outcome().clone();
            let board = |names: &[_], may_wait: bool| {
                let join = |theirs: &Arc<Outcome>| {
                    let joins = may_wait && may_join;
                    joins.then(|| theirs.join(self.shared.lookup_timeout)).flatten()
                };
                self.shared.flights.board(key, shared, names, join)
            };
            match Inside::names(board) {
                Boarding::Departed(flight) => return Ok(flight),
                Boarding::Joined(Joining::Waits(seat)) => {
                    counters.count(Count::Joined);
                    return Err(Begun::Waits(seat));
                }
                Boarding::Joined(Joining::Overdue { outcome, cargo, waiting }) => {
                    counters.sum_up(Count::TimedOut, waiting);
                    if outcome.fails_first() {
                        self.failed();
                    }
                    outcome.tell(None);
                    self.end_cargo(cargo);
                }
                Boarding::Joined(Joining::TooLate(outcome)) => {
                    self.count_time_out(&outcome);
                    return Err(Begun::Over(None));
                }
                Boarding::Own => {
                    counters.count(Count::Nested);
                    return Err(Begun::Over(None));
                }
            }
        }
    }

    /// The callback, if this question may be put to it.
    pub(super) fn may_ask(&self, question: &Question<'_, C>) -> Option<Arc<Getter<C>>> {
        let shared = &self.shared;
        let callback = shared.callbacks.get.load_full()?;
        if shared.unknown.has(shared.flights.hash(question.key.bytes()), self.tick()) {
            shared.counters.count(Count::Remembered);
            return None;
        }
        (question.spend)().then_some(callback)
    }

    pub(super) fn lets_through(&self) -> bool {
        let lets = self.shared.breaker.lets_through(self.tick());
        if !lets {
            self.shared.counters.count(Count::Broken);
        }
        lets
    }

    pub(super) fn failed(&self) {
        if self.shared.breaker.failed(self.tick()) {
            self.shared.counters.count(Count::Opened);
        }
    }

    /// Polls an asynchronous look-up once; the cargo comes back if there is no answer yet.
    pub(super) fn fly(
        &self,
        outcome: &Outcome,
        mut cargo: Cargo,
        cx: &mut Context<'_>,
    ) -> Option<Cargo> {
        let bringing = Bringing(outcome);
        match self.poll(&mut cargo.future, &cargo.flight, cx) {
            Poll::Pending => {
                std::mem::forget(bringing);
                Some(cargo)
            }
            Poll::Ready(answer) => {
                let Cargo { future, flight, stores, since } = cargo;
                // Both may panic, and neither must keep the other from being done.
                let arrived = catch_unwind(AssertUnwindSafe(|| {
                    self.arrive(outcome, flight, stores, since, answer);
                }));
                // After all have been told: it may ask for the same id.
                let ended = catch_unwind(AssertUnwindSafe(|| self.end(future)));
                first_panic(arrived, ended);
                None
            }
        }
    }

    /// Ends a future of the callback's that has answered.
    pub(super) fn end(&self, future: AnswerFuture) {
        crate::holding::assert_none();
        self.count_panic(catch_unwind(AssertUnwindSafe(|| drop(future))));
    }

    /// The same for one that is given up: nobody is told of its panic, which is counted.
    pub(super) fn end_quietly(&self, future: AnswerFuture) {
        discard(catch_unwind(AssertUnwindSafe(|| self.end(future))).err());
    }

    /// Polls a future of the callback's: no lock is held, nothing is pinned.
    pub(super) fn poll(
        &self,
        future: &mut AnswerFuture,
        flight: &Departed<Outcome>,
        cx: &mut Context<'_>,
    ) -> Poll<Answer> {
        let _inside = Inside::of(flight);
        crate::holding::assert_none();
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        if polled.is_err() {
            // Its end may panic in turn, and must not while this panic goes on.
            let broken = std::mem::replace(future, Box::pin(std::future::pending()));
            discard(catch_unwind(AssertUnwindSafe(|| drop(broken))).err());
        }
        self.count_panic(polled)
    }

    /// Calls the get callback: no lock is held, nothing is pinned.
    pub(super) fn ask(
        &self,
        question: &Question<'_, C>,
        callback: &Getter<C>,
        purpose: Purpose,
    ) -> Said {
        let Question { connection, namespace, id, .. } = *question;
        let asked = Asked { cache: self, namespace, id, purpose };
        self.shared.counters.count(Count::Asked);
        crate::holding::assert_none();
        let said = catch_unwind(AssertUnwindSafe(|| match callback {
            Getter::Sync(callback) => Said::Now(callback(connection, &asked)),
            Getter::Async(callback) => Said::Later(callback(connection, &asked)),
        }));
        self.count_panic(said)
    }

    fn count_panic<R>(&self, called: Caught<R>) -> R {
        called.unwrap_or_else(|panic| {
            self.shared.counters.count(Count::GetPanics);
            self.failed();
            resume_unwind(panic)
        })
    }
}
