//! Sessions of TLS, with the callbacks of `SSL_CTX_sess_set_get_cb(3)` kept as they are written.
//!
//! A [`SessionCache`] is an internal cache of sessions, and three callbacks that keep an external
//! one in step with it. `C` is the embedder's connection, which the new and the get callback see.
//!
//! ```
//! use halfshake::session::{Namespace, NewSession, SessionCache, SessionId, Verdict};
//!
//! struct Connection;
//! let cache = SessionCache::<Connection>::builder()
//!     .capacity(10_000)
//!     .build(Namespace::new(b"www.example.org")?)?;
//! cache.set_new_callback(|_: &Connection, session| {
//!     println!("store {} bytes elsewhere", session.payload().len());
//!     Verdict::Keep
//! });
//! cache.set_get_callback(|_: &Connection, _wanted| None);
//!
//! let id = SessionId::new(b"negotiated id")?;
//! cache.new_session(&Connection, &NewSession::new(id.clone(), 0x0303, vec![1, 2, 3]))?;
//! let found = cache.resume(&Connection, id.as_bytes()).expect("stored");
//! assert_eq!(found.session().payload(), [1, 2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! | OpenSSL | here |
//! | --- | --- |
//! | `SSL_CTX_sess_set_new_cb` and its getter | [`set_new_callback`], [`new_callback`] |
//! | `SSL_CTX_sess_set_remove_cb` and its getter | [`set_remove_callback`], [`remove_callback`] |
//! | `SSL_CTX_sess_set_get_cb` and its getter | [`set_get_callback`], [`get_callback`] |
//! | a handshake negotiates a session | [`new_session`](SessionCache::new_session) |
//! | a client proposes one | [`resume`](SessionCache::resume), [`take`](SessionCache::take) |
//! | a connection ends badly | [`connection_failed`](SessionCache::connection_failed) |
//! | `SSL_CTX_add_session` | [`add`](SessionCache::add) |
//! | `SSL_CTX_remove_session` | [`remove`](SessionCache::remove) |
//! | `SSL_CTX_flush_sessions` | [`flush_sessions`](SessionCache::flush_sessions) |
//! | `SSL_CTX_set_session_cache_mode` | [`set_modes`](SessionCache::set_modes) |
//! | `SSL_CTX_set_timeout` | [`set_timeout`](SessionCache::set_timeout) |
//! | `SSL_SESSION_set_timeout` | [`NewSession::timeout`] |
//! | `SSL_CTX_sess_set_cache_size` | [`set_capacity`](SessionCache::set_capacity) |
//! | `SSL_CTX_sess_number` and its kin | [`SessionStats::numbers`] |
//! | `SSL_CTX_set_session_id_context` | [`Namespace`] |
//! | `i2d_SSL_SESSION`, `d2i_SSL_SESSION` | [`SessionView::to_bytes`], [`Session::from_bytes`] |
//! | `SSL_CTX_free` | [`shutdown`](SessionCache::shutdown), or the drop of the last handle |
//!
//! [`set_new_callback`]: SessionCache::set_new_callback
//! [`new_callback`]: SessionCache::new_callback
//! [`set_remove_callback`]: SessionCache::set_remove_callback
//! [`remove_callback`]: SessionCache::remove_callback
//! [`set_get_callback`]: SessionCache::set_get_callback
//! [`get_callback`]: SessionCache::get_callback
//!
//! # Where callbacks run
//!
//! On the calling thread (removals of the sweeper: on the delivery thread), never pinned, never
//! under a lock, with nothing half-way: they may call any function of the same cache, block, and
//! panic. A panic goes on to the caller after everything of the operation is done; in the new
//! callback it counts as a refusal.
//!
//! # Nothing comes back
//!
//! What the get callback answers is stored only if the stamp of the key's set is as it was when the
//! internal cache was looked at: every put, take, removal and flush changes it, in the same word
//! that publishes, so between the check and the publication nothing has room. A change of another
//! key of the same set makes the answer unstored as well: it is used, and asked for again.

mod callbacks;
mod counters;
mod found;
mod id;
mod modes;
pub mod record;
mod resume;
mod settings;

