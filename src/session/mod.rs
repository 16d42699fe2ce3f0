//! The session cache: what `SSL_CTX_sess_set_get_cb(3)` says, kept as written.
//!
//! An internal cache of sessions, and three callbacks that keep an external one in step with it.
//! `C` is whatever the embedder knows of a connection; the new and get callbacks are given it.
//!
//! ```
//! use halfshake::session::{Answer, Namespace, SessionCache, SessionId, Verdict};
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//!
//! struct Connection; // the embedder's
//! let disk = Arc::new(Mutex::new(HashMap::new()));
//! let (kept, found) = (disk.clone(), disk.clone());
//! let cache = SessionCache::<Connection>::builder()
//!     .capacity(100_000)
//!     .new_callback(move |_, new| {
//!         let session = new.session();
//!         kept.lock().unwrap().insert(session.id().as_bytes().to_vec(), session.clone());
//!         Verdict::Keep
//!     })
//!     .get_callback(move |_, asked| match found.lock().unwrap().get(asked.id()) {
//!         Some(session) => Answer::borrowed(session),
//!         None => Answer::unknown(),
//!     })
//!     .remove_callback(|gone| eprintln!("a session left: {}", gone.cause()))
//!     .build()?;
//!
//! let namespace = Namespace::new(b"www.example.org, no mTLS")?;
//! let id = SessionId::new(&[7; 32])?;
//! let session = cache.make(&namespace, id, 0x0303, b"what the TLS library needs");
//! cache.new_session(&Connection, halfshake::session::Side::Server, &session);
//! let resumed = cache.resume(&Connection, &namespace, &[7; 32]).expect("stored");
//! assert_eq!(resumed.payload(), b"what the TLS library needs");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Function by function
//!
//! | OpenSSL | here |
//! | --- | --- |
//! | `SSL_CTX_sess_set_new_cb`, `_get_new_cb` | [`set_new_callback`], [`new_callback`] |
//! | `SSL_CTX_sess_set_remove_cb`, `_get_.._` | [`set_remove_callback`], [`remove_callback`] |
//! | `SSL_CTX_sess_set_get_cb`, `_get_get_cb` | [`set_get_callback`], [`get_callback`] |
//! | the get callback's `copy` = 1, = 0 | [`Answer::borrowed`], [`Answer::handed_over`] |
//! | a new session is established | [`new_session`] |
//! | a client proposes a session | [`resume`]; single use: [`take`]; as futures: feature `async` |
//! | `SSL_CTX_set_generate_session_id` | `IdTags::mint` (feature `tagged-ids`) |
//! | fatal alert, unclean close | [`connection_failed`] |
//! | `SSL_CTX_add_session`, `_remove_session` | [`add`], [`remove`], [`remove_exact`] |
//! | `SSL_CTX_flush_sessions` | [`flush_sessions`], [`flush_namespace`], [`flush_all`] |
//! | `SSL_CTX_set_session_cache_mode` | [`set_modes`] |
//! | `SSL_CTX_sess_set_cache_size` | [`set_capacity`] |
//! | `SSL_CTX_set_timeout` | [`set_timeout`] |
//! | `SSL_CTX_sess_number` and the rest | [`SessionStats::ssl`] |
//! | `SSL_CTX_free` | the last handle dropped, or [`shutdown`] |
//! | `i2d_SSL_SESSION`, `d2i_SSL_SESSION` | [`Session::to_bytes`], [`Session::from_bytes`] |
//!
//! [`add`]: SessionCache::add
//! [`connection_failed`]: SessionCache::connection_failed
//! [`flush_all`]: SessionCache::flush_all
//! [`flush_namespace`]: SessionCache::flush_namespace
//! [`flush_sessions`]: SessionCache::flush_sessions
//! [`get_callback`]: SessionCache::get_callback
//! [`new_callback`]: SessionCache::new_callback
//! [`new_session`]: SessionCache::new_session
//! [`remove`]: SessionCache::remove
//! [`remove_callback`]: SessionCache::remove_callback
//! [`remove_exact`]: SessionCache::remove_exact
//! [`resume`]: SessionCache::resume
//! [`set_capacity`]: SessionCache::set_capacity
//! [`set_get_callback`]: SessionCache::set_get_callback
//! [`set_modes`]: SessionCache::set_modes
//! [`set_new_callback`]: SessionCache::set_new_callback
//! [`set_remove_callback`]: SessionCache::set_remove_callback
//! [`set_timeout`]: SessionCache::set_timeout
//! [`shutdown`]: SessionCache::shutdown
//! [`take`]: SessionCache::take

