//! Look-ups: the internal cache, else the get callback.

use super::callbacks::{Answer, Asked, GetCallback, Given, Purpose};
use super::counters::{Count, Rejection};
use super::entry::{View, encode};
use super::flights::{Boarding, Departed};
use super::id::{Key, Namespace};
use super::modes::Modes;
use super::outcome::{NothingElse, Outcome};
use super::record::{Session, Times, milliseconds};
use super::{SessionCache, SessionId};
use crate::cache::{Handle, PinnedRef, Taken};
use crate::removal::RemovalCause;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

thread_local! {
    /// How many look-ups of the thread are outside: such a thread waits for nobody, or two could
    /// wait for one another.
    static ASKING: Cell<u32> = const { Cell::new(0) };
}

/// The thread is outside.
struct Asking;

impl Asking {
    fn begin() -> Self {
        ASKING.set(ASKING.get() + 1);
        Self
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.set(ASKING.get() - 1);
    }
}

/// The identity of a session in the internal cache: it never means another one.
#[derive(Clone, Copy)]
pub struct SessionHandle {
    pub(super) handle: Handle,
    pub(super) key: Key,
}

impl std::fmt::Debug for SessionHandle {
    /// Without the id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.handle).finish()
    }
}

/// A session that was found, readable for as long as this lives.
///
/// From the internal cache it is read where it lies, and the thread is pinned meanwhile: drop it
/// before blocking or writing much, or take a copy ([`to_session`](Self::to_session)).
pub struct Resumed<'c>(Found<'c>);

enum Found<'c> {
    Inside(PinnedRef<'c, [u8], [u8]>),
    Taken(Taken<'c, [u8], [u8]>),
    Outside(Session),
}

impl Resumed<'_> {
    fn view(&self) -> Result<View<'_>, &Session> {
        match &self.0 {
            Found::Inside(found) => Ok(View { key: found.key(), value: found.value() }),
            Found::Taken(taken) => Ok(View { key: taken.key(), value: taken.value() }),
            Found::Outside(session) => Err(session),
        }
    }

    /// What the TLS library put in. Secret.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.view().map_or_else(Session::payload, View::payload)
    }

    /// The protocol version that it was negotiated for.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.view().map_or_else(Session::version, View::version)
    }

    /// When it was made, and until when it may be used.
    #[must_use]
    pub fn times(&self) -> Times {
        self.view().map_or_else(Session::times, View::times)
    }

    /// Whether the get callback gave it.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.0, Found::Outside(_))
    }

    /// The whole session, to keep: a copy, or the very session that the get callback gave.
    #[must_use]
    pub fn to_session(&self) -> Session {
        self.view().map_or_else(Session::clone, View::to_session)
    }

    /// Its identity in the internal cache, if it was found there and is not taken.
    #[must_use]
    pub fn handle(&self) -> Option<SessionHandle> {
        let Found::Inside(found) = &self.0 else { return None };
        let view = self.view().ok()?;
        let namespace = Namespace::new(view.namespace()).ok()?;
        let key = Key::new(&namespace, view.id(), super::ID_MAX)?;
        Some(SessionHandle { handle: found.handle(), key })
    }
}

impl std::fmt::Debug for Resumed<'_> {
    /// Without the session, which is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resumed").field("external", &self.is_external()).finish_non_exhaustive()
    }
}