pub use callbacks::{
    Answer, Callback, GetCallback, NewCallback, RemoveCallback, Removed, Verdict, Wanted,
};
pub use counters::{Numbers, Rejection, SessionStats};
pub use found::Found;
pub(crate) use id::Key;
pub use id::{
    NAMESPACE_MAX, Namespace, NamespaceLength, SESSION_ID_LIMIT, SESSION_ID_MAX, SessionId,
    SessionIdLength,
};
pub use modes::Modes;
pub use record::{BadRecord, NewSession, Session, SessionView, Times};
pub use settings::SessionCacheBuilder;

use crate::cache::{BytesCache, Handle, Resize};
use crate::clock::Clock;
use crate::error::{ConfigError, Refusal};
use crate::maintenance::Progress;
use crate::removal::RemovalCause;
use crate::sync::{Ordering, PlainU64, Swap};
use counters::{Counters, Event};
use record::millis;
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// New sessions between two clearings by the way: what OpenSSL has.
const CLEAR_EACH: u64 = 255;
/// Expired sessions that one clearing removes at most.
const CLEARED: usize = 1024;

/// A cache of sessions: see the [module's documentation](self).
///
/// A handle for one namespace; clones, and handles for other namespaces, share the cache and its
/// callbacks. The last one dropped shuts it down.
pub struct SessionCache<C: 'static> {
    shared: Arc<Shared<C>>,
    namespace: Namespace,
    /// The flag that must be set for this handle to store and look inside.
    side: Modes,
}

struct Shared<C: 'static> {
    cache: BytesCache,
    wall: Arc<dyn Clock>,
    modes: PlainU64,
    /// In milliseconds.
    timeout: PlainU64,
    maximum_lifetime: Duration,
    longest_id: usize,
    largest_payload: usize,
    new: Swap<Callback<NewCallback<C>>>,
    get: Swap<Callback<GetCallback<C>>>,
    remove: Swap<Callback<RemoveCallback<C>>>,
    /// Held while the remove callback is exchanged, so that its getter says what is set.
    setting: Mutex<()>,
    counters: Counters,
}

/// What became of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Established {
    /// Caching is off for this side: nothing was done.
    Off,
    /// It is in the internal cache.
    Stored(Handle),
    /// It is not, and the new callback was called all the same.
    NotStored(NotStored),
    /// The new callback refused it: it has left the internal cache again.
    Refused,
}

/// Why a session is not in the internal cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStored {
    /// The modes forbid it.
    #[error("the session cache mode forbids it")]
    Mode,
    /// It expires at once.
    #[error("it has expired already")]
    Expired,
    /// The internal cache refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not what this handle may store.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl<C> Clone for SessionCache<C> {
    fn clone(&self) -> Self {
        self.handle(self.namespace.clone())
    }
}

impl<C> Debug for SessionCache<C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCache").field("modes", &self.modes()).finish_non_exhaustive()
    }
}

/// Handles, settings and counters.
impl<C: 'static> SessionCache<C> {
    fn handle(&self, namespace: Namespace) -> Self {
        Self { shared: self.shared.clone(), namespace, side: self.side }
    }

    /// A handle of the same cache for another namespace.
    #[must_use]
    pub fn with_namespace(&self, namespace: Namespace) -> Self {
        self.handle(namespace)
    }

    /// A handle of the same cache for the client's side: it stores, and looks inside, if
    /// [`Modes::CLIENT`] is set. A client finds its sessions by an id of its own choice (a digest
    /// of the server's name, say), so its handle should have a namespace of its own.
    #[must_use]
    pub fn for_clients(&self) -> Self {
        Self { side: Modes::CLIENT, ..self.clone() }
    }

    /// The namespace of this handle.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The modes now.
    #[must_use]
    pub fn modes(&self) -> Modes {
        // Relaxed: an operation goes by the modes that it sees when it begins.
        Modes::of_stored(self.shared.modes.load(Ordering::Relaxed))
    }

    /// Replaces the modes whole, and returns those before (`SSL_CTX_set_session_cache_mode(3)`).
    /// An operation under way goes by those that it saw.
    pub fn set_modes(&self, modes: Modes) -> Modes {
        Modes::of_stored(self.shared.modes.swap(u64::from(modes.bits()), Ordering::Relaxed))
    }

    /// The timeout of new sessions that bring none.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.shared.timeout.load(Ordering::Relaxed))
    }

    /// Changes the timeout of sessions to come, and returns the one before
    /// (`SSL_CTX_set_timeout(3)`). 0: nothing is stored.
    pub fn set_timeout(&self, timeout: Duration) -> Duration {
        Duration::from_millis(self.shared.timeout.swap(millis(timeout), Ordering::Relaxed))
    }

    /// Changes how many sessions the internal cache may hold (`SSL_CTX_sess_set_cache_size(3)`):
    /// see [`Cache::set_capacity`](crate::Cache::set_capacity).
    ///
    /// # Errors
    /// As for `Cache::set_capacity`.
    ///
    /// # Panics
    /// If the remove callback does; the limit is in force then, too.
    pub fn set_capacity(&self, sessions: u64) -> Result<Resize, ConfigError> {
        self.shared.cache.set_capacity(sessions)
    }

    /// Sessions in the internal cache, of all namespaces.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.shared.cache.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All counters; [`SessionStats::numbers`] has those of `SSL_CTX_sess_number(3)`.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.shared.counters.read(self.shared.cache.stats())
    }

    /// Does what the maintenance thread would: see
    /// [`Cache::run_maintenance`](crate::Cache::run_maintenance).
    ///
    /// # Panics
    /// If the remove callback does; the sweep was finished then, too.
    pub fn run_maintenance(&self, budget: usize) -> Progress {
        self.shared.cache.run_maintenance(budget)
    }

    /// Checks every invariant of the internal cache: see `Cache::validate`.
    ///
    /// # Panics
    /// If one is broken.
    #[cfg(any(test, feature = "validate"))]
    pub fn validate(&self) {
        self.shared.cache.validate();
    }
}

