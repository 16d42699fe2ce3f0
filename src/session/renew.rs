//! The mode `UPDATE_TIME`: a session that is used is renewed.
//!
//! In place a deadline only shrinks, so a renewal is a replacement: of that very entry, and only
//! while it lives. One that was removed or taken meanwhile stays away. It marks the look-ups
//! outside as a put does, and its event is `Replaced`, for the old entry was visible: an external
//! store must not delete the id for it.
//!
//! The event is delivered before the resumption is answered, unpinned; so what is answered is
//! looked up again, and if it has left by then, the resumption goes on as a miss.

use super::SessionCache;
use super::change::and_then;
use super::counters::Count;
use super::entry::{View, encode, landing};
use super::id::Key;
use super::modes::Modes;
use super::record::Times;
use crate::cache::PinnedRef;
use crate::engine::Miss;
use crate::removal::RemovalCause;
use std::time::Duration;

/// What part of its timeout a session must have been unused for, so that it is renewed.
const PART: u32 = 8;

type Found<'c> = PinnedRef<'c, [u8], [u8]>;

impl<C: 'static> SessionCache<C> {
    /// What a hit of a resumption is answered with.
    #[inline(always)]
    pub(super) fn renewed<'c>(
        &'c self,
        modes: Modes,
        key: &Key,
        found: Found<'c>,
    ) -> Result<Found<'c>, Miss> {
        if modes.renews() { self.renew(key, found) } else { Ok(found) }
    }

    #[cold]
    fn renew<'c>(&'c self, key: &Key, found: Found<'c>) -> Result<Found<'c>, Miss> {
        let view = View { key: found.key(), value: found.value() };
        let now = self.wall_now();
        let Some(times) = due(view.times(), now) else { return Ok(found) };
        let (session, handle) = (view.to_session().with_times(times), found.handle());
        // What has come too late for a removal has still, renewed.
        let own = landing(&found);
        // No callback runs while this pins the thread.
        drop(found);
        let timeout = self.shared.compat.end(times).saturating_sub(now);
        let value = encode(&session, own);
        let replace = || self.store.replace_exact(&handle, key.bytes(), &value, timeout);
        let (replaced, late) = self.change(key, replace);
        let is_late = !matches!(replaced, Ok(Ok(false) | Err(_)));
        // It may lie there before its landing is counted: it is not late for itself.
        let other = |value: &[u8]| landing(value) > own;
        let late = || is_late && self.remove_late(key, late, RemovalCause::Replaced, other);
        let (_replaced, _) = and_then(replaced, late);
        // A refusal was counted by the engine: the session keeps its deadline.
        self.shared.counters.count(Count::OwnHits);
        self.store.get_or_miss(key.bytes())
    }
}

/// The times of a session that is used now, if enough of its timeout has gone by, and if they let
/// it live longer. Where the wall clock has jumped over its end it keeps its deadline.
fn due(times: Times, now: Duration) -> Option<Times> {
    let timeout = times.not_after().saturating_sub(times.created());
    if now.saturating_sub(times.created()) < timeout / PART {
        return None;
    }
    let renewed = times.renewed(now, timeout);
    (renewed.not_after() > times.not_after().max(now)).then_some(renewed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times([created, not_after, auth_not_after]: [u64; 3]) -> Times {
        let [created, not_after, end] =
            [created, not_after, auth_not_after].map(Duration::from_secs);
        Times::new(created, not_after, end)
    }

    #[test]
    fn renewed_once_an_eighth_of_the_timeout_has_gone_by_and_never_past_the_end() {
        let at = |now| due(times([100, 180, 250]), Duration::from_secs(now));
        assert_eq!(at(109), None);
        assert_eq!(at(110), Some(times([110, 190, 250])));
        assert_eq!(at(179), Some(times([179, 250, 250])));
        assert_eq!(at(50), None, "a clock that stands before it was made");
        assert_eq!(due(times([100, 250, 250]), Duration::from_secs(200)), None, "at its end");
        assert_eq!(at(249), Some(times([249, 250, 250])));
        assert_eq!(at(250), None, "a clock that has jumped over its end");
    }
}
