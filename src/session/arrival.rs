//! What becomes of the answers of the get callback: checked, shared, stored.

use super::SessionCache;
use super::callbacks::{Answer, Given};
use super::compat::Compat;
use super::counters::{Count, Rejection};
use super::entry::encode;
use super::flights::Departed;
use super::found::{Found, Resumed};
use super::id::{SessionId, split};
use super::outcome::Outcome;
use super::outside::Inside;
use super::record::{Session, milliseconds};
use crate::clock::Stopwatch;

impl<C: 'static> SessionCache<C> {
    /// An answer is there: checks it, tells everybody, stores it. The flight is over then.
    pub(super) fn arrive(
        &self,
        outcome: &Outcome,
        flight: Departed<Outcome>,
        stores: bool,
        since: Stopwatch,
        answer: Answer,
    ) -> Option<Session> {
        let (answer, unchecked) = self.before_check(answer, self.rules());
        let session = self.judge(answer, &flight, since, || outcome.fails_first());
        // Before it is stored: what that evicts is told about, and nobody waits for that.
        outcome.tell(session.clone());
        if let Some(unchecked) = unchecked {
            // On the board until it is stored: nobody asks for it again. Who calls back from what
            // is told meanwhile waits for nobody.
            let _inside = Inside::of(&flight);
            self.store_unchecked(&unchecked);
        } else if let Some(session) = session.as_ref().filter(|_| stores) {
            self.land(flight, session);
        }
        session
    }

    /// Says how a look-up went; the session, if it is one that may be used. `fails_first`: whether
    /// the breaker has not heard yet that it fails.
    pub(super) fn judge(
        &self,
        answer: Answer,
        flight: &Departed<Outcome>,
        since: Stopwatch,
        fails_first: impl FnOnce() -> bool,
    ) -> Option<Session> {
        let (shared, took) = (&self.shared, since.elapsed());
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        shared.counters.sum_up(Count::ExternalMicroseconds, microseconds);
        if !matches!(answer.0, Given::Failed) && took <= shared.lookup_timeout {
            shared.breaker.succeeded();
        } else if fails_first() {
            self.failed();
        }
        if matches!(answer.0, Given::Nothing) {
            // The clock may be the user's: it is read before the lock is taken.
            let (hash, now) = (shared.flights.hash(flight.key()), self.tick());
            flight.found_nothing(|| shared.unknown.remember(hash, now));
        }
        self.check(answer, flight.key())
    }

    /// Everything that is asked of a session from outside, before anything is done with it.
    fn check(&self, answer: Answer, key: &[u8]) -> Option<Session> {
        let counters = &self.shared.counters;
        let session = match answer.0 {
            Given::Nothing => {
                counters.count(Count::UnknownOutside);
                return None;
            }
            Given::Failed => {
                counters.count(Count::Failed);
                return None;
            }
            Given::Session(session) => Ok(session),
            Given::Bytes(bytes) => Session::from_bytes(&bytes).map_err(|_| Rejection::Malformed),
        };
        counters.count(Count::Found);
        let checked =
            session.and_then(|session| self.acceptable(&session, key).map_or(Ok(session), Err));
        checked.map_err(|rejection| counters.reject(rejection)).ok()
    }

    fn has_expired(&self, session: &Session, now: u64) -> bool {
        now >= milliseconds(self.shared.compat.end(session.times()))
    }

    fn acceptable(&self, session: &Session, key: &[u8]) -> Option<Rejection> {
        let now = self.shared.wall.now();
        let latest = now.saturating_add(milliseconds(self.shared.skew));
        let [created, ..] = session.times().to_words();
        let (_, id) = split(key);
        let compat = self.shared.compat;
        [
            (!compat.is_of(session, key), Rejection::Namespace),
            (SessionId::as_bytes(session.id()) != id, Rejection::Id),
            (self.has_expired(session, now), Rejection::Expired),
            (
                created > latest && !compat.contains(Compat::ACCEPTS_THE_FUTURE),
                Rejection::FromTheFuture,
            ),
            (session.payload().len() > self.shared.max_payload, Rejection::TooLarge),
        ]
        .into_iter()
        .find_map(|(wrong, why)| wrong.then_some(why))
    }

    /// Stores what a look-up has brought, unless its id was changed meanwhile.
    fn land(&self, flight: Departed<Outcome>, session: &Session) {
        let timeout = self.lasts(session.times());
        let key: Box<[u8]> = flight.key().into();
        let landed = self.store.insert_if_absent_inside(&key, timeout, |insert| {
            let landed = flight.land(|number| {
                // A refusal is counted by the engine; the session is used all the same.
                let _refused = insert(&encode(session, number));
            });
            // Over, before anybody is told of what that has evicted.
            drop(flight);
            landed
        });
        if !landed {
            self.shared.counters.count(Count::NotStoredMarked);
        }
    }

    pub(super) fn use_answer(&self, answer: Option<Session>) -> Option<Resumed<'static>> {
        let session = answer?;
        self.shared.counters.count(Count::Used);
        Some(Resumed(Found::Outside(session)))
    }

    /// The same for one who has waited: meanwhile it may have expired.
    pub(super) fn use_late_answer(&self, answer: Option<Session>) -> Option<Resumed<'static>> {
        let session = answer?;
        if self.has_expired(&session, self.shared.wall.now()) {
            self.shared.counters.reject(Rejection::Expired);
            return None;
        }
        self.use_answer(Some(session))
    }
}
