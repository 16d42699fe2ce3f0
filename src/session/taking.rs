//! Takes: the internal cache, else the get callback, and one taker gets it.
//!
//! Why it is one: see `flights.rs`.

use super::SessionCache;
use super::callbacks::{Answer, AnswerFuture, Purpose};
use super::counters::Count;
use super::flights::Departed;
use super::found::{Found, Resumed};
use super::outcome::{Outcome, TimedOut, block_on};
use super::outside::{Inside, Question, Said, first_panic};
use crate::cache::Taken;
use crate::clock::Stopwatch;
use crate::removal::RemovalCause;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

/// A take, begun.
pub(super) enum Taking<'c> {
    Over(Option<Resumed<'c>>),
    Waits(TakeOutside),
}

/// A take that is out, of an asynchronous callback. Dropping it gives it up: the future ends, then
/// the flight.
pub(super) struct TakeOutside {
    future: AnswerFuture,
    flight: Departed<Outcome>,
    since: Stopwatch,
}

impl<C: 'static> SessionCache<C> {
    /// Waits for a take on this thread.
    pub(super) fn take_anywhere(&self, question: &Question<'_, C>) -> Option<Resumed<'_>> {
        let mut take = match self.depart_taking(question) {
            Taking::Over(taken) => return taken,
            Taking::Waits(take) => take,
        };
        match block_on(self.shared.lookup_timeout, |cx| self.fly_taking(&mut take, cx)) {
            Ok(answer) => self.arrive_taking(take, answer),
            Err(TimedOut) => {
                self.give_up_taking(take);
                None
            }
        }
    }

    pub(super) fn give_up_taking(&self, take: TakeOutside) {
        self.shared.counters.count(Count::TimedOut);
        self.failed();
        self.end_taking(take);
    }

    /// One who has taken nothing yet goes: the future ends, then the flight.
    pub(super) fn end_taking(&self, take: TakeOutside) {
        let TakeOutside { future, flight, .. } = take;
        self.end_quietly(future);
        drop(flight);
    }

    /// Takes inside, or begins to take outside.
    pub(super) fn depart_taking(&self, question: &Question<'_, C>) -> Taking<'_> {
        let (key, flights) = (question.key.bytes(), &self.shared.flights);
        let inside = self.rules().look_inside();
        let take_inside = || if inside { self.store.take(key) } else { None };
        let before = flights.before(key);
        let callbacks = &self.shared.callbacks;
        let alone = callbacks.get.load().is_none() && callbacks.new.load().is_none();
        if alone && flights.is_quiet(before) {
            let taken = take_inside().and_then(|taken| {
                let mine = flights.was_alone(before, key);
                self.taken_if(mine, taken)
            });
            return Taking::Over(taken);
        }
        let mut callback = None;
        // Ids that nobody knows cost no lock.
        if !inside || !self.store.contains(key) {
            callback = self.may_ask(question);
            if callback.is_none() {
                // Counted as the miss that it is.
                if inside && self.store.get(key).is_some() {
                    // Put since: it is no hit.
                    self.shared.counters.count(Count::OwnHits);
                }
                return Taking::Over(None);
            }
        }
        let board = |names: &[_], _| flights.board_taker(key, names);
        let Some((flight, is_nested)) = Inside::names(board) else { return Taking::Over(None) };
        if let Some(taken) = take_inside() {
            let mine = flight.claim(false);
            return Taking::Over(self.taken_if(mine, taken));
        }
        let Some(callback) = callback.or_else(|| self.may_ask(question)) else {
            return Taking::Over(None);
        };
        if is_nested {
            self.shared.counters.count(Count::Nested);
            return Taking::Over(None);
        }
        if !self.lets_through() {
            return Taking::Over(None);
        }
        let since = Stopwatch::start();
        let said = {
            let _inside = Inside::of(&flight);
            self.ask(question, &callback, Purpose::Take)
        };
        match said {
            Said::Now(answer) => Taking::Over(self.arrive_with(flight, since, answer)),
            Said::Later(future) => Taking::Waits(TakeOutside { future, flight, since }),
        }
    }

    /// What was taken inside, if it is the taker's: else it was no hit.
    fn taken_if<'c>(&self, mine: bool, taken: Taken<'c, [u8], [u8]>) -> Option<Resumed<'c>> {
        if !mine {
            self.shared.counters.count(Count::OwnHits);
        }
        mine.then_some(Resumed(Found::Taken(taken)))
    }

    /// Polls a take that is out.
    pub(super) fn fly_taking(&self, take: &mut TakeOutside, cx: &mut Context<'_>) -> Poll<Answer> {
        self.poll(&mut take.future, &take.flight, cx)
    }

    /// The end of a take that was out.
    pub(super) fn arrive_taking(
        &self,
        take: TakeOutside,
        answer: Answer,
    ) -> Option<Resumed<'static>> {
        let TakeOutside { future, flight, since } = take;
        let taken = catch_unwind(AssertUnwindSafe(|| self.arrive_with(flight, since, answer)));
        let ended = catch_unwind(AssertUnwindSafe(|| self.end(future)));
        first_panic(taken, ended).0
    }

    /// What a taker was given outside, if it may be used, and is the caller's.
    fn arrive_with(
        &self,
        flight: Departed<Outcome>,
        since: Stopwatch,
        answer: Answer,
    ) -> Option<Resumed<'static>> {
        let session = self.judge(answer, &flight, since, || true)?;
        if flight.is_void() {
            return None;
        }
        // A copy may lie there all the same: not looked for, put since, or expired, which one who
        // began before may see live.
        self.store.remove_because(flight.key(), RemovalCause::Taken);
        if flight.claim(true) { self.use_answer(Some(session)) } else { None }
    }
}
