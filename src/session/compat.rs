//! What OpenSSL and its kin really do, where that differs from their manual page: one switch each.
//!
//! The strict cache does what the page says and needs none of this: the switches lie in a word of
//! their own, which is read where a quirk may matter, and no hit of the internal cache reads it.
//! (The two that concern hits are folded into the word of the modes.) Whatever is switched on, the
//! engine keeps its law: one event for each entry. `REPLACEMENT_SILENT` keeps an event from the
//! callback, and nothing else.
//!
//! # What is not reproduced
//!
//! | quirk | why not |
//! | --- | --- |
//! | remove callback called under the context's lock, and deadlocks in it | no lock is held here |
//! | callbacks and modes set without any lock | a data race |
//! | a remove callback that removes what is absent calls itself without end | told of once |
//! | sessions with an id of no bytes, which nothing removes and which stop evictions | no such id |
//! | a session evicted is marked not-resumable under those who use it | sessions are immutable |
//! | a session in two caches at a time corrupts both | each cache has a copy of its own |
//! | 1.1.1, 3.0: resumption under another id than was asked for; the client then fails | rejected |
//! | hash of the first four bytes of an id | chosen ids would share one bucket |
//! | other session id context: nothing is counted | `Rejection::Namespace` counts it |
//! | VERIFY_PEER without a session id context: fatal at look-up | a namespace is never empty |
//! | adding the very session that is there does nothing | it is a replacement like any other |
//! | order of eviction: by expiry (3.x), by insertion (others) | the policy is the cache's own |
//! | TLS 1.3: an expired session stays until a flush | an expired session goes when it is met |
//! | BoringSSL's flush keeps a session at the second of its end | it is not found all the same |
//! | 3.x: an answer marked not-resumable is ignored | there is no such mark |

use super::SessionCache;
use super::callbacks::{Answer, Given, Removed};
use super::entry::{View, encode};
use super::id::{Key, Namespace, split, version_of};
use super::modes::Modes;
use super::record::{Session, Times};
use crate::removal::RemovalCause;
use crate::sync::Ordering;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{Debug, Formatter};
use std::ops::BitOr;
use std::time::Duration;

/// What a timeout of 0 means to OpenSSL (`tls1_default_timeout`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(7200);