/// What happens to sessions.
impl<C: 'static> SessionCache<C> {
    /// A session was negotiated. It is stored, then the new callback is asked; if that refuses, or
    /// panics, the session leaves again at once, with one event of cause `RefusedByNew`.
    ///
    /// Each 255th removes some expired sessions by the way, unless [`Modes::NO_AUTO_CLEAR`] is set.
    ///
    /// # Errors
    /// If the id is longer than the cache takes; nothing has happened then.
    ///
    /// # Panics
    /// If the new or the remove callback does, after everything is done.
    pub fn new_session(
        &self,
        connection: &C,
        new: &NewSession,
    ) -> Result<Established, SessionIdLength> {
        let shared = &*self.shared;
        let key = self
            .key(new.id.as_bytes())
            .ok_or(SessionIdLength { len: new.id.as_bytes().len(), most: shared.longest_id })?;
        let modes = self.modes();
        if !modes.contains(self.side) {
            return Ok(Established::Off);
        }
        // What the operation began with is what it uses.
        let callback = shared.new.load_full();
        let wall = shared.wall.now();
        let timeout = new.timeout.unwrap_or_else(|| self.timeout());
        let end = new.auth_not_after.unwrap_or(wall.saturating_add(shared.maximum_lifetime));
        let end = end.max(wall);
        let not_after = wall.saturating_add(timeout).min(end);
        let times = Times { created: wall, not_after, auth_not_after: end };
        let session = SessionView::of_new(&self.namespace, new, times);
        let stored = if modes.contains(Modes::NO_INTERNAL_STORE) {
            Err(NotStored::Mode)
        } else {
            self.store(&key, &session, wall)
        };
        let refused = match &callback {
            Some(callback) => {
                let exact = stored.ok();
                self.announce(connection, &session, callback, exact)
            }
            None => false,
        };
        if shared.counters.count(Event::Established).is_multiple_of(CLEAR_EACH)
            && !modes.contains(Modes::NO_AUTO_CLEAR)
        {
            shared.cache.run_maintenance(CLEARED);
        }
        Ok(match stored {
            _ if refused => Established::Refused,
            Ok(handle) => Established::Stored(handle),
            Err(why) => Established::NotStored(why),
        })
    }

    /// Stores a session until it expires; an old one of its id is replaced.
    fn store(
        &self,
        key: &Key,
        session: &SessionView<'_>,
        wall: Duration,
    ) -> Result<Handle, NotStored> {
        let timeout = session.times().not_after.saturating_sub(wall);
        let value = session.to_value();
        let stored = self.shared.cache.insert_exact(key.bytes(), &value, timeout)?;
        stored.ok_or(NotStored::Expired)
    }

    /// Calls the new callback; whether it refused.
    fn announce(
        &self,
        connection: &C,
        session: &SessionView<'_>,
        callback: &Callback<NewCallback<C>>,
        stored: Option<Handle>,
    ) -> bool {
        let counters = &self.shared.counters;
        counters.count(Event::Announced);
        let call = std::panic::AssertUnwindSafe(|| callback(connection, session));
        let answer = std::panic::catch_unwind(call);
        if matches!(answer, Ok(Verdict::Keep)) {
            return false;
        }
        counters.count(if answer.is_ok() { Event::RefusedByNew } else { Event::NewPanicked });
        if let Some(handle) = stored {
            self.shared.cache.remove_exact_because(&handle, RemovalCause::RefusedByNew);
        }
        if let Err(panic) = answer {
            std::panic::resume_unwind(panic);
        }
        true
    }

    /// Stores a whole session, without asking the new callback (`SSL_CTX_add_session(3)`), also if
    /// [`Modes::NO_INTERNAL_STORE`] is set. An older one of its id is replaced.
    ///
    /// # Errors
    /// [`NotStored`] says why it was not.
    ///
    /// # Panics
    /// If the remove callback does; the session is stored then.
    pub fn add(&self, session: &Session) -> Result<Handle, NotStored> {
        let view = session.view();
        let key = self.key(view.id()).ok_or(Rejection::IdLength)?;
        if !self.modes().contains(self.side) {
            return Err(NotStored::Mode);
        }
        let wall = self.shared.wall.now();
        self.check(&view, view.id(), wall)?;
        self.store(&key, &view, wall)
    }

    /// Removes the session of an id (`SSL_CTX_remove_session(3)`); whether there was one.
    ///
    /// # Panics
    /// If the remove callback does; the session is removed then, too.
    pub fn remove(&self, id: &[u8]) -> bool {
        self.key(id).is_some_and(|key| self.shared.cache.remove(key.bytes()))
    }

    /// Removes that very session, and not one that has its id since.
    ///
    /// # Panics
    /// As for [`remove`](Self::remove).
    pub fn remove_exact(&self, session: &Handle) -> bool {
        self.shared.cache.remove_exact(session)
    }

    /// The connection of a session ended badly (a fatal alert, no clean close): the session is
    /// removed, with cause `Faulty`. Whether there was one.
    ///
    /// # Panics
    /// As for [`remove`](Self::remove).
    pub fn connection_failed(&self, id: &[u8]) -> bool {
        let because =
            |key: Key| self.shared.cache.remove_because(key.bytes(), RemovalCause::Faulty);
        self.key(id).is_some_and(because)
    }

    /// Removes the sessions of all namespaces that will have expired at `at`, in time since the
    /// Unix epoch (`SSL_CTX_flush_sessions(3)`); those that have expired now in any case. The
    /// answer is how many.
    ///
    /// # Panics
    /// If the remove callback does; everything due is removed then, too.
    pub fn flush_sessions(&self, at: Duration) -> u64 {
        let ahead = at.saturating_sub(self.shared.wall.now());
        self.shared.cache.flush(self.shared.cache.now().saturating_add(ahead))
    }

    /// Removes all sessions of this handle's namespace, with cause `Flushed`. The answer is how
    /// many.
    ///
    /// # Panics
    /// As for [`flush_sessions`](Self::flush_sessions).
    pub fn flush_namespace(&self) -> u64 {
        let own = self.namespace.as_bytes();
        self.shared.cache.flush_where(|key| Key::split(key).is_some_and(|(name, _)| name == own))
    }

    /// Removes all sessions, with cause `Flushed`.
    ///
    /// # Panics
    /// As for [`flush_sessions`](Self::flush_sessions).
    pub fn flush_all(&self) {
        self.shared.cache.clear();
    }

    /// Removes everything, with cause `Shutdown`; nothing is stored any more. Returns when no
    /// delivery but the caller's own is under way: see [`Cache::shutdown`](crate::Cache::shutdown).
    ///
    /// # Panics
    /// If the remove callback does; the cache is shut down then, too.
    pub fn shutdown(&self) {
        self.shared.cache.shutdown();
    }

    /// The key of an id; `None` if it is empty, or longer than the cache takes.
    fn key(&self, id: &[u8]) -> Option<Key> {
        (id.len() <= self.shared.longest_id).then(|| Key::new(&self.namespace, id)).flatten()
    }
}
