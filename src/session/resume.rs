//! Looking sessions up: inside, then outside.

use super::SessionCache;
use super::callbacks::{Answer, Wanted};
use super::counters::{Event, Rejection};
use super::found::Found;
use super::id::Key;
use super::modes::Modes;
use super::record::{SessionView, Times};
use std::time::Duration;

impl<C: 'static> SessionCache<C> {
    /// A client proposes a session that may be resumed any number of times (TLS 1.2): the internal
    /// cache is looked at, then, if it holds none (absent *or expired*), the get callback is asked.
    ///
    /// What that answers is checked before anything else happens: namespace, id, times, size. If it
    /// is sound it is used, and stored unless [`Modes::NO_INTERNAL_STORE`] is set, or a session of
    /// the id was put, taken, removed or flushed meanwhile.
    ///
    /// Wait-free, if the session is inside.
    ///
    /// # Panics
    /// If a callback does; nothing has changed then, but for an answer that was stored before the
    /// remove callback panicked about what it displaced.
    pub fn resume(&self, connection: &C, id: &[u8]) -> Option<Found<'_>> {
        let cache = &self.shared.cache;
        let key = self.proposed(id)?;
        let modes = self.modes();
        let on = modes.contains(self.side);
        let stamp = if on && !modes.contains(Modes::NO_INTERNAL_LOOKUP) {
            match cache.get_or_stamp(key.bytes()) {
                Ok(found) => return Found::internal(found),
                Err(stamp) => stamp,
            }
        } else {
            cache.stamp(key.bytes())
        };
        let (answer, wall) = self.ask(connection, id, false)?;
        if on && !modes.contains(Modes::NO_INTERNAL_STORE) {
            self.store_answer(&key, &answer, wall, stamp, modes);
        }
        Some(Found::asked(answer))
    }

    /// A client proposes a session that may be resumed once (a stateful ticket of TLS 1.3): of any
    /// number of askers, on any number of threads, one gets it. The get callback is asked for
    /// [single use](Wanted::single_use), and its answer is not stored.
    ///
    /// # Panics
    /// As for [`resume`](Self::resume); if the remove callback panics, the session is taken and
    /// lost.
    pub fn take(&self, connection: &C, id: &[u8]) -> Option<Found<'_>> {
        let key = self.proposed(id)?;
        let modes = self.modes();
        if modes.contains(self.side)
            && !modes.contains(Modes::NO_INTERNAL_LOOKUP)
            && let Some(taken) = self.shared.cache.take(key.bytes())
        {
            return Found::taken(taken);
        }
        let (answer, _) = self.ask(connection, id, true)?;
        Some(Found::asked(answer))
    }

    /// The key of an id that a client proposes, if it has a possible length.
    fn proposed(&self, id: &[u8]) -> Option<Key> {
        let key = self.key(id);
        if key.is_none() {
            self.shared.counters.reject(Rejection::IdLength);
        }
        key
    }

    /// Asks the get callback, if there is one; the answer is sound, and comes with the time.
    fn ask(&self, connection: &C, id: &[u8], single_use: bool) -> Option<(Answer, Duration)> {
        let counters = &self.shared.counters;
        let callback = self.shared.get.load_full()?;
        counters.count(Event::Asked);
        let wanted = Wanted { namespace: self.namespace.as_bytes(), id, single_use };
        let call = std::panic::AssertUnwindSafe(|| callback(connection, &wanted));
        let answer = std::panic::catch_unwind(call).unwrap_or_else(|panic| {
            counters.count(Event::GetPanicked);
            std::panic::resume_unwind(panic)
        })?;
        let wall = self.shared.wall.now();
        if let Err(why) = self.check(&answer.session().view(), id, wall) {
            counters.reject(why);
            return None;
        }
        counters.count(Event::Answered);
        Some((answer, wall))
    }

    /// Whether a session that comes from outside may be used, and stored, by this handle.
    pub(super) fn check(
        &self,
        session: &SessionView<'_>,
        id: &[u8],
        wall: Duration,
    ) -> Result<(), Rejection> {
        let Times { created, not_after, auth_not_after } = session.times();
        if session.namespace() != self.namespace.as_bytes() {
            Err(Rejection::Namespace)
        } else if session.id() != id {
            Err(Rejection::OtherId)
        } else if wall >= not_after || wall >= auth_not_after {
            Err(Rejection::Expired)
        } else if created > wall {
            Err(Rejection::Future)
        } else if session.payload().len() > self.shared.largest_payload {
            Err(Rejection::Size)
        } else {
            Ok(())
        }
    }

    fn store_answer(&self, key: &Key, answer: &Answer, wall: Duration, stamp: u64, modes: Modes) {
        let session = answer.session();
        let mut times = session.view().times();
        if modes.contains(Modes::UPDATE_TIME) {
            let end = wall.saturating_add(self.timeout());
            times = Times { created: wall, not_after: end.min(times.auth_not_after), ..times };
        }
        let timeout = times.not_after.min(times.auth_not_after).saturating_sub(wall);
        let value = session.renewed(times).to_value();
        let cache = &self.shared.cache;
        let event = match cache.insert_unless_changed(key.bytes(), &value, timeout, stamp) {
            Ok(true) => Event::AnswerStored,
            Ok(false) => Event::AnswerOutdated,
            Err(_) => Event::AnswerNotStored,
        };
        self.shared.counters.count(event);
    }
}