/// A set of quirks: what OpenSSL, LibreSSL and BoringSSL really do, for who ports from them. By
/// default none.
///
/// ```
/// use halfshake::session::{Compat, SessionCache};
///
/// let quirks = Compat::openssl_3().without(Compat::EXPIRED_HIDES_EXTERNAL);
/// let cache = SessionCache::<()>::builder().capacity(1_000).compat(quirks).build()?;
/// assert_eq!(cache.capacity(), 999); // as OpenSSL 3 has it
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Compat(u32);

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Compat {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every switch, with its name.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

switches! {
    /// The remove callback is called for removals of what is not here, too: cause `Removed` or
    /// `Faulty`, on the calling thread, once. No session is there to be shown: its payload is empty
    /// and its times are 0. What has landed under the id by then goes, too. What the callback
    /// removes in turn, of any cache, is not told of. (OpenSSL, so that an external store hears of
    /// fatal alerts.)
    REMOVE_TELLS_OF_ABSENT = 0;
    /// A new session that the new callback refuses stays where it was stored. A callback that
    /// panics has not answered: its session goes. (All.)
    REFUSED_STAYS = 1;
    /// What the get callback gives is stored under its own id and namespace, whatever is found
    /// wrong with it, also while caching is off, and even if its id was removed or taken meanwhile:
    /// only `NO_INTERNAL_STORE` prevents it, if it was set before the answer came. What had expired
    /// is not stored, but the remove callback is told of it (`Expired`), unless one that is told of
    /// such a session looked it up. What is found wrong is not used, and stays. (All.)
    EXTERNAL_STORED_UNCHECKED = 2;
    /// A session that was made in the future is accepted. (OpenSSL, LibreSSL.)
    ACCEPTS_THE_FUTURE = 3;
    /// A session is still good while its age is its timeout, in whole seconds. (OpenSSL up to 3.1,
    /// LibreSSL.)
    DEADLINE_INCLUSIVE = 4;
    /// The protocol version is part of the key, so one id may name two sessions. A look-up says
    /// what it proposes by [`Namespace::proposing`]; one that does not say finds nothing. (OpenSSL,
    /// LibreSSL.)
    KEY_INCLUDES_VERSION = 5;
    /// The remove callback is not told of a session whose id was taken by another one. (All.)
    REPLACEMENT_SILENT = 6;
    /// Where the internal cache holds an expired session, that is removed and the get callback is
    /// not asked. (All.)
    EXPIRED_HIDES_EXTERNAL = 7;
    /// A capacity of 0 is the most that was allocated (`max_capacity`), where they have no limit.
    /// (All.)
    CAPACITY_0_IS_THE_MOST = 8;
    /// A capacity of N holds N - 1, but for 1. (OpenSSL 3.)
    CAPACITY_HOLDS_ONE_LESS = 9;
    /// A timeout of 0 is the default of 7,200 s. (All.)
    TIMEOUT_0_IS_THE_DEFAULT = 10;
    /// The internal cache is looked at also while caching is off. (All.)
    LOOKS_INSIDE_WHILE_OFF = 11;
    /// [`SessionCache::connection_failed`] does nothing. (BoringSSL.)
    FAILED_CONNECTION_KEEPS = 12;
    /// Nothing is swept: every 256th good accept ([`SessionCache::note`]) flushes what has expired,
    /// on its own thread, unless `NO_AUTO_CLEAR`. (OpenSSL, LibreSSL.)
    FLUSHES_BY_ACCEPTS = 13;
    /// The same at every 255th new session that is stored. (BoringSSL.)
    FLUSHES_BY_NEW_SESSIONS = 14;
    /// [`SessionCache::remove_exact`] removes whatever session has the id. (OpenSSL.)
    EXACT_REMOVES_BY_ID = 15;
    /// `UPDATE_TIME` renews a session when it is stored, also, under `EXTERNAL_STORED_UNCHECKED`,
    /// one from outside (which may so come back to life), and not when it is used. (OpenSSL 3.)
    UPDATE_TIME_ON_STORE = 16;
    /// `UPDATE_TIME` means nothing. (OpenSSL 1.1.1, LibreSSL, BoringSSL.)
    UPDATE_TIME_IGNORED = 17;
}

impl Compat {
    /// None: what the manual page says.
    #[must_use]
    pub const fn strict() -> Self {
        Self(0)
    }

    /// What OpenSSL, LibreSSL and BoringSSL have in common.
    const fn all_of_them() -> Self {
        Self::REFUSED_STAYS
            .with(Self::EXTERNAL_STORED_UNCHECKED)
            .with(Self::REPLACEMENT_SILENT)
            .with(Self::EXPIRED_HIDES_EXTERNAL)
            .with(Self::CAPACITY_0_IS_THE_MOST)
            .with(Self::TIMEOUT_0_IS_THE_DEFAULT)
            .with(Self::LOOKS_INSIDE_WHILE_OFF)
    }

    /// LibreSSL, measured with 4.3.
    #[must_use]
    pub const fn libressl() -> Self {
        Self::all_of_them()
            .with(Self::ACCEPTS_THE_FUTURE)
            .with(Self::DEADLINE_INCLUSIVE)
            .with(Self::KEY_INCLUDES_VERSION)
            .with(Self::FLUSHES_BY_ACCEPTS)
            .with(Self::UPDATE_TIME_IGNORED)
    }

    /// OpenSSL 1.1.1.
    #[must_use]
    pub const fn openssl_1_1_1() -> Self {
        Self::libressl().with(Self::REMOVE_TELLS_OF_ABSENT).with(Self::EXACT_REMOVES_BY_ID)
    }

    /// OpenSSL 3, measured with 3.0.
    #[must_use]
    pub const fn openssl_3() -> Self {
        Self::openssl_1_1_1()
            .without(Self::UPDATE_TIME_IGNORED)
            .with(Self::UPDATE_TIME_ON_STORE)
            .with(Self::CAPACITY_HOLDS_ONE_LESS)
    }

    /// BoringSSL, read and not measured.
    #[must_use]
    pub const fn boringssl() -> Self {
        Self::all_of_them()
            .with(Self::FAILED_CONNECTION_KEEPS)
            .with(Self::FLUSHES_BY_NEW_SESSIONS)
            .with(Self::UPDATE_TIME_IGNORED)
    }

    /// Whether all switches of the other set are on in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set with those of the other one.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without those of the other one.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The modes, with the bits of the cache's own that they mean here.
    pub(super) fn rules(self, modes: Modes) -> Modes {
        let not_on_use = [Self::UPDATE_TIME_ON_STORE, Self::UPDATE_TIME_IGNORED];
        let mut rules = modes.without_own();
        if modes.contains(Modes::UPDATE_TIME) && !not_on_use.iter().any(|set| self.contains(*set)) {
            rules = rules.with_own(Modes::RENEWS);
        }
        if self.contains(Self::LOOKS_INSIDE_WHILE_OFF) {
            rules = rules.with_own(Modes::LOOKS_WHILE_OFF);
        }
        rules
    }

    /// Whether what has expired is left to a flush.
    pub(super) fn keeps_expired(self, modes: Modes) -> bool {
        modes.contains(Modes::NO_AUTO_CLEAR)
            || self.contains(Self::FLUSHES_BY_ACCEPTS)
            || self.contains(Self::FLUSHES_BY_NEW_SESSIONS)
    }

    /// What the internal cache holds, of what was asked for.
    pub(super) fn capacity(self, sessions: u64, most: u64) -> u64 {
        match sessions {
            0 if self.contains(Self::CAPACITY_0_IS_THE_MOST) => most,
            2.. if self.contains(Self::CAPACITY_HOLDS_ONE_LESS) => sessions - 1,
            _ => sessions,
        }
    }

    pub(super) fn timeout(self, timeout: Duration) -> Duration {
        let default = timeout.is_zero() && self.contains(Self::TIMEOUT_0_IS_THE_DEFAULT);
        if default { DEFAULT_TIMEOUT } else { timeout }
    }

    /// From when on a session of these times is expired, by the wall clock.
    pub(super) fn end(self, times: Times) -> Duration {
        let not_after = times.not_after();
        if self.contains(Self::DEADLINE_INCLUSIVE) {
            return Duration::from_secs(not_after.as_secs().saturating_add(1));
        }
        not_after
    }

    /// Whether the callback hears nothing of such an end.
    pub(super) fn is_silent(self, cause: RemovalCause) -> bool {
        cause == RemovalCause::Replaced && self.contains(Self::REPLACEMENT_SILENT)
    }

    /// Whether a session belongs to whoever looks this key up.
    pub(super) fn is_of(self, session: &Session, key: &[u8]) -> bool {
        session.namespace().as_bytes() == split(key).0
            && (!self.contains(Self::KEY_INCLUDES_VERSION)
                || version_of(key) == Some(session.version()))
    }
}

thread_local! {
    /// The thread tells of something absent: what its callback removes in turn is not told of.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Ends the telling, also in a panic of the callback.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        TELLING.set(false);
    }
}