mod arrival;
#[cfg(feature = "async")]
mod asynchronous;
mod board;
mod breaker;
mod builder;
mod callbacks;
mod change;
mod compat;
mod counters;
mod entry;
mod flights;
mod found;
mod hello;
mod id;
mod lookup;
#[cfg(halfshake_loom)]
#[doc(hidden)]
pub mod model;
mod modes;
mod outcome;
mod outside;
mod record;
mod remove;
mod renew;
#[cfg(feature = "seal")]
mod seal;
#[cfg(feature = "tagged-ids")]
mod tags;
mod taking;
mod unknown;

pub use breaker::BreakerState;
pub use builder::SessionBuilder;
pub use callbacks::{
    Answer, AnswerFuture, Asked, AsyncGetCallback, GetCallback, New, NewCallback, Purpose,
    RemoveCallback, Removed, Verdict,
};
pub use change::{Newly, NotStored, Side, Stage};
pub use compat::Compat;
pub use counters::{NamespaceStats, Rejection, SessionStats, SslCounters};
pub use found::{Resumed, SessionHandle};
pub use hello::Hello;
pub use id::{ID_MAX, IdLength, NAMESPACE_MAX, Namespace, NamespaceLength, SessionId};
pub use modes::Modes;
pub use record::{Malformed, Session, Times};
#[cfg(feature = "seal")]
pub use seal::{KeyRing, SealError, SealKey};
#[cfg(feature = "tagged-ids")]
pub use tags::{IdTagKey, IdTags, NoRandom};

use crate::cache::{BytesCache, Resize};
use crate::clock::Time;
use crate::error::ConfigError;
use crate::maintenance::Progress;
use crate::sync::{AtomicU32, Lock, Ordering, PlainU64};
use breaker::Breaker;
use callbacks::Callbacks;
use counters::Counters;
use flights::Flights;
use outcome::Outcome;
use record::milliseconds;
use std::sync::Arc;
use std::time::Duration;
use unknown::Unknown;

/// A cache of TLS sessions, with the callbacks that keep an external one in step: see the module's
/// documentation.
///
/// A handle: clones share the cache, and the last one dropped shuts it down. Every function may be
/// called from any thread, also from a callback.
pub struct SessionCache<C: 'static> {
    shared: Arc<Shared<C>>,
    store: BytesCache,
}

/// What the handles of a cache share beside the internal cache.
struct Shared<C: 'static> {
    callbacks: Callbacks<C>,
    /// With bits of the cache's own.
    modes: AtomicU32,
    compat: Compat,
    /// Of what an automatic flush counts, under the switches for it.
    counted: PlainU64,
    changing_modes: Lock<()>,
    changing_remove: Lock<()>,
    /// In milliseconds.
    timeout: PlainU64,
    max_lifetime: Duration,
    id_max: usize,
    max_payload: usize,
    skew: Duration,
    lookup_timeout: Duration,
    wall: Time,
    flights: Flights<Outcome>,
    unknown: Unknown,
    breaker: Breaker,
    #[cfg(feature = "tagged-ids")]
    tags: Option<Arc<IdTags>>,
    counters: Counters,
}

