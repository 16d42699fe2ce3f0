//! What changes a session cache: new sessions, and such as are added; and what counts handshakes.
//! What removes sessions: `remove.rs`.
//!
//! Each change marks the look-ups outside that are out for its ids: see `flights.rs`.

use super::SessionCache;
use super::board::Scope;
use super::callbacks::{New, NewCallback, Verdict};
use super::compat::Compat;
use super::counters::{Count, Rejection};
#[cfg(feature = "rustls-0_23")]
use super::entry::encode_parts;
use super::entry::{encode, landing};
use super::flights::{Before, Late};
#[cfg(feature = "rustls-0_23")]
use super::id::SessionId;
use super::id::{Key, Namespace};
use super::modes::Modes;
use super::outcome::Outcome;
use super::outside::first_panic;
use super::record::Session;
use crate::engine::Met;
use crate::error::Refusal;
use crate::panics::discard;
use crate::removal::RemovalCause;
use crate::wiping::Wiping;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The connection is a client's.
    Client,
    /// The connection is a server's.
    Server,
}

/// How far a handshake has come: see [`SessionCache::note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It began (`SSL_CTX_sess_accept`, `_connect`).
    Started,
    /// It succeeded (`_good`).
    Finished,
    /// It began on a connection that was up (`_renegotiate`).
    Renegotiated,
}

/// Why a session is not in the internal cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStored {
    /// Caching is off for this side.
    #[error("caching is off for this side")]
    Off,
    /// The modes say that new sessions are not stored by themselves.
    #[error("sessions are not stored internally")]
    NoInternalStore,
    /// It had expired: its timeout is 0, or long ago.
    #[error("the session has expired")]
    Expired,
    /// It is not one that this cache accepts.
    #[error("the session is rejected: {}", .0.name())]
    Rejected(Rejection),
    /// The internal cache had no room, or is shut down.
    #[error(transparent)]
    Refused(Refusal),
}

/// What became of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Newly {
    /// It is in the internal cache.
    Stored,
    /// It is not, but the new callback was told of it, unless the reason is `Off` or `Rejected`.
    NotStored(NotStored),
    /// The new callback refused it.
    Refused,
}

/// What was done, and what is done after it in any case. The first panic of the two goes on.
pub(super) fn and_then<R, S>(done: std::thread::Result<R>, then: impl FnOnce() -> S) -> (R, S) {
    first_panic(done, catch_unwind(AssertUnwindSafe(then)))
}