impl<C: 'static> SessionCache<C> {
    /// A client proposes a session: looks it up in the internal cache, else (absent, expired, or
    /// not looked for) asks the get callback.
    ///
    /// Several look-ups of one id that are outside at a time ask once, and share the answer. What
    /// comes from outside is checked, then stored (unless the modes say otherwise, or its id was
    /// removed, taken, put or flushed meanwhile), then used. A failure of the external store is a
    /// miss. Counterpart: the server's `ssl_get_prev_session`.
    ///
    /// A hit of the internal cache is wait-free, and costs what
    /// [`Cache::get`](crate::Cache::get) does.
    ///
    /// # Panics
    /// If the get callback or the remove callback does.
    pub fn resume(&self, connection: &C, namespace: &Namespace, id: &[u8]) -> Option<Resumed<'_>> {
        self.resume_within(connection, namespace, id, &|| true)
    }

    /// As `resume`; `spend` says whether the look-up may go outside.
    #[inline]
    pub(super) fn resume_within(
        &self,
        connection: &C,
        namespace: &Namespace,
        id: &[u8],
        spend: &dyn Fn() -> bool,
    ) -> Option<Resumed<'_>> {
        let key = self.key(namespace, id)?;
        let modes = self.modes();
        if modes.look_inside()
            && let Some(found) = self.store.get(key.bytes())
        {
            return Some(Resumed(Found::Inside(found)));
        }
        self.resume_outside(connection, (namespace, id), &key, modes, spend)
    }

    /// Looks a session up in the internal cache alone, whatever the modes: for clients, and for
    /// whoever wants to know. Wait-free.
    #[must_use]
    pub fn find(&self, namespace: &Namespace, id: &[u8]) -> Option<Resumed<'_>> {
        let key = self.key(namespace, id)?;
        self.store.get(key.bytes()).map(|found| Resumed(Found::Inside(found)))
    }

    /// As [`resume`](Self::resume), but for single use: of any number of concurrent takers exactly
    /// one gets the session.
    ///
    /// Outside, the get callback is asked with [`Purpose::Take`]: the external store's own atomic
    /// delete decides. Its answer goes to this caller alone and is not stored, nor does this
    /// caller join another look-up.
    ///
    /// # Panics
    /// If the get callback or the remove callback does; the session is lost then.
    pub fn take(&self, connection: &C, namespace: &Namespace, id: &[u8]) -> Option<Resumed<'_>> {
        self.take_within(connection, namespace, id, &|| true)
    }

    /// As `take`; `spend` says whether the look-up may go outside.
    pub(super) fn take_within(
        &self,
        connection: &C,
        namespace: &Namespace,
        id: &[u8],
        spend: &dyn Fn() -> bool,
    ) -> Option<Resumed<'_>> {
        let key = self.key(namespace, id)?;
        let take = || self.take_anywhere(connection, (namespace, id), &key, spend);
        let (taken, landed) = self.change(&key, take);
        if !matches!(taken, Ok(None)) {
            // What has landed meanwhile is a copy of what was taken.
            self.remove_late(&key, landed, RemovalCause::Taken, |_| true);
        }
        taken.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn take_anywhere(
        &self,
        connection: &C,
        (namespace, id): (&Namespace, &[u8]),
        key: &Key,
        spend: &dyn Fn() -> bool,
    ) -> Option<Resumed<'_>> {
        let inside = self.modes().look_inside();
        // A claim of another taker may come between: then it is that one's.
        let before = self.shared.flights.before(key.bytes());
        let take_inside = || {
            let taken = if inside { self.store.take(key.bytes()) } else { None };
            taken.map(|taken| {
                let keeps = self.shared.flights.keeps(before, key.bytes());
                keeps.then_some(Resumed(Found::Taken(taken)))
            })
        };
        if let Some(taken) = take_inside() {
            return taken;
        }
        let callback = self.shared.callbacks.get.load_full()?;
        if !spend() {
            return None;
        }
        let Boarding::Departed(flight) = self.shared.flights.board(key.bytes(), None, true) else {
            self.shared.counters.count(Count::Nested);
            return None;
        };
        let _asking = Asking::begin();
        // Nothing lands any more; what has landed before is taken here, and not asked for.
        if inside
            && self.store.contains(key.bytes())
            && let Some(taken) = take_inside()
        {
            return taken;
        }
        let asked = Asked { cache: self, namespace, id, purpose: Purpose::Take };
        let session = self.check(self.ask(connection, &callback, &asked), namespace, id)?;
        if !flight.claim() {
            return None;
        }
        self.shared.counters.count(Count::Used);
        Some(Resumed(Found::Outside(session)))
    }

    /// `None`, counted: no session has such an id. Neither table nor callback is asked.
    fn key(&self, namespace: &Namespace, id: &[u8]) -> Option<Key> {
        let key = Key::new(namespace, id, self.shared.id_max);
        if key.is_none() {
            self.shared.counters.reject(Rejection::IdLength);
        }
        key
    }

    #[cold]
    fn resume_outside(
        &self,
        connection: &C,
        (namespace, id): (&Namespace, &[u8]),
        key: &Key,
        modes: Modes,
        spend: &dyn Fn() -> bool,
    ) -> Option<Resumed<'_>> {
        let callback = self.shared.callbacks.get.load_full()?;
        if !spend() {
            return None;
        }
        let counters = &self.shared.counters;
        let must_not_wait = ASKING.get() != 0;
        let outcome = Some(Arc::new(Outcome::default()));
        let flight = match self.shared.flights.board(key.bytes(), outcome, must_not_wait) {
            Boarding::Departed(flight) => flight,
            Boarding::Joined(outcome) => {
                counters.count(Count::Joined);
                let Ok(answer) = outcome.wait(self.shared.join_timeout) else {
                    counters.count(Count::TimedOut);
                    return None;
                };
                let session = answer?;
                counters.count(Count::Used);
                return Some(Resumed(Found::Outside(session)));
            }
            Boarding::Own => {
                counters.count(Count::Nested);
                return None;
            }
        };
        // Again, for whoever changes them marks the flights that he finds, and none that comes
        // later.
        let stores = modes.store_answers() && self.modes().store_answers();
        let _asking = Asking::begin();
        let nothing_else = NothingElse(flight.shared().map(|outcome| &**outcome));
        // It may have been put since it was looked for: what is inside hides what is outside.
        if modes.look_inside()
            && self.store.contains(key.bytes())
            && let Some(found) = self.store.get(key.bytes())
        {
            let found = Resumed(Found::Inside(found));
            if let Some(outcome) = nothing_else.0 {
                outcome.tell(Some(found.to_session()));
            }
            return Some(found);
        }
        let asked = Asked { cache: self, namespace, id, purpose: Purpose::Resume };
        let session = self.check(self.ask(connection, &callback, &asked), namespace, id)?;
        // Before it lands: what that evicts is told about, and nobody waits for that.
        if let Some(outcome) = nothing_else.0 {
            outcome.tell(Some(session.clone()));
        }
        if stores {
            self.land(&flight, key, &session);
        }
        counters.count(Count::Used);
        Some(Resumed(Found::Outside(session)))
    }

    /// Calls the get callback: no lock is held, nothing is pinned.
    fn ask(
        &self,
        connection: &C,
        callback: &Arc<Arc<GetCallback<C>>>,
        asked: &Asked<'_, C>,
    ) -> Answer {
        self.shared.counters.count(Count::Asked);
        let answer = catch_unwind(AssertUnwindSafe(|| callback(connection, asked)));
        answer.unwrap_or_else(|panic| {
            self.shared.counters.count(Count::GetPanics);
            resume_unwind(panic)
        })
    }

    /// Everything that is asked of a session from outside, before anything is done with it.
    fn check(&self, answer: Answer, namespace: &Namespace, id: &[u8]) -> Option<Session> {
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
        let checked = session
            .and_then(|session| self.acceptable(&session, namespace, id).map_or(Ok(session), Err));
        checked.map_err(|rejection| counters.reject(rejection)).ok()
    }

    fn acceptable(&self, session: &Session, namespace: &Namespace, id: &[u8]) -> Option<Rejection> {
        let now = self.shared.wall.now();
        let latest = now.saturating_add(milliseconds(self.shared.skew));
        let [created, not_after, _] = session.times().to_words();
        let same_id = SessionId::as_bytes(session.id()) == id;
        [
            (session.namespace() != namespace, Rejection::Namespace),
            (!same_id, Rejection::Id),
            (now >= not_after, Rejection::Expired),
            (created > latest, Rejection::FromTheFuture),
            (session.payload().len() > self.shared.max_payload, Rejection::TooLarge),
        ]
        .into_iter()
        .find_map(|(wrong, why)| wrong.then_some(why))
    }

    /// Stores what a look-up has brought, unless its id was changed meanwhile.
    fn land(&self, flight: &Departed<'_, Outcome>, key: &Key, session: &Session) {
        let timeout = session.times().not_after().saturating_sub(self.wall_now());
        let landed = self.store.insert_if_absent_inside(key.bytes(), timeout, |insert| {
            flight.land(|number| {
                // A refusal is counted by the engine; the session is used all the same.
                let _refused = insert(&encode(session, number));
            })
        });
        if !landed {
            self.shared.counters.count(Count::NotStoredMarked);
        }
    }
}