impl<C: 'static> SessionCache<C> {
    /// Settings for a new cache.
    pub fn builder() -> SessionBuilder<C> {
        SessionBuilder::new()
    }

    /// A session with the times of now: the cache's timeout and maximum lifetime.
    #[must_use]
    pub fn make(
        &self,
        namespace: &Namespace,
        id: SessionId,
        version: u16,
        payload: &[u8],
    ) -> Session {
        Session::new(namespace, id, version, self.times(), payload)
    }

    /// The times of a session that begins now.
    #[must_use]
    pub fn times(&self) -> Times {
        let now = self.wall_now();
        let end = |after| now.saturating_add(after);
        let timeout = self.shared.compat.timeout(self.timeout());
        Times::new(now, end(timeout), end(self.shared.max_lifetime))
    }

    /// The wall clock's time, which never steps back here.
    #[must_use]
    pub fn wall_now(&self) -> Duration {
        Duration::from_millis(self.shared.wall.now())
    }

    /// The monotonic clock's time, in milliseconds.
    fn tick(&self) -> u64 {
        self.store.core.time.now()
    }

    /// The modes now.
    #[must_use]
    pub fn modes(&self) -> Modes {
        self.rules().without_own()
    }

    /// The modes, with the cache's own bits.
    fn rules(&self) -> Modes {
        // Acquire: pairs with the Release in `set_modes`.
        Modes::from_word(self.shared.modes.load(Ordering::Acquire))
    }

    /// Replaces the modes, the whole set; the answer is the set before. Operations under way go by
    /// the set that they saw. But once this has returned with storing switched off, none of them
    /// stores what a look-up outside brings back; and once it has with look-ups inside switched
    /// off, none that begins joins one that still looks inside. (What is out then is not stored in
    /// either case, but under [`Compat::EXTERNAL_STORED_UNCHECKED`], which goes by the set that it
    /// saw.) Who sees the new set (by [`modes`](Self::modes), or an operation that goes by
    /// it) sees what this thread has done before: a cache that is filled first and looked at
    /// afterwards is full for everybody.
    ///
    /// What is stored stays (switched off, it is not found): flush it if it should go.
    pub fn set_modes(&self, modes: Modes) -> Modes {
        let one_at_a_time = self.shared.changing_modes.lock();
        // Release: pairs with the Acquire in `rules`. (Look-ups outside see it by the board's lock;
        // what those before have done, this thread has by the lock that it holds.)
        let old = self.shared.modes.swap(self.shared.compat.rules(modes).bits(), Ordering::Release);
        // Under the lock, for the two are to say the same.
        self.store.core.keep_expired(self.shared.compat.keeps_expired(modes));
        drop(one_at_a_time);
        if !modes.store_inside() || !modes.look_inside() {
            // What has landed had landed before this returned: it may stay.
            self.shared.flights.mark_all();
        }
        Modes::from_word(old).without_own()
    }

    /// The timeout of new sessions.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        // Relaxed: the number publishes nothing.
        Duration::from_millis(self.shared.timeout.load(Ordering::Relaxed))
    }

    /// Changes the timeout of sessions that are made from now on; the answer is the one before. 0:
    /// they expire at once, and nothing is stored.
    pub fn set_timeout(&self, timeout: Duration) -> Duration {
        let new = milliseconds(timeout);
        // Relaxed: as in `timeout`.
        Duration::from_millis(self.shared.timeout.swap(new, Ordering::Relaxed))
    }

    /// The limit of sessions now.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.store.capacity()
    }

    /// Changes the limit of sessions: see [`Cache::set_capacity`](crate::Cache::set_capacity).
    ///
    /// # Errors
    /// If it is 0, or above the maximum; nothing has changed then.
    ///
    /// # Panics
    /// If the remove callback does; the limit is in force then, too.
    pub fn set_capacity(&self, sessions: u64) -> Result<Resize, ConfigError> {
        let sessions = self.shared.compat.capacity(sessions, self.store.max_capacity());
        self.store.set_capacity(sessions)
    }

    /// Sessions whose removal event is not delivered yet: the live ones, unless the cache is busy.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.store.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// All counters and gauges.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let breaker = self.shared.breaker.state(self.tick());
        self.shared.counters.read(self.store.stats(), self.shared.flights.out(), breaker)
    }

    /// Counts what an adapter rejects: a session that the cache gave, and that is none for its
    /// connection.
    pub fn reject(&self, rejection: Rejection) {
        self.shared.counters.reject(rejection);
    }

    /// Does what the maintenance thread would: see
    /// [`Cache::run_maintenance`](crate::Cache::run_maintenance).
    ///
    /// # Panics
    /// If the remove callback does; the sweep was finished then, too.
    pub fn run_maintenance(&self, budget: usize) -> Progress {
        self.store.run_maintenance(budget)
    }

    /// Shuts the cache down: nothing can be stored any more, `Shutdown` is delivered for all that
    /// is left, and no delivery but the caller's own is under way when this returns. The get
    /// callback is still asked.
    ///
    /// Counterpart: `SSL_CTX_free`, which dropping the last handle is, too.
    ///
    /// # Panics
    /// If the remove callback does; the cache is shut down then, too.
    pub fn shutdown(&self) {
        self.store.shutdown();
    }

    /// Checks every invariant of a quiescent cache. For tests, at their end.
    ///
    /// # Panics
    /// If one is broken, with its name.
    #[cfg(any(test, feature = "validate"))]
    pub fn validate(&self) {
        self.store.validate();
        assert_eq!(self.shared.flights.out(), 0, "a look-up is still outside");
    }
}