impl<C: 'static> SessionCache<C> {
    /// A session was negotiated: stores it, and asks the new callback.
    ///
    /// In this order: the session can be resumed while the callback runs (a client may come back
    /// before a slow callback is done), but not taken, and a refusal takes that very session out
    /// again, with one `RefusedByNew`, unless it has left meanwhile. The callback is called whether
    /// or not the session could be stored, and never while caching is off for that side.
    ///
    /// # Panics
    /// If the new callback does, which is a refusal; or if the remove callback does.
    pub fn new_session(&self, connection: &C, side: Side, session: &Session) -> Newly {
        let modes = self.modes();
        let stores = !modes.contains(Modes::NO_INTERNAL_STORE);
        let dated = if stores { self.dated(session, modes) } else { Cow::Borrowed(session) };
        let session = &*dated;
        let side = match side {
            Side::Client => Modes::CLIENT,
            Side::Server => Modes::SERVER,
        };
        if !modes.contains(side) {
            return Newly::NotStored(NotStored::Off);
        }
        let callback = self.shared.callbacks.new.load_full();
        let key = if callback.is_some() { self.key_of(session) } else { None };
        let _told = key.map(|key| self.shared.flights.board_told(key.bytes()));
        let put = if stores {
            // What it replaces or evicts may make the remove callback panic: it is stored then.
            catch_unwind(AssertUnwindSafe(|| self.put(session)))
        } else {
            Ok(Err(NotStored::NoInternalStore))
        };
        let expired = self.lasts(session.times()).is_zero();
        let panicked = if expired { Err(NotStored::Expired) } else { Ok(()) };
        let stored = put.as_ref().map_or(panicked, |stored| *stored);
        and_then(put, || self.tell_of_new(connection, session, stored, callback)).1
    }

    /// What is done with a new session that was stored, or not: the new callback is asked.
    fn tell_of_new(
        &self,
        connection: &C,
        session: &Session,
        stored: Result<(), NotStored>,
        callback: Option<Arc<Arc<NewCallback<C>>>>,
    ) -> Newly {
        if let Err(why @ NotStored::Rejected(_)) = stored {
            return Newly::NotStored(why);
        }
        let flush = catch_unwind(AssertUnwindSafe(|| {
            if stored.is_ok() {
                self.count_for_flush(Compat::FLUSHES_BY_NEW_SESSIONS, 255);
            }
        }));
        and_then(flush, || self.ask_of_new(connection, session, stored, callback)).1
    }

    fn ask_of_new(
        &self,
        connection: &C,
        session: &Session,
        stored: Result<(), NotStored>,
        callback: Option<Arc<Arc<NewCallback<C>>>>,
    ) -> Newly {
        let counters = &self.shared.counters;
        let Some(callback) = callback else {
            return stored.map_or_else(Newly::NotStored, |()| Newly::Stored);
        };
        counters.count(Count::NewCalls);
        crate::holding::assert_none();
        let new = New { cache: self, session, stored: stored.is_ok() };
        let verdict = catch_unwind(AssertUnwindSafe(|| callback(connection, &new)));
        if let Ok(Verdict::Keep) = verdict {
            self.known_outside(session);
            return stored.map_or_else(Newly::NotStored, |()| Newly::Stored);
        }
        counters.count(Count::NewRefusals);
        // What is refused is the session itself, not another one that has taken its id since.
        let refuse = || self.remove_session(session, RemovalCause::RefusedByNew);
        let Err(panic) = verdict else {
            match self.shared.compat.contains(Compat::REFUSED_STAYS) {
                // "I keep no reference" says nothing of what it has written outside.
                true => self.known_outside(session),
                false => {
                    refuse();
                }
            }
            return Newly::Refused;
        };
        counters.count(Count::NewPanics);
        // The remove callback may panic, too: that was counted, and this one came first.
        discard(catch_unwind(AssertUnwindSafe(refuse)).err());
        resume_unwind(panic)
    }

    /// As [`new_session`](Self::new_session), for a server's session that begins now. It becomes a
    /// value only if the new callback is to see it.
    #[cfg(feature = "rustls-0_23")]
    pub(crate) fn new_session_in_parts(
        &self,
        connection: &C,
        (namespace, id): (&Namespace, SessionId),
        version: u16,
        payload: &[u8],
    ) -> Newly {
        let modes = self.modes();
        let strict = self.shared.compat == Compat::strict();
        if !strict || !modes.store_inside() || self.shared.callbacks.new.load().is_some() {
            let session = self.make(namespace, id, version, payload);
            return self.new_session(connection, Side::Server, &session);
        }
        let times = self.times();
        let timeout = times.not_after().saturating_sub(times.created());
        let value = || encode_parts(times, version, payload, 0);
        let stored = self.put_value((namespace, id.as_bytes()), timeout, payload.len(), value);
        stored.map_or_else(Newly::NotStored, |()| Newly::Stored)
    }

    /// Stores a session, or replaces the one of its id; the new callback is not asked.
    ///
    /// Counterpart: `SSL_CTX_add_session`.
    ///
    /// # Errors
    /// [`NotStored`]. If it had expired, the old session of its id is gone all the same; else
    /// nothing has changed.
    ///
    /// # Panics
    /// If the remove callback does.
    pub fn add(&self, session: &Session) -> Result<(), NotStored> {
        let modes = self.modes();
        if modes.without(Modes::BOTH) == modes {
            return Err(NotStored::Off);
        }
        self.put(&self.dated(session, modes))
    }

    fn put(&self, session: &Session) -> Result<(), NotStored> {
        let (name, id) = (self.named(session), session.id().as_bytes());
        let timeout = self.lasts(session.times());
        let len = session.payload().len();
        self.put_value((&name, id), timeout, len, || encode(session, 0))
    }

    fn put_value(
        &self,
        (namespace, id): (&Namespace, &[u8]),
        timeout: Duration,
        payload_len: usize,
        value: impl FnOnce() -> Wiping,
    ) -> Result<(), NotStored> {
        let shared = &self.shared;
        let key = self.key_named(namespace, id);
        let Some(key) = key else { return Err(self.rejected(Rejection::IdLength)) };
        if !self.mints(namespace, id) {
            return Err(self.rejected(Rejection::ForeignId));
        }
        if payload_len > shared.max_payload {
            return Err(self.rejected(Rejection::TooLarge));
        }
        let value = value();
        let store = || self.store.insert_with_timeout(key.bytes(), &value, timeout);
        let (stored, late) = self.change(&key, store);
        shared.unknown.forget(shared.flights.hash(key.bytes()));
        // Nothing that lands replaces an entry; but there is none if this session has expired, or
        // has left again.
        let is_late = !matches!(stored, Ok(Err(_)));
        let late = || is_late && self.remove_late(&key, late, RemovalCause::Replaced, |_| true);
        match and_then(stored, late).0 {
            Ok(()) if timeout.is_zero() => Err(NotStored::Expired),
            Ok(()) => Ok(()),
            Err(refusal) => Err(NotStored::Refused(refusal)),
        }
    }

    /// Runs an operation that changes a key, and marks the flights of the key, also if a callback
    /// panics in it. `Some`: what has come too late has to go.
    pub(super) fn change<R>(
        &self,
        key: &Key,
        operation: impl FnOnce() -> R,
    ) -> (std::thread::Result<R>, Option<Late<Outcome>>) {
        self.change_since(self.shared.flights.before(key.bytes()), key, operation)
    }

    /// The same of one that has looked for the key before.
    pub(super) fn change_since<R>(
        &self,
        before: Before,
        key: &Key,
        operation: impl FnOnce() -> R,
    ) -> (std::thread::Result<R>, Option<Late<Outcome>>) {
        let done = catch_unwind(AssertUnwindSafe(operation));
        (done, self.shared.flights.mark(before, Scope::Key(key.bytes())))
    }

    /// Removes the entry of a key if it has come too late, and is one that is meant; whether it was
    /// there. `late` ends after that was told, also in a panic.
    pub(super) fn remove_late(
        &self,
        key: &Key,
        late: Option<Late<Outcome>>,
        cause: RemovalCause,
        meant: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let Some(late) = late else { return false };
        self.remove_meant(key, cause, |value| late.is(landing(value)) && meant(value))
    }

    /// Removes the entry of a key if it is meant, also if it is renewed just then, or has expired;
    /// whether it lived.
    pub(super) fn remove_meant(
        &self,
        key: &Key,
        cause: RemovalCause,
        meant: impl Fn(&[u8]) -> bool,
    ) -> bool {
        loop {
            let found = self.store.peek_at_any_time(key.bytes()).filter(|found| meant(found));
            let Some(handle) = found.map(|found| found.handle()) else { return false };
            if self.store.remove_exact_because(&handle, cause) == Met::Live {
                return true;
            }
        }
    }

    /// The new callback has seen a session: an external store may know it now, and what was said of
    /// its id before is said no longer.
    fn known_outside(&self, session: &Session) {
        let Some(key) = self.key_of(session) else { return };
        let flights = &self.shared.flights;
        drop(flights.mark(flights.before(key.bytes()), Scope::Key(key.bytes())));
        self.shared.unknown.forget(flights.hash(key.bytes()));
    }

    fn rejected(&self, rejection: Rejection) -> NotStored {
        self.shared.counters.reject(rejection);
        NotStored::Rejected(rejection)
    }

    /// Counts a handshake of the embedder's, for [`SslCounters`](super::SslCounters).
    ///
    /// # Panics
    /// Under [`Compat::FLUSHES_BY_ACCEPTS`], if the remove callback does.
    pub fn note(&self, side: Side, stage: Stage) {
        self.shared.counters.count(match (side, stage) {
            (Side::Client, Stage::Started) => Count::ConnectStarted,
            (Side::Client, Stage::Finished) => Count::ConnectFinished,
            (Side::Client, Stage::Renegotiated) => Count::ConnectRenegotiated,
            (Side::Server, Stage::Started) => Count::AcceptStarted,
            (Side::Server, Stage::Finished) => Count::AcceptFinished,
            (Side::Server, Stage::Renegotiated) => Count::AcceptRenegotiated,
        });
        if (side, stage) == (Side::Server, Stage::Finished) {
            self.count_for_flush(Compat::FLUSHES_BY_ACCEPTS, 256);
        }
    }
}