impl<C: 'static> SessionCache<C> {
    /// The key that a look-up means; `None`: no session has such an id.
    pub(super) fn key_named(&self, namespace: &Namespace, id: &[u8]) -> Option<Key> {
        let mut key = Key::EMPTY;
        self.name_key(&mut key, namespace, id).then_some(key)
    }

    /// As `key_named`, in place.
    #[inline(always)]
    pub(super) fn name_key(&self, key: &mut Key, namespace: &Namespace, id: &[u8]) -> bool {
        let has_key = key.set(namespace, id, self.shared.id_max);
        if let Some(version) = namespace.proposed()
            && has_key
            && self.shared.compat.contains(Compat::KEY_INCLUDES_VERSION)
        {
            key.add_version(version);
        }
        has_key
    }

    /// The key of a session.
    pub(super) fn key_of(&self, session: &Session) -> Option<Key> {
        self.key_named(&self.named(session), session.id().as_bytes())
    }

    /// The namespace by which a session is found.
    pub(super) fn named<'s>(&self, session: &'s Session) -> Cow<'s, Namespace> {
        if self.shared.compat.contains(Compat::KEY_INCLUDES_VERSION) {
            return Cow::Owned(session.namespace().proposing(session.version()));
        }
        Cow::Borrowed(session.namespace())
    }

    /// For how long a session of these times is good from now on.
    pub(super) fn lasts(&self, times: Times) -> Duration {
        self.shared.compat.end(times).saturating_sub(self.wall_now())
    }

    /// A session that is to be stored, with the times that it gets by that.
    pub(super) fn dated<'s>(&self, session: &'s Session, modes: Modes) -> Cow<'s, Session> {
        let on_store = self.shared.compat.contains(Compat::UPDATE_TIME_ON_STORE);
        if !on_store || !modes.contains(Modes::UPDATE_TIME) {
            return Cow::Borrowed(session);
        }
        let times = session.times();
        let timeout = times.not_after() - times.created();
        Cow::Owned(session.with_times(times.renewed(self.wall_now(), timeout)))
    }

    /// Under `EXPIRED_HIDES_EXTERNAL`: whether an expired session of the key was inside, which has
    /// left now.
    pub(super) fn expired_hides(&self, modes: Modes, key: &Key) -> bool {
        self.shared.compat.contains(Compat::EXPIRED_HIDES_EXTERNAL)
            && modes.look_inside()
            && self.store.expire_key(key.bytes())
    }

    /// Under `EXTERNAL_STORED_UNCHECKED`: what the get callback gave, as it is to be checked, and
    /// what of that is stored in any case.
    pub(super) fn before_check(
        &self,
        answer: Answer,
        modes: Modes,
    ) -> (Answer, Option<(Key, Session)>) {
        if !self.shared.compat.contains(Compat::EXTERNAL_STORED_UNCHECKED) {
            return (answer, None);
        }
        let session = match &answer.0 {
            Given::Session(session) => Some(session.clone()),
            Given::Bytes(bytes) => Session::from_bytes(bytes).ok(),
            Given::Nothing | Given::Failed => None,
        };
        let Some(session) = session else { return (answer, None) };
        let fits = session.payload().len() <= self.shared.max_payload;
        let key = self.key_of(&session).filter(|_| fits);
        let Some(key) = key.filter(|_| !modes.contains(Modes::NO_INTERNAL_STORE)) else {
            return (answer, None);
        };
        let session = self.dated(&session, modes).into_owned();
        (Answer::handed_over(session.clone()), Some((key, session)))
    }

    /// Stores what nobody has found right, or tells of its end. Who has joined does not wait for
    /// that: the remove callback may be called.
    pub(super) fn store_unchecked(&self, (key, session): &(Key, Session)) {
        let (value, timeout) = (encode(session, 0), self.lasts(session.times()));
        if timeout.is_zero() {
            self.tell(key, &value, RemovalCause::Expired);
        } else {
            // A refusal is counted by the engine.
            let _refused = self.store.insert_with_timeout(key.bytes(), &value, timeout);
        }
    }

    /// Nothing had this key, and the callback is told of it.
    pub(super) fn tell_of_absent(&self, key: &Key, cause: RemovalCause) {
        let view = View { key: key.bytes(), value: &[] };
        let Some(id) = super::SessionId::new(view.id()).ok() else { return };
        let (namespace, zero) = (key.namespace(), Duration::ZERO);
        let version = namespace.proposed().unwrap_or(0);
        let session = Session::new(&namespace, id, version, Times::new(zero, zero, zero), &[]);
        self.tell(key, &encode(&session, 0), cause);
    }

    fn tell(&self, key: &Key, value: &[u8], cause: RemovalCause) {
        let Some(callback) = self.shared.callbacks.remove.load_full() else { return };
        if TELLING.replace(true) {
            return;
        }
        let _told = Told;
        crate::holding::assert_none();
        callback(&Removed { cache: self, view: View { key: key.bytes(), value }, cause });
    }

    /// Under one of the switches for it: counts what an automatic flush goes by.
    pub(super) fn count_for_flush(&self, by: Compat, every: u64) {
        if !self.shared.compat.contains(by) {
            return;
        }
        // Relaxed: whoever draws a round number flushes.
        let nth = self.shared.counted.fetch_add(1, Ordering::Relaxed) + 1;
        if nth.is_multiple_of(every) && !self.modes().contains(Modes::NO_AUTO_CLEAR) {
            self.flush_sessions(self.wall_now());
        }
    }
}

impl BitOr for Compat {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl Debug for Compat {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let named = Self::ALL.iter().filter(|(switch, _)| self.contains(*switch));
        let names: Vec<&str> = named.map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "strict" } else { "" })?;
        f.write_str(&names.join("|"))
    }
}