/// The setters and getters of one callback.
macro_rules! callback {
    (
        $slot:ident, $swap:ident, $kind:ident, $set:ident, $clear:ident, $get:ident,
        ($($argument:ty),*) $(-> $answer:ty)?, $(#[$doc:meta])*
    ) => {
        impl<C: 'static> SessionCache<C> {
            $(#[$doc])*
            ///
            /// Sets or replaces it, while others work; the answer is the one before. An operation
            /// under way uses the one that it saw.
            pub fn $set(
                &self,
                callback: impl Fn($($argument),*) $(-> $answer)? + Send + Sync + 'static,
            ) -> Option<Arc<$kind<C>>> {
                let callback: Arc<$kind<C>> = Arc::new(callback);
                self.$swap(Some(callback))
            }

            /// Clears that callback; the answer is the one before.
            pub fn $clear(&self) -> Option<Arc<$kind<C>>> {
                self.$swap(None)
            }

            /// The callback that is set, or none.
            #[must_use]
            pub fn $get(&self) -> Option<Arc<$kind<C>>> {
                self.shared.callbacks.$slot.load_full().map(|set| (*set).clone())
            }
        }
    };
}

callback!(
    new, swap_new, NewCallback, set_new_callback, clear_new_callback, new_callback,
    (&C, &New<'_, C>) -> Verdict,
    /// The new callback: called once for every newly negotiated session while caching is on for
    /// that side, with the connection and the session. Its refusal takes the session out of the
    /// internal cache again. Counterpart: `SSL_CTX_sess_set_new_cb`.
);
callback!(
    remove, swap_remove, RemoveCallback,
    set_remove_callback, clear_remove_callback, remove_callback,
    (&Removed<'_, C>),
    /// The remove callback: called exactly once for every session that was stored and is no longer,
    /// after it stopped being findable, with the cause. Counterpart:
    /// `SSL_CTX_sess_set_remove_cb`.
);

impl<C: 'static> Clone for SessionCache<C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), store: self.store.clone() }
    }
}

impl<C: 'static> std::fmt::Debug for SessionCache<C> {
    /// Without sessions, which are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCache")
            .field("sessions", &self.len())
            .field("capacity", &self.capacity())
            .field("modes", &self.modes())
            .finish_non_exhaustive()
    }
}
