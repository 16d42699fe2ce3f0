//! Removals and flushes, by id, exactly, by namespace, of what has expired, and of everything.
//!
//! Each of these marks the look-ups outside that are out for its ids, and what they bring back too
//! late goes as well: see `flights.rs`.

use super::SessionCache;
use super::board::Scope;
use super::change::and_then;
use super::compat::Compat;
use super::entry::{View, content, encode, landing};
use super::flights::Before;
use super::found::SessionHandle;
use super::id::{Key, Namespace};
use super::record::Session;
use crate::engine::Met;
use crate::removal::RemovalCause;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

impl<C: 'static> SessionCache<C> {
    /// Removes the session of an id; whether there was one. One that has expired leaves as such, if
    /// it has not yet. Counterpart: `SSL_CTX_remove_session`, by id.
    ///
    /// What is not here may still be outside, where only the remove callback is told of what is
    /// here: a caller who wants it gone everywhere deletes it outside first.
    ///
    /// # Panics
    /// If the remove callback does; the session is removed then, too.
    pub fn remove(&self, namespace: &Namespace, id: &[u8]) -> bool {
        self.remove_key(namespace, id, RemovalCause::Removed)
    }

    /// A connection ended badly (a fatal alert, no close_notify): its session is not to be used
    /// again. Cause `Faulty`. Whether it was here: the remove callback is told only of what was, so
    /// an external store that holds more than this cache has to be told by the caller.
    ///
    /// # Panics
    /// If the remove callback does; the session is removed then, too.
    pub fn connection_failed(&self, namespace: &Namespace, id: &[u8]) -> bool {
        if self.shared.compat.contains(Compat::FAILED_CONNECTION_KEEPS) {
            return false;
        }
        self.remove_key(namespace, id, RemovalCause::Faulty)
    }

    fn remove_key(&self, namespace: &Namespace, id: &[u8], cause: RemovalCause) -> bool {
        let Some(key) = self.key_named(namespace, id) else { return false };
        let before = self.shared.flights.before(key.bytes());
        let mut met = Met::Nothing;
        let remove = || {
            met = self.store.remove_because(key.bytes(), cause);
            met == Met::Live
        };
        let removed = self.remove_of(before, &key, cause, |_| true, remove);
        // What had expired was told of.
        removed || met == Met::Nothing && self.remove_absent(before, &key, cause)
    }

    /// Tells of an id that was not here, if a switch says so. Who has it from outside `since` it
    /// was looked for does not bring it back; whether it had landed.
    fn remove_absent(&self, since: Before, key: &Key, cause: RemovalCause) -> bool {
        if !self.shared.compat.contains(Compat::REMOVE_TELLS_OF_ABSENT) {
            return false;
        }
        let tell = || {
            self.tell_of_absent(key, cause);
            false
        };
        self.remove_of(since, key, cause, |_| true, tell)
    }

    /// Removes that very session, if it is still there: not one that has taken its id since, nor
    /// itself once it was renewed ([`UPDATE_TIME`](super::Modes::UPDATE_TIME)), which has a handle
    /// of its own.
    /// Counterpart: `SSL_CTX_remove_session`, as BoringSSL has it.
    ///
    /// # Panics
    /// If the remove callback does; the session is removed then, too.
    pub fn remove_exact(&self, handle: &SessionHandle) -> bool {
        if self.shared.compat.contains(Compat::EXACT_REMOVES_BY_ID) {
            let (namespace, id) = (handle.key.namespace(), handle.key.id());
            return self.remove_key(&namespace, id, RemovalCause::Removed);
        }
        let (key, cause) = (&handle.key, RemovalCause::Removed);
        let before = self.shared.flights.before(key.bytes());
        let found = self.store.peek_at_any_time(key.bytes());
        let found = found.filter(|found| found.handle() == handle.handle);
        match found.map(|found| self.print(&found)) {
            Some(print) => {
                let mut met = Met::Nothing;
                let remove = || {
                    met = self.store.remove_exact_because(&handle.handle, cause);
                    met == Met::Live
                };
                // Who has the same one from outside does not bring it back, nor another one.
                let meant = |value: &[u8]| self.print(value) == print;
                let (removed, late) = self.change_since(before, key, remove);
                // Had it left by itself, a later one is not what the handle was given for.
                let itself = !matches!(removed, Ok(false));
                let late = || itself && self.remove_late(key, late, cause, meant);
                let (removed, late) = and_then(removed, late);
                if removed || late || met == Met::Expired {
                    return removed || late;
                }
            }
            None => drop(self.shared.flights.mark(before, Scope::Key(key.bytes()))),
        }
        // Gone already. Another one of its id is not absent.
        let tells = self.shared.compat.contains(Compat::REMOVE_TELLS_OF_ABSENT);
        if tells && self.store.peek_at_any_time(key.bytes()).is_none() {
            self.remove_absent(before, key, cause);
        }
        false
    }

    /// Removes a session if it is (still) this one that has its id, also if a look-up outside
    /// brings it.
    pub(super) fn remove_session(&self, session: &Session, cause: RemovalCause) {
        let Some(key) = self.key_of(session) else { return };
        let value = encode(session, 0);
        // Looked for in the removal: what lands after that has come late.
        let before = self.shared.flights.before(key.bytes());
        let meant = |found: &[u8]| content(found) == content(&value);
        self.remove_of(before, &key, cause, meant, || self.remove_meant(&key, cause, meant));
    }

    /// A removal of what is `meant`: another session that has landed under its id meanwhile stays.
    fn remove_of(
        &self,
        before: Before,
        key: &Key,
        cause: RemovalCause,
        meant: impl Fn(&[u8]) -> bool,
        remove: impl FnOnce() -> bool,
    ) -> bool {
        let (removed, late) = self.change_since(before, key, remove);
        let late = || self.remove_late(key, late, cause, meant);
        let (removed, late) = and_then(removed, late);
        removed || late
    }

    /// Tells whether two values are of one session, wherever they came from, without keeping one.
    fn print(&self, value: &[u8]) -> u64 {
        self.shared.flights.hash(content(value))
    }

    /// Removes what has expired by `time`, a wall time since 1970: with [`wall_now`] what has
    /// expired. The answer is how many sessions went. Counterpart: `SSL_CTX_flush_sessions`.
    ///
    /// [`wall_now`]: Self::wall_now
    ///
    /// # Panics
    /// If the remove callback does; everything due is removed then, too.
    pub fn flush_sessions(&self, time: Duration) -> u64 {
        let compat = self.shared.compat;
        let ahead = time.saturating_sub(self.wall_now());
        let until = self.store.now().saturating_add(ahead);
        let due = |key: &[u8], value: &[u8]| compat.end(View { key, value }.times()) <= time;
        self.flush_all_of(Scope::All, due, || self.store.flush(until))
    }

    /// Removes all sessions of a namespace; how many there were. Sessions that are put meanwhile
    /// may stay.
    ///
    /// # Panics
    /// If the remove callback does; everything due is removed then, too.
    pub fn flush_namespace(&self, namespace: &Namespace) -> u64 {
        let scope = Scope::Namespace(namespace.as_bytes());
        let flush = || self.store.flush_where(|key, _| scope.names(key));
        self.flush_all_of(scope, |_, _| true, flush)
    }

    /// Removes all sessions; how many there were. Sessions that are put meanwhile may stay.
    /// Counterpart: `SSL_CTX_flush_sessions(ctx, 0)`.
    ///
    /// # Panics
    /// If the remove callback does; everything is removed then, too.
    pub fn flush_all(&self) -> u64 {
        self.flush_all_of(Scope::All, |_, _| true, || self.store.flush_where(|_, _| true))
    }

    /// A flush of such keys, and of what lands meanwhile and is `meant`.
    fn flush_all_of(
        &self,
        scope: Scope<'_>,
        meant: impl Fn(&[u8], &[u8]) -> bool,
        flush: impl FnOnce() -> u64,
    ) -> u64 {
        let flights = &self.shared.flights;
        let before = flights.before_all();
        let flushed = catch_unwind(AssertUnwindSafe(flush));
        // Until that has been told, too.
        let late: Vec<_> = before.into_iter().map(|before| flights.mark(before, scope)).collect();
        let too_late = |key: &[u8], value: &[u8]| {
            let late = late[flights.stripe_of(key)].as_ref();
            scope.names(key)
                && late.is_some_and(|late| late.is(landing(value)))
                && meant(key, value)
        };
        let none_late = late.iter().all(Option::is_none);
        let more = || if none_late { 0 } else { self.store.flush_where(too_late) };
        let (flushed, more) = and_then(flushed, more);
        flushed + more
    }
}
